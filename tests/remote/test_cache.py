"""The cache of byte ranges: each byte fetched once, and no more kept than may be."""

from __future__ import annotations

import gc
import os
import random
import threading
import time
from pathlib import Path

import pytest

from lrpdyn.errors import RemoteError, UsageError
from lrpdyn.remote.cache import RangeCache, default_cache

CONTENT = random.Random(0).randbytes(10_000)


class Source:
    """A file that counts what is fetched of it."""

    def __init__(self) -> None:
        self.fetched: list[tuple[int, int]] = []

    def __call__(self, start: int, end: int) -> tuple[int, bytes]:
        self.fetched.append((start, end))
        return start, CONTENT[start:end]

    @property
    def bytes(self) -> int:
        return sum(end - start for start, end in self.fetched)


def test_overlapping_reads_fetch_each_byte_once(tmp_path: Path) -> None:
    cache, source, choice = RangeCache(tmp_path, 1 << 30), Source(), random.Random(1)
    for _ in range(200):
        start, end = sorted(choice.sample(range(len(CONTENT) + 1), 2))
        assert cache.read("file", start, end, source) == CONTENT[start:end]
    assert cache.whole("file", len(CONTENT), source).read_bytes() == CONTENT
    assert source.bytes == len(CONTENT)
    again = RangeCache(tmp_path, 1 << 30)
    assert again.read("file", 17, 9_999, source) == CONTENT[17:9_999]
    assert source.bytes == len(CONTENT)
    assert [name for name in os.listdir(tmp_path / "file") if name != ".lock"] == ["0-10000"]


def test_threads_that_want_the_same_bytes_fetch_them_once(tmp_path: Path) -> None:
    source, cache = Source(), RangeCache(tmp_path, 1 << 30)
    together = threading.Barrier(8)

    def slowly(start: int, end: int) -> tuple[int, bytes]:
        time.sleep(0.05)  # as a network is, so that all of them come meanwhile
        return source(start, end)

    def read() -> None:
        together.wait()
        assert cache.read("file", 100, 9_000, slowly) == CONTENT[100:9_000]

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert source.bytes == 8_900


def test_a_store_without_ranges_is_asked_once(tmp_path: Path) -> None:
    asked = []

    def fetch(start: int, end: int) -> tuple[int, bytes]:
        asked.append((start, end))
        return 0, CONTENT

    cache = RangeCache(tmp_path, 1 << 30)
    assert cache.read("file", 5_000, 5_100, fetch) == CONTENT[5_000:5_100]
    assert cache.read("file", 10, 9_000, fetch) == CONTENT[10:9_000]
    assert len(asked) == 1


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    cache, source = RangeCache(tmp_path, 50_000), Source()
    for number in range(20):
        cache.read(f"file{number}", 0, len(CONTENT), source)
        os.utime(tmp_path / f"file{number}", (number, number))
        kept = sum(file.stat().st_size for file in tmp_path.rglob("*-*"))
        assert kept <= 50_000
    assert (tmp_path / "file19").exists()
    assert not (tmp_path / "file0").exists()
    source.fetched.clear()
    assert cache.read("file0", 0, 10, source) == CONTENT[:10]
    assert source.fetched == [(0, 10)]


def test_files_that_go_while_the_cache_is_measured_are_left_out(tmp_path: Path) -> None:
    cache, source = RangeCache(tmp_path, 15_000), Source()
    cache.read("old", 0, len(CONTENT), source)
    (tmp_path / "old" / ".gone").symlink_to("nowhere")  # listed, but not there any more
    (tmp_path / ".DS_Store").write_text("no folder")
    cache.read("new", 0, len(CONTENT), source)
    gc.collect()  # a listing that is still open would warn
    assert sorted(path.name for path in tmp_path.iterdir()) == [".DS_Store", "new"]


def test_a_range_that_another_process_let_go_is_fetched_again(tmp_path: Path) -> None:
    cache, source = RangeCache(tmp_path, 1 << 30), Source()
    pieces = cache._pieces("file", 0, 300, source)
    cache.read("file", 0, 100, source)
    cache.read("file", 200, 300, source)
    first = next(pieces)
    (tmp_path / "file" / "200-300").unlink()
    assert first + b"".join(pieces) == CONTENT[:300]


def test_a_folder_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RemoteError, match=r"cannot be used: .*LRPDYN_CACHE"):
        RangeCache(tmp_path / "file", 100).read("key", 0, 10, Source())


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5 * 10**8), ("2 gb", 2 * 10**9), ("1000", 1000), ("3k", 3000)]
)
def test_the_size_is_read_with_its_unit(
    text: str, size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LRPDYN_CACHE_SIZE", text)
    monkeypatch.setenv("LRPDYN_CACHE", str(tmp_path))
    cache = default_cache()
    assert (cache.limit, cache.folder) == (size, tmp_path / "ranges")


def test_a_size_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LRPDYN_CACHE_SIZE", "much")
    with pytest.raises(UsageError, match="expected bytes, such as 500MB"):
        default_cache()
