"""A run in other formats: what their own readers find in them is what the run holds."""

from __future__ import annotations

import csv
import json
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
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import ExportError, RunError
from lrpdyn.exports.formats import export
from lrpdyn.run.journal import read_journal
from tests.checkpoints.networks import architecture, observations, states


@pytest.fixture(scope="module")
def image_run(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> lrpdyn.Run:
    """A run on (2, 4, 84, 84)."""
    out = tmp_path_factory.mktemp("images") / "run"
    return lrpdyn.compute(ppo_folder, images[:2], out=out, baseline="none", limit=3, quiet=True)


@pytest.fixture
def flat_run(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> lrpdyn.Run:
    """A run on (5, 6)."""
    return lrpdyn.compute(
        mlp_folder, vectors, arch="mlp", arch_args={"activation": "tanh"}, out=tmp_path / "run",
        baseline="none", quiet=True,
    )  # fmt: skip


def check_dataset(dataset: xarray.Dataset, run: lrpdyn.Run, dimensions: tuple[str, ...]) -> None:
    assert dataset["relevance"].dims == ("step", *dimensions)
    assert dataset["step"].values.tolist() == list(run.steps)
    assert dataset["relevance"].dtype == np.float32
    for step in run.steps:
        found = dataset["relevance"].sel(step=step)
        assert np.array_equal(found, run.relevance[step])
    assert dataset["dynamics"].dims == dimensions
    assert np.array_equal(dataset["dynamics"], run.dynamics)
    assert np.array_equal(dataset["pixel_entropy"], run.pixel_entropy, equal_nan=True)
    assert dataset["score"].dims == ("step", "sample")
    rows = run.metrics[run.metrics["step"] == run.steps[1]]
    assert np.array_equal(dataset["score"].sel(step=run.steps[1]), rows["score"])
    assert dataset["change"].dims == ("transition", "sample")
    assert dataset["to_step"].values.tolist() == list(run.steps[1:])
    assert {"from_step", "to_step", "step", "sample"} <= set(dataset.coords)
    assert dataset["score"].dtype == np.float64
    assert dataset["target"].dtype == np.int64
    assert dataset.attrs["question"] == run.question


def test_a_dataset_of_xarray(image_run: lrpdyn.Run, flat_run: lrpdyn.Run) -> None:
    dataset = image_run.to_xarray()
    check_dataset(dataset, image_run, ("sample", "channel", "row", "column"))
    step = image_run.steps[2]
    piece = dataset["relevance"].sel(step=[step, image_run.steps[0]]).isel(row=slice(3, 40, 5))
    assert np.array_equal(piece[0], image_run.relevance[step][:, :, 3:40:5])
    assert not dataset["relevance"].isel(step=[]).size
    check_dataset(flat_run.to_xarray(), flat_run, ("sample", "feature"))


def test_zarr_that_xarray_opens(
    image_run: lrpdyn.Run, flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    for run, dimensions in (
        (image_run, ("sample", "channel", "row", "column")),
        (flat_run, ("sample", "feature")),
    ):
        out = export(run, "zarr", tmp_path / f"{len(dimensions)}.zarr")
        with xarray.open_zarr(out, chunks=None) as dataset:
            check_dataset(dataset, run, dimensions)
            assert dataset["step"].attrs["units"] == run.manifest["unit"]


def test_hdf5_in_the_layout_of_virelay(image_run: lrpdyn.Run, tmp_path: Path) -> None:
    out = export(image_run, "hdf5", tmp_path / "virelay")
    facts = {record["step"]: record for record in read_journal(image_run.path)}
    projects = sorted(out.glob("*.yaml"))
    assert len(projects) == len(image_run.steps)
    with h5py.File(out / "input.h5") as file:
        assert file["data"].shape == (2, 3, 84, 84)
        assert file["data"].dtype == np.uint8
        newest = (image_run.observations[:, -1] * 255).round()
        assert np.array_equal(file["data"][:, 0], newest)
        assert np.array_equal(file["data"][:, 2], newest)
    labels = json.loads((out / "label-map.json").read_text())
    for step, path in zip(image_run.steps, projects, strict=True):
        project = json.loads(path.read_text())["project"]
        with h5py.File(out / project["attributions"]["sources"][0]) as file:
            assert np.array_equal(file["attribution"], image_run.relevance[step])
            assert file["label"][:].tolist() == facts[step]["target"]
            assert np.allclose(file["prediction"], facts[step]["outputs"])
            assert file["prediction"].shape == (2, len(labels))
            assert max(file["label"]) < len(labels)


def test_virelay_itself_opens_it(
    image_run: lrpdyn.Run, flat_run: lrpdyn.Run, tmp_path: Path
) -> None:
    model = pytest.importorskip("virelay.model", reason="its Pillow is older than the project's")
    for run in (image_run, flat_run):
        out = export(run, "hdf5", tmp_path / run.path.parent.name)
        workspace = model.Workspace()
        for path in sorted(out.glob("*.yaml")):
            workspace.add_project(str(path))
        assert len(workspace.get_project_names()) == len(run.steps)
        for name in workspace.get_project_names():
            project = workspace.get_project(name)
            found = project.get_attribution(1)
            heatmap = found.render_heatmap(
                "blue-white-red", image_to_superimpose=project.get_sample(1).data
            )
            assert heatmap.shape[-1] == 3
        workspace.close()


def test_csv(flat_run: lrpdyn.Run, tmp_path: Path) -> None:
    out = export(flat_run, "csv", tmp_path / "csv")
    for name in ("metrics.csv", "transitions.csv", "outliers.csv"):
        assert (out / name).read_bytes() == (flat_run.path / name).read_bytes()
    with (out / "relevance" / "step_000000000004.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["sample", "feature", "relevance"]
    values = np.zeros((5, 6), dtype=np.float32)
    for sample, feature, value in rows:
        values[int(sample), int(feature)] = np.float32(value)
    assert np.array_equal(values, flat_run.relevance[4])
    assert len((out / "dynamics.csv").read_text().splitlines()) == 1 + 5 * 6


def test_tables_are_frames_of_pandas(flat_run: lrpdyn.Run) -> None:
    frame = flat_run.metrics.to_pandas()
    assert frame["score"].tolist() == flat_run.metrics["score"].tolist()
    assert len(flat_run.transitions.to_pandas()) == 4 * 5


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
