"""The trajectory: what is drawn is what was given, readable, and the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpdyn.figures import style, trajectory
from lrpdyn.figures.trajectory import TEXT, WIDTH, Panel, draw_trajectory

STEPS = np.arange(0, 1_200_000, 100_000)


def panels() -> list[Panel]:
    generator = np.random.default_rng(0)
    gap = generator.random(12)
    gap[0] = np.nan
    lines = {name: generator.random(12) for name in "abcdefghi"}
    return [
        Panel("change", STEPS, {"": gap}, marked=[3, 5]),
        Panel("effects", STEPS, lines),
    ]


def test_the_same_bytes_and_as_wide_as_a_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw_trajectory(tmp_path / f"{name}.png", panels(), [300_000], unit="steps", rule="gamma",
                        question="head policy")  # fmt: skip
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width == round(WIDTH * 150)
        assert picture.height > 300


def test_lines_marks_and_borders_are_what_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = []
    monkeypatch.setattr(style, "save_figure", lambda figure, path: figures.append(figure))
    given = panels()
    trajectory.draw_trajectory(tmp_path / "x.png", given, [300_000], unit="steps", rule="gamma",
                               question="q")  # fmt: skip
    (figure,) = figures
    first, second = figure.axes
    drawn = {line.get_label(): line for line in first.lines}
    np.testing.assert_array_equal(first.lines[0].get_ydata(), given[0].lines[""])
    assert drawn["beyond a fence"].get_xdata().tolist() == [300_000, 500_000]
    borders = [line for line in second.lines if len(set(line.get_xdata())) == 1]
    assert [line.get_xdata()[0] for line in borders] == [300_000]
    looks = {
        (line.get_color(), line.get_linestyle()) for line in second.lines if line not in borders
    }
    assert len(looks) == 9
    figure.draw_without_rendering()
    sizes = [text.get_fontsize() for ax in figure.axes for text in ax.get_xticklabels()]
    sizes += [ax.title.get_fontsize() for ax in figure.axes]
    assert min(sizes) >= TEXT
    labels = [text.get_text() for text in second.get_xticklabels()]
    assert "200k" in labels
    assert "1M" in labels
