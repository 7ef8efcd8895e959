"""A file that is read from a position moves as a file of Python's does."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from lrpdyn.files.ranged import Positioned

CONTENT = bytes(range(100))


class OfBytes(Positioned):
    """What a subclass adds: how bytes come from a position."""

    def __init__(self, content: bytes) -> None:
        super().__init__(len(content))
        self._content = content

    def readinto(self, into: Any) -> int:
        found = self._content[self._at : self._at + len(into)]
        into[: len(found)] = found
        self._at += len(found)
        return len(found)


@pytest.mark.parametrize(
    ("offset", "whence"),
    [(0, io.SEEK_SET), (40, io.SEEK_SET), (-5, io.SEEK_CUR), (5, io.SEEK_CUR), (-7, io.SEEK_END),
     (0, io.SEEK_END), (300, io.SEEK_SET)],
)  # fmt: skip
def test_it_moves_and_reads_as_a_file_in_memory(offset: int, whence: int) -> None:
    found, expected = OfBytes(CONTENT), io.BytesIO(CONTENT)
    for file in (found, expected):
        assert file.read(20) == CONTENT[:20]
    assert found.seek(offset, whence) == expected.seek(offset, whence)
    assert found.tell() == expected.tell()
    assert found.read(10) == expected.read(10)
    assert found.tell() == expected.tell()


def test_before_the_start_there_is_nothing_and_it_stays_where_it_was() -> None:
    file = OfBytes(CONTENT)
    file.seek(3)
    for offset, whence in ((-1, io.SEEK_SET), (-4, io.SEEK_CUR), (-101, io.SEEK_END)):
        with pytest.raises(ValueError, match="seek before the start"):
            file.seek(offset, whence)
        assert file.tell() == 3


def test_an_archive_is_read_from_it_and_never_written() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a", "hello")
    file = OfBytes(written.getvalue())
    assert (file.readable(), file.seekable(), file.writable()) == (True, True, False)
    with zipfile.ZipFile(file) as archive:  # type: ignore[arg-type]
        assert archive.read("a") == b"hello"
