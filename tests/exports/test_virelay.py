"""A run as HDF5, as its reader finds it."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

import lrpdyn
from lrpdyn.errors import RunError
from lrpdyn.exports.formats import export
from lrpdyn.run.journal import JOURNAL, append_journal, read_journal


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


@pytest.mark.parametrize(
    ("name", "value"),
    [("target", "bad"), ("target", [-1] * 5), ("target", [0] * 4), ("target", None),
     ("outputs", [["x", 1]] * 5), ("outputs", [[1.0], [1.0, 2.0]]), ("outputs", 3)],
)  # fmt: skip
def test_a_journal_without_outputs_is_named(
    flat_run: lrpdyn.Run, tmp_path: Path, name: str, value: object
) -> None:
    records = list(read_journal(flat_run.path))
    (flat_run.path / JOURNAL).unlink()
    append_journal(flat_run.path, *({**record, name: value} for record in records))
    with pytest.raises(RunError, match=r"journal\.jsonl: cannot be read: "):
        export(flat_run, "hdf5", tmp_path / "out")
    assert not list(tmp_path.glob("*out*"))
