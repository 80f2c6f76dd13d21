// Tasks by coroutine, and who waits for whom.

function drawTasks() {
  const into = body("tasks");
  const list = data.tasks.list;
  if (!list.length) {
    into.append(el("p", { class: "lead" }, "No task was seen."));
    return;
  }
  into.append(el("p", { class: "lead" }, "Tasks of the same coroutine. Waits and ages are at least as long as shown: they may have begun before the watch."));
  const growth = (value) => (value === null ? "?" : (value > 0 ? "+" : "") + (Math.abs(value) < 10 ? value.toFixed(1) : count(Math.round(value))));
  const fields = [
    ["run", "run", (one) => one.run_us, (one) => duration(one.run_us)],
    ["waited", "wait", (one) => one.wait_us, (one) => duration(one.wait_us)],
    ["ready", "ready", (one) => one.ready_us, (one) => duration(one.ready_us)],
    ["longest wait", "longest", (one) => one.longest_us, (one) => duration(one.longest_us)],
    ["oldest", "oldest", (one) => one.oldest_us, (one) => duration(one.oldest_us)],
    ["seen", "seen", (one) => one.seen, (one) => count(one.seen)],
    ["born", "born", (one) => one.born, (one) => count(one.born)],
    ["ended", "ended", (one) => one.ended, (one) => count(one.ended)],
    ["alive", "alive", (one) => one.alive, (one) => count(one.alive)],
    ["growth/min", "growth", (one) => (one.growth === null ? -Infinity : one.growth), (one) => growth(one.growth)],
  ];
  const search = el("input", { type: "search", id: "task-filter", placeholder: "coroutine or file …" });
  const result = el("span", { class: "muted", role: "status" });
  const choose = el("select", { id: "task-order" }, fields.map(([name], at) => el("option", { value: at }, name)));
  const rows = el("tbody");
  const holder = el("div");
  let by = list.some((one) => one.run_us > 0) ? 0 : 5;
  const heads = fields.map(([name], at) => el("th", { scope: "col", class: "r" }, el("button", { type: "button", onclick: () => { by = at; show(); } }, name)));
  const table = el("table", { class: "cards" }, el("thead", null, el("tr", null, el("th", { scope: "col" }, "coroutine"), heads)), rows);
  const draw = (one) => {
    const button = el("button", { type: "button", class: "row", "aria-expanded": "false" }, "▸ ", frameNode(one.frame));
    const row = el("tr", { class: "coroutine" }, el("td", { class: "wide" }, button),
      fields.map(([name, , , words]) => el("td", { class: "r num", "data-name": name }, words(one))));
    let more = null;
    button.addEventListener("click", () => {
      button.setAttribute("aria-expanded", String(!more));
      button.firstChild.data = more ? "▸ " : "▾ ";
      if (more) {
        more.remove();
        more = null;
      } else row.after((more = el("tr", { class: "more" }, el("td", { colspan: fields.length + 1, class: "wide" }, coroutineParts(one)))));
    });
    return row;
  };
  function show() {
    const wanted = search.value.trim().toLowerCase();
    const found = list.filter((one) => !wanted || frameText(one.frame).toLowerCase().includes(wanted)).sort((one, other) => fields[by][2](other) - fields[by][2](one));
    rows.replaceChildren();
    const pages = paged(found, 25, draw, rows, "coroutine");
    holder.replaceChildren(el("div", { class: "scroll" }, table), pages.button);
    heads.forEach((head, at) => head.setAttribute("aria-sort", at === by ? "descending" : "none"));
    heads.forEach((head, at) => (head.firstChild.textContent = fields[at][0] + (at === by ? " ▾" : "")));
    choose.value = String(by);
    result.textContent = wanted ? plural(found.length, "coroutine") : "";
  }
  search.addEventListener("input", show);
  choose.addEventListener("change", () => { by = Number(choose.value); show(); });
  into.append(el("div", { class: "tools" }, el("label", { for: "task-filter" }, "Filter"), search, el("label", { for: "task-order" }, "Most"), choose, result), holder);
  if (data.tasks.left_out) into.append(el("p", { class: "muted" }, plural(data.tasks.left_out, "more coroutine") + " not shown"));
  show();
}

function coroutineParts(one) {
  const holders = (wait) => wait.holders.length > 0 && el("p", { class: "muted" }, "held by " + wait.holders.map(([name, waits]) => text(name) + " (" + plural(waits, "wait") + ")").join(", "));
  const waits = one.waits.map((wait) => el("li", null,
    el("p", null, el("b", { class: "num" }, duration(wait.wait_us)), " for " + text(wait.what) + (wait.detail === null ? "" : " (" + text(wait.detail) + ")") + ": " +
      plural(wait.waits, "wait") + ", longest at least " + duration(wait.longest_us) + (wait.task === null ? "" : " (" + text(wait.task) + ")")),
    holders(wait), stackOf(wait.stack, null, false, undefined)));
  const runs = one.runs.map((run) => el("li", null,
    el("p", null, el("b", { class: "num" }, duration(run.run_us)), " in " + plural(run.samples, "sample")), stackOf(run.stack, null, run.torn, undefined)));
  return el("div", null,
    el("p", { class: "muted" }, "At most " + plural(one.most_alive, "task") + " at once" + (one.longest_task === null ? "" : "; longest wait: task " + text(one.longest_task)) + (one.unknown_us ? "; " + duration(one.unknown_us) + " not known" : "")),
    runs.length > 0 && [el("h3", null, "What they ran"), el("ul", null, runs), one.more_runs > 0 && el("p", { class: "muted" }, plural(one.more_runs, "more place"))],
    waits.length > 0 && [el("h3", null, "Longest waits (total over all tasks)"), el("ul", null, waits), one.more_waits > 0 && el("p", { class: "muted" }, plural(one.more_waits, "more place"))]);
}

// Coroutines are told apart by their frame; null is one that is not known.
function awaitGraph() {
  const nodes = new Map();
  const node = (number) => {
    if (!nodes.has(number)) nodes.set(number, { number, out: [], into: 0, time: 0 });
    return nodes.get(number);
  };
  for (const [waiter, awaited, time, waits] of data.awaits.edges) {
    node(waiter).out.push({ to: awaited, time, waits, words: frameText(awaited) });
    node(waiter).time += time;
    if (waiter !== awaited) node(awaited).into += 1;
  }
  for (const leaf of data.awaits.leaves) {
    const held = leaf.holders.length ? ", held by " + leaf.holders.map(([name]) => text(name)).join(", ") : "";
    node(leaf.coroutine).out.push({ to: undefined, time: leaf.wait_us, waits: leaf.waits, words: text(leaf.what) + held });
    node(leaf.coroutine).time += leaf.wait_us;
  }
  for (const one of nodes.values()) one.out.sort((edge, other) => other.time - edge.time);
  return nodes;
}

function drawAwaits() {
  const into = body("awaits");
  const nodes = awaitGraph();
  if (!nodes.size) {
    into.append(el("p", { class: "lead" }, "No wait was seen."));
    return;
  }
  into.append(el("p", { class: "lead" }, "By coroutine, those that nothing awaits first; below each what its tasks waited for, with the time of all of them together."));
  const picture = graphPicture(nodes);
  if (picture) into.append(picture);
  const most = Math.max(1, ...[...nodes.values()].map((one) => one.time));
  const line = (words, isFrame, number, time, waits, badge) => {
    const bar = el("i");
    bar.style.width = (100 * time) / most + "%";
    return el("span", { class: "edge" }, el("span", null, isFrame ? frameNode(number) : words, waits !== null && el("span", { class: "muted" }, " · " + plural(waits, "wait")), badge && [" ", el("span", { class: "badge" }, badge)]),
      el("span", { class: "bar-bg", "aria-hidden": "true" }, bar), el("span", { class: "num t" }, duration(time)));
  };
  const branch = (number, time, waits, path, open) => {
    const one = nodes.get(number);
    if (path.includes(number)) return el("li", { class: "leaf" }, line(null, true, number, time, waits, "see above"));
    const below = el("ul");
    const details = el("details", null, el("summary", null, line(null, true, number, time, waits)), below);
    const prepare = () => {
      if (below.childElementCount) return;
      paged(one.out, 100, (edge) => edge.to === undefined
        ? el("li", { class: "leaf" }, line("for " + edge.words, false, null, edge.time, edge.waits))
        : !nodes.has(edge.to) || !nodes.get(edge.to).out.length
          ? el("li", { class: "leaf" }, line(null, true, edge.to, edge.time, edge.waits))
          : branch(edge.to, edge.time, edge.waits, [...path, number], false), below, "wait");
    };
    details.addEventListener("toggle", () => details.open && prepare());
    if (open) {
      details.open = true;
      prepare();
    }
    return el("li", null, details);
  };
  const byTime = [...nodes.values()].filter((one) => one.out.length).sort((one, other) => other.time - one.time);
  // In a graph of circles alone nobody is first.
  const roots = byTime.some((one) => one.into === 0) ? byTime.filter((one) => one.into === 0) : byTime;
  const circles = byTime.filter((one) => one.into > 0 && !isReached(one.number, roots, nodes));
  const list = el("ul", { class: "tree-top" });
  const pages = paged([...roots, ...circles], 20, (one, at) => branch(one.number, one.time, null, [], at < 3), list, "coroutine");
  into.append(el("div", { class: "tree" }, list), pages.button);
  if (data.awaits.left_out) into.append(el("p", { class: "muted" }, plural(data.awaits.left_out, "lighter wait") + " not shown"));
}

function reachable(roots, nodes) {
  const seen = new Set(roots.map((one) => one.number));
  const next = [...seen];
  while (next.length) {
    for (const edge of nodes.get(next.pop()).out) {
      if (edge.to === undefined || seen.has(edge.to) || !nodes.has(edge.to)) continue;
      seen.add(edge.to);
      next.push(edge.to);
    }
  }
  return seen;
}

function isReached(number, roots, nodes) {
  if (isReached.of !== roots) [isReached.of, isReached.seen] = [roots, reachable(roots, nodes)];
  return isReached.seen.has(number);
}

// A small graph as a picture, in layers from left to right; nothing for one that no picture could hold.
function graphPicture(nodes) {
  const [WIDE, TALL, GAP_X, GAP_Y, MOST] = [186, 34, 64, 10, 40];
  const coroutines = [...nodes.values()];
  const linked = coroutines.filter((one) => one.into > 0 || one.out.some((edge) => edge.to !== undefined));
  if (linked.length < 2) return null;
  const boxes = new Map(linked.map((one) => [one.number, { id: one.number, title: frame(one.number).fn, sub: frame(one.number).place, layer: 0, in: [] }]));
  const lines = [];
  for (const one of linked) {
    for (const edge of one.out) {
      const to = edge.to === undefined ? "thing " + edge.words : edge.to;
      if (!boxes.has(to)) boxes.set(to, { id: to, title: edge.words, sub: "", thing: true, layer: 0, in: [] });
      lines.push({ from: one.number, to, time: edge.time, waits: edge.waits });
    }
  }
  if (boxes.size > MOST || lines.length > 2 * MOST) return null;
  // As many rounds as there are layers at most; a circle stops where it would make one more.
  for (let round = 0; round < Math.min(boxes.size, 8); round++)
    for (const { from, to } of lines)
      if (from !== to) boxes.get(to).layer = Math.min(8, Math.max(boxes.get(to).layer, Math.min(round + 1, boxes.get(from).layer + 1)));
  const layers = [];
  for (const box of boxes.values()) (layers[box.layer] = layers[box.layer] || []).push(box);
  const used = layers.filter(Boolean);
  for (const { from, to } of lines) boxes.get(to).in.push(boxes.get(from));
  used.forEach((layer, x) => {
    const place = (box) => (box.in.length ? box.in.reduce((sum, other) => sum + (other.y || 0), 0) / box.in.length : 0);
    if (x) layer.sort((one, other) => place(one) - place(other));
    layer.forEach((box, y) => Object.assign(box, { x: 8 + x * (WIDE + GAP_X), y: 8 + y * (TALL + GAP_Y) }));
  });
  const height = Math.max(...used.map((layer) => layer.length)) * (TALL + GAP_Y) + 10;
  const width = used.length * (WIDE + GAP_X) - GAP_X + 16;
  const most = Math.max(1, ...lines.map((line) => line.time));
  const brief = (words, room) => (words.length > room ? words.slice(0, room - 1) + "…" : words);
  const paths = lines.map(({ from, to, time, waits }) => {
    const [one, other] = [boxes.get(from), boxes.get(to)];
    const [x1, y1, x2, y2] = [one.x + WIDE, one.y + TALL / 2, other.x, other.y + TALL / 2];
    const bend = Math.max(24, Math.abs(x2 - x1) / 2);
    return svg("path", { d: "M" + x1 + " " + y1 + "C" + (x1 + bend) + " " + y1 + " " + (x2 - bend) + " " + y2 + " " + x2 + " " + y2, "stroke-width": (1 + (6 * time) / most).toFixed(1) },
      svg("title", null, one.title + " waits for " + other.title + ": " + duration(time) + ", " + plural(waits, "wait")));
  });
  const shapes = [...boxes.values()].map((box) => svg("g", null, svg("title", null, box.title + (box.sub ? " (" + box.sub + ")" : "")),
    svg("rect", { class: box.thing ? "box thing" : "box", x: box.x, y: box.y, width: WIDE, height: TALL, rx: 3 }),
    svg("text", { x: box.x + 8, y: box.y + (box.sub ? 14 : 21) }, brief(box.title, 26)),
    box.sub && svg("text", { class: "sub", x: box.x + 8, y: box.y + 27 }, brief(box.sub.length > 28 ? "…" + box.sub.slice(-27) : box.sub, 28))));
  return el("div", { class: "graph", tabindex: 0, role: "region", "aria-label": "Await graph as a picture; the list below has the same" },
    svg("svg", { width, height, viewBox: "0 0 " + width + " " + height, "aria-hidden": "true" }, paths, shapes));
}
