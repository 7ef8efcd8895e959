"""The filmstrip of one sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import DIFFERENCE, About
from lrpdyn.figures.drawings.filmstrip import draw_filmstrip
from lrpdyn.figures.run_data import Flags

WORDS: dict[str, Any] = {"about": About(rule="zplus", question="best action"), "sample": 3}


def _relevance(shape: tuple[int, ...]) -> Any:
    return lambda step: np.random.default_rng(step).normal(0, 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("shape", "steps"),
    [
        ((4, 84, 84), range(50_000, 600_001, 50_000)),
        ((3, 24, 24), range(3)),
        ((1, 24, 24), [0, 1_234_567]),
        ((4,), range(50_000, 600_001, 50_000)),
        ((200,), [0, 1_234_567]),
    ],
)
def test_picture_is_readable_and_the_same_twice(
    tmp_path: Path, shape: tuple[int, ...], steps: Any
) -> None:
    observation = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    for name in ("a.png", "b.png"):
        draw_filmstrip(
            tmp_path / name, observation, steps, _relevance(shape), look=Look(dpi=80), **WORDS
        )
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert 320 < picture.width < 1000
        assert 300 < picture.height < 2500


def _images(saved: list[Figure]) -> list[Any]:
    return maps.drawn_maps(saved[-1])


def test_rows_show_relevance_and_the_difference_to_the_successor(saved: list[Figure]) -> None:
    shape = (2, 6, 6)
    relevance = _relevance(shape)
    steps = list(range(0, 100, 10))
    draw_filmstrip("a.png", np.ones(shape), steps, relevance, wanted=[0, 80, 90], **WORDS)
    # One observation, three maps, two differences: the last step has no next one.
    values = [np.asarray(image.get_array()) for image in _images(saved)]
    assert len(values) == 6
    before, after = relevance(80).astype(np.float64), relevance(90).astype(np.float64)
    np.testing.assert_allclose(values[2], before.sum(axis=0))
    np.testing.assert_allclose(values[3], after.sum(axis=0))
    np.testing.assert_allclose(values[5], np.abs(before - after).sum(axis=0))


def test_relevance_is_symmetric_around_zero_and_differences_start_there(
    saved: list[Figure],
) -> None:
    shape = (1, 6, 6)
    draw_filmstrip("a.png", np.ones(shape), [1, 2, 3, 4], _relevance(shape), **WORDS)
    limits = [image.get_clim() for image in _images(saved)][1:]
    relevance, differences = limits[:4], limits[4:]
    largest = max(np.abs(_relevance(shape)(step)).max() for step in (1, 2, 3, 4))
    assert set(relevance) == {(-largest, largest)}
    assert len(set(differences)) == 1
    assert differences[0][0] == 0


@pytest.mark.parametrize("shape", [(4, 24, 24), (4,)])
def test_figure_says_what_it_shows(saved: list[Figure], shape: tuple[int, ...]) -> None:
    steps = range(100_000, 1_200_001, 100_000)
    flags = Flags({1_100_000: "far", 300_000: "mild"}, {200_000: "vanished"})
    wanted = [200_000, 1_100_000]
    draw_filmstrip(
        "a.png", np.ones(shape), steps, _relevance(shape), wanted=wanted, flags=flags, **WORDS
    )
    texts = [text.get_text() for text in saved[0].texts]
    words = saved[0].get_label()
    for expected in (
        "Relevance of sample 3 during training",
        "rule zplus; 12 checkpoints, steps 100k to 1.2M; 2 steps shown",
        "Question: best action.",
        "2 of 12 steps are shown; what is flagged is framed and named, 1 more are not shown.",
        "Relevance R_i: not clipped",
        "|R_i − R_{i+1}|, change to the next checkpoint",
    ):
        assert expected in words
    for label in (
        "200k",
        "1.1M",
        "→ 300k",
        "→ 1.2M",
        "extreme",
        "pathology",
        f"{DIFFERENCE}, change to the next checkpoint",
    ):
        assert label in texts
    assert "unusual" not in texts


def test_flagged_maps_are_framed(saved: list[Figure]) -> None:
    shape = (1, 6, 6)
    draw_filmstrip(
        "a.png", np.ones(shape), [1, 2, 3], _relevance(shape), flags=Flags({2: "far"}), **WORDS
    )
    frames = [patch.get_facecolor() for patch in maps.backdrop(saved[0]).patches]
    assert len(set(frames)) == 2
    # Observation, three maps, then the differences of 1 and 2.
    assert [frame != frames[0] for frame in frames] == [False] * 5 + [True]


def test_long_steps_are_counted_from_the_first(saved: list[Figure]) -> None:
    steps = range(10_000_003, 10_000_040, 7)
    draw_filmstrip("a.png", np.ones((1, 6, 6)), steps, _relevance((1, 6, 6)), **WORDS)
    texts = [text.get_text() for text in saved[0].texts]
    assert {"+0", "+7", "→ +7", "+35"} <= set(texts)
    assert "Labels count steps from 10,000,003." in saved[0].get_label()


def test_flat_maps_are_features_by_steps(saved: list[Figure]) -> None:
    relevance = _relevance((5,))
    draw_filmstrip("a.png", np.arange(5.0), [1, 2, 3], relevance, **WORDS)
    images = _images(saved)
    shown, differences = (np.asarray(image.get_array()) for image in images)
    np.testing.assert_allclose(shown, np.stack([relevance(step) for step in (1, 2, 3)], axis=1))
    assert differences.shape == (5, 2)
    names = [text for text in saved[0].texts if text.get_horizontalalignment() == "right"]
    assert [text.get_text() for text in names[:5]] == ["0: 0", "1: 1", "2: 2", "3: 3", "4: 4"]
    saved[0].canvas.draw()
    middles = [text.get_window_extent().intervaly.mean() for text in names[:5]]
    panel = images[0].get_window_extent()
    rows = panel.y1 - (np.arange(5) + 0.5) * panel.height / 5
    np.testing.assert_allclose(middles, rows, atol=0.1 * panel.height / 5)


@pytest.mark.parametrize("shape", [(1, 6, 6), (4,)])
def test_one_step_shows_its_relevance_alone(saved: list[Figure], shape: tuple[int, ...]) -> None:
    draw_filmstrip("a.png", np.ones(shape), [1], _relevance(shape), **WORDS)
    assert len(_images(saved)) == (2 if len(shape) == 3 else 1)
    assert not any("R_{i+1}" in text.get_text() for text in saved[0].texts)


def test_features_left_out_are_said(saved: list[Figure]) -> None:
    draw_filmstrip("a.png", np.zeros(600), [1, 2], _relevance((600,)), **WORDS)
    words = saved[0].get_label() + " ".join(text.get_text() for text in saved[0].texts)
    assert "512 of 600 features, those that changed most" in words


@pytest.mark.parametrize("shape", [(1, 8, 8), (4,)])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 3e38])
def test_odd_values_neither_fail_nor_warn(
    tmp_path: Path, shape: tuple[int, ...], value: float
) -> None:
    values = np.full(shape, value, dtype=np.float32)
    draw_filmstrip(
        tmp_path / "a.png", values, [1, 2], lambda step: values, look=Look(dpi=60), **WORDS
    )
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_no_steps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one step"):
        draw_filmstrip(tmp_path / "a.png", np.ones(4), [], _relevance((4,)), **WORDS)


@pytest.mark.parametrize("shape", [(8, 8), (0,), (1, 2, 3, 4)])
def test_observation_that_cannot_be_drawn_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ObservationError, match="expected an observation of shape"):
        draw_filmstrip(tmp_path / "a.png", np.ones(shape), [1, 2], _relevance(shape), **WORDS)
