// Feedback on every answer, and a score that stays in this browser.

const STORE = "vgkit-selfcheck";

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

// A number as people write it: 0.05, 0,05, 5e-2, 5·10^-2; NaN for anything else.
function parse(text) {
  const plain = text.replace(/\s/g, "").replace(/−/g, "-").replace(/^([^.,]*),([^.,]*)$/, "$1.$2")
    .replace(/^(?:([^x×*·]+)[x×*·])?10\^/, (_, factor) => `${factor ?? 1}e`);
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

// Which of its answers a form holds: right, small and large are a number's 0, 1 and 2.
function position(form) {
  const { low, high } = form.dataset;
  if (low === undefined) return Number(form.querySelector("input:checked")?.value ?? NaN);
  const value = parse(form.elements.answer.value);
  return Number.isNaN(value) ? NaN : value < Number(low) ? 1 : value > Number(high) ? 2 : 0;
}

function start(root) {
  const forms = [...root.querySelectorAll("form")];
  const score = root.querySelector(".vg-score");
  let known = stored();

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
    form.addEventListener("input", () => tell(form, "", []));
    if (known[form.dataset.key]) {
      form.elements.answer.value = known[form.dataset.key].given;
      grade(form);
    }
  }
  score.hidden = false;
  score.querySelector("button").addEventListener("click", () => {
    known = {};
    store(Object.fromEntries(forms.map((form) => [form.dataset.key, undefined])));
    for (const form of forms) {
      form.reset();
      tell(form, "", []);
    }
    tally();
  });
  tally();
}

for (const root of document.querySelectorAll(".vg-quiz:not([data-ready])")) {
  root.dataset.ready = "true";
  start(root);
}
