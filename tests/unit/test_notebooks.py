"""The pages' notebooks: what is in view, where links lead, and that a reader's changes are kept."""

import re
from functools import partial
from posixpath import dirname, join, normpath

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tools import checks, course, notebooks
from tools.markdown import Writer

COURSE = course.read()
LEFT = re.compile(r"\{[\w:-]+\}`|^[`:]{3,}\{|^\([\w-]+\)=$|-(?:start|end)\}", re.MULTILINE)


def made(page, address=course.beside):
    return notebooks.notebook(Writer(COURSE, page, address, lambda name, form: "0.1"), "install()")


MADE = {page: made(page) for page in COURSE.texts}


def words(notebook):
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def headings(notebook):
    """Their names in JupyterLab."""
    return [line.replace(" ", "-") for line in re.findall(r"^#+ (.*)$", words(notebook), re.M)]


@pytest.mark.parametrize("page", COURSE.texts)
def test_a_page_reads_as_in_the_book(page):
    notebook = MADE[page]
    nbformat.validate(notebook)
    text = words(notebook)
    assert not LEFT.search(text)
    tasks = COURSE.texts[page].count("{exercise-start}")
    counted = [str(number) for number in range(1, tasks + 1)]
    assert re.findall(r"\n### Exercise (\d+)", text) == counted
    assert re.findall("#### Solution to Exercise (.*)", text) == counted
    under = False  # a folded heading, which folds all cells up to the next heading
    for cell in notebook.cells:
        heading = cell.cell_type == "markdown" and cell.source[0] == "#"
        under = cell.metadata.get("jp-MarkdownHeadingCollapsed", under and not heading)
        assert under == ("solution" in cell.metadata.get("tags", []))
        hidden = cell.metadata.get("jupyter", {})
        if "solution" in cell.metadata.get("tags", []):
            folded = hidden.get("source_hidden") or cell.source.startswith("<details>")
            assert folded or cell.source.startswith("#### Solution")
        elif cell.cell_type == "code":
            assert not re.search(
                r"\bassert\b|assert_\w+\(|\bsay\(|page\.(numbers|texts)\(", cell.source
            )


@pytest.mark.parametrize("page", COURSE.texts)
def test_a_link_to_another_page_s_exercise_has_words(page):
    """Numbers of exercises hold on their page only."""
    for target in re.findall(r"\{ref\}`([\w-]+)`", COURSE.texts[page]):
        place = COURSE.labels[target]
        assert place.page == page or not place.title.startswith("Exercise "), target


@pytest.mark.parametrize("page", COURSE.texts)
def test_every_link_leads_somewhere(page):
    for path, heading in re.findall(r"\]\((?!https?:|data:)([^)#]+)#?([^)]*)\)", words(MADE[page])):
        assert " " not in path + heading
        target = normpath(join(dirname(page), path)).removesuffix(".ipynb")
        assert target in MADE, path
        assert not heading or heading in headings(MADE[target]), heading


def test_a_saved_page_links_to_the_published_book_or_has_plain_words():
    text = "{term}`units <unit>` of {ref}`the net <depth>` {cite:p}`glorot2010` [here](index.md)"
    address = partial(course.published, "https://a.org/b/")
    there = Writer(COURSE, "teach", address, None).text(text)
    assert there == (
        "[units](https://a.org/b/reference/glossary.html#term-unit) of "
        "[the net](https://a.org/b/chapters/depth.html#depth) "
        "([Glorot and Bengio, 2010](https://a.org/b/references.html#cite-glorot2010)) "
        "[here](https://a.org/b/index.html)"
    )
    nowhere = Writer(COURSE, "teach", partial(course.published, ""), None).text(text)
    assert nowhere == "units of the net (Glorot and Bengio, 2010) here"


def test_what_the_book_folds_is_folded_in_a_notebook():
    writer = Writer(COURSE, "index", course.beside, None)
    assert writer.text(":::{admonition} More\n:class: dropdown\n\nText.\n:::").split("\n\n") == [
        "<details>\n<summary><b>More</b></summary>", "Text.", "</details>"
    ]  # fmt: skip
    assert writer.text(":::{admonition} More\nText.\n:::") == "> **More**\n>\n> Text."


def test_what_is_kept_of_a_cell():
    source = """
a = 1  # kept
# Why it holds.
assert a == 1
for b in (1, 2):
    np.testing.assert_allclose(b, b)
for b in (1, 2):
    print(b)
    assert b
said, say = page.texts()
say(a=(a, ".0f"))
page.numbers({"a": a})
with pytest.raises(ValueError), np.testing.assert_raises(ValueError):
    fail()
"""
    left = "a = 1  # kept\nfor b in (1, 2):\n    print(b)"
    assert checks.unchecked(source) == left
    assert checks.used(f"{left}\nc, d = a, 2\nx[0] = 1\nimport e.f", {"d"}) == (
        f"{left}\nc, d = a, 2\nx[0] = 1"
    )
    assert checks.used("a = 1\nb = a", set()) == ""


def test_plumbing_stays_only_where_it_is_needed():
    hidden = {"tags": ["plumbing"]}
    cells = [
        new_code_cell("a = 1", metadata=hidden),
        new_code_cell("b = a\nc = a", metadata=hidden),
        new_code_cell("print(c)", metadata={"tags": []}),
        new_code_cell("d = c", metadata=hidden),
    ]
    assert [cell.source for cell in notebooks.needed(cells)] == [
        f"{notebooks.PLUMBING}\na = 1",
        f"{notebooks.PLUMBING}\nc = a",
        "print(c)",
    ]


def test_numbers_and_what_is_not_known():
    kept = {"share": "12 %", "left": 5.68e-5}
    assert notebooks.number(kept, "p", "share", "") == "12 %"
    assert notebooks.number(kept, "p", "left", ".0e") == "6\xa0×\xa010⁻⁵"
    with pytest.raises(ValueError, match="p: no number 'no' is kept; run: make numbers"):
        notebooks.number(kept, "p", "no", "")
    writer = Writer(COURSE, "index", course.beside, lambda name, form: f"<{name}|{form}>")
    assert writer.text("{number}`left .0%` {eval}`said.share`") == "<left|.0%> <share|>"
    for text in ("{kbd}`a`", ":::{figure} a.png\n:::"):
        with pytest.raises(ValueError, match=r"index: (role|directive) must be one .*; got"):
            writer.text(text)


def notebook(*sources):
    cells = [new_markdown_cell(source) for source in sources]
    return new_notebook(cells=cells, metadata={notebooks.MADE: notebooks.fingerprint(cells)})


def test_what_a_reader_has_changed_is_kept(tmp_path):
    path, beside = tmp_path / "a" / "page.ipynb", tmp_path / "a" / "page.new.ipynb"

    def read(path=path):
        return nbformat.read(path, as_version=4).cells[0].source

    assert notebooks.put(notebook("one"), path, False) == "" and read() == "one"
    assert notebooks.put(notebook("two"), path, False) == "" and read() == "two"
    changed = nbformat.read(path, as_version=4)
    changed.cells[0].source = "mine"
    nbformat.write(changed, path)
    assert notebooks.put(notebook("two"), path, False) == "" and not beside.exists()
    assert "is kept, as you have changed it; the new one is page.new.ipynb" in notebooks.put(
        notebook("three"), path, False
    )
    assert (read(), read(beside)) == ("mine", "three")
    assert notebooks.put(notebook("three"), path, True) == "" and read() == "three"
    assert not beside.exists()


def test_a_run_changes_nothing_and_handouts_have_no_solutions(tmp_path):
    path, new = tmp_path / "page.ipynb", notebooks.unsolved(MADE["chapters/depth"])
    assert "Solution to" not in "".join(cell.source for cell in new.cells)
    notebooks.put(new, path, False)
    ran = nbformat.read(path, as_version=4)
    for cell in ran.cells:
        if cell.cell_type == "code":
            cell.execution_count = 1
            cell.outputs = [nbformat.v4.new_output("stream", text="1")]
    ran.metadata["language_info"] = {"name": "python", "version": "3.12"}
    nbformat.write(ran, path)
    assert notebooks.put(notebook("new"), path, False) == ""
    assert nbformat.read(path, as_version=4).cells[0].source == "new"
