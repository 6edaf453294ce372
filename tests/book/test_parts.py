"""Parts of single pages in the built book: the map, the sums of minutes, the table of claims."""

import re

import pytest
from lessons import LESSONS, ROUTES, TIME, needs

from vgcourse import claims


def test_the_map_and_the_sums(book):
    text = (book / "index.html").read_text()
    shown = text[text.index("vg-map") :]
    row = r'<tr><th scope="row"[^>]*><a href="(.*?)\.html">.*?</th>' + "<td>(.*?)</td>" * 3
    cells = re.findall(row, shown)
    assert [cell[0] for cell in cells] == list(LESSONS)
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
    table = page.locator(".vg-map table")
    assert not table.is_visible()
    page.locator(".vg-fold summary").click()
    assert table.is_visible() and table.bounding_box()["width"] <= width


@pytest.fixture
def opened(book, open_page):
    return lambda **options: open_page((book / "chapters/claims.html").as_uri(), **options)


def test_the_table_is_sorted_and_filtered_by_its_controls(opened):
    page = opened()
    rows, status = page.locator(".vg-claims tbody tr"), page.locator(".vg-claims [role=status]")
    assert page.problems == [] and rows.count() == len(claims.ALL)
    page.get_by_label("Verdict", exact=True).select_option("false")
    wanted = [claim.id for claim in claims.ALL.values() if claim.verdict == "false"]
    assert status.text_content() == f"{len(wanted)} of {len(claims.ALL)} claims"
    page.get_by_label("Sort by", exact=True).select_option("number")
    shown = [row.get_attribute("id").upper() for row in rows.all() if row.is_visible()]
    assert shown == sorted(wanted)
    page.get_by_label("Chapter", exact=True).select_option("Traps")
    assert status.text_content() == f"0 of {len(claims.ALL)} claims"
    page.emulate_media(media="print")
    assert all(row.is_visible() for row in rows.all())
    page.emulate_media(media="screen")
    page.get_by_role("button", name="Show all").press("Enter")
    # A form tells that it will be as it was before it is.
    page.get_by_text(f"{len(claims.ALL)} of {len(claims.ALL)} claims").wait_for()
    assert [row.get_attribute("id").upper() for row in rows.all()] == list(claims.ALL)


def test_every_link_of_the_table_leads_somewhere(opened, request):
    book = request.getfixturevalue("book")
    links = opened(java_script_enabled=False).locator(".vg-claims tbody a").all()
    assert len(links) == len(claims.ALL) and all(link.is_visible() for link in links)
    for link in links:
        path, anchor = link.get_attribute("href").split("#")
        assert f'id="{anchor}"' in (book / "chapters" / path).read_text(), (path, anchor)
