"""The published book: heads, addresses, saved notebooks, the workflow, the page for teachers."""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

import ipywidgets as widgets
import jax.numpy as jnp
import nbformat
import pytest
import yaml
from conftest import ROOT
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image
from test_book import build, small_book  # noqa: F401

from tools import exercises, latest, pages
from vgcourse import charts
from vgkit import explore

WORKFLOW = ROOT / ".github" / "workflows" / "book.yml"
TEACH = (ROOT / "teach.md").read_text()
LESSONS = [p for p in pages.all_pages() if "{exercise-start}" in (ROOT / f"{p}.md").read_text()]
CODE = [p for p in pages.all_pages() if "```{code-cell}" in (ROOT / f"{p}.md").read_text()]
HERE = "https://someone.github.io/course/"


def described(html):
    found = re.findall(
        r'<meta\s+(?:content="([^"]*)"\s+)?name="description"(?: content="([^"]*)")?', html
    )
    return ["".join(pair) for pair in found]


def test_every_page_has_a_description_and_a_title_of_its_own(book):
    texts = {page: (book / f"{page}.html").read_text() for page in pages.all_pages()}
    descriptions = {page: described(text) for page, text in texts.items()}
    assert all(len(found) == 1 for found in descriptions.values())
    told = [found[0] for found in descriptions.values()]
    assert all(30 <= len(text) <= 320 and "\\" not in text for text in told), told
    assert len(set(told)) == len(told)
    titles = [re.search("<title>(.*?)</title>", text, re.DOTALL)[1] for text in texts.values()]
    assert len(set(titles)) == len(titles)


def test_nothing_is_said_of_an_unknown_address(book):
    if os.environ.get("VGKIT_URL"):
        pytest.fail("build and test the book without VGKIT_URL")
    assert not (book / "sitemap.xml").exists() and not (book / "404.html").exists()
    for page in pages.all_pages():
        text = (book / f"{page}.html").read_text()
        assert 'property="og:' not in text and 'rel="canonical"' not in text


@pytest.fixture(scope="module")
def published(small_book):  # noqa: F811
    """The small book, two pages more, one of them moved, built for an address."""
    (small_book / "chapters").mkdir(exist_ok=True)
    (small_book / "_toc.yml").write_text(
        "format: jb-book\nroot: index\nchapters:\n  - file: chapters/one\n  - file: chapters/two\n"
    )
    (small_book / "chapters" / "one.md").write_text(
        '---\nmyst: {html_meta: {description: "Own \\"words\\""}}\n---\n'
        "(one)=\n# One & all\n\nProse.\n"
    )
    lines = (small_book / "index.md").read_text().split("# Page")[0]
    (small_book / "chapters" / "two.md").write_text(
        f"{lines}(two)=\n# Two\n\nFirst sentence. Second, to [one](one.md) and {{ref}}`one`.\n\n"
        "![a picture](../_static/explorer.png)\n\n"
        "```{code-cell} ipython3\n:tags: [remove-cell]\nfrom vgcourse import page\n\n"
        "said, say = page.numbers()\n"
        'say(share=(1 / 8, ".3f"))\n```\n\nIt is {eval}`said.share`.\n\n'
        "```{exercise-start}\n:label: two-ex\n```\nHow many?\n\n"
        "```{code-cell} ipython3\nanswer = 1\n```\n```{exercise-end}\n```\n\n"
        "```{solution-start} two-ex\n:class: dropdown\n```\nThree.\n\n"
        "```{code-cell} ipython3\nanswer = 3\n```\nSo three.\n```{solution-end}\n```\n\nThe end.\n"
    )
    config = (small_book / "_config.yml").read_text()
    (small_book / "_config.yml").write_text(
        config.replace("publish_moved: {}", "publish_moved: {old/deep/page: chapters/two}")
    )
    build(small_book, VGKIT_URL=HERE, VGKIT_REPOSITORY="someone/course")
    return small_book / "_build" / "html"


def test_cards(published):
    text = (published / "chapters" / "two.html").read_text()
    card = dict(re.findall(r'<meta property="og:([\w:]+)" content="([^"]*)">', text))
    assert card["title"] == "Two"
    assert card["description"] == "Two. First sentence. Second, to one and One &amp; all."
    assert card["url"] == HERE + "chapters/two.html"
    assert (published / card["image"].removeprefix(HERE)).is_file()
    with Image.open(ROOT / "_static" / "card.png") as image:
        size = image.size
    assert size == (int(card["image:width"]), int(card["image:height"]))
    assert (ROOT / "_static" / "card.png").stat().st_size < 50_000
    assert f'<link rel="canonical" href="{card["url"]}"' in text
    one = (published / "chapters" / "one.html").read_text()
    assert described(one) == ["Own &quot;words&quot;"]
    assert '<meta property="og:title" content="One &amp; all">' in one


@pytest.mark.parametrize("page", ["index", "chapters/two"])
def test_the_launch_link_opens_the_page_s_notebook(published, page):
    text = (published / f"{page}.html").read_text()
    start = "https://mybinder.org/v2/gh/someone/course/main?urlpath=lab/tree/"
    links = set(re.findall(f'href="{re.escape(start)}([^"]+)"', text))
    assert f"{page}.md" in links
    assert links <= {f"{page}.md", "index.md"}  # the first page also offers the whole course
    elsewhere = re.findall(r'href="https://(?:mybinder\.org/v2/gh|github\.com)/([^"]*)"', text)
    assert elsewhere and all(link.startswith("someone/course") for link in elsewhere)


def test_sitemap_names_every_page_and_no_other(published):
    root = ElementTree.parse(published / "sitemap.xml").getroot()
    places = [place.text for place in root.iter("{http://www.sitemaps.org/schemas/sitemap/0.9}loc")]
    assert places == [f"{HERE}{page}.html" for page in ("chapters/one", "chapters/two", "index")]


def serve(context, folder):
    """Answer for a server: the folder's files, and 404.html at every wrong address below it."""

    def answer(route):
        path = folder / unquote(urlsplit(route.request.url).path.removeprefix("/course/"))
        found = path.is_file()
        route.fulfill(status=200 if found else 404, path=path if found else folder / "404.html")

    context.route("https://someone.github.io/course/**", answer)


def test_a_wrong_address_and_an_old_one(published, browser):
    context = browser.new_context()
    serve(context, published)
    page = context.new_page()
    statuses = {}
    page.on("response", lambda r: statuses.update({r.url: r.status}))
    page.goto(f"{HERE}no/such/page.html")
    assert page.locator("h1:visible").inner_text().startswith("Page not found")
    wrong = [url for url, status in statuses.items() if status != 200]
    assert wrong == [f"{HERE}no/such/page.html"]
    page.locator("main").get_by_role("link", name="first page").click()
    page.wait_for_url(f"{HERE}index.html")
    page.goto(f"{HERE}old/deep/page.html?a=b#two")
    page.wait_for_url(f"{HERE}chapters/two.html?a=b#two")
    context.close()


@pytest.mark.parametrize("moved", ["{chapters/one: chapters/two}", "{old: chapters/none}"])
def test_a_wrong_move_stops_the_build(published, moved):
    top = published.parents[1]
    config = top / "_config.yml"
    kept = config.read_text()
    config.write_text(re.sub("publish_moved: {.*?}", f"publish_moved: {moved}", kept))
    try:
        with pytest.raises(AssertionError, match="publish_moved"):
            build(top, VGKIT_URL=HERE, VGKIT_REPOSITORY="someone/course")
    finally:
        config.write_text(kept)


def test_a_saved_notebook_stands_alone(published):
    notebook = nbformat.read(published / "_sources" / "chapters" / "two.ipynb", as_version=4)
    nbformat.validate(notebook)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert (
        f"to [one]({HERE}chapters/one.html) and [One & all]({HERE}chapters/one.html#one)" in words
    )
    assert f"![a picture]({HERE}_images/explorer.png)" in words
    assert (published / "_images" / "explorer.png").is_file()
    assert "It is 0.125." in words and "### Exercise 1\nHow many?" in words
    assert "glue" not in code and "myst" not in code
    archive = "https://github.com/someone/course/archive/refs/heads/main.zip"
    assert f'%pip install --quiet "vgkit @ {archive}"' in code
    solved = [c.source for c in notebook.cells if "solution" in c.metadata.get("tags", [])]
    assert solved == ["**Solution to exercise 1**", "Three.", "answer = 3", "So three."]
    assert notebook.cells[-1].source == "The end."


@pytest.fixture
def server(published):
    """Address of the small book, on a server that lets a browser show notebooks as text."""

    class Showing(http.server.SimpleHTTPRequestHandler):
        def guess_type(self, path):
            return "text/plain" if path.endswith(".ipynb") else super().guess_type(path)

        def log_message(self, *_):
            pass

    answer = functools.partial(Showing, directory=published)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), answer) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def test_the_button_saves_and_does_not_show(published, server, browser):
    context = browser.new_context(accept_downloads=True)
    page = context.new_page()
    page.goto(f"{server}/chapters/two.html")
    page.get_by_role("button", name="Download this page").press("Enter")
    with page.expect_download() as saved:
        page.get_by_role("link", name=".ipynb").press("Enter")
    assert saved.value.suggested_filename == "two.ipynb"
    kept = Path(saved.value.path()).read_bytes()
    assert kept == (published / "_sources" / "chapters" / "two.ipynb").read_bytes()
    assert len(context.pages) == 1
    context.close()


def saved(book, page):
    return nbformat.read(book / "_sources" / f"{page}.ipynb", as_version=4)


def script(notebook):
    """All code of a notebook as Python."""
    cells = (cell.source for cell in notebook.cells if cell.cell_type == "code")
    return "\n".join(TransformerManager().transform_cell(source) for source in cells)


def undefined(code, folder):
    """Names that no line before defines."""
    path = folder / "code.py"
    path.write_text(code.replace("get_ipython()", "None"))
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F821,F811", path]
    done = subprocess.run([*command, "--output-format=concise"], capture_output=True, text=True)
    return done.stdout.replace("All checks passed!", "").strip()


@pytest.mark.parametrize("page", CODE)
def test_every_page_with_code_can_be_saved(book, page):
    notebook = saved(book, page)
    nbformat.validate(notebook)
    words = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert not re.search(r"\{[\w:-]+\}`|^[`:]{3,}\{|^\([\w-]+\)=$", words, re.MULTILINE)
    assert not re.search(r"\]\((?!https?://)", words)
    code = script(notebook)
    compile(code, page, "exec")
    assert "myst_nb" not in code and "glue(" not in code
    assert "../" not in code  # nothing is read from the course's folder
    assert all(not cell.get("outputs") for cell in notebook.cells)
    text = (book / f"{page}.html").read_text()
    name = page.rsplit("/", 1)[-1]
    assert f'_sources/{page}.ipynb" download="{name}.ipynb"' in text


def test_a_page_runs_outside_the_book(book, tmp_path):
    """In an empty folder, and without myst_nb, as on a machine without the book's tools."""
    notebook = saved(book, "chapters/depth")
    (tmp_path / "page.py").write_text(script(notebook))
    code = (
        "import sys; sys.modules['myst_nb'] = None\n"
        "exec(open('page.py').read()); print(said.sigmoid_50)"
    )
    kept = {k: v for k, v in os.environ.items() if k not in ("VGKIT_STATIC", "PYTHONPATH")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**kept, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    words = "\n".join(c.source for c in notebook.cells)
    assert f": {done.stdout.split()[-1]} is left at depth 50" in words


def test_handouts_have_no_solutions(book, tmp_path):
    written = exercises.write(book / "_sources", tmp_path)
    names = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in written}
    assert names == set(LESSONS)
    for path in written:
        notebook = nbformat.read(path, as_version=4)
        page = path.relative_to(tmp_path).with_suffix("").as_posix()
        tasks = (ROOT / f"{page}.md").read_text()
        words = "\n".join(cell.source for cell in notebook.cells)
        assert words.count("### Exercise ") == tasks.count("{exercise-start}")
        assert "Solution to" not in words
        solutions = re.findall(
            r"```\{solution-start\}.*?\n```\n(.*?)```\{solution-end\}", tasks, re.DOTALL
        )
        for solution in solutions:
            for code in re.findall(r"```\{code-cell\}.*?\n(.*?)```", solution, re.DOTALL):
                assert code.strip().split("\n", 1)[-1] not in words
        # What is left does not lean on what was taken out.
        assert undefined(script(notebook), tmp_path) == "", page


@pytest.mark.parametrize("name", ["book", "tests"])
def test_workflows_are_valid_and_pinned(name):
    path = WORKFLOW.with_stem(name)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.github-workflows", path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    flow = yaml.safe_load(path.read_text())
    assert flow["permissions"] == {}
    steps = [step for job in flow["jobs"].values() for step in job["steps"]]
    for step in steps:
        assert "run" in step or re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", step["uses"])
    assert all(re.search(r"uses: \S+ # v\d+\.\d+\.\d+$", line)
               for line in path.read_text().splitlines() if "uses:" in line)  # fmt: skip


def test_the_book_s_workflow():
    flow = yaml.safe_load(WORKFLOW.read_text())
    build_job, deploy = flow["jobs"]["build"], flow["jobs"]["deploy"]
    assert build_job["permissions"] == {"contents": "read", "pages": "read"}
    assert deploy["permissions"] == {"pages": "write", "id-token": "write"}
    steps = [*build_job["steps"], *deploy["steps"]]
    assert [step["run"] for step in steps if "run" in step] == ["make book"]
    environment = next(step["env"] for step in steps if "env" in step)
    assert environment == {
        "VGKIT_REPOSITORY": "${{ github.repository }}",
        "VGKIT_URL": "${{ steps.pages.outputs.base_url }}",
    }


def test_the_tests_workflow_covers_the_promised_pythons():
    jobs = yaml.safe_load(WORKFLOW.with_stem("tests").read_text())["jobs"]
    assert all(job["permissions"] == {"contents": "read"} for job in jobs.values())
    versions = jobs["all"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={versions[0]}" and len(versions) == 3
    assert [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step] == (
        ["make test", "make latest"]
    )


def test_latest_asks_for_the_newest_of_what_is_pinned():
    known, names = latest.pinned(), latest.wanted()
    assert {"jax", "optax", "pytest"} <= set(names) <= set(known)
    assert not any(set("=<>~") & set(name) for name in names)


def test_lecture_plans_keep_their_time(book):
    html = (book / "teach.html").read_text()
    totals = [int(total) for total in re.findall(r"Together (\d+) minutes", html)]
    for hours, total in zip((1, 2, 4), totals, strict=True):
        assert abs(total - 60 * hours) <= 15, (hours, total)


def test_hub(tmp_path):
    """What teach.md says of a hub: the recipe's build, its settings, the students' link."""
    command = re.search(r"^jupyter-repo2docker (.*) \.$", TEACH, re.MULTILINE)[1]
    appendix = re.search(r'--appendix "(.*?)"', command)[1]
    options = re.sub(r'--appendix ".*?"', "", command).replace("--no-run", "").split()
    run = [sys.executable, "-m", "repo2docker", "--no-build", "--debug", "--appendix", appendix]
    done = subprocess.run([*run, *options, str(ROOT)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    recipe = done.stdout + done.stderr
    assert appendix in recipe
    assert "${NB_USER}" in recipe[: recipe.index(appendix)].split("USER ")[-1]  # may install
    settings = yaml.safe_load(re.search(r"```yaml\n(.*?)```", TEACH, re.DOTALL)[1])["singleuser"]
    assert f"{settings['image']['name']}:{settings['image']['tag']}" in command
    start = settings["lifecycleHooks"]["postStart"]["exec"]["command"]
    env = {**os.environ, "HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    tool = Path(sys.executable).parent / start[0]
    subprocess.run([tool, *start[1:]], check=True, env=env, capture_output=True)
    viewers = "".join(path.read_text() for path in tmp_path.rglob("*.json*"))
    assert re.search(r'"markdown":\s*"Jupytext Notebook"', viewers)
    link = parse_qs(urlsplit(re.search(r"https://hub\.\S*git-pull\?\S*", TEACH)[0]).query)
    assert link == {
        "repo": ["https://github.com/OWNER/NAME"],
        "branch": ["main"],
        "urlpath": ["lab/tree/NAME/index.md"],
    }


def test_an_explorer_can_be_taken_as_a_drawing(tmp_path, monkeypatch):
    explore.Explorer(
        "Depth",
        lambda scale: {
            "error_signal": scale * jnp.arange(1.0, 3),
            "weight_gradient": jnp.ones(2),
            "bound": jnp.ones(2),
            "ratio": jnp.array(0.5),
        },
        controls={"scale": widgets.IntSlider(value=1, min=1, max=3, description="Scale")},
        chart=charts.signals(),
    )
    code = re.findall(r"```python\n(from vgkit import explore.*?)```", TEACH, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(code[0], {})
    assert (tmp_path / "explorer.pdf").read_bytes().startswith(b"%PDF")
