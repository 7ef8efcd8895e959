"""A run in a terminal."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lrpdyn.figures import terminal
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.terminal import Terminal, heatmap_lines, sparkline, terminal_of

PLAIN = Terminal(width=80, colours=0, blocks=True)
CODES = re.compile(r"\x1b\[[0-9;]*m")


def _values() -> np.ndarray:
    values = np.zeros((40, 40))
    values[30:, :10] = 4.0
    return values


def test_brightness_follows_the_values() -> None:
    lines = heatmap_lines(_values(), "inferno", PLAIN)
    assert len(lines) == 20
    assert {len(line) for line in lines} == {40}
    assert lines[-1] == "█" * 10 + " " * 30
    assert lines[0].strip() == ""


def test_the_map_is_no_wider_than_the_terminal() -> None:
    values = np.arange(200.0 * 300).reshape(200, 300)
    for width in (24, 50, 300):
        lines = heatmap_lines(values, "inferno", Terminal(width=width, colours=0, blocks=True))
        assert {len(line) for line in lines} == {min(width, terminal.WIDEST_MAP)}


@pytest.mark.parametrize("colours", [256, 2**24])
def test_colours_show_two_places_in_a_character(colours: int) -> None:
    values = np.zeros((4, 4))
    values[1] = 1.0
    lines = heatmap_lines(values, "Greys_r", Terminal(width=80, colours=colours, blocks=True))
    assert len(lines) == 2
    assert all(CODES.sub("", line) == "▀" * 4 for line in lines)
    assert all(line.endswith(terminal.RESET) for line in lines)
    black, white = ("16", "231") if colours == 256 else ("0;0;0", "255;255;255")
    kind = "5" if colours == 256 else "2"
    assert lines[0].startswith(f"\x1b[38;{kind};{black};48;{kind};{white}m")


def test_sparklines_rise_with_their_values() -> None:
    assert sparkline(np.arange(8.0), 80, PLAIN) == "▁▂▃▄▅▆▇█"
    assert sparkline(np.array([1.0, np.nan, 2.0]), 80, PLAIN) == "▁ █"
    assert sparkline(np.ones(3), 80, PLAIN) == "▁▁▁"
    spike = np.zeros(1_000)
    spike[777] = 1
    drawn = sparkline(spike, 20, PLAIN)
    assert len(drawn) == 20
    assert drawn.index("█") == 15
    assert sparkline(np.full(4, np.nan), 80, PLAIN) == "    "


@pytest.mark.parametrize(
    ("is_terminal", "encoding", "environment", "expected"),
    [
        (True, "utf-8", {}, Terminal(width=80, colours=256, blocks=True)),
        (True, "utf-8", {"COLORTERM": "truecolor"}, Terminal(width=80, colours=2**24, blocks=True)),
        (
            True,
            "utf-8",
            {"COLORTERM": "truecolor", "NO_COLOR": "1"},
            Terminal(width=80, colours=0, blocks=True),
        ),
        (True, "utf-8", {"TERM": "dumb"}, Terminal(width=80, colours=0, blocks=True)),
        (False, "utf-8", {"COLORTERM": "truecolor"}, Terminal(width=80, colours=0, blocks=True)),
        (True, "ascii", {}, Terminal(width=80, colours=0, blocks=False)),
        (False, None, {}, Terminal(width=80, colours=0, blocks=False)),
    ],
)
def test_what_a_terminal_can_show(
    is_terminal: bool, encoding: str | None, environment: dict[str, str], expected: Terminal
) -> None:
    found = terminal_of(80, is_terminal=is_terminal, encoding=encoding, environment=environment)
    assert found == expected


@pytest.mark.parametrize("shape", [(4, 30, 20), (6,), (100,)])
@pytest.mark.parametrize(
    "limits",
    [Terminal(width=80, colours=0, blocks=True), Terminal(width=24, colours=0, blocks=False)],
)
def test_a_picture_has_its_words_and_fits(shape: tuple[int, ...], limits: Terminal) -> None:
    dynamics = np.random.default_rng(0).exponential(size=shape)
    lines = terminal.picture_lines(
        np.ones(shape), dynamics, {"change": np.arange(50.0), "none": np.full(50, np.nan)},
        steps=range(0, 500, 10), sample=3, about=About(rule="zplus", question="q" * 99), look=Look(),
        terminal=limits,
    )  # fmt: skip
    assert max(map(len, lines)) <= limits.width
    text = "\n".join(lines)
    assert lines[0].startswith("dynamics of sample 3")
    assert "0 to 49" in text
    assert "none" not in text
    if not limits.blocks:
        assert text.isascii()


@pytest.mark.parametrize(("width", "expected"), [(80, "pole angle: 1"), (24, "1: 1")])
def test_features_have_names_that_fit(width: int, expected: str) -> None:
    names = {"features": {"1": "pole angle", "2": "a name " * 9}}
    lines = terminal.picture_lines(
        np.ones(3), np.arange(3.0), {}, steps=[0, 10], sample=0, look=Look(),
        about=About(rule="zplus", question="best action", names=names),
        terminal=Terminal(width=width, colours=0, blocks=True),
    )  # fmt: skip
    assert [line.split("  █")[0].strip() for line in lines[5:7]] == [expected, "2: 1"]
    assert max(map(len, lines)) <= width
