"""A run written in other formats: whole or not at all, and what is missing is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray

import lrpdyn
from lrpdyn.errors import ExportError, RunError
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
    assert len(found) == 2
    for code in found:
        names: dict[str, object] = {}
        exec(code, names)
        if "data" in names:
            names["data"].close()  # type: ignore[attr-defined]
