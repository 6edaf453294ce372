"""The table of claims in the built book."""

import pytest

from vgcourse import claims


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


@pytest.mark.parametrize("width", [380, 1400])
def test_the_table_needs_no_scrolling_sideways(opened, width):
    page = opened(viewport={"width": width, "height": 900})
    wide = "(e => e.scrollWidth - e.clientWidth)(document.querySelector('.vg-claims'))"
    assert page.evaluate(wide) <= 0
