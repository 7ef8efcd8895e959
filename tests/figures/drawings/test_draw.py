"""What each kind of figure shows of a run, beside the run itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures import in_axes, kinds
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.drawings import (
    animation,
    channels,
    distribution,
    raster,
    side_by_side,
    trajectory,
)
from lrpdyn.figures.request import Request
from lrpdyn.figures.terminal import Terminal

SMALL = Look(dpi=60)


def words(figure: Figure) -> str:
    return str(figure.get_label()) + " ".join(text.get_text() for text in figure.texts)


def pictures(figure: Figure) -> list[np.ndarray]:
    drawn = [np.asarray(image.get_array()) for image in maps.drawn_maps(figure)]
    return [values for values in drawn if values.shape[:2] == (84, 84)]


def test_differences_of_a_filmstrip_add_up_to_the_dynamics(
    of_images: Run, saved: list[Figure]
) -> None:
    kinds.draw([of_images], "filmstrip", Request(samples=[2], look=SMALL))
    shown = [np.asarray(image.get_array()) for image in maps.drawn_maps(saved[0])]
    steps = len(of_images.steps)
    assert len(shown) == 1 + steps + steps - 1
    summed = of_images.dynamics[2].astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(sum(shown[1 + steps :]), summed, rtol=1e-5)


def test_the_heatmap_shows_the_arrays_of_the_run(of_images: Run, saved: list[Figure]) -> None:
    kinds.draw([of_images], "dynamics", Request(samples=[3], look=SMALL))
    _, dynamics, net, _ = pictures(saved[0])
    np.testing.assert_allclose(dynamics, of_images.dynamics[3].astype(np.float64).sum(axis=0))
    np.testing.assert_allclose(net, of_images.net_change[3].astype(np.float64).sum(axis=0))
    kinds.draw([of_images], "dynamics", Request(samples=[3], look=SMALL, relative=True))
    _, _, relative, _, _ = pictures(saved[1])
    np.testing.assert_allclose(relative, of_images.relative_dynamics[3])


def test_the_terminal_shows_each_sample(of_images: Run) -> None:
    terminal = Terminal(width=60, colours=0, blocks=True)
    lines = kinds.lines([of_images], "terminal", Request(samples=[1, 3]), terminal)
    heads = [line for line in lines if line.startswith("dynamics of sample")]
    assert heads == [f"dynamics of sample {n} over 4 checkpoints" for n in (1, 3)]
    assert max(map(len, lines)) <= 60
    with pytest.raises(UsageError, match="samples 0 to 3"):
        kinds.lines([of_images], "terminal", Request(samples=[9]), terminal)


def test_a_film_has_a_picture_for_each_step(of_images: Run, tmp_path: Path) -> None:
    animation.draw([of_images], Request(samples=[2], look=SMALL), tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == len(of_images.steps)


def test_channels_are_those_of_the_sample_at_the_last_step_by_default(
    of_images: Run, saved: list[Figure]
) -> None:
    channels.draw([of_images], Request(samples=[1], look=SMALL), Path("a.png"))
    shown = pictures(saved[0])
    last = of_images.relevance[of_images.steps[-1]][1]
    for channel in (*of_images.dynamics[1], *of_images.net_change[1], *last):
        assert any(np.allclose(values, channel, atol=0) for values in shown)


def test_a_comparison_shows_the_requested_samples(of_images: Run, saved: list[Figure]) -> None:
    side_by_side.draw([of_images] * 2, Request(samples=[3], look=SMALL), Path("a.png"))
    summed = of_images.dynamics[3].astype(np.float64).sum(axis=0)
    _observation, one, other = pictures(saved[0])
    for values in (one, other):  # each over the largest of its own run
        np.testing.assert_allclose(values / values.max(), summed / summed.max(), rtol=1e-5)
    assert "sample 3" in words(saved[0])
    assert "sample 0" not in words(saved[0])


def test_a_distribution_says_how_many_values_there_are(of_images: Run, saved: list[Figure]) -> None:
    distribution.draw([of_images], Request(look=SMALL), Path("a.png"))
    # Three transitions of four samples.
    assert "n = 12" in words(saved[0])


def test_a_raster_has_a_row_for_each_requested_sample(of_images: Run, saved: list[Figure]) -> None:
    raster.draw([of_images], Request(samples=[3, 0], look=SMALL), Path("a.png"))
    change = of_images.transitions["change"].reshape(3, 4).T[[3, 0]]
    shown = [np.asarray(image.get_array()) for image in maps.drawn_maps(saved[0])]
    assert any(v.shape == change.shape and np.allclose(v, change, atol=0) for v in shown)


@pytest.mark.parametrize(
    ("samples", "said"), [(None, "4 samples"), ([2], "sample 2"), ([0, 3], "samples 0, 3")]
)
def test_a_trajectory_says_which_samples_it_is_of(
    of_images: Run, saved: list[Figure], samples: list[int] | None, said: str
) -> None:
    trajectory.draw([of_images], Request(samples=samples, look=SMALL), Path("a.png"))
    assert said in words(saved[0])
    score = of_images.metrics["score"].reshape(4, 4)
    median = np.median(score if samples is None else score[:, samples], axis=1)
    lines = [np.asarray(line.get_ydata()) for axes in saved[0].axes for line in axes.lines]
    assert any(line.shape == median.shape and np.allclose(line, median) for line in lines)


@pytest.mark.parametrize(
    ("kind", "runs"),
    [("dynamics", 1), ("filmstrip", 1), ("features", 1), ("comparison", 2), ("runs", 2)],
)
def test_every_figure_of_features_has_their_names(
    of_vectors: Run, saved: list[Figure], kind: str, runs: int
) -> None:
    named = _with_names(of_vectors)
    kinds.draw([named] * runs, kind, Request(look=SMALL))
    assert "pole angle" in words(saved[0])


def test_films_and_axes_of_the_user_have_names_of_features(
    of_vectors: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    named, figures = _with_names(of_vectors), list[Figure]()
    drawn = animation._rasterised
    monkeypatch.setattr(
        animation, "_rasterised", lambda figure: figures.append(figure) or drawn(figure)
    )
    animation.draw([named], Request(samples=[0], look=SMALL), tmp_path / "a.gif")
    assert "pole angle" in words(figures[0])
    axes = Figure().subplots()
    in_axes.draw_in_axes(axes, named, "dynamics", Request(look=SMALL))
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels[1].startswith("1: ")
    assert labels[2].startswith("pole angle: ")


def _with_names(run: Run) -> Run:
    return replace(run, manifest={**run.manifest, "names": {"features": {"2": "pole angle"}}})
