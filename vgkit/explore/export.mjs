// What an explorer gives away: its picture, its numbers, and the Python that makes them again.
// Precedes chart.mjs in the same script, and draws with it.

const SAVED = { width: 760, height: 400, line: 19, margin: 16, letters: 104 };
const SVG = "http://www.w3.org/2000/svg";

// What the style sheet says of a drawing's elements, as attributes that need no style sheet.
const STYLE = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "paint-order", "opacity", "font-size", "font-weight",
];

// ---- the picture -----------------------------------------------------------------------------

function wrapped(text, most) {
  const lines = [];
  for (const word of text.split(" ")) {
    const last = lines.length - 1;
    if (last >= 0 && lines[last].length + 1 + word.length <= most) lines[last] += ` ${word}`;
    else lines.push(word);
  }
  return lines;
}

// Writes into the elements how the style sheet has them drawn; the inner ones first, whose style
// depends on the others' classes.
function inline(svg) {
  for (const node of [...svg.querySelectorAll(":not(title, desc)")].reverse()) {
    const style = getComputedStyle(node);
    for (const name of STYLE) node.setAttribute(name, style.getPropertyValue(name));
    node.removeAttribute("class");
  }
}

// The view with its title, setting, sentence and legend, as the text of an SVG that needs no style
// sheet: light whatever the page's theme, and of one size on every screen.
function savedPicture({ title, spec, data, setting, summary, held, step }) {
  const { width, line, margin, letters } = SAVED;
  const kind = kindOf(spec);
  const frame = kind.frame(spec, data, held, width, SAVED.height);
  const rows = [];
  let y = margin;
  const add = (markup) => {
    y += line;
    rows.push(markup);
  };
  const write = (style, text) => wrapped(text, letters).forEach((part) => add(`<text class="${style}" x="${margin}" y="${y + line - 5}">${escapeText(part)}</text>`));
  write("vg-title", title);
  if (summary) write("vg-label", summary);
  write("vg-tick", setting);
  for (const { colour, sign, text, wide = 28 } of kind.legend(spec, data, held)) {
    const drawn = sign && `<g class="${colour ?? ""}" transform="translate(${margin} ${y + 1})">${sign}</g>`;
    add(`${drawn}<text class="vg-label" x="${margin + (sign ? wide + 8 : 0)}" y="${y + line - 5}">${escapeText(text)}</text>`);
  }
  const total = y + frame.height + margin / 2;
  const host = element("div", { class: "vg-chart vg-light vg-offstage", "aria-hidden": "true" });
  host.innerHTML =
    `<svg xmlns="${SVG}" viewBox="0 0 ${width} ${total}" width="${width}" height="${total}" font-family="system-ui, 'Segoe UI', Helvetica, Arial, sans-serif" role="img">` +
    `<title>${escapeText(title)}</title><desc>${escapeText([summary, setting].filter(Boolean).join(" "))}</desc><rect class="vg-ground" width="${width}" height="${total}"/>` +
    `${rows.join("")}<g transform="translate(0 ${y})">${kind.picture(spec, data, held, frame, step).join("")}</g></svg>`;
  document.body.append(host);
  try {
    const svg = host.firstChild;
    inline(svg);
    return new XMLSerializer().serializeToString(svg);
  } finally {
    host.remove();
  }
}

async function painted(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = element("canvas", { width: 2 * image.naturalWidth, height: 2 * image.naturalHeight });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}

// ---- the numbers -----------------------------------------------------------------------------

// The table with every digit there is; a point that does not exist is left empty.
function commaSeparated(spec, data) {
  const quote = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const drawn = new Set(spec.series.map(({ name }) => name));
  const head = [spec.x.label, ...columnsOf(spec).map(([name, label]) => (drawn.has(name) ? `${label}: ${spec.y.label}` : label))];
  const rows = rowsOf(spec, data).map((index) => [standsAt(index, spec, data), ...columnsOf(spec).map(([name]) => data[name]?.[index] ?? "")]);
  return [head, ...rows].map((row) => row.map((cell) => quote(String(cell))).join(",") + "\r\n").join("");
}

// ---- the Python ------------------------------------------------------------------------------

// Three lines for the page's notebook. What a control shows may stand for its value.
function pythonOf({ title, labels }) {
  const python = (label) => (/^-?\d+(\.\d+)?(e-?\d+)?$/.test(label) ? label : JSON.stringify(label));
  const values = Object.entries(labels).map(([name, label]) => `${name}=${python(label)}`);
  return [
    `# In the page's notebook, below the cell that makes the explorer ${JSON.stringify(title)}:`,
    `explorer.choose(${values.join(", ")})  # shows this setting`,
    "explorer.at()  # and these are its numbers",
  ].join("\n");
}

// ---- buttons ---------------------------------------------------------------------------------

// A file name that says the setting: letters, digits and .-+=_ of any language.
function fileName({ title, labels, spec, first }, ending) {
  const plain = (text) => text.normalize("NFKC").replace(/[^\p{L}\p{N}.+-]+/gu, "-").replace(/^-+(?!\d)|-+$/g, "");
  const parts = [title, ...(first ? [] : [spec.y.label]), ...Object.entries(labels).map(([name, label]) => `${name}=${plain(label)}`)];
  return `${parts.map((part, i) => (i <= Number(!first) ? plain(part) : part)).join("_").slice(0, 180)}.${ending}`;
}

function save(text, type, name) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not allowed, or a page that the browser does not call secure
  }
}

// The buttons of a chart and the field for code that could not be copied. `current` gives what is
// shown now, and `announce` says to the reader what was done.
function exportButtons(current, announce) {
  const code = element("textarea", { class: "vg-code", rows: "4", readonly: true, spellcheck: "false", "aria-label": "Python for this setting", hidden: true });
  const saved = (ending, make) => async () => {
    const shown = current();
    const name = fileName(shown, ending);
    const [content, type] = await make(shown);
    save(content, type, name);
    announce(`Saved as ${name}`);
  };
  const actions = {
    SVG: ["save the picture", saved("svg", (shown) => [savedPicture(shown), "image/svg+xml"])],
    PNG: ["save the picture", saved("png", async (shown) => [await painted(savedPicture(shown)), "image/png"])],
    CSV: ["save the numbers", saved("csv", ({ spec, data }) => [commaSeparated(spec, data), "text/csv"])],
    Python: ["copy three lines that make this setting", async () => {
      code.value = pythonOf(current());
      const copied = await copy(code.value);
      code.hidden = copied;
      if (!copied) code.select();
      announce(copied ? "Three lines of Python are copied." : "Copy these three lines of Python.");
    }],
  };
  if (!current().first) delete actions.Python;
  const buttons = Object.entries(actions).map(([label, [purpose, act]]) => {
    const button = element("button", { type: "button", class: "vg-button", "data-export": label.toLowerCase(), "aria-label": `${label}: ${purpose}`, title: purpose }, label);
    button.addEventListener("click", () => act().catch((problem) => announce(`That failed: ${problem.message}`)));
    return button;
  });
  const group = element("div", { class: "vg-exports", role: "group", "aria-label": "Take along" }, element("span", { "aria-hidden": "true" }, "Save:"), ...buttons);
  return [group, code];
}
