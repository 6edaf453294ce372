"""Every lesson has its parts, gives its numbers by code, and asks its reader."""

import importlib
import re

import numpy as np
import pytest
from lessons import CHAPTERS, LESSONS

from tools import pages

REMEDY = """The idea in three sentences
The equation and ten lines of code
Before and after
When it does not help
What it costs
When to choose it
Check yourself
Exercises""".splitlines()

SURVEYS = {"chapters/causes/research"}
"""Lessons that close a chapter, without exercises."""


@pytest.mark.parametrize("page", LESSONS)
def test_a_lesson_has_its_parts(page):
    text, remedy = LESSONS[page], "/solutions/" in page
    heads = re.findall("^## (.*)", text, re.M)
    parts = ["What you will learn", "**Before:**", "**Time:**", "{cite:"]
    assert [part for part in parts if part not in text] == []
    assert "**Predict.**" in text or re.search(r"^\w+\.predict_\w+\(\)$", text, re.M)
    wanted = REMEDY if remedy else ["A surprise", "Take-away", "Check yourself", "Exercises"]
    found = [head for head in heads if head in wanted]
    assert text.count("image: {alt:") == pages.figures(text)
    if page in SURVEYS:
        assert found == wanted[:-1]
        return
    assert found == wanted
    exercises = re.findall(r"```\{exercise-start\}\n:label: (\S+)", text)
    solutions = re.findall(r"```\{solution-start\} (\S+)\n:class: dropdown", text)
    assert len(exercises) >= 4 and exercises == solutions
    tasks = re.findall(r"^:label: \S+\n```\n(.*?)```\{exercise-end\}", text, re.M | re.S)
    assert len(tasks) == len(exercises) and all("```{code-cell}" in task for task in tasks)
    assert tasks[0].startswith("*Warm-up.*") and tasks[-1].startswith("*Open.*")


MODULES = {
    page: re.search(r"page\.numbers\((\w+)\.numbers\(\)\)", text)[1]
    for page, text in CHAPTERS.items()
    if "page.numbers(" in text
}
"""Names of the modules of vgcourse behind the pages that have one."""


@pytest.mark.parametrize("page", sorted(CHAPTERS.keys() - MODULES.keys()))
def test_every_number_in_the_prose_comes_from_a_cell(page):
    text = CHAPTERS[page]
    calls = " ".join(re.findall(r"^say\(.*?\)\n", text, re.M | re.S))
    used = set(re.findall(r"\{eval\}`said\.(\w+)`", text))
    assert used and used == set(re.findall(r"(\w+)=\(", calls))


@pytest.mark.parametrize("page", MODULES)
def test_every_number_in_the_prose_comes_from_the_page_s_module(page):
    text = CHAPTERS[page]
    numbers = importlib.import_module(f"vgcourse.{MODULES[page]}").numbers()
    assert all(np.isfinite(float(value)) for value in numbers.values())
    assert set(re.findall(r"\{number\}`(\w+)", text)) == numbers.keys()
    assert "{eval}" not in text and "assert " not in text  # what is asserted is in the unit tests


@pytest.mark.parametrize("page", LESSONS)
def test_a_lesson_asks_its_reader(page):
    text = LESSONS[page]
    before, asked, *_ = re.split("^## (?:Check yourself|Exercises)$", text, flags=re.M)
    label = re.search(r"^\((.+)\)=$", before, re.M)[1]
    assert asked.count(f'selfcheck.show("{label}", ') == 1  # answers are kept under the label
    if page in MODULES:
        questions = importlib.import_module(f"vgcourse.{MODULES[page]}").questions()
        kinds = ["curve" if q.picture else "number" if q.span else "choice" for q in questions]
    else:
        kinds = re.findall(r"^    selfcheck\.(\w+)\(", asked, re.M)
    least = 3 if "/solutions/" in page else 5
    assert len(kinds) >= least and {"choice", "number", "curve"} == set(kinds)
