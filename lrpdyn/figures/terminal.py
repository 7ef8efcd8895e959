"""A run in a terminal: a small heatmap in characters, and series as sparklines."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np

from lrpdyn.figures.canvas import features, style, words
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.style import Array
from lrpdyn.figures.request import Request
from lrpdyn.figures.run_data import about_of
from lrpdyn.files.names import NO_NAMES, Names
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.series import series_of_sample

#: From nothing to the limit: for terminals that know blocks, and for those that do not.
SHADES, PLAIN_SHADES = " ░▒▓█", " .:-=+*#%@"
LEVELS, PLAIN_LEVELS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
WIDEST_MAP, MOST_FEATURES = 56, 16
NARROWEST = 24
RESET = "\x1b[0m"


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """What a terminal can show.

    `width` is the characters in a line, `colours` 0 (none), 256 or 2**24; `blocks`: it knows block
    characters.
    """

    width: int
    colours: int
    blocks: bool


def terminal_of(
    width: int, *, is_terminal: bool, encoding: str | None, environment: Mapping[str, str]
) -> Terminal:
    """Return what can be shown: colours on a terminal that does not say NO_COLOR, blocks in Unicode."""
    try:
        (SHADES + LEVELS + "▀→").encode(encoding or "ascii")
        blocks = True
    except (UnicodeEncodeError, LookupError):
        blocks = False
    plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    colours = 0
    if is_terminal and blocks and not plain:
        deep = environment.get("COLORTERM", "") in ("truecolor", "24bit")
        colours = 2**24 if deep else 256
    return Terminal(width=max(width, NARROWEST), colours=colours, blocks=blocks)


def lines(run: RunFolder, request: Request, terminal: Terminal) -> list[str]:
    """Return a heatmap and sparklines of each sample, the first by default."""
    found: list[str] = []
    for sample in request.samples or [0]:
        series = series_of_sample(run, sample)
        curves, of = series.curves(), series.typical.removesuffix(" over samples")
        shown = {
            f"change{of}": curves["change"],
            f"prediction change{of}": curves["prediction_change"],
            f"score{of}": series.median("score"),
            f"entropy{of}": curves["entropy"],
        }
        if request.curve is not None:
            shown[request.curve.source] = request.curve.at(series.steps)
        found += [""] if found else []
        found += picture_lines(
            run.mapped("observations")[sample],
            run.mapped("dynamics")[sample],
            shown,
            steps=run.steps,
            sample=sample,
            about=about_of(run),
            look=request.look,
            terminal=terminal,
        )
    return found


def heatmap_lines(values: Array, colours: str, terminal: Terminal) -> list[str]:
    """Draw (H, W) values, the mean of the pixels that share a place, from 0 to the largest mean.

    In colours a character shows two places, one above the other, else one.
    """
    height, width = values.shape
    columns = min(terminal.width, WIDEST_MAP, width)
    rows = max(1, round(height * columns / width / 2))
    if terminal.colours:
        strengths = _relative(_smaller(values, 2 * rows, columns))
        upper, lower = (
            _codes(half, colours, terminal) for half in (strengths[::2], strengths[1::2])
        )
        return [
            "".join(f"\x1b[38;{a};48;{b}m▀" for a, b in zip(above, below, strict=True)) + RESET
            for above, below in zip(upper, lower, strict=True)
        ]
    shades = SHADES if terminal.blocks else PLAIN_SHADES
    places = np.rint(_relative(_smaller(values, rows, columns)) * (len(shades) - 1)).astype(int)
    return ["".join(shades[place] for place in row) for row in places]


def _relative(values: Array) -> Array:
    largest = float(values.max())
    return values / largest if largest > 0 else values


def _smaller(values: Array, rows: int, columns: int) -> Array:
    """Average (H, W) over blocks; rows that there are too few of are repeated."""
    finite = np.where(np.isfinite(values), values, 0.0)
    for axis, count in ((0, rows), (1, columns)):
        length = finite.shape[axis]
        if count >= length:
            finite = np.take(finite, np.arange(count) * length // count, axis=axis)
            continue
        edges = np.arange(count + 1) * length // count
        sums = np.add.reduceat(finite, edges[:-1], axis=axis)
        finite = sums / np.expand_dims(np.diff(edges), 1 - axis)
    return finite


def _codes(strengths: Array, colours: str, terminal: Terminal) -> list[list[str]]:
    """Return the colour of each value as a terminal takes it."""
    found = matplotlib.colormaps[colours](strengths, bytes=True)[..., :3].astype(int)
    if terminal.colours == 256:
        cube = np.rint(found / 51).astype(int)
        return [[f"5;{16 + 36 * r + 6 * g + b}" for r, g, b in row] for row in cube.tolist()]
    return [[f"2;{r};{g};{b}" for r, g, b in row] for row in found.tolist()]


def sparkline(values: Array, width: int, terminal: Terminal) -> str:
    """Draw (S,) values from the least to the largest in at most `width` characters.

    Where there are more values, each character is the largest of its share; what is not finite is a
    space.
    """
    levels = LEVELS if terminal.blocks else PLAIN_LEVELS
    if len(values) > width:
        edges = np.arange(width + 1) * len(values) // width
        filled = np.where(np.isfinite(values), values, -np.inf)
        values = np.array([filled[a:b].max() for a, b in itertools.pairwise(edges)])
    finite = values[np.isfinite(values)]
    if not finite.size:
        return " " * len(values)
    low, high = float(finite.min()), float(finite.max())
    span = high - low or 1.0
    return "".join(
        levels[min(int((value - low) / span * len(levels)), len(levels) - 1)]
        if np.isfinite(value)
        else " "
        for value in values.tolist()
    )


def series_lines(series: Mapping[str, Array], terminal: Terminal) -> list[str]:
    """Draw each series in a line, with its name and its least and largest value."""
    known = {name: values for name, values in series.items() if np.isfinite(values).any()}
    if not known:
        return []
    names = max(len(name) for name in known)
    ends = {name: f"{np.nanmin(v):.3g} to {np.nanmax(v):.3g}" for name, v in known.items()}
    room = terminal.width - names - 4 - max(len(end) for end in ends.values())
    lines = []
    for name, values in known.items():
        drawn = sparkline(np.where(np.isinf(values), np.nan, values), max(room, 4), terminal)
        lines.append(f"{name:<{names}}  {drawn}  {ends[name]}"[: terminal.width])
    return lines


def feature_lines(
    observation: Array, dynamics: Array, limit: float, terminal: Terminal, names: Names = NO_NAMES
) -> list[str]:
    """Draw (F,) dynamics as bars, those of the sixteen strongest features."""
    chosen = features.largest_features(dynamics, MOST_FEATURES)
    # Bars and values need room: a longer name is left out for its number.
    known = names.get("features", {}).items()
    fitting = {one: name for one, name in known if len(name) <= terminal.width // 3 - 5}
    labels = features.feature_names(chosen, observation, {"features": fitting}, most=math.inf)
    width = max(map(len, labels))
    room = max(terminal.width - width - 2 - 10, 4)
    full = SHADES[-1] if terminal.blocks else "#"
    return [
        f"{name:>{width}}  {full * round(room * float(value) / limit):<{room}} {value:.3g}"
        for name, value in zip(labels, np.nan_to_num(dynamics[chosen]), strict=True)
    ]


def picture_lines(
    observation: Array,
    dynamics: Array,
    series: Mapping[str, Array],
    *,
    steps: Sequence[int],
    sample: int,
    about: words.About,
    look: Look,
    terminal: Terminal,
) -> list[str]:
    """Return a heatmap of one sample and its series, with what they are, as lines.

    `observation` and `dynamics` are (C, H, W), or flat (F,), of the sample; `series` are (S,), NaN
    where there is no value.
    """
    values = style.sum_channels(dynamics) if dynamics.ndim == 3 else np.asarray(dynamics)
    largest = float(values[np.isfinite(values)].max(initial=0.0))
    body = (
        heatmap_lines(values, look.colours, terminal)
        if dynamics.ndim == 3
        else feature_lines(observation, values, largest or 1.0, terminal, about.names)
    )
    head = [
        f"dynamics of {about.sample(sample)} over {words.count_of(steps)}",
        f"{words.span_of(steps, about.unit)}; rule {about.rule}",
        about.question,
        *([about.axes] if about.axes else []),
        f"{about.value_unit}; largest {largest:.3g}",
    ]
    width = terminal.width
    head = [line if len(line) <= width else f"{line[: width - 3]}..." for line in head]
    return [*head, *body, "", *series_lines(series, terminal)]
