// Feedback on every answer, and a score that stays in this browser. A prediction keeps the rest of its
// section back until it is answered.

const STORE = "vgkit-selfcheck";
const ALWAYS = "always-show";
const FORGET = "vg-forget";
const OPEN = "vg-open";

// Answers by the questions' keys. A browser may refuse to keep them; then they last as long as the page.
function stored() {
  try {
    return Object.assign({}, JSON.parse(localStorage.getItem(STORE)));
  } catch {
    return {};
  }
}

function store(changed) {
  const all = { ...stored(), ...changed };
  try {
    if (Object.values(all).some(Boolean)) localStorage.setItem(STORE, JSON.stringify(all));
    else localStorage.removeItem(STORE);
  } catch { /* nothing is kept */ }
}

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

// A number as people write it: 0.05, 0,05, 5e-2, 5·10^-2, 5 × 10⁻²; NaN for anything else.
function parse(text) {
  const plain = text.replace(/\s/g, "").replace(/[⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+$/, (power) => `^${power}`).replace(/[⁻−]/g, "-")
    .replace(/[⁰¹²³⁴⁵⁶⁷⁸⁹]/g, (digit) => SUPERSCRIPTS.indexOf(digit)).replace(/^([^.,]*),([^.,]*)$/, "$1.$2")
    .replace(/^(?:([^x×*·]+)[x×*·])?10\^/, (_, factor) => `${factor ?? 1}e`);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

// A slider's answer is a power of ten.
const powerOfTen = (n) => `10${String(n).replace("-", "⁻").replace(/\d/g, (digit) => SUPERSCRIPTS[digit])}`;
const numberOf = ({ type, value }) => (type === "range" ? 10 ** Number(value) : parse(value));

// Which of its answers a form holds: right, small and large are a number's 0, 1 and 2.
function position(form) {
  const { low, high } = form.dataset;
  if (low === undefined) return Number(form.querySelector("input:checked")?.value ?? NaN);
  const value = numberOf(form.elements.answer);
  return Number.isNaN(value) ? NaN : value < Number(low) ? 1 : value > Number(high) ? 2 : 0;
}

function start(root) {
  const forms = [...root.querySelectorAll("form")];
  const score = root.querySelector(".vg-score");
  const skip = root.querySelector(".vg-skip");
  let known = stored();

  let shown = false;
  const waits = () => skip && !shown && !known[ALWAYS] && !forms.some((form) => known[form.dataset.key]);

  function wait(still) {
    root.toggleAttribute("data-waiting", still);
    if (skip) skip.hidden = !still;
  }

  function show() {
    shown = true;
    wait(false);
  }

  function tell(form, mark, words) {
    form.dataset.state = mark;
    form.querySelector("[role=status]").replaceChildren(...words);
  }

  function grade(form) {
    const item = form.querySelectorAll("li")[position(form)];
    if (!item) return undefined;
    const right = "right" in item.dataset;
    const verdict = document.createElement("strong");
    verdict.textContent = right ? "✓ Right. " : "✗ Not so. ";
    tell(form, right ? "right" : "wrong", [verdict, item.querySelector("span").cloneNode(true)]);
    return right;
  }

  function tally() {
    if (!score) return;
    const answered = forms.map((form) => known[form.dataset.key]).filter(Boolean);
    const first = answered.filter((answer) => answer.first).length;
    score.querySelector("p").textContent = `${first} of ${forms.length} right at the first try, `
      + `${answered.length} answered. Kept in this browser only.`;
  }

  function check(form) {
    const right = grade(form);
    if (right === undefined) {
      tell(form, "", [form.dataset.low ? "Type a number first, such as 0.05 or 1e-5." : "Choose an answer first."]);
      return;
    }
    const { key } = form.dataset;
    const answer = { given: form.elements.answer.value, first: known[key]?.first ?? right };
    known = { ...known, [key]: answer };
    store({ [key]: answer });
    tally();
    wait(false);
  }

  // JupyterLab takes arrows and Enter for commands of its own, but not from an element that says so.
  for (const control of root.querySelectorAll("input, button")) control.dataset.lmSuppressShortcuts = "true";
  for (const form of forms) {
    const button = form.querySelector("button");
    button.hidden = button.disabled = false;
    form.querySelector("details").hidden = true;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      check(form);
    });
    const label = () => {
      const output = form.querySelector("output");
      if (output) output.value = powerOfTen(form.elements.answer.value);
    };
    form.addEventListener("input", () => {
      tell(form, "", []);
      label();
    });
    if (known[form.dataset.key]) {
      form.elements.answer.value = known[form.dataset.key].given;
      label();
      grade(form);
    }
  }
  document.addEventListener(FORGET, () => {
    known = {};
    shown = false;
    store(Object.fromEntries([ALWAYS, ...forms.map((form) => form.dataset.key)].map((key) => [key, undefined])));
    for (const form of forms) {
      form.reset();
      form.dispatchEvent(new Event("input"));
    }
    tally();
    wait(waits());
  });
  if (score) {
    score.hidden = false;
    score.querySelector("button").addEventListener("click", () => document.dispatchEvent(new Event(FORGET)));
  }
  if (skip) {
    const [once, always] = skip.querySelectorAll("button");
    once.addEventListener("click", show);
    always.addEventListener("click", () => {
      store({ [ALWAYS]: true });
      document.dispatchEvent(new Event(OPEN));
    });
    document.addEventListener(OPEN, show);
    // Before the explorers below take their measures for paper.
    addEventListener("beforeprint", () => wait(false));
    addEventListener("afterprint", () => wait(waits()));
    // A link may lead to what is not shown yet.
    const seek = () => {
      const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!target || target.getClientRects().length) return;
      show();
      target.scrollIntoView();
    };
    addEventListener("hashchange", seek);
    document.addEventListener("DOMContentLoaded", seek);
  }
  wait(waits());
  tally();
}

for (const root of document.querySelectorAll(".vg-quiz:not([data-ready])")) {
  root.dataset.ready = "true";
  start(root);
}
