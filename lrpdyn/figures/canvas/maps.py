"""Maps in a figure: placed on whole pixels, with a frame, a colour bar and a scale in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Polygon, Rectangle

from lrpdyn.figures.canvas import layout, style, words
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.style import Array

STRONGEST_OVERLAY = 0.9
#: An overlay leaves out the part of its colours that is darkest, or lightest.
FIRST_COLOUR = 0.35
#: The greys of a picture below an overlay, from its black to its white, where colours become lighter,
#: and where they become darker.
DIMMED, PALED = (0.08, 0.6), (0.7, 0.96)
#: Where elements have so many pixels, one more or less is not seen.
COARSE = 8
#: Digits at the end of a small colour bar are dropped beyond so many characters.
LONGEST_END = 6
FRAME = "0.6"
#: The group of arrows at the ends of clipped colour bars.
EXTENDED = "extended"
_BACKDROP = "maps"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How one kind of map is coloured.

    `what` the colours mean; the name of the colour map, and the value at its end (`limit`).
    `signed` ones begin at -limit, others at 0. `clipped`: larger values are drawn as the limit;
    `note` is the scale in words. `own`: each map runs to a limit of its own, and is drawn relative
    to it.
    """

    what: str
    colours: str
    limit: float
    signed: bool
    clipped: bool
    note: str
    own: bool = False

    @property
    def low(self) -> float:
        """The value at which the colours begin."""
        return -self.limit if self.signed else 0.0

    @property
    def heading(self) -> str:
        """What the colours mean, and whether they hold all values, in words."""
        return self.what + (", clipped" if self.clipped else "")

    @property
    def sentence(self) -> str:
        """What the colours mean and how far they reach, in words, for a caption."""
        return words.sentence(f"{self.what}: {self.note}")

    def label(self, value: float, digits: int = 3) -> str:
        """Write a value of a colour bar: where each map has its own limit, as a share of it."""
        if not self.own:
            return f"{value:.{digits}g}"
        return {0.0: "0", self.limit: "own limit", -self.limit: "−own limit"}.get(value, "")


#: Of observations, which are pictures already.
GREY = Scale(what="observation", colours="gray", limit=1.0, signed=False, clipped=False, note="")


def scale_of(what: str, values: Array, look: Look, *, signed: bool) -> Scale:
    """Return one scale for all values, symmetric around zero where they are signed."""
    found = style.colour_scale(values)
    colours = look.signed_colours if signed else look.colours
    return Scale(
        what=what,
        colours=colours,
        limit=found.limit,
        signed=signed,
        clipped=found.clipped,
        note=found.note,
    )


@dataclass(frozen=True, kw_only=True)
class Scaled:
    """Maps as they are drawn, their scale, and the limit of each where each has its own."""

    values: Array
    scale: Scale
    limits: list[str]


def scaled(what: str, values: Array, look: Look, *, signed: bool, own: bool) -> Scaled:
    """Return maps (first axis) on one scale, or each relative to its own limit."""
    if not own:
        return Scaled(values=values, scale=scale_of(what, values, look, signed=signed), limits=[])
    found = [style.colour_scale(of_one) for of_one in values]
    relative = [of_one / scale.limit for of_one, scale in zip(values, found, strict=True)]
    limits = [f"{scale.limit:.2g}" for scale in found]
    clipped = any(scale.clipped for scale in found)
    ends = "limits (clipped at the 99.9 % quantile where larger values are rare)"
    scale = Scale(
        what=what,
        colours=look.signed_colours if signed else look.colours,
        limit=1.0,
        signed=signed,
        clipped=clipped,
        note=f"each map has its own scale, {ends if clipped else 'to its largest value'}: "
        + ", ".join(limits),
        own=True,
    )
    return Scaled(values=np.stack(relative), scale=scale, limits=limits)


def overlaid(pictures: Array, dynamics: Array, limit: float, colours: str) -> Array:
    """Lay dynamics (N, H, W) in colour over pictures (N, H, W) or (N, H, W, 3) made grey.

    The larger a value against the limit, the less is seen of the picture below it. Pictures are dimmed
    and the darkest colours left out, so that what is small is seen on a black picture, and what is
    large on a white one; where colours become darker, it is the other way round.
    """
    weights = np.array([0.299, 0.587, 0.114])
    grey = pictures @ weights if pictures.ndim == 4 else pictures
    ramp = matplotlib.colormaps[colours]
    first, last = (np.array(ramp(end)[:3]) @ weights for end in (0.0, 1.0))
    dark, light = DIMMED if first < last else PALED
    grey = dark + (light - dark) * grey
    strength = np.clip(np.where(np.isfinite(dynamics), dynamics, 0.0) / limit, 0.0, 1.0)
    coloured = ramp(FIRST_COLOUR + (1 - FIRST_COLOUR) * strength)[..., :3]
    opacity = (STRONGEST_OVERLAY * np.sqrt(strength))[..., np.newaxis]
    return np.asarray(opacity * coloured + (1 - opacity) * grey[..., np.newaxis])


def show_map(
    figure: Figure,
    values: Array,
    scale: Scale,
    left: float,
    top: float,
    width: float,
    height: float,
    *,
    frame: str = FRAME,
) -> None:
    """Draw (H, W) values, or an (H, W, 3) picture, at a place in pixels from the top left corner.

    All maps lie in one Axes over the whole figure: an Axes for each takes longer than all else.
    """
    axes = backdrop(figure)
    left, top, width, height = round(left), round(top), round(width), round(height)
    rows, columns = values.shape[:2]
    if (height % rows or width % columns) and height < COARSE * rows:
        # Smoothed from a larger picture: by nearest, elements would differ in size, or drop out.
        down, across = -(-height // rows), -(-width // columns)
        values = values.repeat(down, axis=0).repeat(across, axis=1)
    larger = values.shape[0] > height or values.shape[1] > width
    image = AxesImage(
        axes,
        cmap=style.colour_map(scale.colours),
        norm=Normalize(scale.low, scale.limit),
        interpolation="hanning" if larger else "nearest",
        origin="upper",
        extent=(left, left + width, top + height, top),
    )
    image.set_data(np.ma.masked_invalid(values))
    axes.add_image(image)
    # A line around the map would cover half of its outermost elements: this lies below it.
    around = 1 if frame == FRAME else max(2, round(figure.dpi / 50))
    axes.add_patch(
        Rectangle(
            (left - around, top - around),
            width + 2 * around,
            height + 2 * around,
            facecolor=frame,
            linewidth=0,
            zorder=-1,
        )
    )


def backdrop(figure: Figure) -> Axes:
    """Return the Axes that maps lie in: the whole figure, in pixels from the top left corner."""
    for axes in figure.axes:
        if axes.get_label() == _BACKDROP:
            return axes
    width, height = (int(length) for length in figure.bbox.size)
    axes = figure.add_axes((0, 0, 1, 1), label=_BACKDROP, zorder=-1, xlim=(0, width))
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return axes


def drawn_maps(figure: Figure) -> list[AxesImage]:
    """Return the maps of a figure in the order in which they were drawn."""
    return [image for axes in figure.axes if axes.get_label() == _BACKDROP for image in axes.images]


def small_bar_height(scales: Sequence[Scale]) -> float:
    """Return the height of small colour bars with what is written below them, in em."""
    return 0.9 + layout.LINE * (2 if any(scale.clipped for scale in scales) else 1)


def add_small_bar(
    figure: Figure, scale: Scale, left: float, top: float, width: float, em: float
) -> None:
    """Draw a colour bar as wide as a map, with its ends below it; places in pixels.

    Where the scale is clipped, arrows and a word say so: what is beyond has the colour of the end.
    """
    height, arrow = 0.6 * em, 0.5 * em if scale.clipped else 0.0
    # Bars of neighbours do not touch.
    left, width = left + 0.3 * em, width - 0.6 * em
    begin = left + (arrow if scale.signed else 0.0)
    ramp = np.linspace(scale.low, scale.limit, 256)[np.newaxis]
    show_map(figure, ramp, scale, begin, top, left + width - arrow - begin, height)
    if scale.clipped:
        ends = {1: left + width - arrow} | ({-1: begin} if scale.signed else {})
        for side, at in ends.items():
            tip = [(at, top), (at + side * arrow, top + height / 2), (at, top + height)]
            colour = style.colour_map(scale.colours)(0.0 if side < 0 else 1.0)
            backdrop(figure).add_patch(
                Polygon(tip, facecolor=colour, edgecolor=FRAME, linewidth=0.5, gid=EXTENDED)
            )
    below = top + 0.7 * em
    if scale.clipped:
        where = below + layout.LINE * em
        layout.add_text(figure, left + width / 2, where, ["clipped"], em, align="center")
    limit = scale.label(scale.limit)
    limit = limit if len(limit) <= LONGEST_END else scale.label(scale.limit, 2)
    if scale.own:
        layout.add_text(figure, left + width / 2, below, ["own limit"], em, align="center")
        return
    if scale.signed:
        layout.add_text(figure, left + width / 2, below, [f"± {limit}"], em, align="center")
        return
    if layout.text_width(f"0 {limit}", em) <= width:
        layout.add_text(figure, left, below, ["0"], em)
    layout.add_text(figure, left + width, below, [limit], em, align="right")


def add_bar(
    figure: Figure,
    lines: Sequence[str],
    scale: Scale,
    left: float,
    top: float,
    width: float,
    em: float,
) -> float:
    """Draw a colour bar below its heading; return where the next thing may begin, in pixels."""
    below = layout.add_text(figure, left, top, lines, em) + 0.3 * em
    axes = layout.add_panel(figure, left + 2.6 * em, below, width - 5.2 * em, 0.8 * em)
    add_colour_bar(figure, axes, scale, em)
    return below + 2.7 * em


def bar_height(lines: Sequence[str], em: float) -> float:
    """Return the height of a colour bar below a heading of so many lines, in pixels."""
    return (layout.LINE * len(lines) + 3.0) * em


def add_colour_bar(figure: Figure, axes: Axes, scale: Scale, em: float) -> None:
    """Fill axes with a lying colour bar whose ends and, where there is room, middle are labelled."""
    clipped_ends = "both" if scale.signed else "max"
    bar = figure.colorbar(
        ScalarMappable(Normalize(scale.low, scale.limit), style.colour_map(scale.colours)),
        cax=axes,
        orientation="horizontal",
        extend=clipped_ends if scale.clipped else "neither",
    )
    ticks = [scale.low, (scale.low + scale.limit) / 2, scale.limit]
    labels = [scale.label(tick) for tick in ticks]
    needed = sum(layout.text_width(label, em) + 0.8 * em for label in labels)
    chosen = slice(None) if needed < axes.bbox.width else slice(None, None, 2)
    bar.set_ticks(ticks[chosen], labels=labels[chosen])
    bar.minorticks_off()
    axes.tick_params(
        labelsize=layout.points(em, figure.dpi), length=0.2 * layout.points(em, figure.dpi)
    )
