"""What the built book gives search engines, and what it leaves out where it has no address."""

import os
import re

import pytest
import yaml
from conftest import ROOT

from tools import pages

DESCRIPTION = re.compile(
    r"<meta\s+(?:content=\"([^\"]*)\"\s+)?name=\"description\"(?: content=\"([^\"]*)\")?"
)


def test_every_page_has_a_description_and_a_title_of_its_own(book):
    texts = [(book / f"{page}.html").read_text() for page in pages.all_pages()]
    found = [["".join(pair) for pair in DESCRIPTION.findall(text)] for text in texts]
    assert all(len(descriptions) == 1 for descriptions in found)
    descriptions = [one for (one,) in found]
    assert all(30 <= len(text) <= 320 and "\\" not in text for text in descriptions), descriptions
    titles = [re.search("<title>(.*?)</title>", text, re.DOTALL)[1] for text in texts]
    assert len(set(descriptions)) == len(set(titles)) == len(texts)


def test_a_book_without_an_address_has_no_card_and_no_sitemap(book):
    if os.environ.get("VGKIT_URL"):
        pytest.fail("build and test the book without VGKIT_URL")
    assert not (book / "sitemap.xml").exists() and not (book / "404.html").exists()
    for page in pages.all_pages():
        text = (book / f"{page}.html").read_text()
        assert 'property="og:' not in text and 'rel="canonical"' not in text


def test_every_redirect_leads_to_a_page(book):
    redirects = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["redirects"]
    for old, new in redirects.items():
        assert old not in pages.all_pages() and (book / new.removeprefix("/")).is_file()
