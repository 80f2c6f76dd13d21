// Stalls by site and cause, each by itself below; findings.

const groupParts = [];

function drawStalls() {
  const into = body("stalls");
  const stalls = data.stalls;
  if (!stalls.count) {
    into.append(el("p", { class: "lead" }, data.loops.length ? "No stall of " + duration(stalls.threshold_us) + " or more was seen." : "No event loop was seen, so nothing can be said of stalls."));
    return;
  }
  into.append(el("p", { class: "lead" },
    plural(stalls.count, "stall") + " of " + duration(stalls.threshold_us) + " or more, " + duration(stalls.total_us) + " together, at " +
    plural(stalls.groups.length, "place") + ". The place with the longest stall comes first."));
  const search = el("input", { type: "search", id: "stall-filter", placeholder: "function, file, cause …" });
  const result = el("span", { class: "muted", role: "status" });
  const list = el("div", { id: "stall-groups" });
  into.append(el("div", { class: "tools" }, el("label", { for: "stall-filter" }, "Filter places"), search, result), list);

  const longest = stalls.groups.reduce((most, group) => Math.max(most, group.total_us), 1);
  const members = stalls.groups.map(() => []);
  stalls.list.group.forEach((group, at) => members[group].push(at));
  const words = stalls.groups.map((group) =>
    [group.words, group.detail === null ? "" : text(group.detail), group.site === null ? "" : frameText(group.site)].join(" ").toLowerCase());
  const drawGroup = (number) => (groupParts[number] = groupOf(number, members[number], longest)).whole;
  const numbers = stalls.groups.map((_, number) => number);
  let pages = null;
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = wanted ? numbers.filter((number) => words[number].includes(wanted)) : numbers;
    list.replaceChildren();
    groupParts.length = 0;
    pages = paged(found, 50, drawGroup, list, "place");
    into.append(pages.button);
    result.textContent = wanted ? plural(found.length, "place") : "";
  };
  search.addEventListener("input", () => {
    pages.button.remove();
    show();
  });
  show();
  drawStalls.reveal = (number) => {
    if (search.value) {
      search.value = "";
      pages.button.remove();
      show();
    }
    pages.upTo(number);
  };
  if (groupParts[0]) groupParts[0].open();
  if (stalls.left_out) into.append(el("p", { class: "muted" }, plural(stalls.left_out, "shorter stall") + " not listed one by one"));
}

function groupOf(number, members, longest) {
  const group = data.stalls.groups[number];
  const title = group.count === 1 ? bound(text(group.longest))
    : count(group.count) + " times, longest " + bound(text(group.longest)) + ", " + duration(group.total_us) + " together";
  const weight = el("i");
  weight.style.width = Math.max(0.5, (100 * group.total_us) / longest) + "%";
  weight.style.background = "var(--c-" + group.cause + ")";
  const summary = el("summary", null,
    el("div", null,
      el("div", { class: "line" },
        el("h3", { class: "cause" }, swatch("--c-" + group.cause), group.words + (group.detail === null ? "" : ": " + text(group.detail))),
        el("span", { class: "num" }, title + (group.ongoing ? ", one lasts" : ""))),
      el("div", null, group.site === null ? el("span", { class: "muted" }, "at an unknown place") : frameNode(group.site))),
    el("div", { class: "weight", "aria-hidden": "true" }, weight));
  const inside = el("div", { class: "inside" });
  const whole = el("details", { class: "group", id: "place-" + number }, summary, inside);
  let table = null;
  const prepare = () => {
    if (table) return;
    table = stallTable(number, members);
    inside.append(
      el("p", { class: "advice" }, el("b", null, "Advice: "), text(group.advice)),
      sourceOf(group.site) || "",
      group.worst === null ? "" : el("div", null,
        el("h4", null, "The longest stall"),
        el("p", null, bound(text(data.stalls.list.evidence[group.worst]))),
        stackOf(data.stalls.list.stack[group.worst], data.stalls.list.coroutines[group.worst], data.stalls.list.torn[group.worst], group.site)),
      el("h4", null, group.count === members.length ? "Each stall" : "The longest " + plural(members.length, "stall") + " of " + count(group.count)),
      table.whole);
  };
  whole.addEventListener("toggle", () => whole.open && prepare());
  return { whole, prepare, open: () => { whole.open = true; prepare(); }, table: () => table };
}

function stallTable(number, members) {
  const list = data.stalls.list;
  const site = data.stalls.groups[number].site;
  const byLength = members.slice().sort((one, other) => list.at_least_us[other] - list.at_least_us[one]);
  const rows = new Map();
  const rowsBody = el("tbody");
  const several = data.loops.length > 1;
  const names = ["began", "time of day", "length", "task", several && "loop", "ready, at most"].filter(Boolean);
  const draw = (at) => {
    const words = timeOfDay(list.start_us[at]);
    const button = el("button", { type: "button", class: "row num", "aria-expanded": "false", onclick: () => toggle() }, "▸ " + offset(list.start_us[at]));
    const task = list.task[at] === null ? (list.coroutine[at] === null ? "–" : frame(list.coroutine[at]).fn) : text(list.task[at]);
    const one = list.loop[at] === null ? null : data.loops[list.loop[at]];
    const row = el("tr", { id: "stall-" + at, class: "stall" },
      el("td", { "data-name": "began" }, button),
      el("td", { "data-name": "time of day", class: "num" }, words || "–"),
      el("td", { "data-name": "length", class: "num" }, bound(text(list.length[at]))),
      el("td", { "data-name": "task" }, task),
      several && el("td", { "data-name": "loop" }, one ? one.thread_name || String(one.thread === null ? "?" : one.thread) : "–"),
      el("td", { "data-name": "ready, at most", class: "num" }, list.ready[at] === null ? "–" : count(list.ready[at])));
    let more = null;
    function toggle(open) {
      const opens = open === undefined ? !more : open;
      if (opens === Boolean(more)) return;
      button.setAttribute("aria-expanded", String(opens));
      button.textContent = (opens ? "▾ " : "▸ ") + offset(list.start_us[at]);
      if (!opens) {
        more.remove();
        more = null;
        return;
      }
      more = el("tr", { class: "more" }, el("td", { colspan: names.length, class: "wide" },
        el("p", null, bound(text(list.evidence[at])) + (list.detail[at] === null ? "" : "; " + text(list.detail[at]))),
        el("p", { class: "muted" }, "at least " + duration(list.at_least_us[at]) +
          (list.ongoing[at] ? ", and it lasted on when the watch ended" : list.at_most_us[at] === null ? "; its end was not seen" : ", at most " + duration(list.at_most_us[at]))),
        stackOf(list.stack[at], list.coroutines[at], list.torn[at], site)));
      row.after(more);
    }
    rows.set(at, { row, toggle, button });
    return row;
  };
  let order = byLength;
  let pages = null;
  const holder = el("div");
  const show = () => {
    rows.clear();
    rowsBody.replaceChildren();
    pages = paged(order, 20, draw, rowsBody, "stall");
    holder.replaceChildren(el("table", { class: "cards" }, el("thead", null, el("tr", null, names.map((name) => el("th", { scope: "col" }, name)))), rowsBody), pages.button);
  };
  show();
  const sort = el("button", { type: "button", "aria-pressed": "false", onclick: () => {
    order = order === byLength ? members : byLength;
    sort.setAttribute("aria-pressed", String(order === members));
    show();
  } }, "In chronological order");
  return {
    whole: el("div", null, members.length > 1 && el("div", { class: "tools" }, sort), holder),
    reveal: (at) => {
      pages.upTo(order.indexOf(at));
      return rows.get(at);
    },
  };
}

// From a chart to the stall that was chosen there.
function goToStall(at) {
  hideTip();
  const number = data.stalls.list.group[at];
  drawStalls.reveal(number);
  const group = groupParts[number];
  group.open();
  const { row, toggle, button } = group.table().reveal(at);
  toggle(true);
  document.querySelectorAll(".picked-row").forEach((other) => other.classList.remove("picked-row"));
  row.classList.add("picked-row");
  row.scrollIntoView({ block: "center" });
  button.focus({ preventScroll: true });
}

function drawFindings() {
  const into = body("findings");
  if (!data.findings.length) {
    into.append(el("p", { class: "lead" }, data.tasks.list.length ? "The last full snapshot showed nothing wrong." : "Nothing is known of tasks, so nothing can be said of them."));
    return;
  }
  into.append(el("p", { class: "lead" }, "Findings of the last full snapshot."));
  const list = el("div");
  const draw = (finding) => el("article", { class: "finding " + finding.severity },
    el("h3", null, el("span", { class: "badge " + finding.severity }, finding.severity), finding.rule),
    el("p", null, text(finding.message)),
    finding.site !== null && el("p", null, "at ", frameNode(finding.site)),
    el("p", { class: "advice" }, el("b", null, "Advice: "), text(finding.advice)),
    sourceOf(finding.site),
    el("p", { class: "muted" },
      finding.tasks.length ? "Tasks: " + finding.tasks.map(text).join(", ") + (finding.more_tasks ? " and " + count(finding.more_tasks) + " more" : "") : "",
      finding.evidence.length ? (finding.tasks.length ? "; " : "") + finding.evidence.map(([name, value]) => name + " " + value).join(", ") : ""));
  const pages = paged(data.findings, 30, draw, list, "finding");
  into.append(list, pages.button);
  if (data.more_findings) into.append(el("p", { class: "muted" }, plural(data.more_findings, "more finding") + " not shown"));
}
