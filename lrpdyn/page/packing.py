"""Maps as short text: eight bits a pixel, deflated, in base64."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Levels on each side of zero. They are spaced by the square root, so that what is small against the
#: largest is visible too: a value is right to 1 / levels of itself at the largest, and to three
#: times that at a tenth of it.
RELEVANCE_LEVELS, CHANGE_LEVELS = 127, 63


@dataclass(frozen=True)
class PackedMap:
    """A map as text: its value is sign(q) (q / levels)^2 largest, with q = byte - levels."""

    largest: float
    text: str


def pack_map(values: NDArray[Any], levels: int) -> PackedMap:
    """Pack finite values of any shape and sign; `levels` is at most 127."""
    exact = np.asarray(values, dtype=np.float64)
    largest = float(np.abs(exact).max(initial=0.0))
    if largest == 0:
        quantised = np.zeros(exact.shape)
    else:
        quantised = np.sign(exact) * np.round(np.sqrt(np.abs(exact) / largest) * levels)
    return PackedMap(largest=largest, text=pack_bytes((quantised + levels).astype(np.uint8)))


def pack_bytes(values: NDArray[np.uint8]) -> str:
    """Return bytes as text."""
    return base64.b64encode(zlib.compress(values.tobytes(), 9)).decode("ascii")
