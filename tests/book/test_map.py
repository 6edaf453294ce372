"""The map of pages and the sums of minutes, in the built book."""

import re

import pytest
from lessons import LESSONS, ROUTES, TIME, needs


def test_the_map_and_the_sums(book):
    text = (book / "index.html").read_text()
    shown = text[text.index("vg-map") :]
    rows = re.findall(
        r'<li[^>]*><a href="([^"]*)\.html">[^<]*</a> <span>(\d+) min</span></li>', shown
    )
    assert {page: int(time) for page, time in rows} == TIME and [p for p, _ in rows] == list(TIME)
    row = r'<tr><th scope="row"><a href="(.*?)\.html">.*?</th>' + "<td>(.*?)</td>" * 3
    cells = re.findall(row, shown)
    assert len(cells) == len(LESSONS)
    for page, *named, time in cells:
        assert int(time) == TIME[page]
        for names, kind in zip(named, ("necessary", "helpful"), strict=True):
            assert len([n for n in names.split(", ") if n != "–"]) == len(needs(page, kind))
    sums = [int(n) for n in re.findall(r"Together (\d+) minutes", text)]
    assert sums == [sum(TIME[p] for item in items for p in item) for items in ROUTES.values()]
    single = [int(n) for n in re.findall(r'class="vg-minutes"> ?(\d+) min', text)]
    assert single == [sum(map(TIME.get, item)) for items in ROUTES.values() for item in items]


@pytest.mark.parametrize("width", [380, 1400])
def test_the_map_in_a_browser(site, open_page, width):
    page = open_page(f"{site}/index.html", viewport={"width": width, "height": 900})
    rows = page.locator(".vg-map li")
    boxes = [rows.nth(i).bounding_box() for i in range(rows.count())]
    assert all(abs(b["height"] - 30) < 0.5 for b in boxes)  # the arcs rely on it
    chart = page.locator(".vg-map svg").bounding_box()
    assert abs(chart["y"] - boxes[0]["y"]) < 1 and abs(chart["height"] - 30 * len(boxes)) < 1
    thick = ".vg-map path.p2"
    plain = page.locator(thick).first.evaluate("e => getComputedStyle(e).strokeWidth")
    rows.nth(2).locator("a").focus()
    assert page.locator(thick).first.evaluate("e => getComputedStyle(e).strokeWidth") > plain
    table = page.locator(".vg-map table")
    page.locator(".vg-map summary").click()
    assert table.is_visible() and table.bounding_box()["width"] <= width
