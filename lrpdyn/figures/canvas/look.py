"""How figures look, as the user chooses it. Loads no matplotlib: requests are made before drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lrpdyn.errors import UsageError

# Distinct with any colour vision; along a sequential one, equal steps look equal.
SEQUENTIAL = ("inferno", "magma", "plasma", "viridis", "cividis", "Greys")
DIVERGING = ("RdBu", "PuOr", "BrBG", "PiYG", "coolwarm")
COLOURS, SIGNED_COLOURS = "inferno", "RdBu_r"


@dataclass(frozen=True, kw_only=True)
class Look:
    """How a figure looks: pixels to the inch, and the names of its colour maps.

    `colours` are of what is not negative, `signed_colours` of what has a sign.
    """

    dpi: int = 150
    colours: str = COLOURS
    signed_colours: str = SIGNED_COLOURS


DEFAULT_LOOK = Look()


def with_colours(look: Look, names: Sequence[str]) -> Look:
    """Return a look with other colour maps: sequential for dynamics, diverging for relevance.

    Raises
    ------
    UsageError
        A name is no map that is even and safe for colour-blind readers.

    Examples
    --------
    >>> with_colours(Look(dpi=99), ["viridis_r", "PuOr"])
    Look(dpi=99, colours='viridis_r', signed_colours='PuOr')
    """
    for name in names:
        if name.removesuffix("_r") in SEQUENTIAL:
            look = replace(look, colours=name)
        elif name.removesuffix("_r") in DIVERGING:
            look = replace(look, signed_colours=name)
        else:
            raise UsageError(
                f"--cmap {name}: expected one of {', '.join(SEQUENTIAL)} for what is not negative, or "
                f"of {', '.join(DIVERGING)} for relevance, each also reversed as {SEQUENTIAL[0]}_r; "
                "others are uneven, or not told apart by every reader"
            )
    return look
