"""The manifest of a run that begins records the question, and can be read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.new_manifest import make_manifest
from lrpdyn.pipeline.setup.resume import question_of
from lrpdyn.run.manifest import load_manifest, save_manifest


def test_what_is_part_of_the_question_is_recorded(
    job_with: Callable[..., Job], tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    job = job_with(
        rule="gamma:0.5", target=2, contrast="none", normalize="l1", limit=3, batch_size=7
    )
    manifest = make_manifest(job, {"outputs": None})
    save_manifest(tmp_path / "run", manifest)
    found = load_manifest(tmp_path / "run")
    assert found.pop("sha256")
    assert (found["contrast"], found["normalize"], found["batch_size"]) == ("none", "l1", 7)
    assert found["selection"]["limit"] == 3
    assert found["target"] == {"policy": "2", "values": [2] * 5}
    assert {entry["status"] for entry in found["checkpoints"]} == {"pending"}
    assert question_of(found, given_values=True) == question_of(manifest, given_values=True)
    assert question_of(found, given_values=True)["rule"] == ["gamma", {"gamma": 0.5}]
