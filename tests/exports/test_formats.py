"""A run written in other formats: whole or not at all, and what is missing is named."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray

import lrpdyn
from lrpdyn.errors import ExportError, RunError
from lrpdyn.exports import virelay
from lrpdyn.exports.formats import export
from tests.checkpoints.networks import architecture, observations, states


def test_what_is_there_is_not_replaced_and_nothing_is_left_half_done(
    flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="exists already"):
        export(flat_run, "csv", tmp_path / "there")
    (flat_run.path / "journal.jsonl").write_bytes(b"")
    with pytest.raises(ExportError, match="its journal says nothing of step 2"):
        export(flat_run, "hdf5", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


def test_a_disk_without_room_is_one_line_before_hdf5_is_written(
    flat_run: lrpdyn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = len(flat_run.steps) * flat_run.dynamics.nbytes + flat_run.observations.size
    for free, fits in ((needed, True), (needed - 1, False)):
        monkeypatch.setattr(virelay, "free_space", lambda folder, free=free: free)
        if fits:
            assert export(flat_run, "hdf5", tmp_path / "fits").is_dir()
            continue
        with pytest.raises(RunError, match="out: cannot be written: no space is left"):
            export(flat_run, "hdf5", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))


#: An export in a process that may only write small files, which then waits for what still writes.
_SMALL_FILES = """
import resource, sys, time
from pathlib import Path
import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.exports.formats import export
run = lrpdyn.open_run(sys.argv[1])
import h5py, zarr
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
try:
    export(run, sys.argv[2], Path(sys.argv[3]))
except RunError as error:
    print(error)
time.sleep(0.5)
"""


@pytest.mark.parametrize(("form", "most"), [("zarr", 1 << 14), ("zarr", 1 << 16), ("csv", 1 << 14)])
def test_what_cannot_be_written_leaves_nothing_and_is_named_as_it_was_requested(
    image_run: lrpdyn.Run, tmp_path: Path, form: str, most: int
) -> None:
    out = tmp_path / "out"
    said = subprocess.run(
        [sys.executable, "-c", _SMALL_FILES, str(image_run.path), form, str(out), str(most)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == (
        f"{out}: cannot be written: it would be larger than a file may be here (ulimit -f, or the file "
        "system); choose another folder with -o\n"
    )
    assert not list(tmp_path.iterdir())


def test_a_store_writes_nothing_more_after_something_could_not_be_written(tmp_path: Path) -> None:
    program = (
        "import resource, sys, shutil, time, zarr, numpy\n"
        "from pathlib import Path\n"
        "from lrpdyn.exports.zarr_store import _store\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "group = zarr.create_group(_store(Path(sys.argv[1])))\n"
        "array = group.create_array('x', shape=(60000, 8), chunks=(500, 8), dtype='f4')\n"
        "try:\n"
        "    array[...] = numpy.random.rand(60000, 8)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
        "shutil.rmtree(sys.argv[1])\n"
        "time.sleep(0.5)\n"
    )
    said = subprocess.run([sys.executable, "-c", program, str(tmp_path / "out")], capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert said.stdout == "File too large\n"
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_full_keeps_nothing_of_an_export(
    flat_run: lrpdyn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virelay, "free_space", lambda folder: 0)
    with pytest.raises(RunError, match=r"out: cannot be written: no space .* on another with -o$"):
        export(flat_run, "hdf5", tmp_path / "out")


def test_an_export_writes_through_no_link_of_the_run(flat_run: lrpdyn.Run, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    with pytest.raises(ExportError, match="nowhere: exists already"):
        export(flat_run, "csv", tmp_path / "nowhere")
    (flat_run.path / "mine").symlink_to(outside)
    (tmp_path / "same").symlink_to(flat_run.path)
    for out in (flat_run.path / "mine" / "csv", tmp_path / "same" / "mine" / "csv"):
        with pytest.raises(RunError, match="mine: is a link, and nothing is written through links"):
            export(flat_run, "csv", out)
    assert export(flat_run, "csv", tmp_path / "same" / "csv").is_dir()
    (flat_run.path / "mine").unlink()
    (flat_run.path / "shard").symlink_to(outside)
    with pytest.raises(RunError, match="shard: is a link"):
        export(flat_run, "csv", flat_run.path / "mine")
    assert not list(outside.iterdir())


def test_the_command_prints_the_folder_beside_the_run_and_loads_no_torch(
    flat_run: lrpdyn.Run,
) -> None:
    program = (
        "import sys; from lrpdyn.cli.main import group;"
        f"group.main(['export', {str(flat_run.path)!r}, '--to', sys.argv[1]], standalone_mode=False);"
        "assert 'torch' not in sys.modules"
    )
    for form, name in (("zarr", "run.zarr"), ("hdf5", "run-hdf5"), ("csv", "run-csv")):
        told = subprocess.run(
            [sys.executable, "-c", program, form], capture_output=True, text=True, check=True
        )
        assert told.stdout == f"{flat_run.path.parent / name}\n"
        assert (flat_run.path.parent / name).is_dir()


def test_a_missing_package_is_named(
    flat_run: lrpdyn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ExportError, match=r"needs zarr, .*pip install 'lrpdyn\[export\]'"):
        export(flat_run, "zarr", tmp_path / "out")


@pytest.mark.parametrize("keep", ["pixels", "none"])
def test_what_a_run_keeps_less_of(keep: str, tmp_path: Path) -> None:
    for step, weights in states().items():
        (tmp_path / "ckpts").mkdir(exist_ok=True)
        torch.save(weights, tmp_path / "ckpts" / f"net_{step}.pt")
    run = lrpdyn.compute(
        tmp_path / "ckpts", observations(), arch=architecture(), scale=255, keep=keep,
        dtype="float16", baseline="none", out=tmp_path / "run", quiet=True,
    )  # fmt: skip
    dataset = run.to_xarray()
    with xarray.open_zarr(export(run, "zarr"), chunks=None) as written:
        assert set(written.variables) == set(dataset.variables)
        assert ("relevance" in written) == (keep == "pixels")
        if keep == "pixels":
            assert written["relevance"].dims == ("step", "sample", "row", "column")
            assert written["relevance"].dtype == np.float16
            assert np.array_equal(written["relevance"][1], run.relevance[run.steps[1]])
    csv_files = export(run, "csv")
    assert (csv_files / "relevance").exists() == (keep == "pixels")
    if keep == "none":
        with pytest.raises(RunError, match="keeps no relevance"):
            export(run, "hdf5")
    else:
        out = export(run, "hdf5")
        with h5py.File(out / f"attribution_{run.steps[0]:012d}.h5") as file:
            assert np.array_equal(file["attribution"][:, 0], run.relevance[run.steps[0]])


def test_the_code_of_its_page_runs(
    image_run: lrpdyn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "export.md").read_text()
    shutil.copytree(image_run.path, tmp_path / "lrpdyn-run")
    monkeypatch.chdir(tmp_path)
    export(lrpdyn.open_run(), "zarr")
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    # The one for Quantus runs with the page's commands.
    found = [code for code in found if "quantus" not in code]
    assert len(found) == 2
    for code in found:
        names: dict[str, object] = {}
        exec(code, names)
        if "data" in names:
            names["data"].close()  # type: ignore[attr-defined]


#: Runs a command once a file is there, after all that it imports.
_AT_ONCE = """
import sys, time
from pathlib import Path
import lrpdyn.exports.formats, lrpdyn.figures.canvas.saving, lrpdyn.page.report
import h5py, matplotlib.figure, zarr
from lrpdyn.cli import main
ready, go = map(Path, sys.argv[1:3])
sys.argv[1:3] = []
ready.touch()
while not go.exists():
    time.sleep(0.001)
sys.exit(main._run({"verbose": 0}))
"""


def at_once(folder: Path, command: str, count: int = 2) -> list[subprocess.CompletedProcess[str]]:
    """Return what came of so many processes that run the same command at the same time."""
    folder.mkdir()
    started = []
    for number in range(count):
        waiting = [str(folder / f"ready-{number}"), str(folder / "go")]
        arguments = [sys.executable, "-c", _AT_ONCE, *waiting, *command.split()]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(arguments, stdout=pipe, stderr=pipe, text=True))
    while len(list(folder.iterdir())) < count:
        assert all(process.poll() is None for process in started)
        time.sleep(0.01)
    (folder / "go").touch()
    said = [process.communicate(timeout=100) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(started, said, strict=True)
    ]


@pytest.mark.parametrize("form", ["csv", "zarr", "hdf5"])
def test_of_two_exports_to_one_folder_one_is_whole_and_the_other_is_refused(
    flat_run: lrpdyn.Run, tmp_path: Path, form: str
) -> None:
    out = tmp_path / "out"
    found = at_once(tmp_path / "pair", f"export {flat_run.path} --to {form} -o {out}")
    done, refused = sorted(found, key=lambda one: one.returncode)
    assert (done.returncode, done.stdout) == (0, f"{out}\n"), done.stderr
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"Error: {out}: exists already; remove it, or choose")
    alone = export(flat_run, form, tmp_path / "alone")
    assert contents(out).keys() == contents(alone).keys()
    if form == "csv":
        assert contents(out) == contents(alone)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["plot RUN --kind dynamics -o OUT.png", "report RUN -o OUT.html"]
)
def test_two_that_write_one_file_both_write_it_whole(
    flat_run: lrpdyn.Run, tmp_path: Path, command: str
) -> None:
    words = command.replace("RUN", str(flat_run.path))
    for found in at_once(tmp_path / "pair", words.replace("OUT", str(tmp_path / "out"))):
        assert found.returncode == 0, found.stderr
    written = next(path for path in tmp_path.glob("out*") if path.suffix != ".txt")
    alone = words.replace("OUT", str(tmp_path / "alone")).split()
    assert subprocess.run([sys.executable, "-m", "lrpdyn", *alone], check=False).returncode == 0
    assert len(written.read_bytes()) == (tmp_path / f"alone{written.suffix}").stat().st_size
    assert not list(tmp_path.glob(".*"))


def test_what_a_killed_export_left_is_deleted_and_what_another_writes_is_not(
    flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    host = socket.gethostname()
    gone = tmp_path / f".out.{int(ended.stdout)}.0123abcd@{host}.tmp"
    kept = [tmp_path / name for name in (
        f".out.{os.getpid()}.0123abcd@{host}.tmp", f".out.{int(ended.stdout)}.0123abcd@elsewhere.tmp",
        f".other.{int(ended.stdout)}.0123abcd@{host}.tmp",
    )]  # fmt: skip
    for folder in (gone, *kept):
        folder.mkdir()
    export(flat_run, "csv", tmp_path / "out")
    assert sorted(tmp_path.glob(".*")) == sorted(kept)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
