"""A job that is made again from plain data is the same job."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import UsageError
from lrpdyn.pipeline.setup.description import (
    Description,
    describe,
    job_of,
    read_fixed_inputs,
    save_fixed_inputs,
)
from lrpdyn.pipeline.setup.job import Job

JobWith = Callable[..., Job]


def through_json(description: Description) -> Description:
    return Description.from_dict(json.loads(json.dumps(description.as_dict())))


def test_a_job_is_made_again_from_json(job_with: JobWith, tmp_path: Path) -> None:
    regions = tmp_path / "regions.npz"
    np.savez(regions, left=np.arange(6) < 3)
    job = job_with(rule="zbox:-9,9", head="logits", target=1, mean=np.zeros(1), samples=[0, 2], fill=0.5,
                   regions=regions, keep="pixels", shard="1/2", limit=4)  # fmt: skip
    again = job_of(
        through_json(describe(job)), job.listing, job.observations.values, {}, tmp_path / "other"
    )
    assert again.folder == tmp_path / "other"
    assert again.shard is None
    assert again.storage == job.storage
    assert again.options.limit == 4
    assert (again.target.policy, again.model.head, str(again.rule)) == ("1", "logits", "zbox:-9,9")
    assert (again.bounds, again.fill) == (job.bounds, job.fill)
    assert again.painting is not None
    assert job.painting is not None
    assert again.painting.key == job.painting.key
    assert {name: rule.text for name, rule in again.model.plan.items()} == {
        name: rule.text for name, rule in job.model.plan.items()
    }


def test_files_have_whole_paths(
    job_with: JobWith, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text('[[layers]]\nrule = "gamma:0.5"\n')
    description = describe(job_with(rule="mine.toml"))
    assert description.options.rule == str(tmp_path / "mine.toml")
    assert description.rule_name == job_with(rule="mine.toml").rule.name
    attentive = describe(job_with(rule="mine.toml+attnlrp"))
    assert attentive.options.rule == str(tmp_path / "mine.toml+attnlrp")
    assert (attentive.rule_name, attentive.rule_layers) == (
        "mine.toml+attnlrp",
        description.rule_layers,
    )


@pytest.mark.parametrize(
    ("changes", "error"),
    [({"unknown": 1}, TypeError), ({"contrast": "median"}, UsageError), ({"batch_size": "2"}, TypeError)],
)  # fmt: skip
def test_options_of_another_kind_are_refused(
    job_with: JobWith, changes: dict[str, object], error: type[Exception]
) -> None:
    plain = describe(job_with()).as_dict()
    with pytest.raises(error):
        Description.from_dict({**plain, "options": {**plain["options"], **changes}})


def test_fixed_inputs_are_read_as_they_were(tmp_path: Path) -> None:
    inputs = {"goal": np.arange(4.0).reshape(2, 2)}
    save_fixed_inputs(tmp_path / "held.npz", inputs)
    assert read_fixed_inputs(tmp_path / "held.npz")["goal"].tolist() == [[0, 1], [2, 3]]
