"""The trajectory: what is drawn is what was given, and the same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.trajectory import (
    Marks,
    Panel,
    draw_trajectory,
    marks_of,
    panels_of,
)
from lrpdyn.figures.kinds import draw
from lrpdyn.figures.request import PANELS, Request

STEPS = np.arange(0, 1_200_000, 100_000)
ABOUT = About(rule="gamma", question="head policy")
MARKS = Marks(borders=[300_000], flagged=[500_000], wrong=[100_000, 200_000], note="")


def panels() -> list[Panel]:
    generator = np.random.default_rng(0)
    gap = generator.random(12)
    gap[0] = np.nan
    lines = {name: generator.random(12) for name in "abcdefghi"}
    return [
        Panel(name="change", title="change", steps=STEPS, lines={"relevance": gap}, marked=[3, 5]),
        Panel(name="effects", title="effects", steps=STEPS, lines=lines),
        Panel(name="score", title="score", steps=STEPS, lines={"": gap}, band=(gap - 1, gap + 1)),
        Panel(
            name="units",
            title="unit",
            steps=STEPS[:3],
            lines={"": np.array([1.0, 1.0, 4.0])},
            stepwise=True,
        ),
    ]


def _draw(path: str | Path) -> None:
    draw_trajectory(path, panels(), about=ABOUT, samples="all 4 samples", marks=MARKS)


def test_the_same_bytes_and_as_wide_as_a_page(tmp_path: Path) -> None:
    for name in ("one", "two"):
        _draw(tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.width == 7 * 150
        assert picture.height > 500


def test_lines_and_marks_are_what_was_given(saved: list[Figure]) -> None:
    given = panels()
    _draw("a.png")
    first, second, third, fourth = (axes for axes in saved[0].axes if axes.axison)
    drawn = {line.get_label(): line for line in first.lines}
    np.testing.assert_array_equal(drawn["relevance"].get_ydata(), given[0].lines["relevance"])
    assert drawn["beyond a fence"].get_xdata().tolist() == [300_000, 500_000]
    for axes in (first, second, third, fourth):
        marks = {line.get_label(): list(line.get_xdata()) for line in axes.lines}
        assert marks["phase"] == [300_000] * 2
        assert marks["flagged"] == [500_000] * 2
        assert marks["pathology"] == [100_000, 200_000]
        assert axes.get_xlim() == first.get_xlim()
    looks = {
        (line.get_color(), line.get_linestyle())
        for line in second.lines
        if len(line.get_label()) == 1
    }
    assert len(looks) == 9
    assert fourth.lines[0].get_drawstyle() == "steps-post"
    (band,) = third.collections
    np.testing.assert_allclose(
        np.nanmax(band.get_paths()[0].vertices[:, 1]), np.nanmax(given[2].lines[""]) + 1
    )
    saved[0].draw_without_rendering()
    labels = [text.get_text() for text in fourth.get_xticklabels()]
    assert {"500k", "1M"} <= set(labels)


def test_what_is_marked_is_in_the_legend_and_what_is_not_in_the_caption() -> None:
    assert [*MARKS.key()] == ["a phase begins", "after an unusual or extreme change", "pathology"]
    assert MARKS.missing() == ""
    none = Marks(note="it drifts")
    assert not none.key()
    assert none.missing() == "no phases: it drifts; no transition is flagged; no pathologies"


def test_panels_hold_the_tables(of_images: Run) -> None:
    panels = {panel.name: panel for panel in panels_of(of_images, None, None)}
    assert set(panels) <= set(PANELS)
    metrics, transitions = of_images.metrics, of_images.transitions
    score = metrics["score"].reshape(-1, 4)
    np.testing.assert_allclose(panels["score"].lines[""], np.median(score, axis=1))
    low, high = panels["score"].band or ()
    assert (low >= score.min(axis=1)).all()
    assert (high <= score.max(axis=1)).all()
    np.testing.assert_allclose(
        panels["change"].lines[""][1:],
        np.median(transitions["change"].reshape(-1, 4), axis=1),
    )
    np.testing.assert_allclose(
        panels["prediction"].lines[""][1:],
        np.median(transitions["prediction_change"].reshape(-1, 4), axis=1),
    )
    preferred = panels["units"]
    np.testing.assert_allclose(sum(preferred.lines.values()), 1.0)
    distance = panels["distance"].lines[""]
    np.testing.assert_allclose(distance, metrics["distance_from_first"].reshape(-1, 4).mean(axis=1))
    assert distance[0] == 0
    depends = panels["dependence"]
    assert set(depends.lines) >= {"to random networks", "random to random"}
    sums = metrics["relevance_sum"].reshape(-1, 4) / score
    np.testing.assert_allclose(panels["sums"].lines[""], np.median(sums, axis=1))


def test_panels_of_one_sample_are_its_own(of_images: Run) -> None:
    panels = {panel.name: panel for panel in panels_of(of_images, [2], None)}
    rows = of_images.metrics[of_images.metrics["sample"] == 2]
    np.testing.assert_array_equal(panels["score"].lines[""], rows["score"])
    np.testing.assert_array_equal(panels["units"].lines[""], rows["argmax"])
    assert panels["score"].band is None
    assert panels["units"].stepwise


def test_marks_say_why_there_are_no_phases(of_images: Run) -> None:
    marks = marks_of(of_images, None)
    assert marks.borders == []
    assert "too few" in marks.missing()


def test_panels_are_drawn_as_requested(of_images: Run, saved: list[Figure], tmp_path: Path) -> None:
    draw([of_images], "trajectory", Request(panels=["entropy", "score"], out=tmp_path))
    texts = [text.get_text() for text in saved[0].texts]
    assert texts.index("score") < texts.index("entropy of $|R|$, nats")
    assert not any("distance" in text for text in texts)
    with pytest.raises(UsageError, match="nothing to draw there; it has score"):
        draw([of_images], "trajectory", Request(panels=["score", "regions"], out=tmp_path))
    with pytest.raises(UsageError, match="--panels pie: expected some of curve, regions"):
        draw([of_images], "trajectory", Request(panels=["pie"], out=tmp_path))
