"""Scales of maps, and maps over pictures."""

import numpy as np
import pytest

from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.maps import DIMMED, overlaid, scale_of


@pytest.mark.parametrize(
    ("signed", "low", "colours"), [(True, -4.0, "PuOr"), (False, 0.0, "magma")]
)
def test_a_signed_scale_is_symmetric_around_zero(signed: bool, low: float, colours: str) -> None:
    look = Look(colours="magma", signed_colours="PuOr")
    scale = scale_of("change", np.array([1.0, 4.0]), look, signed=signed)
    assert (scale.low, scale.limit, scale.colours) == (low, 4.0, colours)
    assert scale.heading == "change"
    assert scale.sentence == "Change: not clipped, the largest is 4."


def test_an_overlay_shows_the_picture_where_nothing_moved() -> None:
    picture = np.array([[[0.25, 0.5]]])
    shown = overlaid(picture, np.array([[[0.0, 8.0]]]), 8.0, "inferno")
    dark, light = DIMMED
    np.testing.assert_allclose(shown[0, 0, 0], dark + 0.25 * (light - dark))
    assert np.abs(shown[0, 0, 1] - 0.5).max() > 0.1
