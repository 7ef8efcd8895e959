"""Packed maps read back, as the page's script does it."""

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.page.pictures import View


def unpack(text: str, largest: float, levels: int) -> NDArray[np.float64]:
    """Return the values of a packed map, flat."""
    share = (np.frombuffer(unpack_bytes(text), np.uint8).astype(float) - levels) / levels
    return np.sign(share) * share**2 * largest


def unpack_bytes(text: str) -> bytes:
    """Return packed bytes."""
    return zlib.decompress(base64.b64decode(text))


def values_of(view: View, place: int, sample: int) -> NDArray[np.float64]:
    """Return the map of a sample of the page at one of its steps, flat."""
    found = view.maps[place][sample]
    assert found is not None
    return unpack(found.text, found.largest, view.levels)


def almost(found: NDArray[np.float64], exact: NDArray[Any], levels: int) -> bool:
    """Return whether values are as near to the exact ones as packing into levels leaves them."""
    largest = np.abs(exact).max()
    bound = np.sqrt(np.abs(exact) * largest) / levels + largest / (2 * levels) ** 2
    return bool((np.abs(found - exact.ravel()) <= 1.001 * bound.ravel() + 1e-12).all())
