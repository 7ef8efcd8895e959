"""A job as plain data gives the same job again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import RunError, UsageError
from lrpdyn.explain.explanation import outputs_of
from lrpdyn.explain.loaded import load
from lrpdyn.pipeline.setup import description
from lrpdyn.pipeline.setup.description import (
    Description,
    describe,
    job_of,
    open_values,
    read_fixed_inputs,
    save_fixed_inputs,
)
from tests.pipeline.setup.test_prepare import prepared
from tests.pipeline.test_compute import Vectors


def test_it_comes_back_from_json_and_makes_the_same_job(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, _ = prepared(mlp_folder, vectors, tmp_path / "run", rule="gamma:0.5", target="2", fill=3.0)
    described = describe(job)
    text = json.dumps(described.as_dict())
    back = Description.from_dict(json.loads(text))
    assert json.dumps(back.as_dict()) == text
    again = job_of(back, job.listing, vectors, {}, tmp_path / "elsewhere")
    assert again.folder == tmp_path / "elsewhere"
    assert (again.rule.name, again.fill, again.bounds) == ("gamma", 3.0, job.bounds)
    assert again.target.policy == "2"
    texts = [[rule.text for rule in one.model.plan.values()] for one in (job, again)]
    assert texts[0] == texts[1]
    checkpoint = job.listing.checkpoints[2]
    outputs = [
        outputs_of(load(one.model, checkpoint, trust=False), vectors) for one in (job, again)
    ]
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_paths_are_whole_and_the_shard_is_left_out(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "parts.npz", left=np.arange(6) < 3, right=np.arange(6) >= 3)
    monkeypatch.chdir(tmp_path)
    job, _ = prepared(mlp_folder, vectors, tmp_path / "run", regions="parts.npz", shard="1/2")
    options = describe(job).options
    assert options.regions == str(tmp_path / "parts.npz")
    assert (options.shard, options.recompute) == (None, ())
    assert options.device == "cpu"


def test_what_is_no_description_is_told(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    plain = describe(prepared(mlp_folder, vectors, tmp_path / "run")[0]).as_dict()
    with pytest.raises(KeyError):
        Description.from_dict({name: plain[name] for name in plain if name != "options"})
    with pytest.raises(TypeError):
        Description.from_dict({**plain, "colour": "red"})
    with pytest.raises(UsageError, match="contrast 'median'"):
        Description.from_dict({**plain, "options": {**plain["options"], "contrast": "median"}})


def test_fixed_inputs_come_back_and_damage_is_told(tmp_path: Path) -> None:
    inputs = {"mask": np.array([[1.0, 0.0]], dtype=np.float32), "time": np.float32([2.5])}
    save_fixed_inputs(tmp_path / "held.npz", inputs)
    found = read_fixed_inputs(tmp_path / "held.npz")
    assert set(found) == {"mask", "time"}
    for name, values in inputs.items():
        np.testing.assert_array_equal(found[name], values)
    (tmp_path / "held.npz").write_bytes((tmp_path / "held.npz").read_bytes()[:-30])
    with pytest.raises(RunError, match=r"held\.npz: cannot be read .*; compute it again"):
        read_fixed_inputs(tmp_path / "held.npz")


def test_many_observations_stay_where_they_lie(
    vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "observations.npy", vectors)
    few = open_values(tmp_path / "observations.npy")
    monkeypatch.setattr(description, "LARGEST_IN_MEMORY", vectors.nbytes - 1)
    many = open_values(tmp_path / "observations.npy")
    assert isinstance(few, np.ndarray)
    assert not isinstance(many, np.ndarray)
    np.testing.assert_array_equal(few, vectors)
    np.testing.assert_array_equal(many[1:3], vectors[1:3])
