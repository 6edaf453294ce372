// The network view: a net drawn as a net. Its activations run to the right and its error signal
// back to the left, layer after layer; how strong a colour is shows the measured size.
// Precedes chart.mjs in the same script.

const NET = { top: 30, row: 22, gap: 24, few: 6, names: 42, pad: 4 };
const FAINT = 0.07;

const sizeOf = (value) => Math.abs(toNumber(value));
const power = (n) => powerOfTen(Math.round(n));

// ---- from data to units ----------------------------------------------------------------------

// Opacity of a size: equal steps for equal factors, from one end of the domain to the other.
function strength(value, [low, high]) {
  const share = (Math.log10(sizeOf(value)) - low) / (high - low);
  return FAINT + (1 - FAINT) * Math.min(Math.max(share, 0), 1);
}

// The right one of several outputs, NaN where the target is no label.
const answerOf = (data) => (data.output?.length > 1 ? Math.round(toNumber(data.label?.[0] ?? NaN)) : NaN);

const layersOf = (data) => (data.units ?? []).filter((count) => count !== null).length;

// Steps: the input, each layer forward, the output, each layer back.
const lastStep = (layers) => 2 * layers + 1;

// What step number `step` is about: the layer from 0, and which way the signal runs.
function phaseOf(step, layers) {
  if (step <= 0) return { way: "input", layer: -1 };
  if (step <= layers) return { way: "forward", layer: step - 1 };
  if (step === layers + 1) return { way: "output", layer: layers };
  return { way: "backward", layer: 2 * layers + 1 - step };
}

// ---- layout ----------------------------------------------------------------------------------

// Where everything goes; nodes are the units drawn, layer by layer, each lane from its top down.
function netFrame(spec, data, held, width, least) {
  const narrow = width < 480;
  const layers = layersOf(data);
  const { lanes } = spec;
  // Without a kernel the results are accurate to 0.2 %: 3 units may come as 3.002.
  const drawn = data.units.map((count) => Math.min(Math.round(count ?? 0), spec.units));
  const most = Math.max(1, ...drawn);
  const row = most === 1 ? 44 : NET.row;
  const lane = most * row;
  const inner = lanes.length * lane + (lanes.length - 1) * NET.gap;
  const tall = Math.max(inner, data.output?.length > 3 ? 10 * 17 : 60);
  const top = NET.top + (spec.skip ? 14 : 0) + (spec.factors ? 14 : 0);
  const middle = top + tall / 2;
  const image = Math.sqrt(data.inputs?.length ?? 0);
  const pictured = image >= 4 && Number.isInteger(image);
  const side = pictured ? (narrow ? 56 : 96) : data.inputs ? 22 : 0;
  const out = data.output ? (narrow ? 64 : 132) : 0;
  const fan = narrow ? 12 : 40;
  const [left, right] = [NET.pad + side + (side ? fan : 26), width - NET.pad - out - (out ? fan : spec.factors ? 22 : 0)];
  const pitch = (right - left) / layers;
  const wide = Math.min(most === 1 ? 13 : narrow ? 8 : 9, pitch / 2 - (pitch < 9 ? 0.5 : 1));
  const nodes = [];
  for (let layer = 0; layer < layers; layer++) {
    lanes.forEach((names, l) => {
      const count = drawn[layer];
      for (let unit = 0; unit < count; unit++) {
        const y = middle - inner / 2 + l * (lane + NET.gap) + (unit + 0.5 + (most - count) / 2) * row;
        nodes.push({ id: nodes.length, layer, lane: l, unit, x: left + (layer + 0.5) * pitch, y, at: layer * spec.units + unit });
      }
    });
  }
  const lanesAt = lanes.map((_, l) => middle - inner / 2 + l * (lane + NET.gap));
  const frame = { layers, nodes, row, lane, lanesAt, top, middle, tall, inner, narrow, pictured, image, side, out, left, right, pitch, wide, width };
  frame.edges = edgesOf(spec, data, frame);
  frame.circles = wide >= 6;
  frame.foot = top + tall + (spec.recurrent ? 12 : 0);
  frame.height = frame.foot + 8 + NET.names + 14;
  return frame;
}

// Edges of a net small enough to show them: from a unit, or an input, to a unit of the next layer.
function edgesOf(spec, data, { nodes, layers, image, pictured, middle, row }) {
  if (!data.edge_weight || layers > NET.few) return [];
  const count = pictured || data.inputs?.length > spec.units ? 0 : data.inputs?.length ?? 0;
  const inputs = Array.from({ length: count }, (_, unit) => ({ layer: -1, unit, x: 15, y: middle + (unit + 0.5 - count / 2) * row }));
  const all = [...inputs, ...nodes];
  return nodes.flatMap((to) =>
    all.filter((from) => from.layer === to.layer - 1).map((from, i) => {
      const at = (to.layer * spec.units + to.unit) * spec.units + from.unit;
      return { id: `${from.layer}.${from.unit}-${to.id}`, from, to, at };
    }));
}

// ---- drawing ---------------------------------------------------------------------------------

// A size as a shape: full, hollow and dashed where it is exactly 0, crossed where it is no number.
function cell(x, y, half, height, circle, value, domain, hue) {
  const box = (style) => circle
    ? `<circle cx="${x}" cy="${y}" r="${half}" ${style}/>`
    : `<rect x="${round(x - half)}" y="${round(y - height)}" width="${round(2 * half)}" height="${2 * height}" rx="${Math.min(3, half)}" ${style}/>`;
  if (value === undefined) return box('class="vg-empty"');
  const number = toNumber(value);
  if (!Number.isFinite(number)) {
    const r = Math.min(half, 5);
    return `${box('class="vg-empty"')}<path class="vg-cross" d="M${x - r} ${y - r}l${2 * r} ${2 * r}M${x - r} ${y + r}l${2 * r} ${-2 * r}"/>`;
  }
  if (number === 0) return box('class="vg-empty vg-nothing"');
  return box(`class="vg-unit ${hue}" fill-opacity="${strength(number, domain).toFixed(3)}"`);
}

const label = (x, y, text, style = "vg-tick", anchor = "middle") => `<text class="${style}" x="${round(x)}" y="${round(y)}" text-anchor="${anchor}">${text}</text>`;

function drawInput(data, frame, lit) {
  const { side, middle, image, row } = frame;
  if (!side) return "";
  const values = data.inputs.map(toNumber);
  if (!frame.pictured) {
    return values.map((_, i) => `<rect class="vg-edge-box" x="8" y="${middle + (i + 0.5 - values.length / 2) * row - 7}" width="14" height="14" rx="2"/>`).join("");
  }
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const dot = side / image;
  const pixels = values.map((value, i) => {
    const shade = (value - low) / (high - low || 1);
    return shade < 0.02 ? "" : `<rect class="vg-pixel" x="${round(NET.pad + (i % image) * dot)}" y="${round(middle - side / 2 + Math.floor(i / image) * dot)}" width="${dot}" height="${dot}" shape-rendering="crispEdges" fill-opacity="${shade.toFixed(2)}"/>`;
  });
  return `${pixels.join("")}<rect class="vg-edge-box${lit ? " vg-lit" : ""}" x="${NET.pad}" y="${middle - side / 2}" width="${side}" height="${side}" rx="3"/>`;
}

// Bars with their digits; going back, the error of each output: what it has too much or too little.
function drawOutput(data, frame, shown, back) {
  const { out, middle, width } = frame;
  if (!out) return "";
  const count = data.output.length;
  const step = count > 3 ? 17 : 26;
  const from = width - NET.pad - out + (count > 1 ? 14 : 0);
  const span = width - NET.pad - from;
  const answer = answerOf(data);
  return data.output.map((value, i) => {
    const y = middle + (i + 0.5 - count / 2) * step;
    const p = Math.min(Math.max(toNumber(value), 0), 1);
    const target = Number(i === answer);
    const part = (hue, start, end) => `<rect class="${hue}" x="${round(from + start * span)}" y="${round(y - 5)}" width="${round((end - start) * span)}" height="10" rx="2"/>`;
    const error = back && Number.isFinite(answer);
    const bar = (shown && (target || !error) ? part("vg-run", 0, p) : "") + (error ? part("vg-back", target ? p : 0, target || p) : "");
    const goal = target ? `<rect class="vg-goal" x="${from - 0.5}" y="${round(y - 7.5)}" width="${span + 1}" height="15" rx="4"/>` : "";
    return `<rect class="vg-track" x="${from}" y="${y - 5}" width="${span}" height="10" rx="2"/>${bar}${goal}` +
      (count > 1 ? label(from - 5, y + 4, i, target ? "vg-answer" : "vg-tick", "end") : "");
  }).join("");
}

// Lines that say what is connected, where the weights themselves are not drawn.
function drawFans(data, frame) {
  const { nodes, layers, side, out, middle, width, wide, narrow, pictured, row, edges } = frame;
  if (narrow) return "";
  const ends = (layer) => nodes.filter((node) => node.layer === layer && node.lane === frame.lanesAt.length - 1);
  const lines = [];
  if (side && !edges.some(({ from }) => from.layer < 0)) {
    const [count, apart] = pictured ? [6, side / 6.5] : [data.inputs.length, row];
    for (let i = 0; i < count; i++) for (const node of ends(0)) lines.push(`M${NET.pad + side} ${round(middle + (i - (count - 1) / 2) * apart)}L${round(node.x - wide)} ${round(node.y)}`);
  }
  if (out) {
    const count = data.output.length;
    const step = count > 3 ? 17 : 26;
    for (let i = 0; i < count; i++) for (const node of ends(layers - 1)) lines.push(`M${round(node.x + wide)} ${round(node.y)}L${width - NET.pad - out - (count > 1 ? 0 : 6)} ${round(middle + (i + 0.5 - count / 2) * step)}`);
  }
  return lines.length ? `<path class="vg-fan" d="${lines.join("")}"/>` : "";
}

// From the edge of one unit to that of the next, as units let through what lies below them.
const lineOf = ({ wide }, from, to) => `M${round(from.x + wide)} ${round(from.y)}L${round(to.x - wide)} ${round(to.y)}`;

// A weight's line: grey before the error has passed it, then as strong as the gradient.
function drawEdges(spec, data, frame, reached) {
  return frame.edges.map(({ from, to, at }) => {
    const gradient = data.edge_gradient?.[at];
    const back = reached(to.layer) && gradient !== undefined && gradient !== null && toNumber(gradient) !== 0;
    const share = back ? strength(gradient, spec.backward) : 0;
    return `<path class="${back ? "vg-back" : "vg-fan"} vg-weight" d="${lineOf(frame, from, to)}"${back ? ` stroke-opacity="${(0.8 * share).toFixed(3)}" stroke-width="${(0.4 + share).toFixed(2)}"` : ""}/>`;
  }).join("");
}

// What passes between neighbouring columns: the arcs of skip connections, factors, equal weights.
function drawLinks(spec, data, frame) {
  const { layers, left, pitch, lane, lanesAt } = frame;
  const top = lanesAt[0] - 4;
  const middle = lanesAt.at(-1) + lane / 2;
  const at = (layer) => left + (layer + 0.5) * pitch;
  const skips = spec.skip && toNumber(data[spec.skip]?.[0]) !== 0;
  const parts = [];
  for (let layer = 0; layer < layers; layer++) {
    const from = at(layer);
    const to = layer + 1 < layers ? at(layer + 1) : from + Math.max(pitch, 2 * frame.wide);
    if (spec.recurrent) parts.push(`<path class="vg-arc" d="M${round(from)} ${middle + lane / 2 + 14}v-9m-3 3l3 -3l3 3"/>`);
    if (skips && layer + 1 < layers) parts.push(`<path class="vg-arc" d="M${round(from)} ${top}C${round(from)} ${top - 16} ${round(to)} ${top - 16} ${round(to)} ${top}"/>`);
    if (frame.wide < 6 || (spec.units > 1 && !spec.recurrent)) continue;
    if (!frame.edges.length && (spec.factors || layer + 1 < layers)) parts.push(`<path class="vg-arc" d="M${round(from + frame.wide)} ${middle}H${round(Math.min(to - frame.wide, frame.right + 20))}"/>`);
    const factor = spec.factors && data[spec.factors]?.[layer];
    if (factor !== undefined && factor !== null && pitch > 44) parts.push(label((from + to) / 2, middle - 18, `× ${formatNumber(factor, 2)}`, "vg-factor"));
    if (spec.recurrent && layer + 1 < layers && pitch > 30) parts.push(label((from + to) / 2, middle - 6, "W", "vg-factor"));
  }
  return parts.join("");
}

// Numbers below the columns, as many as there is room for.
function drawRow(spec, data, frame, step, way, reached) {
  const { layers, left, pitch } = frame;
  const y = frame.foot + 24;
  const every = Math.ceil(76 / pitch);
  const count = Math.floor((layers - 1) / every) + 1;
  const shownLayers = Array.from({ length: count }, (_, i) => Math.round((i * (layers - 1)) / Math.max(1, count - 1)));
  const parts = [];
  const longest = Math.max(spec.activation.length, spec.signal.length);
  if (left + pitch / 2 > Math.max(130, 30 + 6 * longest)) {
    const [text, style] = way === "backward" ? [spec.signal, "vg-back-text"] : [spec.activation, "vg-run-text"];
    parts.push(label(NET.pad, y, spec.x.name, "vg-tick", "start"), label(NET.pad, y + 17, escapeText(text), style, "start"));
  }
  for (const layer of shownLayers) {
    const x = left + (layer + 0.5) * pitch;
    const back = reached(layer);
    const value = data[back ? spec.sizes[1] : spec.sizes[0]]?.[layer];
    const shown = back || (way !== "backward" && step > layer);
    parts.push(label(x, y, spec.x.start + layer));
    if (shown) parts.push(label(x, y + 17, formatNumber(value, 2), back ? "vg-back-text" : "vg-run-text"));
  }
  return parts.join("");
}

// A frame around the units that the signal has reached.
function drawFront({ left, pitch, row, lane, lanesAt, wide }, way, layer) {
  if (way !== "forward" && way !== "backward") return "";
  const half = Math.max(Math.min(wide + 3, pitch / 2), 2);
  const more = row > NET.row ? -5 : 3;
  const box = (y) => `<rect class="vg-front ${way}" x="${round(left + (layer + 0.5) * pitch - half)}" y="${round(y - more)}" width="${round(2 * half)}" height="${lane + 2 * more}" rx="${Math.min(half, 8)}"/>`;
  return lanesAt.map(box).join("");
}

function drawHeadings(spec, { left, right, width, side, out, lanesAt }, way) {
  const y = 16;
  const parts = [];
  if (way === "forward" || way === "input") parts.push(label((left + right) / 2, y, `${escapeText(spec.activation)} →`, "vg-run-text"));
  if (way === "backward") parts.push(label((left + right) / 2, y, `← ${escapeText(spec.signal)}`, "vg-back-text"));
  if (side) parts.push(label(NET.pad + side / 2, y, "input"));
  if (out) parts.push(label(width - NET.pad - out / 2, y, "output"));
  const named = spec.lanes.length > 1 ? spec.lanes : [];
  return parts.concat(named.map((lane, i) => label(left, lanesAt[i] - 7, escapeText(lane.label), "vg-tick", "start"))).join("");
}

// The parts of the picture: most of them stay as they are from step to step.
function netPicture(spec, data, held, frame, step = Infinity) {
  const { layers, nodes } = frame;
  const now = Math.min(step, lastStep(layers));
  const { way, layer } = phaseOf(now, layers);
  const reached = (one) => way === "backward" && one >= layer;
  const columns = Array.from({ length: layers }, () => "");
  for (const { x, y, layer: one, lane, at } of nodes) {
    const names = spec.lanes[lane];
    const [name, domain, hue] = reached(one) ? [names.error, spec.backward, "vg-back"] : [names.activation, spec.forward, "vg-run"];
    const value = reached(one) || one < now ? data[name]?.[at] : undefined;
    columns[one] += cell(round(x), round(y), round(frame.wide), 8.5, frame.circles, value, domain, hue);
  }
  return [
    drawFans(data, frame), drawEdges(spec, data, frame, reached), drawLinks(spec, data, frame), drawFront(frame, way, layer),
    ...columns, drawHeadings(spec, frame, way), drawInput(data, frame, way === "input"),
    drawOutput(data, frame, now > layers, way === "backward"), drawRow(spec, data, frame, now, way, reached),
  ];
}

// ---- words -----------------------------------------------------------------------------------

const capital = (text) => text[0].toUpperCase() + text.slice(1);

function captionOf(spec, data, step) {
  const layers = layersOf(data);
  const { way, layer } = phaseOf(step, layers);
  const name = `${capital(spec.x.name)} ${spec.x.start + layer}`;
  const size = (which, one) => data[spec.sizes[which]]?.[one];
  const answer = answerOf(data);
  if (way === "input") return data.inputs?.length === 64 && Number.isFinite(answer) ? `A picture of a ${answer} goes in.` : "The input goes in.";
  if (way === "forward") return `${name}: the ${spec.activation} is ${formatNumber(size(0, layer), 2)}.`;
  if (way === "output") {
    const loss = data.loss ? ` The loss is ${formatNumber(data.loss[0], 2)}.` : "";
    const values = Array.from(data.output ?? [], toNumber);
    const guess = values.indexOf(Math.max(...values)); // -1 if a number is missing
    if (Number.isFinite(answer) && guess >= 0) {
      const right = guess === answer ? "It is right, with" : `The right one, ${answer}, gets`;
      return `The net's answer is ${guess}. ${right} a probability of ${formatNumber(values[answer], 2)}.${loss}`;
    }
    return `The output${data.output?.length === 1 ? ` is ${formatNumber(data.output[0], 2)}` : ""}.${loss}`;
  }
  return `${name}: the ${spec.signal} is ${formatNumber(size(1, layer), 2)}.`;
}

// What is known of a unit, or of a weight.
function describeStop(id, spec, data, frame) {
  const name = (layer) => (layer < 0 ? "input" : `${spec.x.name} ${spec.x.start + layer}`);
  const list = (parts) => parts.filter(([, value]) => value !== undefined).map(([text, value]) => `${text} ${value === null ? "not a number" : formatNumber(value)}`).join(", ");
  const edge = frame.edges.find((one) => one.id === id);
  if (edge) {
    const { from, to, at } = edge;
    return `weight from ${name(from.layer)}, unit ${from.unit + 1} to ${name(to.layer)}, unit ${to.unit + 1}: ` + list([["weight", data.edge_weight[at]], ["weight gradient", data.edge_gradient?.[at]]]);
  }
  const { layer, unit, lane, at } = frame.nodes[id] ?? frame.nodes[0];
  const names = spec.lanes[lane];
  return `${name(layer)}, ${names.label ? `${names.label} ` : "unit "}${unit + 1}: ` +
    list([[spec.activation, data[names.activation]?.[at]], ["slope", data[names.slope]?.[at]], [spec.signal, data[names.error]?.[at]]]);
}

// ---- motion ----------------------------------------------------------------------------------

// Buttons, a slider and a caption that step through the picture. It rests at its end, or halfway.
function netPlayer(spec, dataOf, paint) {
  const button = (text, name) => element("button", { type: "button", class: "vg-button vg-step", "aria-label": name, title: name }, text);
  const [play, back, forth] = [button("▶", "Play"), button("‹", "Step back"), button("›", "Step forward")];
  const slider = element("input", { type: "range", min: 0, step: 1, "aria-label": "Step", autocomplete: "off" });
  const caption = element("p", { class: "vg-caption" });
  const panel = element("div", { class: "vg-player", role: "group", "aria-label": "Watch the signal" }, play, back, forth, slider, caption);
  let step = Infinity; // at rest
  let goal = 0;
  let timer = 0;
  let seen = null;
  const layers = () => layersOf(dataOf());
  const last = () => lastStep(layers());
  const home = () => (spec.halfway ? layers() : last());
  const place = () => Math.min(step === Infinity ? home() : step, last());

  function show() {
    const end = last();
    const now = place();
    slider.max = end;
    slider.value = now;
    back.disabled = now === 0;
    forth.disabled = now === end;
    caption.textContent = layers() ? captionOf(spec, dataOf(), now) : "";
    slider.setAttribute("aria-valuetext", caption.textContent);
    const name = timer ? "Pause" : "Play";
    play.textContent = timer ? "❚❚" : "▶";
    play.setAttribute("aria-label", name);
    play.title = name;
    paint();
  }
  function pause() {
    clearTimeout(timer);
    timer = 0;
  }
  // How long a step is looked at: the whole way takes the same time through nets of any depth.
  function rest() {
    const { way } = phaseOf(place(), layers());
    const [most, whole] = { input: [700, 700], forward: [500, 2000], output: [1200, 1200], backward: [900, 4500] }[way];
    return Math.min(most, whole / (way === "forward" || way === "backward" ? layers() : 1));
  }
  function tick() {
    step = place() + 1;
    if (step < goal) timer = setTimeout(tick, rest());
    else if (goal === home()) end();
    else pause();
    show();
  }
  function run(to) {
    goal = to;
    step = place() < goal ? place() : 0;
    timer = setTimeout(tick, rest());
    show();
  }
  function go(to) {
    pause();
    step = Math.min(Math.max(to, 0), last());
    show();
  }
  function end() {
    pause();
    step = Infinity;
    seen?.disconnect();
  }
  play.addEventListener("click", () => {
    if (timer) go(step);
    else run(last());
  });
  back.addEventListener("click", () => {
    go(place() - 1);
    if (back.disabled) forth.focus();
  });
  forth.addEventListener("click", () => {
    go(place() + 1);
    if (forth.disabled) back.focus();
  });
  slider.addEventListener("input", () => go(Number(slider.value)));
  // Once, when it first comes into view, unless the reader wants no motion or was quicker.
  function watch(picture) {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      if (step === Infinity && layers()) run(home());
    }, { threshold: 0.8 });
    seen.observe(picture);
  }
  return { panel, step: place, show, end, watch };
}

// ---- the view --------------------------------------------------------------------------------

function netLegend(spec, data) {
  const swatches = (domain, hue) => {
    const marks = Array.from({ length: 7 }, (_, i) => domain[0] + (i / 6) * (domain[1] - domain[0]));
    return marks.map((mark, i) => `<rect class="vg-unit ${hue}" x="${i * 12 + 1}" y="3" width="11" height="12" rx="2" fill-opacity="${strength(10 ** mark, domain).toFixed(3)}"/>`).join("");
  };
  const ramp = (text, domain, hue) => ({ sign: swatches(domain, hue), wide: 86, text: `${text}: ${power(domain[0])} to ${power(domain[1])}` });
  const all = spec.lanes.flatMap(({ activation, error }) => [...(data[activation] ?? []), ...(data[error] ?? [])]);
  const broken = all.some((value) => typeof value === "string");
  const most = Math.max(...(data.units ?? []).map((count) => count ?? 0));
  const bars = '<rect class="vg-run" x="1" y="3" width="16" height="5" rx="2"/><rect class="vg-back" x="1" y="10" width="16" height="5" rx="2"/>';
  return [
    ramp(`${spec.activation}${most > spec.units ? `, ${spec.units} of ${formatNumber(most)} units` : ""}`, spec.forward, "vg-run"),
    ramp(spec.signal, spec.backward, "vg-back"),
    { sign: cell(9, 9, 6, 6, true, 0), wide: 18, text: "exactly 0" },
    ...(data.output?.length > 1 ? [{ sign: bars, wide: 18, text: "output bars: probability (blue), its error (orange)" }] : []),
    ...(broken ? [{ sign: cell(9, 9, 6, 6, true, Infinity), wide: 18, text: "infinite or not a number" }] : []),
  ];
}

const NETWORK_VIEW = {
  aim: () => "Read the network unit by unit",
  hint: "Point at a unit or a line, or focus the picture and press the arrow keys, to read its numbers.",
  height: () => 0,
  frame: netFrame,
  picture: netPicture,
  legend: netLegend,
  player: netPlayer,
  stops: (spec, data, { nodes, edges }) => [...nodes.map(({ id }) => id), ...edges.map(({ id }) => id)],
  number: (id) => (typeof id === "number" ? id : -1),
  describe: describeStop,
  mark(id, spec, data, { nodes, edges, wide, circles }) {
    const edge = edges.find((one) => one.id === id);
    if (edge) return lineOf({ wide }, edge.from, edge.to);
    const { x, y } = nodes[id];
    const [w, h] = circles ? [wide + 2, wide + 2] : [wide + 1.5, 10];
    return `M${round(x - w)} ${round(y - h)}h${round(2 * w)}v${round(2 * h)}h${round(-2 * w)}z`;
  },
  nearest(x, y, spec, data, { nodes, edges, wide, row }) {
    const far = (node) => Math.hypot(node.x - x, node.y - y);
    const node = nodes.reduce((best, one) => (far(one) < far(best) ? one : best));
    if (!edges.length || far(node) <= wide + 3) return node.id;
    // Distance from a line: a share t of the way along it.
    const off = ({ from, to }) => {
      const [dx, dy] = [to.x - from.x, to.y - from.y];
      const t = Math.min(Math.max(((x - from.x) * dx + (y - from.y) * dy) / (dx * dx + dy * dy), 0), 1);
      return Math.hypot(from.x + t * dx - x, from.y + t * dy - y);
    };
    const edge = edges.reduce((best, one) => (off(one) < off(best) ? one : best));
    return off(edge) < 4 ? edge.id : node.id;
  },
  // Along the layers and among the units; the page keys walk on through the lines.
  moved(at, last, { nodes, layers }) {
    const column = Math.round(nodes.length / layers);
    return {
      ArrowLeft: at - column, ArrowRight: at < 0 ? 0 : at + column, ArrowUp: at - 1, ArrowDown: at + 1,
      PageUp: at - 1, PageDown: at < nodes.length ? nodes.length : at + 1, Home: 0, End: nodes.length - 1,
    };
  },
};
