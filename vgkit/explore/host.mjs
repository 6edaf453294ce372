// The page's own host for explorers: native controls in place of ipywidgets, and in place of a
// kernel the grid of results that the build shipped. Follows chart.mjs in the same inline script.

const RESIDUAL = residuals();
const ABSENT = -(2 ** 31);
const SPECIAL = { inf: ABSENT + 1, "-inf": ABSENT + 2 };

// Residual by character code: the 85 harmless characters stand for -42 to 42, as in grid.py.
function residuals() {
  const codes = [];
  for (let code = 35; codes.length < 85; code++) {
    if (!"&<>\\~!'".includes(String.fromCharCode(code))) codes.push(code);
  }
  const table = new Int8Array(128);
  codes.forEach((code, i) => (table[code] = i - 42));
  return table;
}

// Undo grid.pack: integer numbers of steps, each predicted by its neighbours to the left and above.
function decode({ text, points, signs }, rows) {
  const steps = sizes(text, points, rows);
  for (let at = 0; at < signs.length; at++) {
    const six = RESIDUAL[signs.charCodeAt(at)] + 42;
    for (let bit = 0; bit < 6; bit++) if ((six >> bit) & 1 && steps[6 * at + bit] > 0) steps[6 * at + bit] *= -1;
  }
  return steps;
}

function sizes(text, points, rows) {
  const steps = new Int32Array(rows * points);
  const known = (value) => value > SPECIAL["-inf"];
  for (let at = 0, index = 0; at < text.length; at++, index++) {
    const code = text.charCodeAt(at);
    if (code === 126) {
      steps[index] = ABSENT;
      continue;
    }
    let residual = RESIDUAL[code];
    if (code === 33) {
      const end = text.indexOf("!", at + 1);
      const word = text.slice(at + 1, end);
      at = end;
      if (word in SPECIAL) {
        steps[index] = SPECIAL[word];
        continue;
      }
      residual = Number(word);
    }
    const first = index % points === 0;
    const left = first ? ABSENT : steps[index - 1];
    const up = index < points ? ABSENT : steps[index - points];
    const corner = first || index < points ? ABSENT : steps[index - points - 1];
    const both = known(left) && known(up) && known(corner);
    steps[index] = residual + (both ? left + up - corner : known(left) ? left : known(up) ? up : 0);
  }
  return steps;
}

function valueOf(step, { lo, step: size }) {
  if (step === ABSENT) return null;
  if (step === SPECIAL.inf) return "inf";
  if (step === SPECIAL["-inf"]) return "-inf";
  return step === 0 ? 0 : Math.sign(step) * 10 ** (lo + size * (Math.abs(step) - 1));
}

// Rows of every array at a setting; an array is decoded when it is first asked for.
function gridReader(grid, controls) {
  const decoded = {};
  const sizes = Object.fromEntries(controls.map(({ name, options }) => [name, options.length]));
  return (positions) => {
    const data = {};
    for (const [name, packed] of Object.entries(grid)) {
      const rows = packed.over.reduce((product, control) => product * sizes[control], 1);
      decoded[name] ??= decode(packed, rows);
      const row = packed.over.reduce((sum, control) => sum * sizes[control] + positions[control], 0);
      const steps = decoded[name].subarray(row * packed.points, (row + 1) * packed.points);
      data[name] = Array.from(steps, (step) => valueOf(step, packed));
    }
    return data;
  };
}

// What anywidget calls a model: named values, and listeners to their change.
function modelOf(values) {
  const listeners = {};
  return {
    get: (name) => values[name],
    on: (event, listener) => (listeners[event] ??= new Set()).add(listener),
    off: (event, listener) => listeners[event]?.delete(listener),
    set: (changed) => {
      Object.assign(values, changed);
      for (const name of Object.keys(changed)) listeners[`change:${name}`]?.forEach((listener) => listener());
    },
  };
}

// A control as a native input: its element, and a function that shows a position.
function makeControl({ name, label, kind, options }, id, choose) {
  const common = { "data-control": name, autocomplete: "off" };
  if (kind === "buttons") {
    const inputs = options.map((_, i) => element("input", { type: "radio", name: id, id: `${id}-${i}`, value: i, ...common }));
    inputs.forEach((input, i) => input.addEventListener("change", () => choose(i)));
    const labels = options.map((text, i) => element("label", { for: `${id}-${i}` }, text));
    const choices = element("div", { class: "vg-choices" }, ...inputs.flatMap((input, i) => [input, labels[i]]));
    return [element("fieldset", { class: "vg-control" }, element("legend", {}, label), choices),
      (position) => (inputs[position].checked = true)];
  }
  if (kind === "select") {
    const input = element("select", { id, ...common }, ...options.map((text, i) => element("option", { value: i }, text)));
    input.addEventListener("input", () => choose(Number(input.value)));
    return [element("div", { class: "vg-control" }, element("label", { for: id }, label), input),
      (position) => (input.value = position)];
  }
  const input = element("input", { type: "range", id, min: 0, max: options.length - 1, step: 1, ...common });
  const output = element("output", { for: id });
  input.addEventListener("input", () => choose(Number(input.value)));
  const show = (position) => {
    input.value = position;
    input.setAttribute("aria-valuetext", options[position]);
    output.textContent = options[position];
  };
  return [element("div", { class: "vg-control vg-wide" }, element("label", { for: id }, label), input, output), show];
}

function start(root, number) {
  const { title, views, controls, presets, grid, note } = JSON.parse(root.querySelector(".vg-data").textContent);
  const positions = Object.fromEntries(controls.map(({ name, position }) => [name, position]));
  const read = gridReader(grid, controls);
  const model = modelOf({ title, views });
  const show = {};
  const update = (changed) => {
    Object.assign(positions, changed);
    for (const name of Object.keys(changed)) show[name](positions[name]);
    const labels = controls.map(({ name, options }) => [name, options[positions[name]]]);
    model.set({
      labels: Object.fromEntries(labels),
      setting: controls.map(({ label }, i) => `${label} ${labels[i][1]}`).join(", "),
      data: read(positions),
    });
  };
  const panel = element("div", { class: "vg-controls" });
  for (const control of controls) {
    const id = `vg-${number}-${control.name}`;
    const [node, display] = makeControl(control, id, (position) => update({ [control.name]: position }));
    show[control.name] = display;
    panel.append(node);
  }
  const parts = [element("p", { class: "vg-title", id: `vg-${number}` }, title)];
  const buttons = Object.entries(presets).map(([label, changed]) => {
    const button = element("button", { type: "button", class: "vg-button" }, label);
    button.addEventListener("click", () => update(changed));
    return button;
  });
  if (buttons.length) {
    parts.push(element("div", { class: "vg-presets", role: "group", "aria-label": "Try" },
      element("span", { "aria-hidden": "true" }, "Try:"), ...buttons));
  }
  const box = element("div", { class: "vg-host", role: "group", "aria-labelledby": `vg-${number}` }, ...parts, panel);
  update(positions);
  root.append(box);
  render({ model, el: box });
  box.querySelector(".vg-more-body").append(element("p", { class: "vg-state" }, note));
  root.querySelector(".vg-fallback").hidden = true;
}

// Numbered over the page: each may have come with a script of its own.
document.querySelectorAll(".vg-explorer").forEach((root, number) => {
  if (root.dataset.ready || !root.querySelector(".vg-data")) return;
  root.dataset.ready = "true";
  try {
    start(root, number);
  } catch (problem) {
    console.error("The explorer could not start:", problem);
    root.dataset.ready = "false";
    root.append(element("p", { class: "vg-state" }, "The controls could not start in this browser; the picture shows one setting."));
  }
});
performance.mark("vg-ready");
