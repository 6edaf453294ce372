for (const root of document.querySelectorAll(".vg-claims:not([data-ready])")) {
  root.dataset.ready = "true";
  const form = root.querySelector("form");
  const body = root.querySelector("tbody");
  const rows = [...body.rows];
  const verdicts = [...form.elements.verdict.options].map((option) => option.text);
  const orders = {
    chapter: () => 0,
    number: (a, b) => a.id.localeCompare(b.id, "en", { numeric: true }),
    verdict: (a, b) => verdicts.indexOf(a.dataset.verdict) - verdicts.indexOf(b.dataset.verdict),
  };

  function show() {
    const { chapter, verdict, sort } = Object.fromEntries(new FormData(form));
    const wanted = (value, choice) => choice === "all" || value === choice;
    for (const row of rows) {
      row.hidden = !wanted(row.dataset.chapter, chapter) || !wanted(row.dataset.verdict, verdict);
    }
    body.append(...[...rows].sort(orders[sort]));
    const shown = rows.filter((row) => !row.hidden).length;
    root.querySelector("[role=status]").textContent = `${shown} of ${rows.length} claims`;
  }

  form.hidden = false;
  form.addEventListener("change", show);
  form.addEventListener("reset", () => setTimeout(show));
  form.addEventListener("submit", (event) => event.preventDefault());
}
