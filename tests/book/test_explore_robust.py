"""Explorers moved thousands of times at random: no error, no wrong value, no growing memory.

VGKIT_MOVES sets how often; the default keeps the tests short.
"""

import os

import numpy as np
import pytest
from conftest import heap

from tools import grids

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
  const shown = [];
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
    if (move % 10 === 0) shown.push([number, stands(root), tables(root)]);
  }
  return shown;
}"""


@pytest.mark.parametrize("page", PAGES)
def test_random_moves_in_the_book(book, site, open_page, page):
    shipped = grids.shipped((book / f"{page}.html").read_text())
    rows = [{n: grids.unpack(p) for n, p in one["grid"].items()} for one in shipped]
    opened = open_page(f"{site}/{page}.html")
    session = opened.context.new_cdp_session(opened)
    opened.evaluate(MOVE, [max(200, MOVES // 10), 1])  # decodes all arrays, fills what is held
    before = heap(session)
    checked = 0
    for seed in range(2, 2 + MOVES // 500):
        for number, positions, tables in opened.evaluate(MOVE, [500, seed]):
            one = shipped[number]
            for chart, table in zip(one["charts"], tables, strict=True):
                for series in chart["series"]:
                    if series["label"] not in table:
                        continue  # a band or a reference curve
                    cells = [float(cell or "nan") for cell in table[series["label"]]]
                    row = rows[number][series["name"]][grids.row_of(one, series["name"], positions)]
                    np.testing.assert_allclose(cells, row[: len(cells)], rtol=1e-9)
                    checked += len(cells)
    assert checked > MOVES
    growth = heap(session) / before - 1
    print(f"{page}: {MOVES} moves, {checked} numbers, heap {before / 1e6:.1f} MB {growth:+.1%}")
    assert growth < 0.05
    assert opened.problems == []
