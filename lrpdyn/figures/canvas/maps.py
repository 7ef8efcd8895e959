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
from matplotlib.patches import Rectangle

from lrpdyn.figures.canvas import layout, style
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.canvas.style import Array

STRONGEST_OVERLAY = 0.9
#: Digits at the end of a small colour bar are dropped beyond so many characters.
LONGEST_END = 6
FRAME = "0.6"
_BACKDROP = "maps"


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How one kind of map is coloured.

    `what` the colours mean, with its unit; the name of the colour map, and the value at its end
    (`limit`). `signed` ones begin at -limit, others at 0. `clipped`: larger values are drawn as the
    limit; `note` is the scale in words.
    """

    what: str
    colours: str
    limit: float
    signed: bool
    clipped: bool
    note: str

    @property
    def low(self) -> float:
        """The value at which the colours begin."""
        return -self.limit if self.signed else 0.0

    @property
    def heading(self) -> str:
        """What the colours mean and how far they reach, in words."""
        return f"{self.what} ({self.note})"


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


def overlaid(pictures: Array, dynamics: Array, limit: float, colours: str) -> Array:
    """Lay dynamics (N, H, W) in colour over pictures (N, H, W) or (N, H, W, 3) made grey.

    The larger a value against the limit, the less is seen of the picture below it.
    """
    grey = pictures @ np.array([0.299, 0.587, 0.114]) if pictures.ndim == 4 else pictures
    strength = np.clip(np.where(np.isfinite(dynamics), dynamics, 0.0) / limit, 0.0, 1.0)
    coloured = matplotlib.colormaps[colours](strength)[..., :3]
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
    larger = max(values.shape[:2]) > layout.LARGEST_PANEL
    image = AxesImage(
        axes,
        cmap=style.colour_map(scale.colours),
        norm=Normalize(scale.low, scale.limit),
        # Nearest would drop elements where there are fewer pixels than elements.
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


def add_small_bar(
    figure: Figure, scale: Scale, left: float, top: float, width: float, em: float
) -> None:
    """Draw a colour bar as wide as a map, with its ends below it; places in pixels.

    Where the scale is clipped, the end says so if there is room: larger values have its colour too.
    """
    ramp = np.linspace(scale.low, scale.limit, 256)[np.newaxis]
    show_map(figure, ramp, scale, left, top, width, 0.6 * em)
    below = top + 0.7 * em
    limit = f"{scale.limit:.3g}"
    limit = limit if len(limit) <= LONGEST_END else f"{scale.limit:.2g}"
    if scale.signed:
        layout.add_text(figure, left + width / 2, below, [f"± {limit}"], em, align="center")
        return
    layout.add_text(figure, left, below, ["0"], em)
    clipped = scale.clipped and layout.text_width(f"0 ≥{limit}", em) <= width
    end = f"≥{limit}" if clipped else limit
    layout.add_text(figure, left + width, below, [end], em, align="right")


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
    labels = [f"{tick:.3g}" for tick in ticks]
    needed = sum(layout.text_width(label, em) + 0.8 * em for label in labels)
    chosen = slice(None) if needed < axes.bbox.width else slice(None, None, 2)
    bar.set_ticks(ticks[chosen], labels=labels[chosen])
    bar.minorticks_off()
    axes.tick_params(
        labelsize=layout.points(em, figure.dpi), length=0.2 * layout.points(em, figure.dpi)
    )
