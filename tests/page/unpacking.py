"""Packed maps read back, as the page's script does it."""

import base64
import zlib

import numpy as np
from numpy.typing import NDArray


def unpack(text: str, largest: float, levels: int) -> NDArray[np.float64]:
    """Return the values of a packed map, flat."""
    share = (np.frombuffer(unpack_bytes(text), np.uint8).astype(float) - levels) / levels
    return np.sign(share) * share**2 * largest


def unpack_bytes(text: str) -> bytes:
    """Return packed bytes."""
    return zlib.decompress(base64.b64decode(text))
