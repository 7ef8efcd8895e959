"""Only plain files are read, and none that memory cannot take."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lrpdyn.files import plain


def test_what_is_no_plain_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert plain.read_plain(tmp_path / "a") == b"content"
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path("/dev/zero")):
        with pytest.raises(OSError, match="is no plain file"):
            plain.read_plain(path)
    with pytest.raises(IsADirectoryError):
        plain.read_plain(tmp_path)
    monkeypatch.setattr(plain, "usable_memory", lambda: 6)
    with pytest.raises(OSError, match="has 7 bytes, and this process may use 6"):
        plain.read_plain(tmp_path / "a")
