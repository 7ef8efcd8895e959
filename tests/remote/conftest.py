"""One real object store for all tests of remote files."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lrpdyn.remote import path
from tests.remote.object_store import ObjectStore, object_store


@pytest.fixture(scope="session")
def store() -> Iterator[ObjectStore]:
    """A running server; tests share it, each with a bucket of its own."""
    with object_store() as running:
        yield running


@pytest.fixture
def bucket(
    store: ObjectStore, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """An empty bucket that this process reaches through the counter, with a cache of its own."""
    cache = tmp_path_factory.mktemp("cache")
    for name, value in {**store.environment, "LRPDYN_CACHE": str(cache)}.items():
        monkeypatch.setenv(name, value)
    path._cache.cache_clear()
    yield f"bucket-{cache.name}"
    path._cache.cache_clear()
