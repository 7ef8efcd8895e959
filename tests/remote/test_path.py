"""Paths in a store: addresses, listings, reading by ranges, and what is said when it fails."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import pytest

from lrpdyn.errors import RemoteError, UsageError
from lrpdyn.remote.path import RemotePath, as_path, matching
from tests.remote.object_store import ObjectStore


def test_an_address_stays_one_through_the_operations_of_paths() -> None:
    path = as_path("s3://bucket/run/net_10.tar.gz")
    assert str(path) == f"{path}" == "s3://bucket/run/net_10.tar.gz"
    assert (path.name, path.suffix, path.stem) == ("net_10.tar.gz", ".gz", "net_10.tar")
    assert str(path.parent / "other") == "s3://bucket/run/other"
    assert path.parent / path.name == path
    assert hash(path.parent / path.name) == hash(path)
    assert path.is_relative_to(path.parent)
    assert pickle.loads(pickle.dumps(path)) == path
    assert sorted([path, path.parent]) == [path.parent, path]
    assert as_path(str(path)) == path


def test_local_paths_stay_local(tmp_path: Path) -> None:
    for where in (str(tmp_path), tmp_path, f"file://{tmp_path}"):
        assert not isinstance(as_path(where), RemotePath)
        assert as_path(where) == tmp_path


@pytest.mark.parametrize(
    "address",
    ["ssh://me:hunter2@host/run", "s3://AKIA:hunter2@bucket/run",
     "https://host/obs.npy?X-Amz-Signature=hunter2", "https://host/obs.npy?a=1&token=hunter2"],
)  # fmt: skip
def test_an_address_with_a_secret_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(UsageError, match="password or a key") as told:
        as_path(address)
    assert "hunter2" not in str(told.value)
    assert str(as_path("ssh://me@host/run")) == "ssh://me@host/run"


def test_a_chain_and_an_unknown_store_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="chained"):
        as_path("zip://*::s3://bucket/run.zip")
    with pytest.raises(UsageError, match="fsspec knows no nowhere://"):
        as_path("nowhere://bucket/run").exists()


def test_a_store_whose_package_is_missing_says_what_to_install() -> None:
    pytest.importorskip("fsspec")
    try:
        import gcsfs  # noqa: F401
    except ImportError:
        with pytest.raises(RemoteError, match="pip install gcsfs"):
            as_path("gs://bucket/run").is_dir()


def test_listings_and_facts(store: ObjectStore, bucket: str, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a_1.bin").write_bytes(b"one")
    (tmp_path / "sub" / "b_2.bin").write_bytes(b"three")
    store.upload(tmp_path, f"{bucket}/run")
    folder = as_path(f"s3://{bucket}/run")
    assert folder.is_dir()
    assert not folder.is_file()
    assert sorted(folder.iterdir()) == [folder / "a_1.bin", folder / "sub"]
    assert (folder / "a_1.bin").is_file()
    assert (folder / "a_1.bin").stat().st_size == 3
    assert (folder / "sub").is_dir()
    assert (folder / "sub" / "b_2.bin").is_file()
    assert not (folder / "none").exists()
    assert not (folder / "none" / "deeper").exists()
    assert matching(f"s3://{bucket}/run/*.bin") == [folder / "a_1.bin"]
    assert list(folder.rglob("*.bin")) == [folder / "a_1.bin", folder / "sub/b_2.bin"]
    assert (folder / "a_1.bin").samefile(folder / "a_1.bin")
    assert not (folder / "a_1.bin").samefile(folder / "sub" / "b_2.bin")


def test_reading_takes_the_ranges_that_are_read(
    store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    content = random.Random(0).randbytes(3_000_000)
    (tmp_path / "file").write_bytes(content)
    store.upload(tmp_path, f"{bucket}/run")
    path = as_path(f"s3://{bucket}/run/file")
    assert path.exists()
    before = store.counter.sent
    with path.open("rb", buffering=0) as file:
        assert file.seek(0, os.SEEK_END) == len(content)
        file.seek(-22, os.SEEK_END)
        assert file.read(22) == content[-22:]
        file.seek(1_000_000)
        assert file.read(500_000) == content[1_000_000:1_500_000]
    assert 500_000 < store.counter.sent - before < 600_000
    with path.open("rb") as file:
        assert b"".join(iter(lambda: file.read(1000), b"")) == content
    with open(path, "rb") as file:
        assert file.read() == content
    assert store.counter.sent - before < 1.02 * len(content)


def test_a_file_that_is_replaced_has_another_stamp_and_is_not_mixed(
    store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"a" * 100_000)
    store.upload(tmp_path, f"{bucket}/run")
    folder = as_path(f"s3://{bucket}/run")
    path = next(folder.iterdir())
    before = path.stat()
    with path.open("rb", buffering=0) as file:
        file.read(10)
        (tmp_path / "file").write_bytes(b"b" * 100_000)
        store.upload(tmp_path, f"{bucket}/run")
    with path.open("rb", buffering=0) as file:
        file.seek(90_000)
        with pytest.raises(OSError, match="changed since"):
            file.read(10)
    assert list(folder.iterdir()) == [path]
    assert path.stat().st_mtime_ns != before.st_mtime_ns
    assert path.stat().st_size == before.st_size
    assert Path(os.fspath(path)).read_bytes() == b"b" * 100_000


def test_what_is_not_there_is_told_as_of_local_files(bucket: str) -> None:
    path = as_path(f"s3://{bucket}/none/file")
    with pytest.raises(FileNotFoundError):
        path.stat()
    with pytest.raises(FileNotFoundError, match="bucket"):
        list(path.parent.iterdir())


def test_a_store_that_is_down_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp")
    with pytest.raises(
        RemoteError, match=r"127.0.0.1:1/run: cannot be reached: .*the same command"
    ):
        list(as_path("http://127.0.0.1:1/run").iterdir())
