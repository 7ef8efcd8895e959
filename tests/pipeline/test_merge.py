"""Shards of a run put together: the same bytes as one run, and nothing missing without being told."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.checkpoints.readers import digest, stamp
from lrpdyn.errors import LrpdynError, RunError, UsageError
from lrpdyn.pipeline.setup import requirements
from lrpdyn.run.journal import append_journal, read_journal
from lrpdyn.run.lock import locked
from lrpdyn.run.manifest import read_manifest, save_manifest
from lrpdyn.run.summary import closing_lines
from lrpdyn.run.verify import finish_manifest
from lrpdyn.version import __version__
from tests.pipeline.test_shards import TANH, Vectors, contents, shards_of


def spoil(folder: Path, broken: tuple[int, ...], unloadable: tuple[int, ...]) -> None:
    """Put NaN into some checkpoints, and weights of another network into others."""
    for step in broken:
        weights = torch.load(folder / f"net_{step}.pt", weights_only=True)
        weights["2.weight"][0, 0] = float("nan")
        torch.save(weights, folder / f"net_{step}.pt")
    for step in unloadable:
        torch.save(torch.nn.Linear(6, 3).state_dict(), folder / f"net_{step}.pt")


@pytest.mark.parametrize(
    ("of", "broken", "unloadable", "options"),
    [
        (7, (), (), {"workers": 2}),
        (5, (50, 80), (), {"target": "final", "contrast": "runner-up", "rule": "gamma"}),
        (16, (0, 100), (30, 40, 110), {"skip_bad": True, "normalize": "l1", "keep": "none"}),
        (3, (50,), (10, 60, 150), {"skip_bad": True, "target": "modal", "keep": "pixels"}),
    ],
)
def test_a_merge_gives_the_bytes_of_one_run(
    series: Path,
    vectors: Vectors,
    tmp_path: Path,
    of: int,
    broken: tuple[int, ...],
    unloadable: tuple[int, ...],
    options: dict[str, Any],
) -> None:
    spoil(series, broken, unloadable)
    options["arch_args"] = TANH
    regions = tmp_path / "regions.npz"
    np.savez(regions, left=np.arange(6) < 3, right=np.arange(6) >= 4)
    options["regions"] = regions
    np.save(tmp_path / "obs.npy", vectors)
    one = lrpdyn.compute(series, tmp_path / "obs.npy", out=tmp_path / "one", quiet=True, **options)
    parts = shards_of(series, tmp_path / "obs.npy", tmp_path, of, **options)
    run = lrpdyn.merge(parts[::-1], out=tmp_path / "run", quiet=True)
    assert contents(run.path) == contents(one.path)
    for name in ("rule", "architecture", "checkpoints", "checks", "target", "weights"):
        assert run.manifest[name] == one.manifest[name]
    again = lrpdyn.compute(
        series, tmp_path / "obs.npy", out=tmp_path / "run", quiet=True, **options
    )
    assert again.manifest == run.manifest  # finished: nothing to do


@pytest.mark.slow
def test_shards_of_pictures_on_a_pool_of_samples_in_files(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrpdyn.dynamics.scratch.LARGEST_IN_MEMORY", 0)
    one = lrpdyn.compute(ppo_folder, images, out=tmp_path / "one", quiet=True)
    parts = shards_of(ppo_folder, images, tmp_path, 2, workers=1)
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    assert contents(run.path) == contents(one.path)


def test_what_cannot_be_merged_is_told(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    parts = shards_of(series, vectors, tmp_path, 4, arch_args=TANH)
    other = tmp_path / "other"
    out = tmp_path / "run"

    def refused(says: str, *folders: Path) -> None:
        with pytest.raises(LrpdynError, match=says):
            lrpdyn.merge(folders, out=out, quiet=True)
        assert not out.exists()

    refused(r"missing: 4 of 16 checkpoints, after step 30 and before step 80; compute --shard 2/4",
            parts[0], parts[2], parts[3])  # fmt: skip
    refused(r"missing: 4 of 16 checkpoints, before step 40; 4 of .* after step 110; compute --shard "
            "1/4, 4/4", parts[1], parts[2])  # fmt: skip
    refused(r"part-2 and .*part-2: overlap, shards 2/4 and 2/4", *parts, parts[1])
    lrpdyn.compute(series, vectors, out=other, shard="1/3", arch_args=TANH, quiet=True)
    refused("part-1 and .*other: overlap, shards 1/4 and 1/3", other, *parts)
    lrpdyn.compute(series, vectors, out=other, shard="2/4", arch_args=TANH, quiet=True,
                   rule="gamma", overwrite=True)  # fmt: skip
    refused("other: is a shard of another run than .*part-1: their rule differ", other, *parts)
    lrpdyn.compute(series, vectors[:4], out=other, shard="2/4", arch_args=TANH, quiet=True,
                   overwrite=True)  # fmt: skip
    refused("their observations differ", other, *parts)
    (tmp_path / "aside").mkdir()
    (series / "net_150.pt").rename(tmp_path / "aside" / "net_150.pt")
    lrpdyn.compute(series, vectors, out=other, shard="1/4", arch_args=TANH, quiet=True,
                   overwrite=True)  # fmt: skip
    refused("their series of checkpoints differ", other, *parts[1:])
    lrpdyn.compute(series, vectors, out=other, arch_args=TANH, quiet=True, overwrite=True)
    refused("other: is no shard but a run", other)
    manifest = json.loads((parts[0] / "manifest.json").read_text())
    manifest["checkpoints"][0]["status"] = "pending"
    save_manifest(parts[0], manifest)
    refused("shard 1/4 is not finished; go on with the command", *parts)


def test_evidence_of_checkpoints_that_are_gone_is_unavailable(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    weights = torch.load(series / "net_70.pt", weights_only=True)
    torch.save({k: 40 * v for k, v in weights.items()}, series / "net_70.pt")
    for step in range(160, 260, 10):  # so many that maps have fences
        weights = {k: v + 0.3 * torch.randn_like(v) for k, v in weights.items()}
        torch.save(weights, series / f"net_{step}.pt")
    options = {"arch_args": TANH, "quiet": True, "rule": "gamma"}
    one = lrpdyn.compute(series, vectors, out=tmp_path / "one", **options)
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH, rule="gamma")
    shutil.rmtree(series)
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    assert "unavailable" in (run.path / "outliers.json").read_text()
    words = [entry["words"] for entry in run.outliers["layers"]]
    assert "not measured: the checkpoint of step 60 is gone" in words
    assert "unavailable" not in (one.path / "outliers.json").read_text()
    for name in ("dynamics.npy", "transitions.csv", "relevance/step_000000000070.npy"):
        assert contents(run.path)[name] == contents(one.path)[name]


@pytest.mark.slow
def test_a_merge_where_files_cannot_have_two_names(
    series: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    for keep in ("relevance", "none"):
        one = lrpdyn.compute(series, vectors, out=tmp_path / f"one {keep}", arch_args=TANH, keep=keep,
                             quiet=True)  # fmt: skip
        (tmp_path / keep).mkdir()
        parts = shards_of(series, vectors, tmp_path / keep, 2, arch_args=TANH, keep=keep)
        monkeypatch.setattr(os, "link", no_links)
        run = lrpdyn.merge(parts, out=tmp_path / f"run {keep}", quiet=True)
        monkeypatch.undo()
        assert contents(run.path) == contents(one.path)
        assert not any(path.is_symlink() for path in run.path.rglob("*"))


def test_a_merge_takes_the_lock(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    with (
        locked(tmp_path / "run"),
        pytest.raises(RunError, match=r"another process computes here: process .* --wait SECONDS"),
    ):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_merge_asks_the_disk_for_what_is_still_to_be_written(
    series: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    monkeypatch.setattr(requirements, "free_space", lambda folder: 100)
    with pytest.raises(RunError, match=r"run: the run has to write [\d,]+ bytes .* 100 are free"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    monkeypatch.undo()
    asked: list[int] = []
    monkeypatch.setattr(requirements, "_check_disk", lambda job, needed, _: asked.append(needed))
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    linked = [run.path / "observations.npy", *(run.path / "relevance").iterdir()]
    assert all(path.stat().st_nlink == 2 for path in linked)
    new = (path for path in run.path.rglob("*") if path.is_file() and path.stat().st_nlink == 1)
    assert 0 < asked[0] < sum(path.stat().st_size for path in new)


def other_training(series: Path, folder: Path, *, but: tuple[int, ...] = ()) -> Path:
    """Return a folder of checkpoints of the same names and steps from another training, but some."""
    shutil.copytree(series, folder)
    for path in folder.iterdir():
        if int(path.stem.partition("_")[2]) not in but:
            weights = torch.load(path, weights_only=True)
            torch.save({key: 1.5 * value for key, value in weights.items()}, path)
    return folder


@pytest.mark.parametrize(
    ("of", "others", "but"),
    [
        (2, (2,), ()),
        (2, (2,), (70,)),  # the step that both load is equal
        (3, (2,), ()),
        (3, (3,), (90,)),
        (3, (1, 3), (40, 50, 60, 70, 80, 90)),
    ],
)
def test_shards_of_two_trainings_are_refused(
    series: Path, vectors: Vectors, tmp_path: Path, of: int, others: tuple[int, ...],
    but: tuple[int, ...],
) -> None:  # fmt: skip
    other = other_training(series, tmp_path / "other", but=but)
    parts = []
    for number in range(1, of + 1):
        parts.append(tmp_path / f"part-{number}")
        lrpdyn.compute(other if number in others else series, vectors, out=parts[-1], quiet=True,
                       shard=f"{number}/{of}", arch_args=TANH)  # fmt: skip
    with pytest.raises(
        RunError, match=r"saw other weights at step \d+ .* two trainings, .* from one"
    ):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("checksums", [True, False])
def test_two_trainings_are_told_apart_by_any_step_or_by_the_one_that_both_load(
    series: Path, vectors: Vectors, tmp_path: Path, checksums: bool
) -> None:
    for path in series.iterdir():  # the older format of torch keeps none
        weights = torch.load(path, weights_only=True)
        torch.save(weights, path, _use_new_zipfile_serialization=checksums)
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    before, after = series / "net_0.pt", series / "net_10.pt"
    shutil.copy(after, before)
    lrpdyn.compute(series, vectors, out=parts[1], shard="2/2", arch_args=TANH, quiet=True,
                   overwrite=True)  # fmt: skip
    with pytest.raises(RunError, match=r"part-2: saw other weights at step 0 than .*part-1"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    for part in parts:  # as an earlier version wrote it
        summary = part / "shard" / "shard.json"
        found = json.loads(summary.read_text())
        del found["prints"]
        summary.write_text(json.dumps(found))
        finish_manifest(part, read_manifest(part))
    shutil.copy(after, series / "net_70.pt")
    lrpdyn.compute(series, vectors, out=parts[0], shard="1/2", arch_args=TANH, quiet=True,
                   overwrite=True)  # fmt: skip
    with pytest.raises(RunError, match=r"part-2: saw other weights at step 70 than .*part-1"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)


def test_shards_of_copies_of_one_folder_are_merged(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    copy = shutil.copytree(series, tmp_path / "copy" / "series")
    one = lrpdyn.compute(series, vectors, out=tmp_path / "one", arch_args=TANH, quiet=True)
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    lrpdyn.compute(copy, vectors, out=parts[1], shard="2/2", arch_args=TANH, quiet=True,
                   overwrite=True)  # fmt: skip
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    assert (run.path / "dynamics.npy").read_bytes() == (one.path / "dynamics.npy").read_bytes()
    assert run.manifest["same_bytes"] is True


def test_a_merge_says_which_steps_another_version_explained(
    series: Path, vectors: Vectors, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    records = list(read_journal(parts[0]))
    (parts[0] / "journal.jsonl").unlink()
    for record in records:
        environment = {**record["environment"], "lrpdyn": "0.0.9"}
        append_journal(parts[0], {**record, "environment": environment})
    run = lrpdyn.merge(parts, out=tmp_path / "run")
    says = f"explained before: steps 0 to 70 with lrpdyn 0.0.9; all else with lrpdyn {__version__}: the"
    assert says in " ".join(capsys.readouterr().err.split())
    assert says in " ".join("\n".join(closing_lines(run, 80)).split())
    assert run.manifest["same_bytes"] is False
    found = [(e["from_step"], e["to_step"], e["lrpdyn"]) for e in run.manifest["environments"]]
    assert found == [(0, 70, "0.0.9"), (80, 150, __version__)]


def resealed(
    part: Path, checkpoint: str | None = None, digest: str | None = None, **options: Any
) -> None:
    """Edit what a shard says of its options and of its first checkpoint; its own hashes fit."""
    path = part / "shard" / "shard.json"
    summary = json.loads(path.read_text())
    summary["description"]["options"].update(options)
    path.write_text(json.dumps(summary))
    manifest = read_manifest(part)
    if checkpoint is not None:
        manifest["checkpoints"][0]["path"] = checkpoint
        manifest["checkpoints"][0]["digest"] = digest or manifest["checkpoints"][0]["digest"]
    if "arch" in options:
        manifest["architecture"]["name"] = options["arch"]
    finish_manifest(part, manifest)


def test_a_shard_names_no_code(
    series: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code = "import pathlib, torch\n{}def make():\n    return torch.nn.Sequential(torch.nn.Linear(6, 8)," \
           " torch.nn.Tanh(), torch.nn.Linear(8, 3))\n"  # fmt: skip
    Path("payload.py").write_text(code.format("pathlib.Path('executed').touch()\n"))
    Path("net.py").write_text(code.format(""))
    parts = shards_of(series, vectors, tmp_path, 2, arch="net.py:make")
    one = lrpdyn.compute(series, vectors, out="one", arch="net.py:make", quiet=True)
    with pytest.raises(
        UsageError, match=r"part-1: was made with code, .*net.py:make.*--arch if you trust"
    ):
        lrpdyn.merge(parts, out="run", quiet=True)
    for other in ("payload.py:make", "mlp", "net.py:other"):
        with pytest.raises(
            UsageError, match=rf"--arch {other}: the shards were made with .*net.py:make"
        ):
            lrpdyn.merge(parts, out="run", quiet=True, arch=other)
    run = lrpdyn.merge(parts, out="run", quiet=True, arch="net.py:make")
    assert contents(run.path) == contents(one.path)
    for part in parts:
        resealed(part, arch="payload.py:make")
    with pytest.raises(UsageError, match="is not run because a shard names it"):
        lrpdyn.merge(parts, out="other", quiet=True)
    assert not Path("executed").exists()


def test_what_a_shard_says_of_itself_is_checked(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    resealed(parts[0], arch_args={**TANH, "layers": {"": [7, 3]}})
    with pytest.raises(RunError, match=r"part-1: its network cannot be made again"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    manifest = read_manifest(parts[0])
    finish_manifest(parts[0], {**manifest, "shard": {**manifest["shard"], "name": "1/2/3"}})
    with pytest.raises(RunError, match=r"shard\.json: .* expected K/N"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        return os.mkdir, (self.path,)


def test_a_shard_gives_no_trust(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    evil = tmp_path / "evil.pt"
    torch.save({"state_dict": Payload(tmp_path / "executed")}, evil)
    resealed(parts[0], str(evil))
    for trust in (False, True):  # it is not what was explained
        with pytest.raises(RunError, match=r"evil\.pt: changed since step 0 was explained"):
            lrpdyn.merge(parts, out=tmp_path / "run", quiet=True, trust=trust)
    first, *others = read_journal(parts[0])
    (parts[0] / "journal.jsonl").unlink()
    others[0]["evidence"]["weights"]["from_digest"] = digest(evil, "torch")
    forged = {"digest": digest(evil, "torch"), **stamp(evil, "torch")}
    append_journal(parts[0], {**first, **forged, "path": str(evil)}, *others)
    resealed(parts[0], str(evil), digest=forged["digest"])
    lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    resealed(parts[0], str(evil), trust=True)
    with pytest.raises(UsageError, match=r"part-1: was made with --trust; give it here, too, if"):
        lrpdyn.merge(parts, out=tmp_path / "again", quiet=True)
    assert not (tmp_path / "executed").exists()


def test_a_shard_leads_to_no_other_file(series: Path, vectors: Vectors, tmp_path: Path) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    one = lrpdyn.compute(series, vectors, out=tmp_path / "one", arch_args=TANH, quiet=True)
    os.mkfifo(tmp_path / "fifo")
    strange = (
        "/dev/zero",
        str(tmp_path / "fifo"),
        "/proc/self/environ",
        "s3://bucket/net_0.pt",
        "/dev",
    )
    for path in strange:
        resealed(parts[0], path)
        with pytest.raises(RunError, match=r"is named as a checkpoint by a shard.*--checkpoints"):
            lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    resealed(parts[0], str(series / "net_0.pt"), rule="secret.toml")
    with pytest.raises(RunError, match="no tables of its rules file, which is not read again"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    resealed(parts[0], rule="zplus", regions="secret.npz")  # those of the shard itself are read
    series.rename(tmp_path / "moved")
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True, checkpoints=tmp_path / "moved")
    assert contents(run.path) == contents(one.path)


def test_checkpoints_that_are_not_where_they_are_said_to_be_are_missed(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "missing"):
        with pytest.raises(
            RunError, match=rf"{folder}: holds none of the shards' checkpoints, exp"
        ):
            lrpdyn.merge(parts, out=tmp_path / "run", quiet=True, checkpoints=tmp_path / folder)
    assert not (tmp_path / "run").exists()


def test_shards_that_name_weights_in_two_ways_are_not_compared(
    series: Path, vectors: Vectors, tmp_path: Path
) -> None:
    parts = shards_of(series, vectors, tmp_path, 2, arch_args=TANH)
    lrpdyn.compute(series, vectors, out=parts[1], shard="2/2", arch_args=TANH, quiet=True,
                   overwrite=True, digest="sha256")  # fmt: skip
    with pytest.raises(RunError, match=r"part-2: is a shard of another run .* their digest differ"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    lrpdyn.compute(series, vectors, out=parts[0], shard="1/2", arch_args=TANH, quiet=True,
                   overwrite=True, digest="sha256")  # fmt: skip
    merged = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True).manifest
    assert {len(entry["sha256"]) for entry in merged["checkpoints"]} == {64}
