"""What a store tells of files, by fsspec's own store in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lrpdyn.errors import RemoteError
from lrpdyn.remote import store


@pytest.fixture
def memory() -> Iterator[Any]:
    """fsspec's files in memory, with one folder."""
    system = pytest.importorskip("fsspec").filesystem("memory")
    system.pipe({"/run/net_1.pt": b"0123456789", "/run/sub/net_2.pt": b"x"})
    yield system
    system.rm("/run", recursive=True)


@pytest.mark.usefixtures("memory")
def test_listings_have_names_sizes_and_kinds() -> None:
    found = store.listing("memory://run")
    assert {name: (entry.folder, entry.size) for name, entry in found.items()} == {
        "net_1.pt": (False, 10), "sub": (True, 0),
    }  # fmt: skip
    assert store.look_up("memory://run/net_1.pt") == found["net_1.pt"]
    assert store.look_up("memory://run/none.pt") is None
    assert store.matching("memory://run", "**/*.pt") == ["net_1.pt", "sub/net_2.pt"]
    with pytest.raises(FileNotFoundError):
        store.listing("memory://nothing")


@pytest.mark.usefixtures("memory")
def test_ranges_say_where_they_begin() -> None:
    assert store.fetch("memory://run/net_1.pt", 2, 5, 10) == (2, b"234")


def test_a_store_that_gives_more_is_taken_and_one_that_gives_less_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Whole:
        content = b"0123456789"

        def cat_file(self, url: str, start: int, end: int) -> bytes:
            return self.content

    monkeypatch.setattr(store, "_store", lambda url: Whole())
    assert store.fetch("http://host/file", 2, 5, 10) == (0, b"0123456789")
    with pytest.raises(RemoteError, match="gave 10 bytes, expected 3: it changed"):
        store.fetch("http://host/file", 2, 5, 11)


def test_a_file_that_is_replaced_within_a_second_has_another_time(memory: Any) -> None:
    facts = {"name": "f", "size": 3, "type": "file", "LastModified": "2024-01-01T00:00:00+00:00"}
    one, other = (store._entry(memory, {**facts, "ETag": tag}) for tag in ('"a"', '"b"'))
    assert (one.version, other.version) == ("a", "b")
    assert one.modified // 10**9 == other.modified // 10**9 == 1704067200
    assert one.modified != other.modified
