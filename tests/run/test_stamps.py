"""Results are held against the manifest, by stamp and by hash, by every command that reads them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.cli import main
from lrpdyn.errors import RunError
from lrpdyn.files.atomic import sha256_of
from lrpdyn.run import reader, stamps
from lrpdyn.run.manifest import read_manifest, save_manifest
from lrpdyn.run.stamps import is_as_written, stamp_of
from lrpdyn.run.training_curve import Curve
from tests.pipeline.test_compute import Vectors, mlp_run
from tests.run.test_verify import damage
from tests.small_runs import UNCHECKED

COMMANDS = {
    "csv": "export RUN --to csv -o OUT", "hdf5": "export RUN --to hdf5 -o OUT",
    "zarr": "export RUN --to zarr -o OUT", "report": "report RUN -o OUT.html",
    "film": "plot RUN --kind filmstrip -o OUT.png", "heat": "plot RUN --kind dynamics -o OUT.png",
    "curves": "plot RUN --kind trajectory -o OUT.png", "compare": "compare RUN WHOLE",
}  # fmt: skip
#: What is read by which commands.
READ = {
    "relevance/step_000000000016.npy": {"csv", "hdf5", "zarr", "report", "film"},
    "dynamics.npy": {"csv", "zarr", "report", "heat", "compare"},
    "transitions.csv": {"csv", "zarr", "report", "curves", "compare"},
    "metrics.csv": {"csv", "zarr", "report", "curves"},
    "layers.csv": {"csv"},
    "outliers.csv": {"csv"},
    "outliers.json": {"report", "film", "curves", "compare"},
    "observations.npy": {"hdf5", "zarr", "report", "film", "heat", "curves", "compare"},
}


@pytest.fixture(scope="module")
def whole(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    lrpdyn.compute(ppo_folder, images[:2], out=out, **UNCHECKED)
    return out


def called(command: str, run: Path, whole: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    words = {"RUN": str(run), "WHOLE": str(whole)}
    arguments = [words.get(word, word.replace("OUT", str(out))) for word in command.split()]
    monkeypatch.setattr("sys.argv", ["lrpdyn", *arguments])
    return main._run({"verbose": 0})


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_is_named_with_what_makes_the_file_anew(
    whole: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run = shutil.copytree(whole, tmp_path / "run")
    path = run / name
    times = path.stat()
    damage(path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for word in sorted(READ[name]):
        assert called(COMMANDS[word], run, whole, tmp_path / word, monkeypatch) == 1, word
        says = capsys.readouterr().err
        assert f"{path}: cannot be read" in says
        again = ", with --recompute 16," if "relevance" in name else ""
        assert f"the command that made the run{again} makes it anew" in says
        assert not list(tmp_path.glob(f"*{word}*"))


def test_plain_reading_hashes_no_map_and_a_copy_is_hashed_once(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def counted(path: Path) -> str:
        hashed.append(path)
        return sha256_of(path)

    monkeypatch.setattr(stamps, "sha256_of", counted)
    monkeypatch.setattr(reader, "LARGEST_IN_MEMORY", 0)

    def read(folder: Path) -> None:
        run = lrpdyn.open_run(folder)
        assert all(np.isfinite(run.relevance[step]).all() for step in run.steps)
        run.mapped("dynamics")

    read(whole)
    assert hashed == []
    copy = shutil.copytree(whole, tmp_path / "copy")
    before = {path: stamp_of(path) for path in copy.rglob("*")}
    for _ in range(2):
        read(copy)
        maps = sorted(copy.glob("relevance/*"))
        assert hashed == [*maps, copy / "dynamics.npy"]
    assert {path: stamp_of(path) for path in copy.rglob("*")} == before
    damage(copy / "dynamics.npy")
    with pytest.raises(RunError, match=r"dynamics\.npy: cannot be read: its bytes are not those"):
        read(copy)


def test_runs_of_before_there_were_stamps_or_hashes_are_read(whole: Path, tmp_path: Path) -> None:
    run = shutil.copytree(whole, tmp_path / "run")
    manifest = read_manifest(run)
    del manifest["stamps"]
    save_manifest(run, manifest)
    path = run / "relevance" / "step_000000000016.npy"
    assert lrpdyn.open_run(run).relevance[16].shape == (2, 4, 84, 84)
    damage(path)
    with pytest.raises(RunError, match="--recompute 16"):
        lrpdyn.open_run(run).relevance[16]
    for entry in manifest["checkpoints"]:
        del entry["relevance_sha256"]
    save_manifest(run, manifest)
    lrpdyn.open_run(run).relevance[16]


def test_a_stamp_shows_what_its_time_does_not(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_bytes(b"one")
    sha256, stamp = sha256_of(path), stamp_of(path)
    times = path.stat()
    assert is_as_written(path, sha256, stamp)
    assert is_as_written(path, None, None)
    other.write_bytes(b"two")
    os.replace(other, path)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert not is_as_written(path, sha256, stamp)
    path.write_bytes(b"one")
    assert is_as_written(path, sha256, stamp)  # the same bytes with another stamp
    path.unlink()
    with pytest.raises(FileNotFoundError):
        is_as_written(path, sha256, stamp)


def test_a_curve_hashes_no_other_result_and_forgives_none(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lrpdyn.pipeline.results import finish
    from lrpdyn.run import verify

    run = mlp_run(mlp_folder, vectors, tmp_path / "run")
    damage(run.path / "pixel_entropy.npy")
    hashed: list[str] = []
    monkeypatch.setattr(
        verify, "sha256_of", lambda path: hashed.append(path.name) or sha256_of(path)
    )
    curve = Curve(source="a.csv:r", steps=np.arange(0.0, 40), values=np.arange(0.0, 40))
    found = finish.with_curve(run, curve)
    assert hashed == ["outliers.json"]
    assert found.outliers["curve"]["source"] == "a.csv:r"
    monkeypatch.undo()
    assert [damaged.file for damaged in verify.verify(run.path).damaged] == ["pixel_entropy.npy"]
