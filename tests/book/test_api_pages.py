"""The API pages of the built book: every public name has its entry."""

import re

import pytest
from conftest import public

import vgkit

ROOMS = {name: dict(public(getattr(vgkit, name))) for name in vgkit.__all__}


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_has_an_entry(book, room):
    html = (book / "api" / f"{room}.html").read_text()
    found = re.findall(
        r'<dt class="sig sig-object py" id="([\w.]+)">.*?</dt>\s*<dd>(.*?)</dd>', html, re.DOTALL
    )
    texts = {name: re.sub(r"<p>Keys: .*?</p>", "", text) for name, text in found}
    assert ">Type<" not in html  # a docstring's first words, before a colon, taken for a type
    methods = {name for name in texts if name.rpartition(".")[0] in ROOMS[room]}
    assert texts.keys() - methods == ROOMS[room].keys()
    for name in ROOMS[room]:
        assert re.search(r"<p>\w", texts[name]), f"{name} has no text"
