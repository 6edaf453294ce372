"""A chapter as a notebook in JupyterLab."""


def test_a_chapter_runs_and_its_slider_is_live(run):
    page = run("chapters/chain-rule.md")
    chart = page.locator(".vg-chart").first
    chart.wait_for(state="attached", timeout=120_000)
    idle = (
        "() => document.querySelector('.jp-NotebookPanel .jp-Notebook-ExecutionIndicator')"
        "?.dataset.status === 'idle'"
    )
    page.wait_for_function(idle, timeout=180_000)
    assert page.locator(".jp-OutputArea-output[data-mime-type*=error]").count() == 0
    assert "{term}" not in page.locator(".jp-Notebook").inner_text()  # they read as links
    chart.scroll_into_view_if_needed()
    summary = chart.locator(".vg-summary")
    before = summary.inner_text()
    assert "multiply to 0.0027" in before
    slider = page.locator(".widget-slider .noUi-handle").first
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(
        "([element, before]) => element.textContent !== before",
        arg=[summary.element_handle(), before],
    )
    menu = page.locator(".vg-live .vg-more").first
    menu.locator("summary").click()
    menu.locator("tbody tr").last.wait_for()
    assert menu.locator("tbody tr").count() == 5
    assert "multiply to 6.1\xa0×\xa010⁻⁴" in summary.inner_text()
