"""What figures say in words."""

import pytest

from lrpdyn.figures.canvas import words


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
    assert words.step_labels(steps) == labels


def test_step_labels_tell_close_steps_apart() -> None:
    assert words.step_labels([1_000_100, 1_000_200]) == ["1.0001M", "1.0002M"]
    steps = list(range(10_000_000, 10_000_100, 3))
    assert len(set(words.step_labels(steps))) == len(steps)


def test_repeated_steps_share_a_label() -> None:
    assert words.step_labels([10_000, 20_000, 20_000]) == ["10k", "20k", "20k"]


def test_narrow_labels_count_from_the_first_step_where_they_would_be_long() -> None:
    assert words.narrow_labels([0, 100_000], "steps") == words.StepLabels(["0", "100k"], "")
    labels = words.narrow_labels([10_000_007, 10_000_003], "epochs")
    assert labels == words.StepLabels(["+4", "+0"], "labels count epochs from 10,000,003")


@pytest.mark.parametrize(
    ("text", "step"),
    [("0", 0), ("100_000", 100_000), ("100k", 100_000), ("1.1M", 1_100_000), (" 2B ", 2 * 10**9)],
)
def test_steps_are_read_as_figures_write_them(text: str, step: int) -> None:
    assert words.parse_step(text) == step


@pytest.mark.parametrize("text", ["", "x", "-5", "1.5", "1.2345k", "k", "1e5"])
def test_what_is_no_step_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{text}$"):
        words.parse_step(text)


def test_count_and_span() -> None:
    assert words.count_of([5]) == "1 checkpoint"
    assert words.span_of([5], "epochs") == "epochs 5"
    assert words.count_of(range(1_000)) == "1,000 checkpoints"
    assert words.span_of([10, 20, 50_000], "steps") == "steps 10 to 50,000"


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
    assert words.log_ticks(low, high) == ticks
