import matplotlib.pyplot as plt
import numpy as np
import pytest

from vgkit import plots


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def test_spread_draws_median_and_range(axes):
    values = np.array([[1.0, 10.0, 5.0], [3.0, 30.0, 5.0], [2.0, 90.0, 5.0]])
    assert plots.spread(axes, np.array([4, 5, 6]), values, "three runs", colour=1) is axes
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), [[4, 2], [5, 30], [6, 5]])
    assert line.get_label() == "three runs"
    assert line.get_color() == plots.COLOURS[1]
    corners = axes.collections[0].get_paths()[0].vertices
    at_5 = corners[corners[:, 0] == 5, 1]
    assert (at_5.min(), at_5.max()) == (10, 90)
