// Flame graphs: as wide as the time, the outermost at the top. Drawn from a tree, only what can be seen of it.

const ROW = 18;
const LETTER = 6.65;

// Nodes with where they begin, from the list in which each is followed by its children.
function layOut(flame) {
  const nodes = flame.nodes.map(([label, time, children]) => ({ label, time, left: children, x: 0, depth: 0, parent: -1, children: [] }));
  const open = [];
  nodes.forEach((node, number) => {
    if (open.length) {
      const parent = nodes[open[open.length - 1]];
      node.parent = open[open.length - 1];
      node.depth = open.length;
      const before = parent.children[parent.children.length - 1];
      node.x = before === undefined ? parent.x : nodes[before].x + nodes[before].time;
      parent.children.push(number);
      parent.left--;
    }
    open.push(number);
    // What is from a node up to its end is in it.
    while (open.length && nodes[open[open.length - 1]].left === 0) nodes[open.pop()].end = number + 1;
  });
  for (const node of nodes) {
    if (node.label >= 0) {
      const one = frame(node.label);
      node.words = one.fn + (one.place ? " (" + one.place + ")" : "");
      node.kind = one.whose;
    } else {
      node.words = text(-1 - node.label);
      node.kind = node.words.startsWith("task:") || node.words === "callback" ? 3 : node.words.startsWith("await:") ? 4 : 5;
    }
  }
  return nodes;
}

function flameGraph(flame) {
  const nodes = layOut(flame);
  const total = Math.max(1, nodes[0].time);
  const status = el("p", { class: "status", role: "status" });
  const view = el("div", { class: "flame", tabindex: 0, role: "application", "aria-roledescription": "flame graph",
    "aria-label": flame.title + ". Arrow keys go through the graph, Enter zooms in, Escape zooms out, slash searches; the table below has the same." });
  let zoom = 0;
  let at = 0;
  let wanted = "";
  let hits = new Set();
  let shapes = new Map();
  let width = 0;

  const words = (node) => node.words + ": " + duration(node.time) + ", " + percent(node.time / total) + " of all";
  const isIn = (number) => number >= zoom && number < nodes[zoom].end;

  function draw(now) {
    width = now;
    shapes = new Map();
    const base = nodes[zoom];
    const scale = width / Math.max(1, base.time);
    const above = new Set();
    for (let up = base.parent; up >= 0; up = nodes[up].parent) above.add(up);
    const groups = [];
    let deepest = 0;
    nodes.forEach((node, number) => {
      const isAbove = above.has(number);
      if (!isAbove && !isIn(number)) return;
      const x = isAbove ? 0 : (node.x - base.x) * scale;
      const wide = isAbove ? width : node.time * scale;
      if (wide < 0.7) return;
      deepest = Math.max(deepest, node.depth);
      const room = Math.floor((wide - 6) / LETTER);
      const shown = room < 3 ? "" : node.words.length <= room ? node.words : node.words.slice(0, room - 1) + "…";
      const group = svg("g", { class: "k" + node.kind + (isAbove ? " above" : "") + (hits.has(number) ? " hit" : ""), "data-n": number },
        svg("rect", { x: x.toFixed(2), y: node.depth * ROW, width: Math.max(0.7, wide).toFixed(2), height: ROW - 1 }),
        shown && svg("text", { x: (x + 3).toFixed(2), y: node.depth * ROW + 12.5 }, shown));
      shapes.set(number, group);
      groups.push(group);
    });
    const height = (deepest + 1) * ROW + 1;
    view.replaceChildren(svg("svg", { class: wanted ? "searching" : "", width, height, viewBox: "0 0 " + width + " " + height, "aria-hidden": "true" }, groups));
    select(shapes.has(at) ? at : zoom, false);
  }
  function select(number, tell) {
    const before = shapes.get(at);
    if (before) before.classList.remove("at");
    at = number;
    const shape = shapes.get(at);
    if (shape && (tell || document.activeElement === view)) {
      shape.classList.add("at");
      shape.parentNode.append(shape);
    }
    if (!tell) return;
    status.textContent = words(nodes[at]);
    const y = nodes[at].depth * ROW;
    if (y < view.scrollTop) view.scrollTop = y;
    if (y + ROW > view.scrollTop + view.clientHeight) view.scrollTop = y + ROW - view.clientHeight;
  }
  function zoomTo(number) {
    zoom = number;
    reset.disabled = zoom === 0;
    draw(width);
    select(number, true);
    status.textContent = (zoom ? "Zoomed to " : "The whole: ") + words(nodes[zoom]);
  }
  function sideways(step) {
    const level = [...shapes.keys()].filter((number) => nodes[number].depth === nodes[at].depth).sort((one, other) => nodes[one].x - nodes[other].x);
    const next = level[level.indexOf(at) + step];
    if (next !== undefined) select(next, true);
  }
  function inward() {
    const visible = nodes[at].children.filter((child) => shapes.has(child));
    const first = visible.reduce((best, child) => (best === undefined || nodes[child].time > nodes[best].time ? child : best), undefined);
    if (first !== undefined) select(first, true);
  }
  view.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "ArrowDown") inward();
    else if (event.key === "ArrowUp") nodes[at].parent >= 0 && select(nodes[at].parent, true);
    else if (event.key === "ArrowRight") sideways(1);
    else if (event.key === "ArrowLeft") sideways(-1);
    else if (event.key === "Enter") zoomTo(at);
    else if (event.key === "Escape") zoomTo(0);
    else if (event.key === "/") search.focus();
    else return;
    event.preventDefault();
  });
  view.addEventListener("focus", () => select(at, true));
  const target = (event) => {
    const group = event.target.closest && event.target.closest("g[data-n]");
    return group ? Number(group.dataset.n) : null;
  };
  view.addEventListener("pointermove", (event) => {
    const number = target(event);
    if (number === null) return hideTip();
    showTip(event, words(nodes[number]));
  });
  view.addEventListener("pointerleave", hideTip);
  view.addEventListener("click", (event) => {
    const number = target(event);
    hideTip();
    if (number !== null) zoomTo(number);
  });

  const search = el("input", { type: "search", placeholder: "function or file …", "aria-label": "Search the flame graph" });
  const found = el("span", { class: "muted", role: "status" });
  let order = [];
  search.addEventListener("input", () => {
    wanted = search.value.trim().toLowerCase();
    hits = new Set();
    order = [];
    let time = 0;
    if (wanted) {
      nodes.forEach((node, number) => {
        if (!node.words.toLowerCase().includes(wanted)) return;
        hits.add(number);
        order.push(number);
        let up = node.parent;
        while (up >= 0 && !hits.has(up)) up = nodes[up].parent;
        if (up < 0) time += node.time;
      });
    }
    found.textContent = wanted ? plural(hits.size, "frame") + " found, " + percent(time / total) + " of the time" : "";
    draw(width);
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && order.length) {
      const next = order.find((number) => number > at && hits.has(number)) || order[0];
      if (!shapes.has(next)) zoomTo(0);
      if (!shapes.has(next)) zoomTo(nodes[next].parent);
      select(next, true);
      event.preventDefault();
    } else if (event.key === "Escape" && !search.value) view.focus();
  });
  const reset = el("button", { type: "button", disabled: true, onclick: () => { zoomTo(0); view.focus(); } }, "Zoom out");
  const table = el("details", null, el("summary", null, "As a table"));
  table.addEventListener("toggle", () => table.open && table.childElementCount === 1 && table.append(flameTable(nodes, total)));
  const whole = el("div", { class: "flame-graph" }, el("div", { class: "tools" }, search, reset, found), view, status,
    flame.pruned > 0 && el("p", { class: "muted" }, plural(flame.pruned, "small frame") + " left out; their time is in (pruned)."), table);
  return { whole, look: drawnToWidth(view, draw).look };
}

// By label: own time, and time with all that is below. One that is below itself counts once.
function flameTable(nodes, total) {
  const sums = new Map();
  nodes.forEach((node, number) => {
    if (number === 0) return;
    const sum = sums.get(node.words) || { words: node.words, own: 0, all: 0 };
    sum.own += node.time - node.children.reduce((time, child) => time + nodes[child].time, 0);
    let up = node.parent;
    while (up >= 0 && nodes[up].words !== node.words) up = nodes[up].parent;
    if (up < 0) sum.all += node.time;
    sums.set(node.words, sum);
  });
  const list = [...sums.values()].sort((one, other) => other.own - one.own || other.all - one.all);
  const rows = el("tbody");
  const draw = (sum) => el("tr", null, el("td", { class: "wide mono" }, sum.words),
    el("td", { class: "r num", "data-name": "own time" }, duration(Math.max(0, sum.own))),
    el("td", { class: "r num", "data-name": "total time" }, duration(sum.all)),
    el("td", { class: "r num", "data-name": "share" }, percent(sum.all / total)));
  const pages = paged(list, 30, draw, rows, "row");
  const head = ["frame", "own time", "total time", "share"].map((name, at) => el("th", { scope: "col", class: at ? "r" : null }, name));
  return el("div", null, el("table", { class: "cards" }, el("thead", null, el("tr", null, head)), rows), pages.button);
}

function drawFlames() {
  const into = body("flames");
  const holder = el("div", { role: "tabpanel", id: "flame-panel" });
  const made = new Map();
  const lead = el("p", { class: "lead" });
  const tabs = data.flames.map(([name, flame], number) => el("button", { type: "button", role: "tab", id: "tab-" + name, "aria-controls": "flame-panel", "aria-selected": "false", tabindex: -1,
    onclick: () => show(number),
    onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = (number + step + tabs.length) % tabs.length;
      show(next);
      tabs[next].focus();
    } }, { run: "Run", await: "Await", wall: "Wall" }[name] || name));
  function show(number) {
    const [name, flame] = data.flames[number];
    tabs.forEach((tab, at) => {
      tab.setAttribute("aria-selected", String(at === number));
      tab.tabIndex = at === number ? 0 : -1;
    });
    holder.setAttribute("aria-labelledby", "tab-" + name);
    lead.textContent = flame.title + ": as wide as the " + flame.unit + ", " + duration(flame.total_us) + " in all. The outermost is at the top; a task stands under the tasks that wait for it.";
    const made_one = made.get(name);
    holder.replaceChildren();
    if (!flame.nodes.length || !flame.total_us) holder.append(el("p", { class: "muted" }, "Nothing of this kind was seen."));
    else if (made_one) holder.append(made_one);
    else {
      const { whole, look } = flameGraph(flame);
      holder.append(whole);
      made.set(name, whole);
      look();
    }
  }
  const legend = [["--k3", "task, callback"], ["--k0", "own code"], ["--k1", "installed package"], ["--k2", "Python’s library"], ["--k4", "what is waited for"], ["--k5", "other"]];
  into.append(el("div", { class: "tools", role: "tablist", "aria-label": "What the width means" }, tabs), lead,
    el("div", { class: "legend" }, legend.map(([variable, words]) => el("span", null, swatch(variable), words))), holder);
  show(0);
}
