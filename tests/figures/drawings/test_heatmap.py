"""The dynamics heatmap."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.figures.canvas import maps, style
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About, Caption
from lrpdyn.figures.drawings import heatmap
from lrpdyn.figures.drawings.heatmap import MOST_BARS, Moved, bars_figure, draw_heatmap

WORDS: dict[str, Any] = {"steps": [10, 20], "about": About(rule="zplus", question="best action")}


def _moved(dynamics: np.ndarray) -> Moved:
    summed = dynamics.astype(np.float64).sum(axis=1) if dynamics.ndim == 4 else dynamics
    return Moved(dynamics=dynamics, net_change=dynamics / 3, relative=summed / 2)


def _arrays(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    observations = random.uniform(0, 1, shape).astype(np.float32)
    return observations, random.exponential(1, shape).astype(np.float32)


def _words(figure: Figure) -> str:
    return str(figure.get_label()) + " ".join(text.get_text() for text in figure.texts)


@pytest.mark.parametrize("shape", [(2, 4, 84, 84), (2, 2, 24, 24), (1, 3, 224, 224), (4, 4)])
def test_picture_is_readable_and_the_same_twice(tmp_path: Path, shape: tuple[int, ...]) -> None:
    observations, dynamics = _arrays(shape)
    for name in ("a.png", "b.png"):
        draw_heatmap(tmp_path / name, observations, _moved(dynamics), look=Look(dpi=80), **WORDS)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert 400 < picture.width < 1400
        assert 250 < picture.height < 1500


@pytest.mark.parametrize("dpi", [90, 150])
def test_each_element_is_the_same_whole_number_of_pixels(
    tmp_path: Path, saved: list[Figure], dpi: int
) -> None:
    observations, dynamics = _arrays((2, 1, 24, 20))
    draw_heatmap(tmp_path / "a.png", observations, _moved(dynamics), look=Look(dpi=dpi), **WORDS)
    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    panels = [image for image in maps.drawn_maps(saved[0]) if image.get_array().shape[0] == 24]
    assert len(panels) == 8
    for image in panels:
        box = image.get_window_extent()
        left, bottom, width, height = (round(length) for length in box.bounds)
        top = picture.shape[0] - bottom - height
        panel = picture[top : top + height, left : left + width]
        scale = height // 24
        assert panel.shape == (24 * scale, 20 * scale, 3)
        small = panel[::scale, ::scale]
        np.testing.assert_array_equal(small.repeat(scale, 0).repeat(scale, 1), panel)
        if image is panels[0]:
            grey = style.displayed_observations(observations)[0] * 255
            np.testing.assert_allclose(small[..., 0], grey, atol=2)


def test_all_samples_share_one_scale_from_zero(tmp_path: Path, saved: list[Figure]) -> None:
    observations, dynamics = _arrays((3, 2, 8, 8))
    dynamics[1] *= 1.5
    draw_heatmap(tmp_path / "a.png", observations, _moved(dynamics), **WORDS)
    drawn = [image for image in maps.drawn_maps(saved[0]) if image.get_array().shape[0] == 8]
    summed = dynamics.astype(np.float64).sum(axis=1)
    for column, values in ((1, summed), (2, summed / 3)):
        of_column = drawn[column::4]
        (limits,) = {image.get_clim() for image in of_column}
        assert limits == pytest.approx((0.0, values.max()))
        shown = np.stack([np.asarray(image.get_array()) for image in of_column])
        np.testing.assert_allclose(shown, values, rtol=1e-6)


def test_figure_says_what_it_shows(tmp_path: Path, saved: list[Figure]) -> None:
    observations, dynamics = _arrays((20, 4, 6, 6))
    dynamics[0, 0, 0, 0] = 1000
    steps = range(50_000, 1_150_001, 50_000)
    draw_heatmap(
        tmp_path / "a.png",
        observations,
        _moved(dynamics),
        steps=steps,
        about=About(rule="gamma:0.25", question="Q value of the best action", unit="updates"),
        look=Look(dpi=60),
    )
    words = _words(saved[0])
    for expected in (
        "Where relevance moved during training",
        "23 checkpoints, updates 50k to 1.15M",
        "Updates 50,000 to 1,150,000",
        "Rule gamma:0.25",
        "Q value of the best action",
        "16 of 20 samples",
        "last of 4 channels",
        "units of the score",
        "99.9 % quantile",
        "the largest is 1e+03",
        "sample 15",
    ):
        assert expected in words
    assert "sample 16" not in words


def test_few_strongest_features_are_said(tmp_path: Path, saved: list[Figure]) -> None:
    observations, dynamics = _arrays((3, 128))
    draw_heatmap(
        tmp_path / "a.png", observations, _moved(dynamics), samples=[2], relative=True, **WORDS
    )
    assert "1 of 3 samples; 64 strongest of 128 features" in _words(saved[0])
    _key, axes = saved[0].axes
    lengths = [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
    strongest = np.sort(dynamics[2])[::-1][:64]
    np.testing.assert_allclose(lengths, np.r_[strongest, strongest / 3])
    names = [
        text.get_text() for text in saved[0].texts if text.get_horizontalalignment() == "right"
    ]
    assert len(names) == 128
    assert names[0] == str(dynamics[2].argmax())
    assert names[64] == f"{dynamics[2].max() / 2:.2g}"


def test_observed_values_stand_beside_few_features(tmp_path: Path, saved: list[Figure]) -> None:
    observations = np.array([[0.25, -3.0]], dtype=np.float32)
    draw_heatmap(tmp_path / "a.png", observations, _moved(np.ones((1, 2))), relative=True, **WORDS)
    names = [
        text.get_text() for text in saved[0].texts if text.get_horizontalalignment() == "right"
    ]
    assert names == ["0: 0.25", "1: -3", "0.5", "0.5"]


@pytest.mark.parametrize("shape", [(3, 8, 8), (4,)])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 3e38])
def test_odd_values_neither_fail_nor_warn(
    tmp_path: Path, shape: tuple[int, ...], value: float
) -> None:
    odd = np.ones((2, *shape), dtype=np.float32)
    odd[0] = value
    odd[1, ..., -1] = value
    draw_heatmap(tmp_path / "a.png", odd, _moved(odd), look=Look(dpi=60), **WORDS)
    draw_heatmap(tmp_path / "a.png", odd[:1], _moved(odd[:1]), look=Look(dpi=60), **WORDS)
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_samples_are_drawn_as_asked() -> None:
    assert heatmap.choose_samples(20, None) == list(range(16))
    assert heatmap.choose_samples(20, [19, 3]) == [19, 3]
    assert len(heatmap.choose_samples(64, range(30, 60))) == 16


@pytest.mark.parametrize(("samples", "found"), [([4], r"\[4\]"), ([-1], r"\[-1\]"), ([], "none")])
def test_samples_that_do_not_exist_are_refused(samples: list[int], found: str) -> None:
    with pytest.raises(UsageError, match=f"from 0 to 3, found {found}"):
        heatmap.choose_samples(4, samples)


def test_shapes_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ObservationError, match=r"\(2, 4\), dynamics \(2, 5\)"):
        draw_heatmap(tmp_path / "a.png", np.zeros((2, 4)), _moved(np.zeros((2, 5))), **WORDS)


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 1, 8, 8)])
def test_shapes_that_cannot_be_drawn_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ObservationError, match="expected arrays of shape"):
        draw_heatmap(tmp_path / "a.png", np.zeros(shape), _moved(np.zeros(shape)), **WORDS)


def test_no_steps_are_refused(tmp_path: Path) -> None:
    observations, dynamics = _arrays((1, 4))
    with pytest.raises(UsageError, match="at least one step"):
        draw_heatmap(tmp_path / "a.png", observations, _moved(dynamics), **{**WORDS, "steps": []})


def test_overlay_shows_the_picture_where_nothing_moved_and_colour_where_most_did() -> None:
    pictures = np.array([[[0.2, 1.0, 1.0]]])
    dynamics = np.array([[[0.0, 5.0, np.nan]]])
    both = maps.overlaid(pictures, dynamics, 5.0, "inferno")
    dark, light = maps.DIMMED
    np.testing.assert_allclose(both[0, 0, [0, 2]], [[dark + 0.2 * (light - dark)] * 3, [light] * 3])
    # The top of the scale is yellow: little blue is left of the white.
    red, _, blue = both[0, 0, 1]
    assert red > 0.9
    assert blue < 0.8


def test_overlay_hides_more_where_more_moved() -> None:
    strength = np.linspace(0, 1, 11)[np.newaxis, np.newaxis]
    dark, light = (
        maps.overlaid(np.full((1, 1, 11), grey), strength, 1.0, "inferno") for grey in (0, 1)
    )
    seen_through = (light - dark)[0, 0, :, 0]
    assert (np.diff(seen_through) < 0).all()
    dark_end, light_end = maps.DIMMED
    np.testing.assert_allclose(seen_through[[0, -1]], np.array([1, 0.1]) * (light_end - dark_end))


@pytest.mark.parametrize("colours", ["inferno", "inferno_r", "magma", "viridis", "cividis_r"])
@pytest.mark.parametrize("grey", [0.0, 1.0])
def test_overlay_is_told_from_black_and_white_frames(colours: str, grey: float) -> None:
    strength = np.array([[[0.0, 0.1, 0.3, 1.0]]])
    shown = maps.overlaid(np.full((1, 1, 4), grey), strength, 1.0, colours)[0, 0]
    distance = np.abs(shown[1:] - shown[0]).max(axis=1)
    assert (distance > 0.06).all()
    # On black, what moved most stands out most; on white, the lightest colours do by their hue.
    assert distance[-1] > 0.25


def test_overlay_makes_colours_grey() -> None:
    pictures = np.random.default_rng(0).uniform(0, 1, (1, 2, 2, 3))
    both = maps.overlaid(pictures, np.zeros((1, 2, 2)), 1.0, "inferno")
    np.testing.assert_allclose(both[..., 0], both[..., 2])


CAPTION = Caption(title="Title", line=["rule"], notes=["question"])


def _bars(dynamics: np.ndarray, chosen: list[int]) -> Figure:
    moved = Moved(dynamics=dynamics, net_change=dynamics / 4, relative=dynamics * 2)
    titles = [f"sample {sample}" for sample in chosen]
    figure, caption = bars_figure(np.ones(dynamics.shape), moved, titles, CAPTION, Look(dpi=80))
    figure.set_label(caption.text())
    return figure


def _lengths(figure: Figure) -> list[list[float]]:
    return [
        [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]
        for axes in figure.axes
        if axes.patches
    ]


def test_each_sample_has_a_panel_of_its_dynamics_and_its_net_change() -> None:
    dynamics = np.array([[1.0, 3.0], [2.0, 0.5], [0.0, 4.0]])
    figure = _bars(dynamics, [7, 8, 9])
    np.testing.assert_allclose(_lengths(figure), np.hstack([dynamics, dynamics / 4]))
    for sample in (7, 8, 9):
        assert f"sample {sample}" in _words(figure)


def test_all_panels_reach_to_the_largest_of_all() -> None:
    figure = _bars(np.array([[1.0, 3.0], [8.0, 0.5]]), [0, 1])
    assert [axes.get_xlim() for axes in figure.axes if axes.patches] == [(0, 8 * 1.02)] * 2
    assert "the largest is 8" in _words(figure)


def test_of_many_features_the_strongest_are_drawn_first() -> None:
    dynamics = np.random.default_rng(0).permutation(np.arange(MOST_BARS + 6.0))[np.newaxis]
    (found,) = _lengths(_bars(dynamics, [0]))
    assert found[:MOST_BARS] == [float(value) for value in range(MOST_BARS + 5, 5, -1)]


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_what_is_not_finite_has_no_bar_and_sets_no_scale(odd: float) -> None:
    figure = _bars(np.array([[2.0, odd]]), [0])
    np.testing.assert_allclose(_lengths(figure), [[2.0, 0.0, 0.5, 0.0]])
    assert "the largest is 2" in _words(figure)


def test_a_network_that_never_changed_has_a_scale_all_the_same() -> None:
    figure = _bars(np.zeros((1, 3)), [0])
    assert _lengths(figure) == [[0.0] * 6]
    assert "the largest is 0" in _words(figure)
