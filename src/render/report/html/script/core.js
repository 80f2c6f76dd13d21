// The data, words for numbers, and elements. Names of the target become text nodes only.

const data = JSON.parse(document.getElementById("data").textContent);
const startedAt = Date.parse(data.started_at);

const SVG = "http:" + "//www.w3.org/2000/svg";

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined && child !== false && child !== "") element.append(child);
  }
  return element;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function body(section) {
  return document.querySelector("#" + section + " > .body");
}

const grouped = new Intl.NumberFormat("en-US");

function count(number) {
  return grouped.format(number);
}

function plural(number, noun) {
  return count(number) + " " + noun + (number === 1 ? "" : "s");
}

// A number and its unit stay on one line: behind each digit a space that does not break.
function bound(words) {
  return words.replace(/(\d) (?=(?:ms|s|min|h|%)(?![a-z]))|(min|h) (?=\d)/g, "$1$2\u00a0");
}

// Three digits, since more are not known: as the report in text says it.
function duration(us) {
  return bound(plainDuration(us));
}

function plainDuration(us) {
  if (us === 0) return "0 ms";
  const ms = us / 1e3;
  if (us < 1e4) return ms.toFixed(2) + " ms";
  if (us < 1e5) return ms.toFixed(1) + " ms";
  if (us < 999500) return ms.toFixed(0) + " ms";
  if (us < 9995000) return (ms / 1e3).toFixed(2) + " s";
  if (us < 120e6) return (ms / 1e3).toFixed(1) + " s";
  const seconds = Math.floor(us / 1e6);
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(seconds / 3600);
  if (hours === 0) return Math.floor(seconds / 60) + " min " + two(seconds % 60) + " s";
  return count(hours) + " h " + two(Math.floor(seconds / 60) % 60) + " min";
}

function percent(share) {
  return bound((100 * share).toFixed(1) + " %");
}

// Since the beginning: `12.3 s`, `3:05 min`, `1:02:03 h`.
function offset(us, step) {
  return bound(plainOffset(us, step));
}

function plainOffset(us, step) {
  const seconds = us / 1e6;
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 120 && (step || 0) < 60e6) return +seconds.toFixed(step && step < 1e6 ? 1 : step ? 0 : 3) + " s";
  const whole = Math.floor(seconds);
  if (whole < 3600) return Math.floor(whole / 60) + ":" + two(whole % 60) + " min";
  return Math.floor(whole / 3600) + ":" + two(Math.floor(whole / 60) % 60) + ":" + two(whole % 60) + " h";
}

function timeOfDay(us) {
  if (Number.isNaN(startedAt)) return "";
  const time = new Date(startedAt + us / 1e3);
  return Number.isNaN(time.getTime()) ? "" : time.toISOString().slice(11, 23) + " UTC";
}

function text(number) {
  return data.texts[number];
}

// A frame by its number; null is one that is not known.
function frame(number) {
  if (number === null || number === undefined) return { fn: "unknown coroutine", file: "", place: "", whose: 3, line: 0 };
  const [fn, file, line, whose] = data.frames[number];
  return { fn: text(fn), file: text(file), line, whose, place: line ? text(file) + ":" + line : text(file) };
}

function frameText(number) {
  const { fn, place } = frame(number);
  return place ? fn + " (" + place + ")" : fn;
}

function frameNode(number) {
  const { fn, place } = frame(number);
  return el("span", { class: "mono" }, el("span", { class: "fn" }, fn), place && el("span", { class: "muted" }, " (" + place + ")"));
}

// Lines around a frame's line, as they were when the report was made.
function sourceOf(number) {
  const excerpt = number === null ? undefined : data.excerpts[number];
  if (!excerpt || excerpt.lines.length < 2) return null;
  const line = frame(number).line;
  const rows = excerpt.lines.map((shown, at) =>
    el("span", { class: excerpt.first + at === line ? "row hit" : "row", "data-line": excerpt.first + at }, shown || " "));
  const note = excerpt.changed
    ? "The file has changed since the watch: these may not be the lines that ran."
    : "The file as it was when this report was made.";
  return el("figure", { class: "source-figure" },
    el("div", { class: "source", tabindex: 0, role: "region", "aria-label": "Source of " + frameText(number) }, el("pre", null, rows)),
    el("figcaption", { class: "source-note" }, note));
}

// Outermost first, coroutines told from the synchronous calls under them.
function stackOf(stack, coroutines, torn, site) {
  const numbers = data.stacks[stack];
  const items = [];
  // A stack whose middle was left out no longer tells where its coroutines end.
  const whole = !numbers.includes(-1);
  numbers.forEach((number, at) => {
    if (whole && coroutines !== null) {
      if (at === 0 && coroutines > 0) items.push(el("li", { class: "kind" }, "coroutines of the task"));
      if (at === coroutines) items.push(el("li", { class: "kind" }, "synchronous calls: while these last, the loop waits"));
    }
    if (number < 0) {
      items.push(el("li", { class: "muted" }, "… frames left out"));
      return;
    }
    const one = frame(number);
    const classes = (one.whose ? "lib" : "own") + (number === site ? " site" : "");
    const excerpt = data.excerpts[number];
    const source = excerpt && excerpt.lines[one.line - excerpt.first];
    items.push(el("li", { class: classes },
      el("code", { class: "fn" }, one.fn), " ", el("code", { class: "place" }, one.place),
      number === site && [" ", el("span", { class: "badge" }, "to change")],
      source && el("code", { class: "src" }, source.trim())));
  });
  if (torn) items.push(el("li", { class: "muted" }, "<torn>: deeper frames moved too fast to be read"));
  if (!items.length) items.push(el("li", { class: "muted" }, "no known frame"));
  return el("ol", { class: "stack" }, items);
}

// Shows so many at first, and more when asked; keeps what is not looked at out of the page.
function paged(items, step, draw, into, noun) {
  let shown = 0;
  const button = el("button", { type: "button" });
  const more = (upTo) => {
    const end = Math.min(items.length, Math.max(shown + step, upTo || 0));
    for (; shown < end; shown++) into.append(draw(items[shown], shown));
    const left = items.length - shown;
    button.hidden = left === 0;
    button.textContent = "Show " + Math.min(step, left) + " more of " + plural(items.length, noun);
  };
  button.addEventListener("click", () => more());
  more();
  return { button, upTo: (position) => position >= shown && more(position + 1) };
}

const tip = document.getElementById("tip");

function showTip(event, words) {
  tip.textContent = words;
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - width - 6);
  const below = event.clientY + 18 + height < window.innerHeight;
  tip.style.left = Math.max(6, left) + "px";
  tip.style.top = (below ? event.clientY + 18 : event.clientY - height - 10) + "px";
}

function hideTip() {
  tip.hidden = true;
}

// Draws now and whenever the width changes.
function drawnToWidth(element, draw) {
  let width = 0;
  const look = () => {
    const now = Math.floor(element.clientWidth);
    if (now > 0 && now !== width) draw((width = now));
  };
  new ResizeObserver(look).observe(element);
  // To be called once it is in the page, where it has a width.
  return { look };
}

function swatch(variable) {
  const shown = el("span", { class: "swatch" });
  shown.style.background = "var(" + variable + ")";
  return shown;
}
