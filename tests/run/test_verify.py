"""Every file of a run against its manifest: what is damaged is named, and made anew alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import lrpdyn
from lrpdyn.cli.main import group
from lrpdyn.errors import RunError, UsageError
from lrpdyn.pipeline import blocks
from lrpdyn.run import layout
from lrpdyn.run.manifest import save_manifest
from lrpdyn.run.verify import verify
from tests.pipeline.test_compute import Vectors, contents, mlp_run

STEPS = (2, 4, 10, 20, 30)
RESULTS = (*layout.RESULTS, layout.FEATURES)  # of flat observations


@pytest.fixture
def explained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the steps that are explained from now on."""
    explain, calls = blocks.explain_parts, []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return explain(*arguments)

    monkeypatch.setattr(blocks, "explain_parts", counted)
    return calls


def called(arguments: list[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a command."""
    found = CliRunner().invoke(group, arguments, standalone_mode=False)
    assert found.exception is None
    return found.return_value or 0, found.stdout, found.stderr


def damage(path: Path) -> None:
    """Change one bit near the end of a file."""
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))


def test_a_whole_run_is_whole(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    found = verify(run)
    assert found.is_good
    assert (found.whole, found.unproven, found.command) == (2 + 5 + len(RESULTS), 0, None)
    listed = json.loads((run / "manifest.json").read_text())["files"]
    assert set(listed) == set(RESULTS)


@pytest.mark.parametrize("how", ["bit", "gone", "cut"])
def test_what_is_made_from_the_relevance_is_made_anew(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, how: str, explained: list[int]
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1).path
    whole = contents(run)
    for path in (run / name for name in RESULTS):
        if how == "bit":
            damage(path)
        elif how == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-1])
    assert [(d.file, d.step) for d in verify(run).damaged] == [(name, None) for name in RESULTS]
    mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    assert len(explained) == len(STEPS)
    assert contents(run) == whole
    assert verify(run).is_good


@pytest.mark.parametrize("how", ["bit", "swapped", "lines"])
def test_a_damaged_step_is_named_and_explained_again(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, how: str, explained: list[int]
) -> None:
    late = mlp_folder / "net_30.pt"
    late.rename(tmp_path / "aside")
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1).path
    (tmp_path / "aside").rename(late)
    paths = [run / "relevance" / f"step_{step:012d}.npy" for step in (4, 20)]
    if how == "bit":
        damage(paths[0])
        damage(paths[1])
    elif how == "swapped":
        paths[0].rename(run / "aside")
        paths[1].rename(paths[0])
        (run / "aside").rename(paths[1])
    else:
        lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
        lines[1] = lines[1].replace(b'"step":4', b'"step":5')
        (run / "journal.jsonl").write_bytes(b"".join(lines))
    broken = [4] if how == "lines" else [4, 20]
    assert [d.step for d in verify(run).damaged if d.step is not None] == broken
    with pytest.raises(RunError, match=r"recompute 4|lrpdyn verify"):
        mlp_run(mlp_folder, vectors, run, workers=1)
    del explained[:]
    mlp_run(mlp_folder, vectors, run, workers=1, recompute=broken)
    assert len(explained) <= len(broken) + 1  # and the step that is new
    assert contents(run) == contents(mlp_run(mlp_folder, vectors, tmp_path / "whole").path)
    assert verify(run).is_good


def test_a_changed_checkpoint_is_explained_again(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, explained: list[int]
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1).path
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)
    torch.save({key: value + 1 for key, value in weights.items()}, mlp_folder / "net_10.pt")
    with pytest.raises(RunError, match=r"net_10.*changed since.*--recompute 10.*--overwrite"):
        mlp_run(mlp_folder, vectors, run)
    with pytest.raises(UsageError, match="--recompute 11: there is no checkpoint"):
        mlp_run(mlp_folder, vectors, run, recompute=[11])
    del explained[:]
    mlp_run(mlp_folder, vectors, run, recompute=[10], workers=1)
    assert len(explained) == 1
    whole = mlp_run(mlp_folder, vectors, tmp_path / "whole").path
    assert contents(run) == contents(whole)


def test_recompute_does_not_move_targets_unseen(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", target="final").path
    weights = torch.load(mlp_folder / "net_30.pt", weights_only=True)
    weights["2.bias"] += torch.tensor([0.0, 0.0, 50.0])
    torch.save(weights, mlp_folder / "net_30.pt")
    with pytest.raises(RunError, match="would choose other units for samples"):
        mlp_run(mlp_folder, vectors, run, target="final", recompute=[30])


def test_an_edited_manifest_is_refused_by_readers_and_made_anew(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, explained: list[int]
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1).path
    path = run / "manifest.json"
    path.write_text(path.read_text().replace('"unit": "', '"unit": "un'))
    with pytest.raises(RunError, match="was changed after it was written"):
        lrpdyn.open_run(run)
    assert [d.file for d in verify(run).damaged] == ["manifest.json"]
    mlp_run(mlp_folder, vectors, run, workers=1)
    assert verify(run).is_good
    assert len(explained) == len(STEPS)


def test_a_run_of_before_hashes_can_be_read(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run").path
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["files"], manifest["sha256"]
    for entry in manifest["checkpoints"]:
        del entry["relevance_sha256"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert lrpdyn.open_run(run).dynamics.shape == vectors.shape
    found = verify(run)
    assert found.is_good
    # It had no layers.csv, faithfulness.csv and features.csv, and no caption.
    assert found.unproven == len(RESULTS) - 4 + len(STEPS)
    (run / "relevance" / "step_000000000010.npy").write_bytes(b"\x93NUMPY")
    assert [d.step for d in verify(run).damaged] == [10]


def test_a_run_that_goes_on_is_not_finished(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    broken = mlp_folder / "net_20.pt"
    torch.save(torch.nn.Linear(6, 3).state_dict(), broken)
    with pytest.raises(lrpdyn.errors.LrpdynError):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    (tmp_path / "run" / "relevance" / ".step_000000000020.npy.x.tmp").touch()
    found = verify(tmp_path / "run")
    assert not found.is_good
    assert found.missing_steps == (20, 30)
    assert found.damaged == ()
    assert found.leftovers == (os.path.join("relevance", ".step_000000000020.npy.x.tmp"),)


@pytest.mark.parametrize(
    ("keep", "dtype", "files"),
    [("none", "float32", 0), ("pixels", "float32", 5), ("relevance", "float16", 5)],
)
def test_what_is_kept_is_what_is_looked_at(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, keep: str, dtype: str, files: int
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", keep=keep, dtype=dtype).path
    found = verify(run)
    assert found.is_good
    assert (found.whole, found.unproven) == (2 + files + len(RESULTS), 0)
    (run / "report.html").write_text("a page")  # no promised byte, and no stranger
    assert verify(run) == found
    if files:
        damage(run / "relevance" / "step_000000000010.npy")
        assert [d.step for d in verify(run).damaged] == [10]
        whole = contents(
            mlp_run(mlp_folder, vectors, tmp_path / "whole", keep=keep, dtype=dtype).path
        )
        mlp_run(mlp_folder, vectors, run, keep=keep, dtype=dtype, recompute=[10])
        (run / "report.html").unlink()
        assert contents(run) == whole


@pytest.mark.parametrize("keep", ["none", "relevance"])
def test_maps_that_are_gone_on_with_are_held_against_their_hash(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain, calls = blocks.explain_parts, []

    def stops(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return explain(*arguments)

    monkeypatch.setattr(blocks, "explain_parts", stops)
    monkeypatch.setattr(blocks, "LONGEST", 0.0)  # every step is in the journal before the next
    with pytest.raises(KeyboardInterrupt):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1, keep=keep)
    folder = tmp_path / "run" / (".maps" if keep == "none" else "relevance")
    damage(folder / "step_000000000010.npy")
    with pytest.raises(RunError, match=r"step_000000000010.npy: cannot be used .*--recompute 10"):
        mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1, keep=keep)
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1, keep=keep, recompute=[10]).path
    assert not (run / ".maps").exists()
    assert contents(run) == contents(
        mlp_run(mlp_folder, vectors, tmp_path / "whole", keep=keep).path
    )


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", "/dev/zero", "a/../../b.npy", "a\\b.npy", "", "\x1b.npy"],
)
def test_only_names_inside_the_folder_are_looked_at(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, name: str
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    files = {**run.manifest["files"], name: "0" * 64}
    save_manifest(run.path, {**run.manifest, "files": files})
    for read in (verify, lrpdyn.open_run):
        with pytest.raises(RunError, match=r"manifest\.files names .*, which is no file of a run"):
            read(run.path)


def test_maps_that_are_too_large_are_not_read(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1).path
    for name in ("relevance/step_000000000004.npy", "dynamics.npy"):
        with (run / name).open("r+b") as file:
            file.truncate(1 << 40)
    damaged = {damage.file: damage.what for damage in verify(run).damaged}
    assert set(damaged) == {"relevance/step_000000000004.npy", "dynamics.npy"}
    assert "bytes, expected" in damaged["dynamics.npy"]


def test_no_trust_is_recommended(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    run = mlp_run(mlp_folder, vectors, tmp_path / "run", workers=1)
    save_manifest(run.path, {**run.manifest, "command": "lrpdyn compute a b --trust"})
    damage(run.path / "metrics.csv")
    assert verify(run.path).command == "lrpdyn compute a b"
