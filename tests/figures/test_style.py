"""Colour scales, labels and saving."""

import os
from pathlib import Path
from typing import IO

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures import layout, style


def test_scale_ends_at_the_largest_size_whatever_its_sign() -> None:
    scale = style.colour_scale(np.array([[1.0, -4.0], [2.0, 3.0]]))
    assert (scale.limit, scale.clipped) == (4.0, False)
    assert scale.note == "not clipped, largest 4"


def test_scale_is_clipped_where_one_value_would_hide_the_rest() -> None:
    values = np.linspace(0, 1, 10_000)
    values[5] = 50
    scale = style.colour_scale(values)
    assert scale.clipped
    assert scale.limit == pytest.approx(np.quantile(values, 0.999))
    assert scale.note == "clipped at the 99.9 % quantile, 0.999; largest 50"


@pytest.mark.parametrize(("largest", "clipped"), [(1.9, False), (2.1, True)])
def test_scale_is_clipped_from_twice_the_quantile(largest: float, clipped: bool) -> None:
    values = np.ones(10_000)
    values[0] = largest
    assert style.colour_scale(values).clipped is clipped


def test_scale_of_few_values_among_zeros_is_not_clipped_to_zero() -> None:
    values = np.zeros(10_000)
    values[:2] = 3, 7
    assert style.colour_scale(values).limit == 7


@pytest.mark.parametrize("values", [np.zeros((2, 3)), np.full(4, np.nan), np.zeros(0)])
def test_scale_without_any_size_is_one(values: np.ndarray) -> None:
    scale = style.colour_scale(values)
    assert scale.limit == 1
    assert "all values are zero" in scale.note


def test_scale_counts_what_is_not_finite() -> None:
    scale = style.colour_scale(np.array([1.0, np.nan, -np.inf]))
    assert scale.limit == 1
    assert "2 not finite" in scale.note


def test_sum_channels_keeps_signs_and_does_not_overflow() -> None:
    values = np.array([3e38, 3e38, -1e38], dtype=np.float32).reshape(1, 3, 1, 1)
    assert style.sum_channels(values) == pytest.approx(5e38, rel=1e-6)
    assert style.sum_channels(np.ones((5, 2, 4, 3))).shape == (5, 4, 3)


def test_frame_stack_shows_its_last_channel_stretched_over_all_samples() -> None:
    observations = np.zeros((2, 4, 1, 2), dtype=np.float32)
    observations[:, :3] = 99
    observations[0, 3] = [[10, 20]]
    observations[1, 3] = [[15, 10]]
    shown = style.displayed_observations(observations)
    np.testing.assert_allclose(shown, np.array([[[0, 1]], [[0.5, 0]]]))


def test_three_channels_in_0_to_1_keep_their_colours() -> None:
    observations = np.random.default_rng(0).uniform(0.2, 0.7, (2, 3, 4, 5))
    shown = style.displayed_observations(observations)
    np.testing.assert_array_equal(shown, observations.transpose(0, 2, 3, 1))


def test_three_channels_beyond_1_are_stretched_together() -> None:
    observations = np.array([0.0, 51, 255]).reshape(1, 3, 1, 1)
    shown = style.displayed_observations(observations)
    np.testing.assert_allclose(shown.ravel(), [0, 0.2, 1])


def test_constant_observation_is_mid_grey() -> None:
    assert (style.displayed_observations(np.full((1, 1, 2, 2), 7.0)) == 0.5).all()


@pytest.mark.parametrize(
    ("steps", "labels"),
    [
        ([0, 7, 9_999], ["0", "7", "9,999"]),
        ([12_000, 100_000, 1_200_000], ["12k", "100k", "1.2M"]),
        ([12_345, 50_000], ["12.3k", "50k"]),
        ([999_999, 500_000], ["1M", "500k"]),
        ([2_000_000_000], ["2B"]),
        ([1_050_000, 10_000], ["1.05M", "10k"]),
    ],
)
def test_step_labels_are_short(steps: list[int], labels: list[str]) -> None:
    assert style.step_labels(steps) == labels


def test_step_labels_tell_close_steps_apart() -> None:
    assert style.step_labels([1_000_100, 1_000_200]) == ["1.0001M", "1.0002M"]
    steps = list(range(10_000_000, 10_000_100, 3))
    assert len(set(style.step_labels(steps))) == len(steps)


def test_repeated_steps_share_a_label() -> None:
    assert style.step_labels([10_000, 20_000, 20_000]) == ["10k", "20k", "20k"]


def test_transition_labels_break_only_where_one_is_too_wide() -> None:
    labels = ["100k", "200k", "0", "1"]
    assert style.transition_labels(labels, 1000, 10) == [["100k → 200k"], ["0 → 1"]]
    assert style.transition_labels(labels, 50, 10) == [["100k", "→ 200k"], ["0", "→ 1"]]


def test_count_and_span() -> None:
    assert style.count_of([5]) == "1 checkpoint"
    assert style.span_of([5], "epochs") == "epochs 5"
    assert style.count_of(range(1_000)) == "1,000 checkpoints"
    assert style.span_of([10, 20, 50_000], "steps") == "steps 10 to 50,000"


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (1e-5, 1.5, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0]),
        (1e-12, 1.5, [1e-12, 1e-9, 1e-6, 1e-3, 1.0]),
        (1.5, 30, [2, 5, 10, 20]),
        (0.2001, 0.8, [0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
        (0.91, 1.09, [0.91, 1.09]),
    ],
)
def test_log_ticks_are_round_and_few(low: float, high: float, ticks: list[float]) -> None:
    assert style.log_ticks(low, high) == ticks


def _settings() -> dict[str, object]:
    # Asking for the backend would choose one.
    return {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}


def _figure() -> Figure:
    return layout.new_figure(20, 10, 100)


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_saving_twice_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    settings = _settings()
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        style.save_figure(_figure(), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert sorted(os.listdir(tmp_path)) == sorted(path.name for path in paths)
    assert _settings() == settings


def test_png_names_no_software(tmp_path: Path) -> None:
    style.save_figure(_figure(), tmp_path / "a.png")
    assert b"Software" not in (tmp_path / "a.png").read_bytes()


def test_interrupted_saving_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def torn(self: Figure, file: IO[bytes], **options: object) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", torn)
    with pytest.raises(RunError, match=r"a\.png: cannot be written: no space is left on its disk"):
        style.save_figure(_figure(), target)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_saving_where_no_folder_can_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"a\.png: cannot be written: (File exists|Not a directory)"):
        style.save_figure(_figure(), tmp_path / "file" / "a.png")


def test_saving_under_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"expected a name ending in \.png or \.pdf, found '\.gif'"
    ):
        style.save_figure(_figure(), tmp_path / "a.gif")
