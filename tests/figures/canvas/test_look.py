"""Which colour maps are taken, and that they are even."""

import numpy as np
import pytest

from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import style
from lrpdyn.figures.canvas.look import DIVERGING, SEQUENTIAL, Look, with_colours


def test_colour_maps_are_sorted_by_what_they_are_for() -> None:
    look = with_colours(Look(dpi=99), ["viridis_r", "PuOr"])
    assert look == Look(dpi=99, colours="viridis_r", signed_colours="PuOr")
    assert with_colours(look, ["magma"]).signed_colours == "PuOr"


@pytest.mark.parametrize("name", ["jet", "rainbow", "nothing", ""])
def test_uneven_and_unknown_colour_maps_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=f"--cmap {name}: expected one of inferno"):
        with_colours(Look(), [name])


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_sequential_maps_become_steadily_lighter_or_darker(name: str) -> None:
    colours = style.colour_map(name)(np.linspace(0, 1, 64))[:, :3]
    lightness = colours @ np.array([0.2126, 0.7152, 0.0722])
    steps = np.diff(lightness)
    assert (steps > 0).all() or (steps < 0).all()


@pytest.mark.parametrize("name", DIVERGING)
def test_diverging_maps_are_lightest_at_zero_and_alike_on_both_sides(name: str) -> None:
    colours = style.colour_map(name)(np.linspace(0, 1, 65))[:, :3]
    lightness = colours @ np.array([0.2126, 0.7152, 0.0722])
    assert abs(int(lightness.argmax()) - 32) <= 2
    assert abs(lightness[0] - lightness[-1]) < 0.25
