// Loops and tasks over time: lag with the stalls, busy share, ready queue; tasks, and those that begin.

const LEFT = 58;
const RIGHT = 8;

function niceStep(range, most) {
  const steps = [1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7, 1.5e7, 3e7, 6e7, 12e7, 3e8, 6e8, 9e8, 18e8, 36e8, 72e8, 216e8, 432e8, 864e8];
  return steps.find((step) => range / step <= most) || range / most;
}

// The largest value of the bins in each column of pixels: [x, width, value, bin].
function columns(values, widthUs, scale) {
  const found = [];
  values.forEach((value, bin) => {
    const x = Math.floor(scale(bin * widthUs));
    const width = Math.max(1, Math.ceil(scale((bin + 1) * widthUs)) - x);
    const last = found[found.length - 1];
    if (last && last[0] === x) {
      if (value > last[2]) last[2] = value;
      last[1] = Math.max(last[1], width);
    } else found.push([x, width, value]);
  });
  return found;
}

function bars(cells, base, height) {
  return cells.map(([x, width, value]) => {
    const tall = height(value);
    return "M" + x + " " + base + "v" + -tall.toFixed(1) + "h" + width + "v" + tall.toFixed(1) + "z";
  }).join("");
}

// One drawing of panels above each other that share the axis of time.
function drawPanels(width, duration_us, panels) {
  const plot = Math.max(40, width - LEFT - RIGHT);
  const scale = (us) => LEFT + (us / Math.max(1, duration_us)) * plot;
  const parts = [];
  let top = 2;
  for (const panel of panels) {
    const base = top + panel.height;
    panel.draw(parts, scale, top, base, plot);
    parts.push(svg("line", { class: "axis", x1: LEFT, x2: LEFT + plot, y1: base + 0.5, y2: base + 0.5 }));
    top = base + (panel.after || 8);
  }
  const step = niceStep(duration_us, Math.max(2, Math.floor(plot / 90)));
  for (let at = 0; at <= duration_us; at += step) {
    const x = scale(at);
    const anchor = at === 0 ? "start" : x > width - 30 ? "end" : "middle";
    parts.push(svg("text", { x, y: top + 6, "text-anchor": anchor }, offset(at, step)));
    parts.push(svg("line", { class: "axis", x1: x, x2: x, y1: top - 8, y2: top - 4 }));
  }
  return { parts, height: top + 12, scale, plot };
}

function label(parts, words, y, name) {
  parts.push(svg("text", { x: LEFT - 6, y, "text-anchor": "end", class: name ? "name" : null }, words));
}

function lagPanel(bins, most_us) {
  const low = 1e3;
  const high = Math.max(most_us * 1.05, data.stalls.threshold_us * 1.5, 2e4);
  return { height: 112, draw: (parts, scale, top, base, plot) => {
    const y = (us) => Math.max(us > 0 ? 1.5 : 0, (Math.log(Math.max(us, low)) - Math.log(low)) / (Math.log(high) - Math.log(low)) * (base - top - 12));
    for (const [us, words] of [[1e3, "1 ms"], [1e4, "10 ms"], [1e5, "100 ms"], [1e6, "1 s"], [1e7, "10 s"], [6e7, "1 min"], [6e8, "10 min"]]) {
      if (us > high) break;
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: LEFT + plot, y1: base - y(us) + 0.5, y2: base - y(us) + 0.5 }));
      label(parts, words, base - y(us) + 3.5);
    }
    const cells = columns(bins.lag_us, bins.width_us, scale);
    // What is beyond the threshold stands out, also where there is a stall in every column.
    const threshold = data.stalls.threshold_us;
    const line = base - y(threshold);
    parts.push(svg("path", { class: "lag", d: bars(cells.filter(([, , value]) => value >= 0), base, (value) => y(Math.min(value, threshold))) }));
    parts.push(svg("path", { class: "lag-bad", d: bars(cells.filter(([, , value]) => value >= threshold), line, (value) => Math.max(2, y(value) - y(threshold))) }));
    parts.push(svg("line", { class: "threshold", x1: LEFT, x2: LEFT + plot, y1: line, y2: line }));
  } };
}

function sharePanel(bins) {
  return { height: 34, draw: (parts, scale, top, base) => {
    label(parts, "busy", top + 9, true);
    label(parts, "100 %", top + 21);
    const cells = columns(bins.busy, bins.width_us, scale);
    const unknown = cells.filter(([, , value]) => value < 0);
    parts.push(svg("path", { class: "gap", d: bars(unknown, base, () => base - top) }));
    parts.push(svg("path", { class: "busy", d: bars(cells.filter(([, , value]) => value > 0), base, (value) => (value / 1000) * (base - top)) }));
  } };
}

function numberPanel(name, values, widthUs, style) {
  const most = values.reduce((so_far, value) => Math.max(so_far, value), 0);
  return { height: 34, draw: (parts, scale, top, base) => {
    label(parts, name, top + 9, true);
    label(parts, "≤ " + (most >= 1e6 ? most.toExponential(0) : count(most)), top + 21);
    const cells = columns(values, widthUs, scale).filter(([, , value]) => value > 0);
    parts.push(svg("path", { class: style, d: bars(cells, base, (value) => (value / Math.max(1, most)) * (base - top)) }));
  } };
}

function stallWords(at) {
  const list = data.stalls.list;
  const group = data.stalls.groups[list.group[at]];
  return bound(text(list.length[at])) + ", " + group.words + "\n" + (group.site === null ? "at an unknown place" : frameText(group.site)) +
    "\nafter " + offset(list.start_us[at]) + (timeOfDay(list.start_us[at]) && ", " + timeOfDay(list.start_us[at]));
}

function stallBand(stalls) {
  const list = data.stalls.list;
  return { height: 14, after: 2, draw: (parts, scale, top, base) => {
    if (stalls.length) label(parts, "stalls", top + 10, true);
    for (const at of stalls) {
      const x = scale(list.start_us[at]);
      const width = Math.max(2, scale(list.start_us[at] + list.at_least_us[at]) - x);
      const cause = data.stalls.groups[list.group[at]].cause;
      parts.push(svg("rect", { x: x.toFixed(1), y: top + 2, width: width.toFixed(1), height: base - top - 3, rx: 1, fill: "var(--c-" + cause + ")" }));
    }
  } };
}

function binWords(bins, us) {
  const bin = Math.floor(us / bins.width_us);
  const one = (name, value, words) => (value === undefined || value < 0 ? null : name + " " + words(value));
  const parts = [
    one("lag up to", bins.lag_us && bins.lag_us[bin], duration),
    one("busy", bins.busy && bins.busy[bin], (value) => percent(value / 1000)),
    one("up to", bins.ready && bins.ready[bin], (value) => plural(value, "callback") + " ready"),
    one("up to", bins.tasks && bins.tasks[bin], (value) => plural(value, "task")),
    one("began", bins.born && bins.born[bin], count),
    one("ended", bins.ended && bins.ended[bin], count),
  ].filter(Boolean);
  return "after " + offset(bin * bins.width_us) + ", " + duration(bins.width_us) + " long: " + (parts.join(", ") || "not sampled");
}

// A chart that can be hovered, and walked through with the arrow keys.
function chart(title, facts, bins, stalls, panels) {
  const list = data.stalls.list;
  const status = el("p", { class: "status", "aria-live": "polite" });
  const hint = stalls.length ? "Left and right arrows move from stall to stall, Enter opens the stall." : "Left and right arrows move through time.";
  const plot = el("div", { class: "plot", tabindex: 0, role: "application", "aria-roledescription": "chart", "aria-label": title + ". " + hint });
  let drawn = null;
  let picked = -1;
  let bin = -1;

  function redraw(width) {
    drawn = drawPanels(width, data.duration_us, panels);
    drawn.mark = svg("g");
    plot.replaceChildren(svg("svg", { viewBox: "0 0 " + width + " " + drawn.height, height: drawn.height, "aria-hidden": "true" }, drawn.parts, drawn.mark));
    pick(picked, false);
  }
  function mark(x, width) {
    const line = svg("line", { class: "cursor", x1: x, x2: x, y1: 0, y2: drawn.height - 14 });
    const box = width === null ? null : svg("rect", { class: "picked", x: x - 1.5, y: 2, width: width + 3, height: 13, rx: 2 });
    drawn.mark.replaceChildren(...[line, box].filter(Boolean));
  }
  function pick(position, tell) {
    picked = position;
    if (position < 0 || !drawn) return;
    const at = stalls[position];
    const x = drawn.scale(list.start_us[at]);
    mark(x, Math.max(2, drawn.scale(list.start_us[at] + list.at_least_us[at]) - x));
    if (tell) status.textContent = "Stall " + (position + 1) + " of " + count(stalls.length) + ": " + stallWords(at).replaceAll("\n", ", ");
  }
  function timeAt(event) {
    const box = plot.getBoundingClientRect();
    return Math.max(0, Math.min(1, (event.clientX - box.left - LEFT) / drawn.plot)) * data.duration_us;
  }
  function near(event) {
    const us = timeAt(event);
    const reach = (7 / drawn.plot) * data.duration_us;
    let best = -1;
    let least = reach;
    stalls.forEach((at, position) => {
      const away = Math.max(list.start_us[at] - us, us - list.start_us[at] - list.at_least_us[at], 0);
      if (away < least || (away === least && best >= 0 && list.at_least_us[at] > list.at_least_us[stalls[best]])) [best, least] = [position, away];
    });
    return best;
  }
  plot.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    const found = near(event);
    if (found >= 0) {
      pick(found, false);
      showTip(event, stallWords(stalls[found]));
    } else {
      picked = -1;
      mark(drawn.scale(timeAt(event)), null);
      showTip(event, binWords(bins, timeAt(event)));
    }
  });
  plot.addEventListener("pointerleave", () => {
    hideTip();
    if (drawn && picked < 0) drawn.mark.replaceChildren();
  });
  plot.addEventListener("click", (event) => {
    const found = drawn ? near(event) : -1;
    if (found >= 0) goToStall(stalls[found]);
  });
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const many = stalls.length || (bins.tasks || bins.lag_us || []).length;
    if (step && many) {
      if (stalls.length) pick((picked + step + many) % many, true);
      else {
        bin = (bin + step + many) % many;
        mark(drawn.scale((bin + 0.5) * bins.width_us), null);
        status.textContent = binWords(bins, bin * bins.width_us);
      }
    } else if (event.key === "Home" || event.key === "End") {
      if (!stalls.length) return;
      pick(event.key === "Home" ? 0 : stalls.length - 1, true);
    } else if (event.key === "Enter" && picked >= 0) goToStall(stalls[picked]);
    else if (event.key === "Escape") {
      picked = -1;
      drawn.mark.replaceChildren();
      status.textContent = "";
    } else return;
    event.preventDefault();
  });
  const whole = el("div", { class: "chart" }, el("h3", null, title), facts && el("p", { class: "facts" }, facts), plot, status);
  return { whole, look: drawnToWidth(plot, redraw).look };
}

function loopFacts(one) {
  const facts = [];
  facts.push(one.busy === null ? "load unknown" : percent(one.busy) + " busy");
  facts.push(one.lag_us === null ? "no complete iteration seen" :
    "lag: half under " + duration(one.lag_us[0]) + ", 90 % under " + duration(one.lag_us[1]) + ", 99 % under " + duration(one.lag_us[2]) + ", longest " + duration(one.lag_us[3]));
  if (one.most_ready !== null) facts.push("up to " + count(one.most_ready) + " ready");
  if (one.gil > 0) facts.push("waited for the GIL " + percent(one.gil) + " of the time");
  if (one.gap_us > 0) facts.push("not sampled for " + duration(one.gap_us));
  facts.push(plural(one.samples, "sample"));
  return bound(facts.join("; "));
}

function loopName(one) {
  return one.class + (one.thread === null ? "" : " in thread " + one.thread) + (one.thread_name ? " (" + one.thread_name + ")" : "");
}

// Between two looks there are as many tasks as at the one before, as far as anybody knows.
function held(values) {
  let last = -1;
  return values.map((value) => (last = value < 0 ? last : value));
}

function drawTime() {
  const into = body("time");
  if (!data.loops.length) {
    into.append(el("p", { class: "lead" }, "No event loop was seen."));
    return;
  }
  const used = data.stalls.by_cause.map(([cause, words, number]) => el("span", null, swatch("--c-" + cause), words + " (" + count(number) + ")"));
  into.append(el("p", { class: "lead" },
    "Lag is how long a loop stayed away from its selector, the longest in each moment, on a logarithmic scale; the dashed line is where a stall begins. Grey in the busy share: not sampled."),
    used.length ? el("div", { class: "legend", "aria-label": "Stalls by cause" }, used) : "");
  const many = data.loops.length > 4;
  const of = data.loops.map(() => []);
  data.stalls.list.loop.forEach((number, at) => number !== null && of[number] && of[number].push(at));
  const rest = el("div");
  data.loops.forEach((one, number) => {
    const bins = data.timeline.loops[number];
    const title = loopName(one);
    if (!bins || !bins.busy.length) {
      rest.append(el("div", { class: "chart" }, el("h3", null, title), el("p", { class: "facts" }, loopFacts(one))));
      return;
    }
    const most = bins.lag_us.reduce((so_far, lag) => Math.max(so_far, lag), 0);
    const { whole, look } = chart(title, loopFacts(one), bins, of[number],
      [stallBand(of[number]), lagPanel(bins, most), sharePanel(bins), numberPanel("ready", bins.ready, bins.width_us, "area")]);
    (many && number >= 4 ? rest : into).append(whole);
    look();
  });
  if (rest.childElementCount) into.append(el("details", null, el("summary", null, plural(rest.childElementCount, "more loop")), rest));
  if (data.more_loops) into.append(el("p", { class: "muted" }, plural(data.more_loops, "more loop") + " not shown"));
  const timeline = data.timeline;
  if (timeline.tasks.length) {
    const bins = { width_us: timeline.width_us, tasks: timeline.tasks, born: timeline.born, ended: timeline.ended };
    const born = timeline.born.reduce((sum, value) => sum + value, 0);
    const { whole, look } = chart("Tasks of the process", "in each snapshot; " + (born ? plural(born, "birth") : "no birth") + " seen while it was watched", bins, [],
      [numberPanel("tasks", held(timeline.tasks), timeline.width_us, "area"), born > 0 && numberPanel("born", timeline.born, timeline.width_us, "born")].filter(Boolean));
    into.append(whole);
    look();
  }
}
