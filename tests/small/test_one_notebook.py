"""A chapter as a notebook in JupyterLab."""

import re


def test_a_chapter_runs_and_its_slider_is_live(run):
    page = run("chapters/chain-rule.ipynb")
    chart = page.locator(".vg-chart").first
    chart.wait_for(state="attached", timeout=120_000)
    idle = (
        "() => document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator')"
        "?.dataset.status === 'idle'"
    )
    page.wait_for_function(idle, timeout=180_000)
    assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0
    seen = page.locator(".jp-Notebook").inner_text()
    assert "Solution to Exercise" in seen and "cells hidden" in seen
    assert not re.search(r"\bassert|said|[`:]{3}\{|\}`", seen)
    assert page.get_by_text("Explanation").count() > 0  # of a solution
    assert not any(e.is_visible() for e in page.get_by_text("Explanation").all())
    chart.scroll_into_view_if_needed()
    summary = chart.locator(".vg-summary")
    before = summary.inner_text()
    assert "multiply to 1.5\xa0×\xa010⁻⁵" in before  # a quarter, eight times over
    slider = page.locator(".widget-slider .noUi-handle").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([element, before]) => element.textContent !== before",
        arg=[summary.element_handle(), before],
    )
    menu = page.locator(".vg-live .vg-more").first
    menu.locator("summary").click()
    rows = menu.locator("table").first.locator("tbody tr")
    rows.last.wait_for()
    assert rows.count() == 9
    assert "multiply to 3.8\xa0×\xa010⁻⁶" in summary.inner_text()
    link = page.locator("a[href*='glossary']").first
    heading = link.get_attribute("href").split("#")[1]
    link.click()
    page.locator(f"h3:is([data-jupyter-id='{heading}'], [id='{heading}' i])").wait_for()
