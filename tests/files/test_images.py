"""Pictures are read as they are, and those made to do harm are refused."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lrpdyn.errors import ObservationError
from lrpdyn.files.images import picture_shape, read_picture
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations


def test_pixels_are_those_that_were_saved_or_are_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    np.testing.assert_array_equal(read_picture(path), pixels)
    assert picture_shape(path) == (5, 7, 3)
    grey = read_picture(path, "L")
    assert picture_shape(path, "L") == grey.shape == (5, 7)
    # The luma of ITU-R 601, rounded.
    np.testing.assert_allclose(grey, pixels @ [0.299, 0.587, 0.114], atol=1)


def test_the_shape_is_known_of_pixels_that_are_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[:300])
    assert picture_shape(path, "L") == (40, 30)
    with pytest.raises((OSError, ValueError), match="truncated"):
        read_picture(path, "L")
    with pytest.raises(FileNotFoundError):
        read_picture(tmp_path / "none.png", "L")


def test_pictures_keep_to_the_limits_of_pillow(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        whole = kind + content
        return struct.pack(">I", len(content)) + whole + struct.pack(">I", zlib.crc32(whole))

    path = tmp_path / "bomb.png"
    for side in (10_000, 20_000):  # beyond Pillow's warning, and beyond its error
        described = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", described)
                         + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b""))  # fmt: skip
        with pytest.raises(ObservationError, match="exceeds limit"):
            load_observations([path], Expected(channels=1, divisor=255.0))
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(ValueError, match="is no PNG or JPEG"):
        read_picture(path, "RGB")
