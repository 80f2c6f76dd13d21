// What stands at the top and at the end, and the order in which the page is drawn.

function drawTop() {
  const verdict = document.getElementById("verdict");
  verdict.classList.add(data.verdict.level);
  verdict.textContent = bound(verdict.textContent);
  document.getElementById("cut").hidden = data.complete;
  const lags = data.loops.map((one) => one.lag_us && one.lag_us[2]).filter((lag) => lag !== null);
  const busy = data.loops.map((one) => one.busy).filter((share) => share !== null);
  const seen = data.tasks.list.reduce((sum, one) => sum + one.seen, 0);
  const worst = data.stalls.groups.reduce((most, group) => (most && most.longest_us >= group.longest_us ? most : group), null);
  const several = data.loops.length > 1 ? "most of " + count(data.loops.length + data.more_loops) + " loops" : "";
  const figures = [
    ["Stalls", data.loops.length ? count(data.stalls.count) : "?", "from " + duration(data.stalls.threshold_us) + " on", data.stalls.count > 0],
    ["Worst stall", worst ? bound(text(worst.longest)) : "–", "", data.stalls.count > 0],
    ["Lag p99", lags.length ? duration(Math.max(...lags)) : "?", several],
    ["Loop busy", busy.length ? percent(Math.max(...busy)) : "?", several],
    ["Tasks seen", count(seen), "of " + plural(data.tasks.list.length + data.tasks.left_out, "coroutine")],
    ["Findings", count(data.findings.length + data.more_findings), "", data.findings.some((one) => one.severity === "error")],
    ["Watched for", duration(data.duration_us), timeOfDay(0) && "from " + data.started_at.slice(0, 16).replace("T", " ") + " UTC"],
  ];
  document.getElementById("tiles").append(...figures.map(([name, value, more, bad]) =>
    el("div", null, el("dt", null, bound(name)), el("dd", { class: bad ? "bad" : null }, value, more && el("small", null, more)))));
  const sections = [["time", "Over time"], ["stalls", "Stalls", data.stalls.count], ["findings", "Findings", data.findings.length + data.more_findings], ["flames", "Flame graphs"],
    ["tasks", "Tasks"], ["awaits", "Awaits"], ["notes", "Events", data.notes.length + data.more_notes], ["trust", "Trust"]];
  document.getElementById("toc").append(...sections.filter(([id, , number]) => id !== "notes" || number).map(([id, name, number]) =>
    el("li", null, el("a", { href: "#" + id }, name, number !== undefined && el("span", { class: "n" }, " " + count(number))))));
}

function drawNotes() {
  if (!data.notes.length) {
    document.getElementById("notes").hidden = true;
    return;
  }
  const rows = el("tbody");
  const pages = paged(data.notes, 20, ([at, words]) => el("tr", null, el("td", { class: "num" }, "after " + offset(at)), el("td", null, words)), rows, "note");
  body("notes").append(el("table", null, el("thead", null, el("tr", null, el("th", { scope: "col" }, "when"), el("th", { scope: "col" }, "what"))), rows), pages.button);
  if (data.more_notes) body("notes").append(el("p", { class: "muted" }, plural(data.more_notes, "more note") + " not shown"));
}

function drawTrust() {
  const figures = (list) => el("dl", { class: "figures" }, list.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, bound(value)))));
  body("trust").append(
    el("ul", { class: "sentences" }, data.trust.map((sentence) => el("li", null, bound(sentence))),
      el("li", null, "A sample counts only if it was proved to be of one moment: what changed during the read was read again or dropped, and a stack of which only the outer part held is marked <torn>.")),
    el("h3", null, "Sampling"), figures(data.sampling), el("h3", null, "What was watched"), figures(data.facts));
}

function offerThemes() {
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const choices = ["system", "light", "dark"];
  let choice = 0;
  const apply = () => {
    const dark = choice === 2 || (choice === 0 && system.matches);
    root.dataset.theme = dark ? "dark" : "light";
    button.textContent = "Theme: " + choices[choice];
  };
  button.addEventListener("click", () => {
    choice = (choice + 1) % choices.length;
    apply();
  });
  system.addEventListener("change", apply);
  button.hidden = false;
  apply();
}

offerThemes();
drawTop();
drawTime();
drawStalls();
drawFindings();
drawFlames();
drawTasks();
drawAwaits();
drawNotes();
drawTrust();
window.addEventListener("beforeprint", () => groupParts.slice(0, 20).forEach((group) => group && group.open()));
// For who measures: everything was drawn.
requestAnimationFrame(() => setTimeout(() => performance.mark("asyncprof-drawn")));
