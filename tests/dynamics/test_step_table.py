"""What is kept of each step: its numbers, and next to nothing beside them."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lrpdyn.checkpoints.model import Checkpoint, Header
from lrpdyn.dynamics.columns import measured as formulas_of
from lrpdyn.dynamics.one_step import Measured
from lrpdyn.dynamics.step_table import SKETCHED, Columns, Records

SAMPLES, UNITS = 4, 3
ENTRY = ("step", "path", "format", "digest", "sha256", "status", "reason", "relevance_sha256")


def facts_of(step: int, **others: Any) -> dict[str, Any]:
    """Return a line of the journal, as it comes back from it."""
    rng = np.random.default_rng(step)
    weights = {kind: {"0": rng.random(), "2": rng.random()} for kind in ("change", "norm", "back")}
    units = {name: {"dormant": 0.25, "rank": 1 + rng.random()} for name in ("0", "2")}
    evidence = {
        "key": [step - 1, step - 2, None],
        "dead": {"0": 0.25, "2": 0.0},
        "units": units,
        "weights_not_finite": [],
        "weights": {"from_step": step - 1, "back_step": step - 2, **weights,
                    "sketch": rng.random(SKETCHED).tolist(), "reset": []},
    }  # fmt: skip
    facts = {
        "step": step, "path": f"series/net_{step}_steps.pt", "format": "state_dict",
        "digest": f"xxh3_128-{step:032x}", "size": 2500, "modified": 10**18 + step, "status": "done",
        "reason": None, "score": rng.random(SAMPLES).tolist(), "target": [0, 1, 2, 0],
        "argmax": [0, 1, 2, 0], "support": rng.random(SAMPLES).tolist(),
        "outputs": rng.random((SAMPLES, UNITS)).tolist(), "maps_sha256": f"{step + 1:064x}",
        "relevance_sha256": f"{step + 1:064x}", "relevance_finite": True, "evidence": evidence,
    }  # fmt: skip
    return {**facts, **others}


def measured_at(step: int) -> Measured:
    names = (*formulas_of("step"), *formulas_of("transition"))
    values = np.random.default_rng(step).random((len(names), SAMPLES))
    return Measured(columns=dict(zip(names, values, strict=True)), from_step=step - 1)


def added(records: Records, step: int, **others: Any) -> None:
    facts = json.loads(json.dumps(facts_of(step, **others)))
    records.add(facts, measured_at(step), np.full(6, 1 / 6), None)


@pytest.mark.parametrize("expected", [2000, 1])
def test_a_step_takes_its_numbers_and_little_more(expected: int) -> None:
    added(Records(1), 1)  # what is made once
    tracemalloc.start()
    records = Records(expected)
    for step in range(2000):
        added(records, step)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 1,146 bytes of numbers, 128 of hashes, a path, what explained it; room may be made for twice as many.
    assert 1146 * 2000 < held < 1.1 * (1146 + 128 + 128) * 2000 * (1 if expected > 1 else 2)
    assert records["score"][1234].tolist() == facts_of(1234)["score"]


def test_what_is_put_in_comes_out() -> None:
    records = Records(1)
    added(records, 10)
    added(records, 20, reason="its outputs hold NaN", status="not_finite", relevance_finite=False,
          target=[None, 1, 2, 0], score=[None, 1.0, 2.0, 3.0], batch_size=32,
          outputs=[[None] * UNITS] * SAMPLES)  # fmt: skip
    checkpoint = Checkpoint(
        step=15,
        path=Path("series/net_15.pt"),
        format="state_dict",
        step_source="file",
        header=Header({}),
    )
    records.add_bad(checkpoint, "cannot be read")
    assert len(records) == 3
    assert records.explained == 2
    assert records.steps == [10, 15, 20]
    assert records.finite_steps == [10]
    assert records.broken == [(), ("the outputs", "the relevance")]
    assert np.isnan(records["score"][1]).tolist() == [True, False, False, False]
    assert records["target"].tolist() == [[0, 1, 2, 0], [-1, 1, 2, 0]]
    assert records["batch_size"].tolist() == [-1, 32]
    assert records["from_step"].tolist() == [9, 19]
    np.testing.assert_array_equal(records["cosine"][1], measured_at(20).columns["cosine"])
    assert [entry["status"] for entry in records.entries()] == ["done", "bad", "not_finite"]
    first, bad, _ = records.entries()
    assert first == {name: facts_of(10).get(name) for name in ENTRY}
    assert list(first) == list(bad) == list(ENTRY)
    with pytest.raises(ValueError, match="read-only"):
        records["score"][0] = 0


def test_layers_and_effects_that_are_not_there_are_not_a_number() -> None:
    records = Records(2)
    assert [records.extend() for _ in range(3)] == [0, 1, 2]
    gone = {"key": None, "dead": {}, "weights_not_finite": ["0"],
            "weights": {"from_step": 1, "change": None}}  # fmt: skip
    whole = facts_of(3)["evidence"] | {"effects": [[1.0, None, 3.0, 4.0]]}
    records.put_facts(0, facts_of(1))
    records.put_facts(2, facts_of(3, evidence=whole))
    records.put_facts(1, facts_of(2, evidence=whole))
    records.put_facts(1, facts_of(2, evidence=gone))  # the last line on a step holds
    names, of_units = records.units
    dead = of_units["dead"]
    assert names == ("0", "2")
    assert np.isnan(dead).tolist() == [[False, False], [True, True], [False, False]]
    names, of_weights = records.weights
    change = of_weights["change"]
    assert names == ("0", "2")
    assert change[2].tolist() == list(whole["weights"]["change"].values())
    assert np.isnan(change[1]).all()
    assert np.isnan(records["effects"][:2]).all()
    assert np.isnan(records["effects"][2]).tolist() == [[False, True, False, False]]


def test_layers_of_an_earlier_version_have_no_more_than_it_knew() -> None:
    records = Records(2)
    now, earlier = facts_of(1)["evidence"], facts_of(2)["evidence"]
    now["weights"]["reset"] = ["1"]
    weights = {name: earlier["weights"][name] for name in ("from_step", "change")}
    earlier = {**earlier, "key": [1, None], "weights": weights}
    del earlier["units"]
    for facts in (facts_of(1, evidence=now), facts_of(2, evidence=earlier)):
        records.put_facts(records.extend(), facts)
    of_weights, of_units = records.weights[1], records.units[1]
    assert of_weights["change"][1].tolist() == list(weights["change"].values())
    assert of_units["dead"].tolist() == [[0.25, 0], [0.25, 0]]
    for table in (of_weights["norm"], of_weights["back"], of_units["dormant"], of_units["rank"]):
        assert np.isnan(table).all(axis=1).tolist() == [False, True]
    assert records.reset == [("1",), ()]
    assert np.isnan(records["sketch"][1]).all()
    np.testing.assert_allclose(records["sketch"][0], now["weights"]["sketch"], rtol=1e-6)
    assert of_units["rank"][0].tolist() == [of["rank"] for of in now["units"].values()]


def test_columns_grow_and_say_where_nothing_is() -> None:
    columns = Columns(0)
    columns.put("number", 0, [1.0, None])
    columns.make("unit", (), np.int64)
    columns.reserve(5)
    columns.put("unit", 4, 7)
    columns.put("late", 3, [True], np.bool_)
    columns.put("late", 4, [True])
    assert columns["number"][0, 0] == 1
    assert np.isnan(columns["number"][:5]).sum() == 9
    assert columns["unit"][:5].tolist() == [-1, -1, -1, -1, 7]
    assert columns["late"][:5, 0].tolist() == [False, False, False, True, True]
    assert list(columns) == ["number", "unit", "late"]
