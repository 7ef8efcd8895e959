"""The filmstrip of one sample."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures import draw_filmstrip, style

WORDS: dict[str, Any] = {"rule": "zplus", "question": "best action", "sample": 3}


def _relevance(shape: tuple[int, ...]) -> Any:
    return lambda step: np.random.default_rng(step).normal(0, 1, shape).astype(np.float32)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """Figures that would have been saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(style, "save_figure", lambda figure, path: figures.append(figure))
    return figures


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
        draw_filmstrip(tmp_path / name, observation, steps, _relevance(shape), dpi=80, **WORDS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert 320 < picture.width < 1000
        assert 300 < picture.height < 2500


def test_rows_show_relevance_and_the_difference_to_the_successor(saved: list[Figure]) -> None:
    shape = (2, 6, 6)
    relevance = _relevance(shape)
    draw_filmstrip("a.png", np.ones(shape), list(range(0, 100, 10)), relevance, count=3, **WORDS)
    images = [axes.images[0] for axes in saved[0].axes if axes.images]
    # One observation, three maps, three differences.
    assert len(images) == 7
    last_map, last_difference = (np.asarray(images[place].get_array()) for place in (3, 6))
    before, after = relevance(80).astype(np.float64), relevance(90).astype(np.float64)
    np.testing.assert_allclose(last_map, before.sum(axis=0))
    np.testing.assert_allclose(last_difference, np.abs(before - after).sum(axis=0))


def test_relevance_is_symmetric_around_zero_and_differences_start_there(
    saved: list[Figure],
) -> None:
    shape = (1, 6, 6)
    draw_filmstrip("a.png", np.ones(shape), [1, 2, 3, 4], _relevance(shape), **WORDS)
    limits = [axes.images[0].get_clim() for axes in saved[0].axes if axes.images][1:]
    maps, differences = limits[:3], limits[3:]
    largest = max(np.abs(_relevance(shape)(step)).max() for step in (1, 2, 3))
    assert set(maps) == {(-largest, largest)}
    assert len(set(differences)) == 1
    assert differences[0][0] == 0


@pytest.mark.parametrize("shape", [(4, 24, 24), (4,)])
def test_figure_says_what_it_shows(saved: list[Figure], shape: tuple[int, ...]) -> None:
    steps = range(100_000, 1_200_001, 100_000)
    draw_filmstrip("a.png", np.ones(shape), steps, _relevance(shape), count=2, **WORDS)
    texts = [text.get_text() for text in saved[0].texts]
    words = " ".join(texts)
    for expected in (
        "Relevance of sample 3 over 12 checkpoints",
        "steps 100,000 to 1,200,000; rule zplus",
        "best action",
        "transitions shown: 2 of 11",
        "relevance R_i, units of the score (not clipped",
        "|R_i - R_i+1|",
    ):
        assert expected in words
    for label in ("100k", "1.1M", "100k → 200k", "1.1M → 1.2M"):
        assert label in texts


def test_flat_maps_are_features_by_steps(saved: list[Figure]) -> None:
    relevance = _relevance((5,))
    draw_filmstrip("a.png", np.arange(5.0), [1, 2, 3], relevance, **WORDS)
    maps, differences = (
        np.asarray(axes.images[0].get_array()) for axes in saved[0].axes if axes.images
    )
    np.testing.assert_allclose(maps, np.stack([relevance(1), relevance(2)], axis=1))
    assert differences.shape == (5, 2)
    names = [text for text in saved[0].texts if text.get_horizontalalignment() == "right"]
    assert [text.get_text() for text in names[:5]] == ["0: 0", "1: 1", "2: 2", "3: 3", "4: 4"]
    saved[0].canvas.draw()
    middles = [text.get_window_extent().intervaly.mean() for text in names[:5]]
    panel = saved[0].axes[0].bbox
    rows = panel.y1 - (np.arange(5) + 0.5) * panel.height / 5
    np.testing.assert_allclose(middles, rows, atol=0.1 * panel.height / 5)


def test_features_left_out_are_said(saved: list[Figure]) -> None:
    draw_filmstrip("a.png", np.zeros(600), [1, 2], _relevance((600,)), **WORDS)
    words = " ".join(text.get_text() for text in saved[0].texts)
    assert "512 of 600 features, those that changed most" in words


@pytest.mark.parametrize("shape", [(1, 8, 8), (4,)])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 3e38])
def test_odd_values_neither_fail_nor_warn(
    tmp_path: Path, shape: tuple[int, ...], value: float
) -> None:
    values = np.full(shape, value, dtype=np.float32)
    draw_filmstrip(tmp_path / "a.png", values, [1, 2], lambda step: values, dpi=60, **WORDS)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_one_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 2 steps"):
        draw_filmstrip(tmp_path / "a.png", np.ones(4), [1], _relevance((4,)), **WORDS)


@pytest.mark.parametrize("shape", [(8, 8), (0,), (1, 2, 3, 4)])
def test_observation_that_cannot_be_drawn_is_refused(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ObservationError, match="expected an observation of shape"):
        draw_filmstrip(tmp_path / "a.png", np.ones(shape), [1, 2], _relevance(shape), **WORDS)
