// The charts of an explorer: an anywidget front-end module, and the same on a page without a kernel.
// It reads charts, data, labels and setting from its model and never computes a gradient. In place
// of data the model may have a problem, an error message. Follows export.mjs in the same script.

const MARGIN = { left: 62, right: 16, top: 12, bottom: 46 };
const ZERO_ROW = 26;
const MOST_HELD = 3;
const KEYS = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown", " ", "Enter", "Escape"];
const LOST = ["restarting", "autorestarting", "terminating", "dead"];
const MARKERS = ["circle", "square", "triangle", "diamond"];

// ---- words: the same as in results.py --------------------------------------------------------

// JSON has no infinities: they come as words.
const toNumber = (value) => ({ inf: Infinity, "-inf": -Infinity })[value] ?? Number(value ?? NaN);

function formatNumber(given, digits = 3) {
  if (given === null || given === undefined) return "–";
  const value = toNumber(given);
  if (Number.isNaN(value)) return "not a number";
  const [size, sign] = [Math.abs(value), value < 0 ? "−" : ""];
  if (!Number.isFinite(value)) return `${sign}infinite`;
  if (Number.isInteger(value) && size < 1e4) return sign + size;
  if (size >= 1e-3 && size < 1e4) {
    const text = size.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
    return sign + (text.includes(".") ? text.replace(/\.?0+$/, "") : text);
  }
  const [mantissa, exponent] = size.toExponential(1).split("e");
  return `${sign}${mantissa === "1.0" ? "" : `${mantissa.replace(".0", "")}\u00a0×\u00a0`}${powerOfTen(Number(exponent))}`;
}

// The sentence that holds; its position may have come rounded.
function sentence(sentences, labels, data) {
  const text = sentences[sentences.length > 1 ? Math.round(data.sentence?.[0]) : 0] ?? "";
  return text.replace(/\{(\w+)\}/g, (_, name) => labels[name] ?? formatNumber(data[name]?.[0]));
}

// ---- elements --------------------------------------------------------------------------------

const escapeText = (text) =>
  String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children);
  return node;
}

// ---- scales ----------------------------------------------------------------------------------

const SUPERSCRIPT = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const powerOfTen = (n) => (n === 0 ? "1" : n === 1 ? "10" : `10${[...String(n)].map((c) => SUPERSCRIPT[c]).join("")}`);

function niceStep(span, most, steps) {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return steps.map((step) => step * power).find((step) => step >= rough) ?? 10 * power;
}

function linearScale([low, high], [from, to], most) {
  const step = niceStep(high - low, most, [1, 2, 5]);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) ticks.push(Number((k * step).toPrecision(12)));
  return {
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    inside: (value) => value >= low && value <= high,
    ticks: ticks.map((value) => [value, Math.abs(value) < 1e-3 ? formatNumber(value) : String(value).replace("-", "−")]),
  };
}

function logScale([low, high], [from, to], most) {
  const scale = linearScale([low, high], [from, to], most);
  const step = Math.max(1, niceStep(high - low, most, [1, 2, 5]));
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) ticks.push([10 ** (k * step), powerOfTen(k * step)]);
  return {
    at: (value) => scale.at(Math.log10(value)),
    inside: (value) => scale.inside(Math.log10(value)),
    ticks,
  };
}

// Whole decades around the values; wide ranges end at multiples of five, so that a moving slider
// does not make the axis tremble.
function decades(sizes, lines) {
  if (!sizes.length) return [-1, 1];
  const logs = sizes.map(Math.log10);
  let [low, high] = [Math.min(...logs), Math.max(...logs)];
  for (const { value } of lines) {
    const line = Math.log10(value);
    if (line < low && line > low - 2) low = line;
  }
  const unit = high - low > 10 ? 5 : 1;
  low = Math.floor(low / unit - 1e-9) * unit;
  high = Math.ceil(high / unit + 1e-9) * unit;
  return high - low < 2 ? [low - 1, high] : [low, high];
}

function padded(values) {
  if (!values.length) return [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const pad = 0.05 * (high - low) || 0.5;
  return [low - pad, high + pad];
}

// ---- from model to points --------------------------------------------------------------------

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// Where a point stands on the x axis: its number, or its value in the array that the axis names.
const standsAt = (index, spec, data) => (spec.x.values ? data[spec.x.values]?.[index] : spec.x.start + index);

// The points of one series: position, value, and the number of the point for the reader.
function pointsOf(series, spec, data) {
  const values = data[series.name] ?? [];
  return values
    .map((y, index) => ({ x: series.x ? data[series.x]?.[index] : standsAt(index, spec, data), y, index }))
    .filter(({ x, y }) => x !== null && x !== undefined && y !== null && y !== undefined && y !== "nan");
}

const isCurve = (series) => Boolean(series.x) && series.kind !== "path";

// Reference curves show where the points lie; only the points themselves are read and tabulated.
const readable = (spec) => spec.series.filter((series) => !isCurve(series) && series.kind !== "band");

function rowsOf(spec, data) {
  const shown = spec.view === "network" ? spec.columns.map(([name]) => ({ name })) : readable(spec);
  const indices = shown.flatMap((series) => pointsOf(series, spec, data).map(({ index }) => index));
  return [...new Set(indices)].sort((a, b) => a - b);
}

function columnsOf(spec) {
  return [...spec.columns, ...readable(spec).map(({ name, label }) => [name, label])];
}

// ---- drawing ---------------------------------------------------------------------------------

const round = (value) => Math.round(value * 100) / 100;

function marker(shape, x, y, size, extra = "") {
  const [cx, cy, r] = [round(x), round(y), size];
  if (shape === "square") return `<rect x="${cx - r}" y="${cy - r}" width="${2 * r}" height="${2 * r}" ${extra}/>`;
  if (shape === "triangle") return `<path d="M${cx} ${cy - 1.25 * r}l${1.2 * r} ${2.1 * r}h${-2.4 * r}z" ${extra}/>`;
  if (shape === "diamond") return `<path d="M${cx} ${cy - 1.3 * r}l${1.3 * r} ${1.3 * r}l${-1.3 * r} ${1.3 * r}l${-1.3 * r} ${-1.3 * r}z" ${extra}/>`;
  return `<circle cx="${cx}" cy="${cy}" r="${r}" ${extra}/>`;
}

const shapeOf = (series, number) => (series.marker ? MARKERS[number % MARKERS.length] : null);
const colourOf = (series, number) => `vg-c${((series.colour ?? number) % 4) + 1}`;

// Everything that depends on the size of the picture: the scales and where a point goes.
function frameOf(spec, data, held, width, height) {
  const log = spec.y.scale === "log";
  const all = [data, ...held.map((one) => one.data)];
  const points = (series) => all.flatMap((one) => pointsOf(series, spec, one));
  const curves = spec.series.filter(isCurve);
  const scaled = log || !curves.length ? spec.series : curves;
  const edges = scaled.flatMap((series) => (series.upper ? [series, { ...series, name: series.upper }] : [series]));
  const values = edges.flatMap((series) => points(series).map(({ y }) => y).filter(isNumber));
  const across = spec.series.flatMap((series) => points(series).map(({ x }) => x).filter(isNumber));
  const bases = spec.series.filter(({ kind }) => kind === "bars").map(({ base }) => base);
  const zeros = log && values.includes(0);
  const bottom = height - MARGIN.bottom - (zeros ? ZERO_ROW : 0);
  const sizes = [...values, ...bases].map(Math.abs).filter((value) => value > 0);
  const { lines } = spec;
  const yDomain = spec.y.domain ?? (log ? decades(sizes, lines) : padded([...values, ...bases]));
  const most = Math.max(3, Math.floor((bottom - MARGIN.top) / 42));
  const y = (log ? logScale : linearScale)(yDomain, [bottom, MARGIN.top], most);
  const bars = bases.length > 0;
  const [first, last] = [Math.min(...across), Math.max(...across)];
  const edge = bars ? 0.6 : Math.max(0.4, 0.03 * (last - first));
  const xDomain = spec.x.domain ?? (across.length ? [first - edge, last + edge] : [0, 1]);
  const x = linearScale(xDomain, [MARGIN.left, width - MARGIN.right], Math.max(4, Math.floor(width / 80)));
  if (!spec.x.domain) x.ticks = x.ticks.filter(([value]) => Number.isInteger(value) && value >= first && value <= last);
  const place = (point) => {
    const size = log ? Math.abs(point.y) : point.y;
    if (log && size === 0) return { x: x.at(point.x), y: height - MARGIN.bottom - ZERO_ROW / 2, zero: true };
    const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
    const at = isNumber(size) ? y.at(size) : MARGIN.top - 1;
    const left = isNumber(point.x) ? x.at(point.x) : point.x === "-inf" ? MARGIN.left - 1 : width - MARGIN.right + 1;
    const [cx, cy] = [clamp(left, MARGIN.left, width - MARGIN.right), clamp(at, MARGIN.top, bottom)];
    return { x: cx, y: cy, outside: Math.abs(cx - left) > 0.5 || Math.abs(cy - at) > 0.5, negative: log && point.y < 0 };
  };
  return { x, y, width, height, bottom, zeros, place, lines };
}

function drawAxes(spec, { x, y, width, height, bottom, zeros, lines }) {
  const [left, right] = [MARGIN.left, width - MARGIN.right];
  const parts = [];
  for (const [value, label] of y.ticks) {
    const at = round(y.at(value));
    parts.push(`<path class="vg-gridline" d="M${left} ${at}H${right}"/><text class="vg-tick" x="${left - 8}" y="${at}" dy="0.32em" text-anchor="end">${label}</text>`);
  }
  const axis = height - MARGIN.bottom;
  for (const [value, label] of x.ticks) {
    const at = round(x.at(value));
    parts.push(`<path class="vg-axis" d="M${at} ${axis}v5"/><text class="vg-tick" x="${at}" y="${axis + 18}" text-anchor="middle">${label}</text>`);
  }
  if (zeros) {
    const at = axis - ZERO_ROW / 2;
    parts.push(`<path class="vg-axis" d="M${left} ${bottom}H${right}" stroke-dasharray="1 3"/><text class="vg-tick" x="${left - 8}" y="${at}" dy="0.32em" text-anchor="end">exactly 0</text>`);
  }
  for (const { value } of lines) {
    if (!y.inside(value)) continue;
    const at = round(y.at(value));
    parts.push(`<path class="vg-reference" d="M${left} ${at}H${right}"/>`);
  }
  parts.push(`<path class="vg-axis" d="M${left} ${MARGIN.top}V${axis}H${right}"/>`);
  parts.push(`<text class="vg-label" x="${(left + right) / 2}" y="${height - 6}" text-anchor="middle">${escapeText(spec.x.label)}</text>`);
  parts.push(`<text class="vg-label" transform="translate(13 ${(MARGIN.top + bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeText(spec.y.label)}</text>`);
  return parts.join("");
}

// Names of the reference lines, drawn last so that no curve hides them.
function drawNotes({ y, width, lines }) {
  const note = ({ value, label }) =>
    `<text class="vg-note" x="${width - MARGIN.right}" y="${round(y.at(value) - 5)}" text-anchor="end">${escapeText(label)}</text>`;
  return lines.filter(({ value }) => y.inside(value)).map(note).join("");
}

// A point off the picture becomes an arrow at its edge, so that nothing is left out in silence.
function drawPoint(shape, place, size, hollow) {
  if (place.outside) return `<path class="vg-off" d="M${round(place.x)} ${round(place.y)}m-5 3l5 -6l5 6z"/>`;
  return marker(shape, place.x, place.y, size, hollow || place.negative || place.zero ? 'class="vg-hollow"' : "");
}

function drawBars(series, number, points, frame) {
  const base = frame.y.at(series.base);
  const half = Math.min(16, 0.32 * Math.abs(frame.x.at(1) - frame.x.at(0)));
  return points
    .map((point) => {
      const place = frame.place(point);
      const to = place.zero ? frame.bottom : place.y;
      const style = place.negative ? "vg-bar vg-negative" : "vg-bar";
      const bar = `<rect class="${style}" x="${round(place.x - half)}" width="${round(2 * half)}" y="${round(Math.min(base, to))}" height="${round(Math.max(1, Math.abs(to - base)))}"/>`;
      return place.zero ? bar + marker("square", place.x, place.y, 4, 'class="vg-hollow"') : bar;
    })
    .join("");
}

function drawLine(series, number, points, frame) {
  const places = points.map(frame.place);
  const shape = shapeOf(series, number);
  const runs = places.map(({ x, y, zero }, i) => `${i === 0 || zero || places[i - 1].zero ? "M" : "L"}${round(x)} ${round(y)}`);
  const line = `<path class="vg-line${series.dash ? " vg-dash" : ""}" d="${runs.join("")}"/>`;
  const size = places.length > 40 ? 2.6 : 3.6;
  return line + (shape ? places.map((place) => drawPoint(shape, place, size)).join("") : "");
}

function drawPath(series, number, points, frame) {
  const places = points.map(frame.place);
  const line = `<path class="vg-line vg-thin" d="${places.map(({ x, y }, i) => `${i ? "L" : "M"}${round(x)} ${round(y)}`).join("")}"/>`;
  const last = places.length - 1;
  const dots = places.map((place, i) => drawPoint(i === 0 ? "diamond" : "circle", place, i === 0 || i === last ? 6 : 3.2, i === 0));
  const note = (i, text) => {
    const anchor = places[i].x > frame.width - 90 ? "end" : "start";
    return `<text class="vg-note" x="${round(places[i].x + (anchor === "end" ? -9 : 9))}" y="${round(places[i].y - 9)}" text-anchor="${anchor}">${text}</text>`;
  };
  const near = last > 0 && Math.hypot(places[0].x - places[last].x, places[0].y - places[last].y) < 30;
  return line + dots.join("") + (last < 0 ? "" : note(0, near ? "start and end" : "start") + (near || !last ? "" : note(last, "end")));
}

// The area between two arrays: an edge is left out where either has no point.
function drawBand(series, number, points, frame, spec, data) {
  const upper = new Map(pointsOf({ ...series, name: series.upper }, spec, data).map((point) => [point.index, point]));
  const both = points.filter(({ index }) => upper.has(index));
  const edge = (some) => some.map(frame.place).map(({ x, y }) => `${round(x)} ${round(y)}`);
  const around = [...edge(both), ...edge(both.map(({ index }) => upper.get(index))).reverse()];
  return around.length ? `<path class="vg-band" d="M${around.join("L")}z"/>` : "";
}

const DRAW = { band: drawBand, bars: drawBars, path: drawPath, line: drawLine };

function drawSeries(spec, data, frame, heldNumber = null) {
  return spec.series
    .map((series, number) => {
      if (heldNumber !== null && (!series.hold || series.kind === "band")) return "";
      const points = pointsOf(series, spec, data);
      if (!points.length) return "";
      const drawn = (heldNumber === null ? DRAW[series.kind] : drawLine)(series, number, points, frame, spec, data);
      const end = frame.place(points[points.length - 1]);
      const tag = heldNumber === null ? "" : `<text class="vg-note" x="${round(end.x + 6)}" y="${round(end.y + 4)}">${heldNumber + 1}</text>`;
      return `<g class="${colourOf(series, number)}${heldNumber === null ? "" : " vg-held"}">${drawn}${tag}</g>`;
    })
    .join("");
}

// What a legend lists: the sign of each series with its colour, and a text for each.
function legendOf(spec, data, held) {
  const sign = (series, number) => {
    if (series.kind === "bars" || series.kind === "band") return `<rect class="vg-${series.kind === "bars" ? "bar" : "band"}" x="6" y="3" width="16" height="12"/>`;
    const shape = shapeOf(series, number);
    return `<path class="vg-line${series.dash ? " vg-dash" : ""}" d="M1 9H27"/>${shape ? marker(shape, 14, 9, 3.6) : ""}`;
  };
  const items = spec.series.map((series, number) => ({ colour: colourOf(series, number), sign: sign(series, number), text: series.label }));
  const negative = spec.y.scale === "log" && readable(spec).some(({ name }) => (data[name] ?? []).some((value) => value < 0));
  if (negative) items.push({ sign: "", text: "hollow: negative, drawn by its size" });
  held.forEach(({ setting }, i) => items.push({ sign: "", number: i + 1, text: `${i + 1} held: ${setting}` }));
  return items;
}

function legend(items) {
  const swatch = ({ colour, sign, wide = 28 }) => sign && `<svg class="${colour ?? ""}" width="${wide}" height="18" aria-hidden="true">${sign}</svg>`;
  const words = ({ number, text }) => (number ? `<b>${number}</b>${escapeText(text.slice(1))}` : escapeText(text));
  return items.map((item) => `<li${item.number ? ' class="vg-held-name"' : ""}>${swatch(item)}${words(item)}</li>`).join("");
}

// The parts of the chart's picture.
function pictureOf(spec, data, held, frame) {
  const before = held.map((one, i) => drawSeries(spec, one.data, frame, i)).join("");
  return [drawAxes(spec, frame), before, drawSeries(spec, data, frame), drawNotes(frame)];
}

function table(spec, data, setting) {
  const columns = columnsOf(spec);
  const head = [spec.x.name, ...columns.map(([, label]) => label)].map((text) => `<th scope="col">${escapeText(text)}</th>`);
  const rows = rowsOf(spec, data).map((index) => {
    const cells = columns.map(([name]) => {
      const value = data[name]?.[index];
      return `<td data-value="${value ?? ""}">${formatNumber(value)}</td>`;
    });
    return `<tr><th scope="row">${formatNumber(standsAt(index, spec, data))}</th>${cells.join("")}</tr>`;
  });
  return `<table><caption>${escapeText(setting)}</caption><thead><tr>${head.join("")}</tr></thead><tbody>${rows.join("")}</tbody></table>`;
}

// ---- one view --------------------------------------------------------------------------------

// What a view of each kind has of its own. A stop is a place where the reader's cursor can stand.
const CHART_VIEW = {
  aim: ({ x }) => `Read the chart by ${x.name}`,
  hint: "Point at the chart, or focus it and press the arrow keys, to read values.",
  height: (width) => (width < 480 ? 290 : 350),
  frame: frameOf,
  picture: pictureOf,
  legend: legendOf,
  stops: rowsOf,
  number: (index, spec, data) => standsAt(index, spec, data) ?? 0,
  describe(index, spec, data) {
    const parts = columnsOf(spec).map(([name, label]) => `${label} ${formatNumber(data[name]?.[index])}`);
    return `${spec.x.name} ${formatNumber(standsAt(index, spec, data))}: ${parts.join(", ")}`;
  },
  // The first series that has this point says where it is.
  place(index, spec, data, frame) {
    for (const series of readable(spec)) {
      const point = pointsOf(series, spec, data).find((one) => one.index === index);
      if (point) return frame.place(point).x;
    }
    return Infinity;
  },
  mark(index, spec, data, frame) {
    const x = this.place(index, spec, data, frame);
    return Number.isFinite(x) ? `M${round(x)} ${MARGIN.top}V${frame.height - MARGIN.bottom}` : "";
  },
  nearest(x, y, spec, data, frame) {
    const distance = (index) => Math.abs(this.place(index, spec, data, frame) - x);
    return rowsOf(spec, data).reduce((best, index) => (distance(index) < distance(best) ? index : best));
  },
  moved: (at, last) => ({
    ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1,
    PageDown: at - 5, PageUp: at + 5, Home: 0, End: last,
  }),
};

const kindOf = (spec) => (spec.view === "network" ? NETWORK_VIEW : CHART_VIEW);

// Draws a view of the model's as a part of `parent`, with its tools in the menu `more`; returns what
// ends it. The first is the explorer's own: it has the sentence, and the Python.
function startView(model, spec, first, parent, more) {
  const kind = kindOf(spec);
  const summary = element("p", { class: "vg-summary" });
  const spoken = element("p", { class: "vg-spoken", role: "status", "aria-live": "polite" });
  const names = element("ul", { class: "vg-legend" });
  const picture = element("div", { class: "vg-picture" });
  const reader = element("div", { class: "vg-reader", role: "slider", tabindex: "0", "aria-label": kind.aim(spec) }, picture);
  const readout = element("p", { class: "vg-readout", "aria-hidden": "true" });
  const hold = element("button", { type: "button", class: "vg-button vg-hold" }, "Hold this curve");
  const clear = element("button", { type: "button", class: "vg-button vg-clear", hidden: true }, "Clear held");
  const values = element("div", { class: "vg-values", tabindex: "0", role: "region", "aria-label": "Data table" });
  let held = [];
  let width = 0;
  let frame = null;
  let listed = "";
  let drawn = [];
  let cursor = null;
  let announcement = 0;

  const player = kind.player?.(spec, () => model.get("data"), paint);
  const current = () => {
    const [title, labels, setting, data] = ["title", "labels", "setting", "data"].map((name) => model.get(name));
    return { title, labels, setting, data, spec, first, held, step: player?.step(), summary: frame && summary.textContent };
  };
  const announce = (text) => {
    clearTimeout(announcement);
    spoken.textContent = readout.textContent = text;
  };
  const [exports, code] = exportButtons(current, announce);
  const root = element("div", { class: "vg-chart" }, summary, spoken, names, reader, ...(player ? [player.panel] : []), readout);
  parent.append(root);
  more.body.append(element("div", { class: "vg-tools", role: "group", "aria-label": spec.y.label }, element("p", {}, spec.y.label),
    element("div", { class: "vg-actions" }, ...(player ? [] : [hold, clear]), exports), code, values));

  function showCursor() {
    const data = model.get("data");
    const stops = frame ? kind.stops(spec, data, frame) : [];
    const last = stops.length - 1;
    if (cursor !== null && !stops.includes(cursor)) cursor = stops[last] ?? null;
    const now = cursor ?? stops[0] ?? 0;
    reader.setAttribute("aria-valuemin", kind.number(stops[0] ?? 0, spec, data));
    reader.setAttribute("aria-valuemax", kind.number(stops[last] ?? 0, spec, data));
    reader.setAttribute("aria-valuenow", kind.number(now, spec, data));
    reader.setAttribute("aria-valuetext", stops.length ? kind.describe(now, spec, data, frame) : "no data");
    readout.textContent = cursor === null ? kind.hint : kind.describe(cursor, spec, data, frame);
    picture.querySelector(".vg-cursor")?.setAttribute("d", cursor === null ? "" : kind.mark(cursor, spec, data, frame));
  }

  // To ask for a width in the midst of changes has the page laid out again: so only when it may be new.
  function measure() {
    const now = Math.max(260, root.clientWidth);
    if (Math.abs(now - width) <= 1) return false;
    width = now;
    return true;
  }

  // A picture that keeps its size leaves the page around it as it lies, and a part that is as it was
  // is left alone.
  function paint() {
    const parts = kind.picture(spec, model.get("data"), held, frame, player?.step());
    const svg = picture.firstChild;
    const kept = svg?.getAttribute("width") === `${width}` && svg.getAttribute("height") === `${frame.height}` && parts.length === drawn.length;
    if (kept) parts.forEach((part, i) => part !== drawn[i] && (svg.children[i].innerHTML = part));
    else picture.innerHTML = `<svg viewBox="0 0 ${width} ${frame.height}" width="${width}" height="${frame.height}" aria-hidden="true">${parts.map((part) => `<g>${part}</g>`).join("")}<path class="vg-cursor"/></svg>`;
    drawn = parts;
    showCursor();
  }

  function tabulate() {
    if (more.open) values.innerHTML = table(spec, model.get("data"), model.get("setting"));
  }

  function draw() {
    const [data, setting] = [model.get("data"), model.get("setting")];
    if (!rowsOf(spec, data).length) {
      frame = null;
      picture.innerHTML = "";
      summary.textContent = model.get("problem") || "Nothing to draw: every number that the computation returned for this setting is NaN, not a number.";
      showCursor();
    } else {
      frame = kind.frame(spec, data, held, width, kind.height(width, spec));
      summary.textContent = first ? sentence(spec.summary, model.get("labels"), data) : "";
      if (player) player.show();
      else paint();
    }
    if (player) player.panel.hidden = !frame;
    const signs = legend(kind.legend(spec, data, held));
    if (signs !== listed) names.innerHTML = listed = signs;
    hold.disabled = held.some((one) => one.setting === setting);
    tabulate();
    root.dataset.setting = setting;
    // Spoken once the control rests, not at every step of a drag.
    clearTimeout(announcement);
    announcement = setTimeout(() => {
      if (spoken.textContent !== summary.textContent) spoken.textContent = summary.textContent;
    }, 400);
  }

  function moveCursor(event) {
    const stops = frame ? kind.stops(spec, model.get("data"), frame) : [];
    if (!stops.length) return;
    const last = stops.length - 1;
    const at = cursor === null ? -1 : stops.indexOf(cursor);
    const target = kind.moved(at, last, frame)[event.key];
    if (event.key === "Escape") cursor = null;
    else if (target === undefined) return;
    else cursor = stops[Math.min(Math.max(target, 0), last)];
    event.preventDefault();
    showCursor();
  }

  function pointAt(event) {
    if (!frame) return;
    const box = picture.getBoundingClientRect();
    const scale = frame.width / box.width;
    cursor = kind.nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, spec, model.get("data"), frame);
    showCursor();
  }

  const renewed = () => {
    player?.end();
    draw();
  };
  hold.addEventListener("click", () => {
    const [data, setting] = [model.get("data"), model.get("setting")];
    held = [...held, { data, setting }].slice(-MOST_HELD);
    clear.hidden = false;
    clear.focus(); // a disabled button can't keep the focus
    draw();
  });
  clear.addEventListener("click", () => {
    held = [];
    draw();
    hold.focus();
    clear.hidden = true;
  });
  reader.addEventListener("keydown", moveCursor);
  picture.addEventListener("pointermove", pointAt);
  picture.addEventListener("pointerdown", pointAt);
  // A finger leaves at once; what it read stays.
  picture.addEventListener("pointerleave", ({ pointerType }) => {
    if (document.activeElement !== reader && pointerType !== "touch") cursor = null;
    showCursor();
  });
  more.addEventListener("toggle", tabulate);
  const print = () => {
    measure();
    renewed();
  };
  addEventListener("beforeprint", print);
  const resized = new ResizeObserver(() => measure() && draw());
  resized.observe(root);
  model.on("change:data", renewed);
  model.on("change:problem", draw);
  measure();
  draw();
  player?.watch(picture);
  return () => {
    clearTimeout(announcement);
    player?.end();
    resized.disconnect();
    removeEventListener("beforeprint", print);
    model.off("change:data", renewed);
    model.off("change:problem", draw);
  };
}

// ---- all views of an explorer ----------------------------------------------------------------

// The one menu: what to hold, save and look up. On paper its tables stand open.
function startMenu() {
  const more = element("details", { class: "vg-more" }, element("summary", { class: "vg-button" }, "More"));
  more.body = element("div", { class: "vg-more-body" });
  more.append(more.body);
  let unfolded = false;
  const print = () => {
    unfolded ||= !more.open;
    more.open = true;
  };
  const printed = () => {
    more.open &&= !unfolded;
    unfolded = false;
  };
  more.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !more.open) return;
    more.open = false;
    more.firstChild.focus();
    event.stopPropagation();
  });
  addEventListener("beforeprint", print);
  addEventListener("afterprint", printed);
  const end = () => {
    removeEventListener("beforeprint", print);
    removeEventListener("afterprint", printed);
  };
  return [more, end];
}

function render({ model, el }) {
  const lost = element("p", { class: "vg-lost", role: "alert" });
  const parent = element("div", { class: "vg-charts" });
  const [more, endMenu] = startMenu();
  el.append(lost, parent, more);
  const ends = [endMenu, ...model.get("views").map((spec, i) => startView(model, spec, i === 0, parent, more))];
  // The keys of the live controls would also move between cells, or change them; Notebook 7 even
  // takes them before the control gets them. Both leave out an element that says so.
  const reserve = ({ target, key, shiftKey, ctrlKey, metaKey }) => {
    if (!el.closest(".vg-live")?.contains(target)) return;
    const used = KEYS.includes(key) || (target.matches("select") && key.length === 1);
    target.toggleAttribute("data-lm-suppress-shortcuts", used && !(shiftKey || ctrlKey || metaKey));
  };
  addEventListener("keydown", reserve, true);
  // A kernel that was restarted or has died never answers again; nothing else would show it.
  const lose = () => (lost.textContent = "The kernel was restarted or has died: the controls compute nothing now. Run the notebook's cells again.");
  const watch = (_, status) => LOST.includes(status) && lose();
  const kernel = model.widget_manager?.kernel?.statusChanged;
  kernel?.connect(watch);
  model.on("comm_live_update", lose);
  return () => {
    ends.forEach((end) => end());
    removeEventListener("keydown", reserve, true);
    kernel?.disconnect(watch);
    model.off("comm_live_update", lose);
  };
}

export default { render };
