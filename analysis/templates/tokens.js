"use strict";
// Everything a model wrote is set by textContent: this script makes no markup out of text.
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const SPECIAL = /^(<\|[^|<>]*\|>|<\/?s>|<(?:pad|unk|bos|eos|mask)>|\[(?:PAD|UNK|CLS|SEP|MASK)\])$/;
const INVISIBLE = /[\p{C}\p{Zl}\p{Zp}\u034f\u115f\u1160\u3164\uffa0]|(?! )\p{Zs}/u;
const NAMES = {
  0: "NUL", 7: "BEL", 8: "BS", 13: "CR", 27: "ESC", 127: "DEL", 160: "NBSP", 173: "SHY", 0x200b: "ZWSP", 0x200c: "ZWNJ",
  0x200d: "ZWJ", 0x200e: "LRM", 0x200f: "RLM", 0x2028: "LS", 0x2029: "PS", 0x202a: "LRE", 0x202b: "RLE", 0x202c: "PDF",
  0x202d: "LRO", 0x202e: "RLO", 0x2060: "WJ", 0x2066: "LRI", 0x2067: "RLI", 0x2068: "FSI", 0x2069: "PDI", 0xfeff: "BOM",
};
const state = { step: Math.max(0, data.steps.indexOf(data.start)), scale: data.scales[0], spaces: false };

function make(tag, name, text) {
  const node = document.createElement(tag);
  if (name) node.className = name;
  if (text !== undefined && text !== null) node.textContent = text;
  return node;
}

function nameOf(character) {
  const code = character.codePointAt(0);
  return NAMES[code] ?? "U+" + code.toString(16).toUpperCase().padStart(4, "0");
}

// A token's text as nodes: what can be seen as it is, what cannot as a labelled chip.
function nodesOf(text, id) {
  if (text === "") return [make("span", "chip", "empty #" + id)];
  if (SPECIAL.test(text)) return [make("span", "chip", text)];
  const dots = state.spaces || /^ +$/.test(text);
  const nodes = [];
  let run = "";
  const flush = () => { if (run) nodes.push(document.createTextNode(run)); run = ""; };
  const put = (node) => { flush(); nodes.push(node); };
  for (const character of text) {
    if (character === "\n") { put(make("span", "faint", "↵")); run += "\n"; }
    else if (character === "\t") { put(make("span", "faint", "⇥")); run += "\t"; }
    else if (character === " " && dots) put(make("span", "faint", "·"));
    else if (character === "\ufffd") put(make("span", "chip", "part of a character, #" + id));
    else if (INVISIBLE.test(character)) put(make("span", "chip", nameOf(character)));
    else run += character;
  }
  flush();
  return nodes;
}

const round = (x) => (x === null ? "–" : Math.abs(x) >= 1e-3 || x === 0 ? String(Number(x.toPrecision(3))) : x.toExponential(1));

// Share of a scale's reach in [0, 1], and whether it lies below the middle of a diverging one.
function strength(scale, value) {
  if (!scale.diverging) return [Math.min(1, Math.max(0, (value - scale.low) / (scale.high - scale.low || 1))), false];
  const middle = (scale.low + scale.high) / 2;
  const reach = (value - middle) / ((scale.high - scale.low) / 2 || 1);
  return [Math.min(1, Math.abs(reach)), reach < 0];
}

function paint(span, scale, value) {
  span.classList.toggle("none", value === null);
  if (value === null) return;
  const [share, down] = strength(scale, value);
  span.style.setProperty("--a", share.toFixed(3));
  span.classList.toggle("down", down);
}

function repaint() {
  for (const span of document.querySelectorAll(".text .t")) {
    const response = data.responses[span.dataset.r];
    paint(span, state.scale, response[state.scale.key][span.dataset.i]);
  }
  drawLegend();
}

function drawLegend() {
  const scale = state.scale, ramp = at("ramp");
  const values = data.responses.flatMap((r) => r[scale.key]).filter((v) => v !== null);
  const below = values.some((v) => v < scale.low), above = values.some((v) => v > scale.high);
  at("low").textContent = (below ? "≤ " : "") + round(scale.low);
  at("high").textContent = (above ? "≥ " : "") + round(scale.high);
  ramp.replaceChildren();
  for (let k = 0; k < 24; k++) {
    const cell = make("span");
    paint(cell, scale, scale.low + ((k + 0.5) / 24) * (scale.high - scale.low));
    ramp.append(cell);
  }
  if (scale.diverging) ramp.append(make("b", "", round((scale.low + scale.high) / 2)));
  at("meaning").textContent = scale.meaning;
}

function fact(list, name, value, kind) {
  const row = make("div");
  row.append(make("dt", "", name), make("dd", kind, value));
  list.append(row);
}

// One line of text: line breaks and characters that cannot be seen are spelt out.
const oneLine = (text) => [...text].map((c) => (c === "\n" ? "↵" : INVISIBLE.test(c) ? "⟨" + nameOf(c) + "⟩" : c)).join("");
const manyLines = (text) => text.split("\n").map(oneLine).join("\n");

function header(article, response, prompt, number) {
  const question = make("p", "prompt", prompt.problem === null ? "(the records of this run were made without prompts)" : manyLines(prompt.problem));
  question.dir = "auto";
  const facts = make("dl", "facts");
  const right = response.verdict === "right";
  fact(facts, "verdict", (right ? "✓ " : "✗ ") + response.verdict, right ? "right" : "wrong");
  if (response.judged) fact(facts, "its answer", response.extracted === null ? "none found" : oneLine(response.extracted));
  if (prompt.answer !== null) fact(facts, "gold answer", oneLine(prompt.answer));
  fact(facts, "reward", round(response.reward));
  for (const [name, value] of Object.entries(response.components)) fact(facts, name, round(value));
  fact(facts, "tokens", response.token.length + (response.truncated ? ", cut off" : ""));
  if (data.critics > 1) fact(facts, "mean disagreement", round(response.disagreement));
  fact(facts, "prompt", oneLine(response.prompt));
  fact(facts, "response", "#" + response.number);
  article.setAttribute("aria-label", "response " + (number + 1));
  article.append(question, facts);
}

function drawResponse(index, number) {
  const response = data.responses[index];
  const article = make("article");
  header(article, response, data.prompts[response.prompt], number);
  const text = make("p", "text");
  text.setAttribute("role", "group");
  text.setAttribute("aria-label", "tokens of response " + (number + 1) + ", arrow keys walk");
  response.token.forEach((word, i) => {
    const span = make("span", "t");
    span.dataset.r = index;
    span.dataset.i = i;
    span.tabIndex = i === 0 ? 0 : -1;
    span.classList.toggle("masked", response.masked[i] === 1);
    span.classList.toggle("filtered", response.filtered[i] === 1);
    span.append(...nodesOf(data.texts[word], response.id[i]));
    paint(span, state.scale, response[state.scale.key][i]);
    text.append(span);
  });
  if (response.truncated) text.append(make("span", "cut", " ⟨cut off by the length limit⟩"));
  article.append(text);
  return article;
}

const percent = (flags) => "(" + (flags.length ? (100 * flags.reduce((a, b) => a + b, 0)) / flags.length : 0).toFixed(0) + " %)";

function draw() {
  hide();
  const step = data.steps[state.step];
  const chosen = data.responses.flatMap((r, i) => (r.step === step ? [i] : []));
  const shown = chosen.map((i) => data.responses[i]);
  at("responses").replaceChildren(...chosen.map(drawResponse));
  at("step").value = state.step;
  at("step").setAttribute("aria-valuetext", "step " + step);
  at("back").disabled = state.step === 0;
  at("forth").disabled = state.step === data.steps.length - 1;
  at("at").textContent = "step " + step + ": " + shown.filter((r) => r.verdict === "right").length + " of " + shown.length + " right";
  at("masked").textContent = percent(shown.flatMap((r) => r.masked));
  at("filtered").textContent = percent(shown.flatMap((r) => r.filtered));
  drawLegend();
}

function line(table, name, value) {
  const row = make("tr");
  row.append(make("td", "", name), make("td", "", value));
  table.append(row);
}

function show(span) {
  const response = data.responses[span.dataset.r], i = Number(span.dataset.i);
  const text = data.texts[response.token[i]], box = at("details"), table = make("table");
  const codes = [...text].slice(0, 6).map((c) => "U+" + c.codePointAt(0).toString(16).toUpperCase().padStart(4, "0"));
  line(table, "position", i + " (of 0 to " + (response.token.length - 1) + ")");
  line(table, "token id", response.id[i]);
  line(table, "characters", codes.join(" ") + ([...text].length > 6 ? " …" : ""));
  for (const scale of data.scales) line(table, scale.label, round(response[scale.key][i]));
  line(table, "log-probability", round(response.logprob[i]));
  const gates = [response.masked[i] ? "advantage masked" : "advantage counts", response.filtered[i] ? "no entropy bonus" : "entropy bonus counts"];
  box.replaceChildren(make("h2", "mono", "“" + oneLine(text) + "”"), table, make("p", "", gates.join("; ")));
  box.hidden = false;
  place(box, span.getClientRects()[0] ?? span.getBoundingClientRect());
}

// Below the token, or above where there is no room.
function place(box, spot) {
  const left = Math.min(Math.max(8, spot.left), document.documentElement.clientWidth - box.offsetWidth - 8);
  const below = spot.bottom + 10, above = spot.top - box.offsetHeight - 10;
  box.style.left = Math.max(8, left) + "px";
  box.style.top = (below + box.offsetHeight < innerHeight || above < 0 ? below : above) + "px";
}

function hide() { at("details").hidden = true; }

function go(change) {
  state.step = Math.min(data.steps.length - 1, Math.max(0, state.step + change));
  draw();
}

function colour(key) {
  state.scale = data.scales.find((scale) => scale.key === key) ?? data.scales[0];
  at("colour").value = state.scale.key;
  repaint();
}

// Where one arrow key leads from a token: left and right by token, up and down by line.
function neighbour(span, key) {
  const all = [...span.parentElement.querySelectorAll(".t")], here = all.indexOf(span);
  if (key === "Home" || key === "End") return all[key === "Home" ? 0 : all.length - 1];
  if (key === "ArrowRight" || key === "ArrowLeft") return all[here + (key === "ArrowRight" ? 1 : -1)];
  const up = key === "ArrowUp", spot = span.getBoundingClientRect();
  const other = (up ? all.slice(0, here).reverse() : all.slice(here + 1)).map((node) => [node, node.getBoundingClientRect()]);
  const row = other.filter(([, box]) => (up ? box.bottom <= spot.top + 4 : box.top >= spot.bottom - 4));
  const edge = row.length ? row[0][1].top : 0;
  const near = row.filter(([, box]) => Math.abs(box.top - edge) < 6).map(([node, box]) => [Math.abs(box.left - spot.left), node]);
  return near.sort((a, b) => a[0] - b[0])[0]?.[1];
}

function walk(event) {
  const span = event.target.closest?.(".text .t");
  if (!span || !/^(Arrow|Home$|End$)/.test(event.key)) return false;
  const next = neighbour(span, event.key);
  event.preventDefault();
  if (!next) return true;
  span.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  return true;
}

function listen() {
  const main = at("responses"), token = (event) => event.target.closest?.(".text .t");
  main.addEventListener("mouseover", (event) => (token(event) ? show(token(event)) : hide()));
  main.addEventListener("mouseleave", hide);
  main.addEventListener("focusin", (event) => token(event) && show(token(event)));
  main.addEventListener("click", (event) => token(event) ? show(token(event)) : hide());
  addEventListener("scroll", () => {
    const walked = document.activeElement?.closest?.(".text .t");
    if (walked) show(walked); else hide();
  }, { passive: true });
  at("colour").addEventListener("change", (event) => colour(event.target.value));
  at("step").addEventListener("input", (event) => go(Number(event.target.value) - state.step));
  at("back").addEventListener("click", () => go(-1));
  at("forth").addEventListener("click", () => go(1));
  at("spaces").addEventListener("change", (event) => { state.spaces = event.target.checked; draw(); });
  addEventListener("keydown", (event) => {
    if (walk(event) || event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
    if (event.key === "Escape") hide();
    if (event.key === "[") go(-1);
    if (event.key === "]") go(1);
    if (event.key === "c") colour(data.scales[(data.scales.indexOf(state.scale) + 1) % data.scales.length].key);
  });
}

at("run").textContent = oneLine(data.run);
at("what").textContent = data.what;
for (const scale of data.scales) {
  const option = make("option", "", scale.label);
  option.value = scale.key;
  at("colour").append(option);
}
at("steps").hidden = data.steps.length < 2;
at("step").max = data.steps.length - 1;
listen();
draw();
