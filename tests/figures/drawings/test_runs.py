"""Many runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.drawings import runs
from lrpdyn.figures.request import Request

SMALL = Look(dpi=60)


@pytest.fixture(scope="session")
def other_rule(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run of another rule over fewer steps, without checks."""
    out = tmp_path_factory.mktemp("other") / "run"
    return lrpdyn.compute(
        ppo_folder, images, rule="epsilon", out=out, quiet=True, limit=3, baseline="none",
        faithfulness="none",
    )  # fmt: skip


def _draw(given: list[Run], **request: object) -> None:
    runs.draw(given, Request(samples=[1], look=SMALL, **request), Path("a.png"))  # type: ignore[arg-type]


def _text(figure: Figure) -> str:
    return " ".join(text.get_text() for text in figure.texts)


def test_maps_of_each_run_are_drawn_to_its_own_limit(
    of_images: Run, other_rule: Run, saved: list[Figure]
) -> None:
    _draw([of_images, other_rule, of_images])
    pictures = [np.asarray(image.get_array()) for image in maps.drawn_maps(saved[0])]
    shape = of_images.shape[-2:]
    drawn = [values for values in pictures if values.shape[:2] == shape]
    assert len(drawn) == 3 * (1 + 3)  # observed, and the points of the run with fewest steps
    ordered = [of_images, of_images, other_rule]  # groups lie together
    for row, run in enumerate(ordered):
        first, last = run.steps[0], run.steps[-1]
        near = sorted(
            run.steps,
            key=lambda step: abs(step / last - other_rule.steps[1] / other_rule.steps[-1]),
        )[0]
        expected = [
            run.relevance[step][1].astype(np.float64).sum(axis=0) for step in (first, near, last)
        ]
        limit = max(np.abs(values).max() for values in expected)
        for values, summed in zip(drawn[4 * row + 1 : 4 * row + 4], expected, strict=True):
            scaled = values / (np.abs(values).max() or 1)
            np.testing.assert_allclose(scaled, summed / (np.abs(summed).max() or 1), atol=1e-6)
            assert np.sign(values.sum()) == np.sign(summed.sum())
        assert limit > 0
    assert "zplus: A-B; epsilon:1e-06: C" in _text(saved[0])
    assert "compared at the same share of training" in saved[0].get_label()


def test_curves_are_the_median_of_a_group_between_its_least_and_most() -> None:
    class Of:
        steps = (0, 10, 20)

    at = np.array([0, 10, 20])
    values = [np.array([1.0, 2, 3]), np.array([3.0, 2, 9]), np.array([2.0, 5, 1])]
    band = runs._band("g", [(Of(), (at, one)) for one in values], same=True)  # type: ignore[misc]
    assert band.at.tolist() == [0, 10, 20]
    assert band.middle.tolist() == [2, 2, 3]
    assert band.low.tolist() == [1, 2, 1]
    assert band.high.tolist() == [3, 5, 9]


def test_curves_of_other_steps_meet_at_the_same_share_of_training() -> None:
    class Long:
        steps = (0, 100, 200, 300, 400)

    class Short:
        steps = (0, 2, 4)

    curves = [
        (Long(), (np.array(Long.steps), np.array([0.0, 1, 2, 3, 4]))),
        (Short(), (np.array(Short.steps), np.array([0.0, 20, 40]))),
    ]
    band = runs._band("g", curves, same=False)  # type: ignore[arg-type]
    assert band.at.tolist() == [0, 50, 100]
    assert band.low.tolist() == [0, 2, 4]
    assert band.high.tolist() == [0, 20, 40]


def test_what_runs_cannot_share_is_named(
    of_images: Run, other_rule: Run, saved: list[Figure]
) -> None:
    _draw([of_images, other_rule], by="(run)")
    assert "No change into the step over the run's median of run: other rules, steps." in (
        saved[0].get_label()
    )
    assert "score, median over samples" in _text(saved[0])
    assert "plane" not in _text(saved[0])  # two runs


def test_many_runs_are_counted_and_each_group_is_shown(
    of_images: Run, other_rule: Run, saved: list[Figure]
) -> None:
    _draw([of_images] * 9 + [other_rule])
    assert saved[0].texts[1].get_text().startswith("maps of 8 of 10 runs; zplus: A-I; epsilon")
    rows = [text.get_text() for text in saved[0].texts if text.get_rotation() == 90]
    assert [row[-1] for row in rows] == ["A", "B", "C", "D", "E", "F", "G", "J"]
    assert "the plane keeps 100 %" in _text(saved[0])
    assert "\nJ: " not in saved[0].get_label()
    assert "And 2 more runs." in saved[0].get_label()


def _marks(figure: Figure) -> list[tuple[str, str]]:
    """Return the shapes of the runs in the plane, and whether they are filled."""
    (axes,) = [axes for axes in figure.axes if axes.axison and not axes.get_xticks().size]
    return [(str(line.get_marker()), str(line.get_fillstyle())) for line in axes.lines]


def _legend(figure: Figure) -> list[str]:
    legends = [axes.get_legend() for axes in figure.axes]
    return [text.get_text() for legend in legends if legend for text in legend.get_texts()]


def test_runs_of_a_plane_are_marked_by_the_basins_that_compare_finds(
    seeds: list[Path], saved: list[Figure]
) -> None:
    _draw([lrpdyn.open_run(seed) for seed in seeds])
    (found,) = lrpdyn.compare(seeds).basins
    assert set(found.basin_of) == {1, 2}
    assert _marks(saved[0]) == [("os"[basin - 1], "full") for basin in found.basin_of]
    assert _legend(saved[0])[-2:] == ["basin 1", "basin 2"]
    assert ": 2, marked by their shapes. 1: A, C, E, G; 2: B, D, F, H.\n" in saved[0].get_label()


def test_one_basin_and_unknown_ones_are_said(seeds: list[Path], saved: list[Figure]) -> None:
    _draw([lrpdyn.open_run(seed) for seed in seeds[:5]])
    assert _marks(saved[0]) == [("o", "none")] * 5
    assert _legend(saved[0])[-1] == "basin not known"
    assert "nobody can tell, for 6 runs are needed." in saved[0].get_label()
    _draw([lrpdyn.open_run(seeds[0])] * 3)  # one training
    assert "No basin is known of A, B, C: no other training" in saved[1].get_label()


def test_marks_say_their_basin_and_one_is_none() -> None:
    plane = {"points": np.zeros((3, 2)), "names": "ABC", "groups": "ggg", "kept": 1.0}
    assert [*runs._marks(runs.Plane(**plane, basins=[1, 1, 1]))] == ["one basin"]
    assert [*runs._marks(runs.Plane(**plane, basins=[2, 0, None, 1]))] == [
        "basin 1", "basin 2", "in no basin", "basin not known",
    ]  # fmt: skip
    assert len({str(runs._mark(basin)) for basin in (None, *range(9))}) == 10


def test_the_plane_has_one_scale_and_room_for_its_points(
    seeds: list[Path], saved: list[Figure]
) -> None:
    _draw([lrpdyn.open_run(seed) for seed in seeds])
    (axes,) = [axes for axes in saved[0].axes if axes.axison and not axes.get_xticks().size]
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    assert (right - left) / axes.bbox.width == pytest.approx((high - low) / axes.bbox.height)
    points = np.array([line.get_xydata()[0] for line in axes.lines])
    places = axes.transAxes.inverted().transform(axes.transData.transform(points))
    assert places.min() > 0.08
    assert places.max() < 0.92


def test_what_cannot_be_grouped_is_refused(of_images: Run) -> None:
    with pytest.raises(UsageError, match=r"--by seed: no seed in the path"):
        _draw([of_images, of_images], by="seed")
