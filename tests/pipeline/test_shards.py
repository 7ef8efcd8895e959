"""A shard: it goes on and is told apart, and one that is damaged is found and made anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import RunError, UsageError
from lrpdyn.run.journal import append_journal
from lrpdyn.run.layout import RESULTS
from lrpdyn.run.manifest import read_manifest
from lrpdyn.run.verify import finish_manifest, verify

TANH = {"activation": "tanh"}
Vectors = NDArray[np.float32]


def contents(run: Path) -> dict[str, bytes]:
    """Return the results, which are promised to be the same bytes."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.name != "manifest.json"}


def shards_of(folder: Path, vectors: Any, out: Path, of: int, **options: Any) -> list[Path]:
    found = []
    for number in range(1, of + 1):
        found.append(out / f"part-{number}")
        lrpdyn.compute(
            folder, vectors, out=found[-1], shard=f"{number}/{of}", quiet=True, **options
        )
    return found


def test_a_shard_goes_on_and_is_told_apart(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    options = {"arch_args": TANH, "quiet": True, "out": tmp_path / "part"}
    shard = lrpdyn.compute(series, vectors, shard="2/4", **options)
    assert shard.steps == (40, 50, 60, 70)
    assert sorted(p.name for p in (tmp_path / "part" / "relevance").iterdir()) == [
        f"step_{step:012d}.npy" for step in (40, 50, 60, 70)
    ]
    assert not (tmp_path / "part" / ".maps").exists()
    before = (tmp_path / "part" / "manifest.json").stat().st_mtime_ns
    lrpdyn.compute(series, vectors, shard="2/4", **options)
    assert (tmp_path / "part" / "manifest.json").stat().st_mtime_ns == before
    for other in ({"shard": "3/4"}, {}):
        with pytest.raises(RunError, match=r"shard \(name 2/4"):
            lrpdyn.compute(series, vectors, **other, **options)
    with pytest.raises(UsageError, match="give the curve to lrpdyn merge"):
        lrpdyn.compute(series, vectors, shard="2/4", curve="a.csv:b", **options)
    lrpdyn.compute(series, vectors, overwrite=True, **options)
    assert not list((tmp_path / "part" / "shard").glob("*"))


def test_damaged_shards_are_found_made_anew_and_never_merged(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    files = sorted(path for path in (parts[1] / "shard").iterdir())
    assert [path.name for path in files] == ["held.npz", "shard.json"]
    assert all(verify(part).is_good for part in parts)
    for path in (*files, parts[1] / "observations.npy"):
        content = bytearray(path.read_bytes())
        content[-5] ^= 1
        path.write_bytes(content)
        name = str(path.relative_to(parts[1]))
        assert [(d.file, d.step) for d in verify(parts[1]).damaged] == [(name, None)]
        with pytest.raises(
            RunError, match=f"{path.name}: its bytes are not those that were written"
        ):
            lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
        lrpdyn.compute(series, vectors, out=parts[1], shard="2/2", quiet=True, arch_args=TANH)
        assert verify(parts[1]).is_good
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True).path
    found = verify(run)
    assert found.is_good
    assert (found.whole, found.unproven) == (2 + 16 + len(RESULTS) + 1, 0)  # features.csv, too


@pytest.mark.parametrize("keep", ["relevance", "pixels", "none"])
def test_shards_keep_their_maps_which_are_checked_and_merged_maps_are_not_copied(
    series: Path, vectors: Vectors, tmp_path: Path, keep: str
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH, keep=keep)
    kept = parts[1] / ("relevance" if keep == "relevance" else ".maps")
    maps = kept / "step_000000000120.npy"
    assert len(list(kept.iterdir())) == 8
    whole, files = maps.read_bytes(), verify(parts[1]).whole
    assert verify(parts[1]).is_good
    assert files == 2 + 3 + {"relevance": 8, "pixels": 16, "none": 8}[keep]

    def refused(says: str) -> None:
        damaged = verify(parts[1]).damaged
        assert [(d.file, d.step) for d in damaged] == [(str(maps.relative_to(parts[1])), 120)]
        with pytest.raises(RunError, match=f"part-2.*{says}.*with --recompute 120, makes it anew"):
            lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)

    maps.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused("its bytes are not those that were written")
    maps.unlink()
    refused("its relevance of step 120 is missing or damaged")
    options = {"arch_args": TANH, "keep": keep, "quiet": True}
    lrpdyn.compute(series, vectors, out=parts[1], shard="2/2", **options)
    assert maps.read_bytes() == whole
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    assert not (run.path / ".maps").exists()
    assert maps.read_bytes() == whole
    assert maps.stat().st_nlink == (2 if keep == "relevance" else 1)


def test_a_journal_of_a_shard_that_is_not_whole_is_told(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    journal = parts[1] / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    assert len(lines) == 8

    def refused(says: str, *content: bytes) -> None:
        journal.write_bytes(b"".join(content))
        with pytest.raises(RunError, match=f"part-2.journal.jsonl: {says}"):
            lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)

    refused("line 3 is damaged; lrpdyn verify", *lines[:2], lines[2][:-9] + b"\n", *lines[3:])
    refused("holds no line on step 100; compute the shard again", *lines[:2], *lines[3:])
    refused("holds no line on step 150; compute the shard again", *lines[:7], lines[7][:50])
    assert journal.read_bytes() == b"".join(lines[:7])  # a torn last line is cut off
    facts = json.loads(lines[7][9:])
    journal.write_bytes(b"".join(lines[:7]))
    append_journal(parts[1], {name: facts[name] for name in facts if name != "score"})
    refused("cannot be read .there is no score.; compute the shard again", journal.read_bytes())
    journal.write_bytes(b"".join([lines[7], *lines[:7], lines[3]]))
    lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    whole = contents(tmp_path / "run")
    journal.write_bytes(b"".join(lines))
    again = contents(lrpdyn.merge(parts, out=tmp_path / "again", quiet=True).path)
    assert {name for name in whole if whole[name] != again[name]} == {"journal.jsonl"}


def test_a_shard_of_another_version_is_refused_with_what_to_do(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    (shard, _) = shards_of(mlp_folder, vectors, tmp_path, 2, arch_args=TANH)
    summary = shard / "shard" / "shard.json"
    found = json.loads(summary.read_text())
    del found["description"]["options"]
    summary.write_text(json.dumps(found))
    finish_manifest(shard, read_manifest(shard))  # its hashes fit, as those of another version do
    with pytest.raises(RunError, match=r"not as this version .* again with --overwrite"):
        lrpdyn.merge([shard], out=tmp_path / "run", quiet=True)
