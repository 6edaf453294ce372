"""Explorers moved thousands of times at random: no error, no wrong value, no growing memory.

VGKIT_MOVES sets how often; the default keeps the tests short.
"""

import gc
import json
import os
import re
import tracemalloc

import numpy as np
import pytest
from conftest import heap
from powers import make

from vgkit.explore import grid

MOVES = int(os.environ.get("VGKIT_MOVES", "1000"))
PAGES = ["chapters/causes/recurrence", "chapters/detection"]  # two explorers; five charts

# Moves a control of a random explorer to a random place, and now and then holds, clears, points,
# opens a table or chooses a preset. Returns where the controls then stand and, of every tenth
# move, what the tables of that explorer show.
MOVE = """([moves, seed]) => {
  let state = seed;
  const random = (n) => {  // Park and Miller's generator
    state = (state * 48271) % 2147483647;
    return Math.floor((state / 2147483647) * n);
  };
  const roots = [...document.querySelectorAll('.vg-explorer')];
  const fire = (node, type) => node.dispatchEvent(new Event(type, {bubbles: true}));
  const stands = (root) => Object.fromEntries(
    [...root.querySelectorAll('[data-control]')].filter((e) => e.type !== 'radio' || e.checked)
      .map((e) => [e.dataset.control, Number(e.value)]));
  const column = (chart, i) =>
    [...chart.querySelectorAll('.vg-values tbody tr')].map((row) => row.children[i].dataset.value);
  const tables = (root) => [...root.querySelectorAll('.vg-chart')].map((chart) =>
    Object.fromEntries([...chart.querySelectorAll('th[scope=col]')].map(
      (head, i) => [head.textContent, column(chart, i)])));
  for (const details of document.querySelectorAll('details.vg-table')) details.open = true;
  const seen = [];
  for (let move = 0; move < moves; move++) {
    const number = random(roots.length);
    const root = roots[number];
    const others = roots.filter((one) => one !== root).map((one) => JSON.stringify(stands(one)));
    const inputs = [...root.querySelectorAll('[data-control]')];
    const extra = random(12);
    if (extra < 3) {
      const buttons = [...root.querySelectorAll('.vg-hold, .vg-clear, .vg-presets button')];
      buttons[random(buttons.length)].click();
    } else {
      const input = inputs[random(inputs.length)];
      if (input.type === 'radio') {
        input.checked = true;
        fire(input, 'change');
      } else {
        input.value = random(input.type === 'range' ? Number(input.max) + 1 : input.options.length);
        fire(input, 'input');
      }
    }
    const after = roots.filter((one) => one !== root).map((one) => JSON.stringify(stands(one)));
    if (String(others) !== String(after)) throw new Error('another explorer moved');
    if (move % 10 === 0) seen.push([number, stands(root), tables(root)]);
  }
  return seen;
}"""


@pytest.mark.parametrize("page", PAGES)
def test_random_moves_in_the_book(book, site, open_page, page):
    text = (book / f"{page}.html").read_text()
    shipped = [json.loads(d) for d in re.findall(r'class="vg-data">(.*?)</script>', text, re.S)]
    rows = [{n: grid.unpack(p) for n, p in one["grid"].items()} for one in shipped]
    opened = open_page(f"{site}/{page}.html")
    session = opened.context.new_cdp_session(opened)
    opened.evaluate(MOVE, [max(200, MOVES // 10), 1])  # decodes all arrays, fills what is held
    before = heap(session)
    checked, seed = 0, 2
    for _ in range(MOVES // 500):
        seed += 1
        for number, positions, tables in opened.evaluate(MOVE, [500, seed]):
            one = shipped[number]
            sizes = {c["name"]: len(c["options"]) for c in one["controls"]}
            assert positions.keys() == sizes.keys()
            for spec, table in zip(one["specs"], tables, strict=True):
                for series in spec["series"]:
                    if series["label"] not in table:
                        continue  # a band or a reference curve
                    over = one["grid"][series["name"]]["over"]
                    row = np.ravel_multi_index(
                        [positions[c] for c in over], [sizes[c] for c in over]
                    ) if over else 0  # fmt: skip
                    found = [float(cell or "nan") for cell in table[series["label"]]]
                    expected = rows[number][series["name"]][row][: len(found)]
                    np.testing.assert_allclose(found, expected, rtol=1e-9)
                    checked += len(found)
    assert checked > MOVES
    growth = heap(session) / before - 1
    print(f"{page}: {MOVES} moves, {checked} numbers, heap {before / 1e6:.1f} MB {growth:+.1%}")
    assert growth < 0.05
    assert opened.problems == []


def test_random_moves_live():
    """Every move's chart shows what the function gives there, and memory stays as it is."""
    explorer = make(Four={"base": 4, "mode": "first"})
    box = explorer.widget
    (chart,) = box.children[-1].children
    button = box.children[0].children[1]
    random = np.random.default_rng(0)

    def moves(count):
        for _ in range(count):
            if random.random() < 0.1:
                button.click()
            elif random.random() < 0.3:
                explorer.controls["mode"].value = ["whole", "first"][random.integers(2)]
            else:
                explorer.controls["base"].value = int(random.integers(1, 7))
            base, mode = explorer.controls["base"].value, explorer.controls["mode"].value
            expected = [float(base), *(base**k if mode == "whole" else 0.0 for k in (2, 3, 4))]
            expected[3] = expected[3] if base % 2 == 0 else None
            assert chart.data["power"] == expected
            assert (chart.names, chart.problem) == ({"base": str(base), "mode": mode}, "")

    moves(100)
    tracemalloc.start()
    moves(50)
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    moves(500)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000  # a hundred bytes for each move would be a leak


def test_a_preset_is_one_computation():
    explorer = make(Four={"base": 4, "mode": "first"})
    box = explorer.widget
    (chart,) = box.children[-1].children
    seen = []
    chart.observe(lambda change: seen.append(change["new"]["power"]), "data")
    box.children[0].children[1].click()
    assert seen == [[4, 0, 0, 0]]
