"""The steps of a run: added in order, explained only where the journal does not have them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lrpdyn
from lrpdyn.dynamics.step_table import NO_TRANSITION
from lrpdyn.errors import ArchitectureError, LrpdynError
from lrpdyn.explain.explanation import Question
from lrpdyn.pipeline.blocks import Outcomes, by_processes
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, settle
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.resume import kept_steps
from lrpdyn.pipeline.steps import Steps, begin
from lrpdyn.system.timing import Times
from tests.pipeline.setup.test_prepare import prepared
from tests.pipeline.test_compute import Vectors


def begun(
    folder: Path, vectors: Vectors, out: Path, **options: Any
) -> tuple[Job, Question, dict[str, Any]]:
    """Return a job whose folder is ready, its question and its manifest."""
    out.mkdir(exist_ok=True)
    job, checks = prepared(folder, vectors, out, **options)
    question, manifest = settle(job, make_manifest(job, checks), fixed_targets(job, None))
    begin(job, manifest)
    return job, question, manifest


def explained(
    folder: Path, vectors: Vectors, out: Path, **options: Any
) -> tuple[Job, Question, dict[str, Any], Steps]:
    """Return a job with all of its steps."""
    job, question, manifest = begun(folder, vectors, out, **options)
    steps = Steps(job, question, partial(by_processes, 1), 1, Times(), kept_steps(job))
    steps.go_on(job)
    return job, question, manifest, steps


def stored(out: Path, steps: Sequence[int]) -> np.ndarray:
    """Return the maps of steps as they were written, (S, N, F)."""
    files = [out / "relevance" / f"step_{step:012d}.npy" for step in steps]
    return np.stack([np.load(file) for file in files]).astype(np.float64)


def nobody(_: Job, __: Question, places: Sequence[int]) -> Generator[Outcomes]:
    """Explain nothing, and fail where something is to be explained."""
    raise AssertionError(f"places {places} are explained again")
    yield


def test_a_folder_is_made_ready(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    begun(mlp_folder, vectors, tmp_path / "run")
    np.testing.assert_array_equal(np.load(tmp_path / "run" / "observations.npy"), vectors)
    entries = json.loads((tmp_path / "run" / "manifest.json").read_text())["checkpoints"]
    assert [(e["step"], e["status"]) for e in entries] == [
        (step, "pending") for step in (2, 4, 10, 20, 30)
    ]


def test_steps_are_measured_in_order(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    *_, steps = explained(mlp_folder, vectors, tmp_path / "run")
    records = steps.records
    assert records["step"].tolist() == [2, 4, 10, 20, 30]
    assert records["from_step"].tolist() == [NO_TRANSITION, 2, 4, 10, 20]
    assert steps.done == 5
    maps = stored(tmp_path / "run", (2, 4, 10, 20, 30))
    np.testing.assert_allclose(records["relevance_l1"], np.abs(maps).sum(2), rtol=1e-9)
    np.testing.assert_allclose(
        records["change"][1:], np.abs(np.diff(maps, axis=0)).sum(2), rtol=1e-9
    )


def test_what_the_journal_has_is_not_explained_again(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, question, _, steps = explained(mlp_folder, vectors, tmp_path / "run")
    again = Steps(job, question, nobody, 1, Times(), kept_steps(job))
    again.go_on(job)
    assert again.done == 5
    for name in ("step", "score", "relevance_l1", "change"):
        np.testing.assert_array_equal(again.records[name], steps.records[name])
    job.storage.maps_path(job.folder, 10).unlink()
    with pytest.raises(AssertionError, match=r"places \[2\] are explained again"):
        Steps(job, question, nobody, 1, Times(), kept_steps(job)).go_on(job)


def test_a_checkpoint_of_another_network_stops_the_run_or_is_skipped(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    torch.save(torch.nn.Linear(6, 3).state_dict(), mlp_folder / "net_20.pt")
    with pytest.raises(LrpdynError, match=r"net_20\.pt"):
        explained(mlp_folder, vectors, tmp_path / "run")
    *_, steps = explained(mlp_folder, vectors, tmp_path / "run", skip_bad=True)
    assert steps.records["step"].tolist() == [2, 4, 10, 30]
    assert [entry["step"] for entry in steps.records.bad] == [20]
    maps = stored(tmp_path / "run", (10, 30))
    np.testing.assert_allclose(
        steps.records["change"][3], np.abs(maps[1] - maps[0]).sum(1), rtol=1e-9
    )


#: A network that gives more than its layers do once it has weights with a large last bias.
_LATE = """
from torch import nn
class Late(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
        self.register_load_state_dict_post_hook(Late.loaded)
    def loaded(self, _):
        much = float(self[2].bias[0].detach()) - 10
        if much > 0:
            self.register_forward_hook(lambda module, inputs, outputs: outputs + much)
"""


def late(folder: Path, number: int, much: float = 0.0) -> None:
    """Save a checkpoint whose network as loaded gives so much more than as explained."""
    torch.manual_seed(number)
    weights = torch.nn.Sequential(
        torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ).state_dict()
    if much:
        weights["2.bias"][0] = 10 + much
    torch.save(weights, folder / f"net_{number}.pt")


@pytest.mark.parametrize(
    "how", ["at once", "resumed", "shards", pytest.param("cluster", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning:(distributed|dask|tornado).*")
def test_outputs_are_compared_at_every_step(how: str, tmp_path: Path, vectors: Vectors) -> None:
    (tmp_path / "own.py").write_text(_LATE)
    (tmp_path / "ckpts").mkdir()
    options: dict[str, Any] = {
        "arch": f"{tmp_path / 'own.py'}:Late",
        "quiet": True,
        "baseline": "none",
    }
    for number in range(4):
        late(tmp_path / "ckpts", number)

    def done() -> lrpdyn.Run:
        given = {**options, "dask": "local:1" if how == "cluster" else None}
        if how != "shards":
            return lrpdyn.compute(tmp_path / "ckpts", vectors, out=tmp_path / "run", **given)
        parts = [tmp_path / f"{k}" for k in (1, 2)]
        for k, part in enumerate(parts, start=1):
            lrpdyn.compute(tmp_path / "ckpts", vectors, out=part, shard=f"{k}/2", **options)
        return lrpdyn.merge(parts, out=tmp_path / "run", arch=options["arch"], quiet=True)

    if how == "resumed":
        done()
    late(tmp_path / "ckpts", 4, 5e-4)  # less than 1e-4 of the largest output: kept, and reported
    found = done().manifest["checks"]["outputs"]
    assert found["step"] == 4
    assert found["largest_difference"] == pytest.approx(5e-4, rel=0.05)
    if how == "resumed":
        late(tmp_path / "ckpts", 5, 0.5)
    else:
        late(tmp_path / "ckpts", 4, 0.5)
        for name in ("run", "1", "2"):
            shutil.rmtree(tmp_path / name, ignore_errors=True)
    with pytest.raises(ArchitectureError, match=r"step [45]: the network as explained differs"):
        done()
