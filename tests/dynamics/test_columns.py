"""The list of columns: what it promises, and one that is added from outside."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.dynamics.columns import COLUMNS, Column, names_of, names_of_every_version
from lrpdyn.dynamics.formulas import StepMaps


def test_tables_begin_as_every_version_began_them() -> None:
    promised = {
        "step": "step,sample,target,score,argmax,relevance_sum,relevance_l1,entropy,distance_from_first",
        "transition": "from_step,to_step,sample,change,score_change,scale_share,argmax_changed",
        "layer": "step,layer,weight_norm,weight_change,dead_share,dormant_share,effective_rank,"
                 "cka_previous,cka_last",
        "feature": "step,feature,name,share,rank",
    }  # fmt: skip
    assert ",".join(names_of("step")).endswith(
        ",faithfulness,gini,top_kept,center_row,center_column,cosine_to_last"
        ",sample_name,target_name,argmax_name"
    )
    for of, names in promised.items():
        assert ",".join(names_of_every_version(of)) == names
        assert ",".join(names_of(of)).startswith(names)
        assert len(set(names_of(of))) == len(names_of(of))


def largest_share(step: StepMaps) -> NDArray[np.float64]:
    """Return the share of sum|R| that the largest entry has."""
    size = step.raw_size.reshape(len(step.raw_size), -1)
    return size.max(axis=1) / size.sum(axis=1)


def turned(step: StepMaps) -> NDArray[np.float64]:
    """Return 1 - cosine to the step before."""
    assert step.previous is not None
    one, other = step.now.pixels, step.previous.pixels
    return 1 - (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))


@pytest.mark.parametrize("tables", ["samples", "steps"])
def test_a_column_is_a_formula_and_an_entry(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    tables: str,
) -> None:  # fmt: skip
    mine = [
        Column(name="largest_share", of="step", formula=largest_share, says="max / sum of |R|"),
        Column(name="turned", of="transition", formula=turned, says="1 - cosine"),
    ]
    monkeypatch.setattr("lrpdyn.dynamics.columns.COLUMNS", [*COLUMNS, *mine])
    run = lrpdyn.compute(
        mlp_folder, vectors, out=tmp_path / "run", arch_args={"activation": "tanh"}, quiet=True,
        tables=tables, workers=1,
    )  # fmt: skip
    if tables == "steps":
        for name in ("metrics", "transitions"):
            with (run.path / f"{name}.csv").open(newline="") as file:
                last = {"metrics": "largest_share", "transitions": "turned"}[name]
                assert next(csv.reader(file))[-3:] == [
                    f"{last}_median", f"{last}_least", f"{last}_most",
                ]  # fmt: skip
        shares = [run.relevance[step] for step in run.steps]
        expected = [np.median(np.abs(r).max(1) / np.abs(r).sum(1, dtype=float)) for r in shares]
        np.testing.assert_allclose(run.metrics["largest_share_median"], expected, rtol=1e-6)
        return
    maps = np.abs(run.relevance[run.steps[1]].astype(np.float64))
    of_step = run.metrics[run.metrics["step"] == run.steps[1]]
    np.testing.assert_allclose(of_step["largest_share"], maps.max(axis=1) / maps.sum(axis=1))
    np.testing.assert_allclose(run.transitions["turned"], 1 - run.transitions["cosine"], atol=1e-9)


def test_a_run_of_fewer_columns_is_read(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        earlier = [column for column in COLUMNS if column.name in names_of_every_version(column.of)]
        kept = {
            "support",
            "from_step_zero",
            "scale_factor",
            "growth_share",
            "distance_from_first_l1",
        }
        earlier += [column for column in COLUMNS if column.name in kept]
        patched.setattr("lrpdyn.dynamics.columns.COLUMNS", earlier)
        path = lrpdyn.compute(
            mlp_folder, vectors, out=tmp_path / "run", arch_args={"activation": "tanh"}, quiet=True,
            workers=1,
        ).path  # fmt: skip
    run = lrpdyn.open_run(path)
    assert "cosine" not in (run.transitions.dtype.names or ())
    assert len(run.metrics) == len(run.steps) * len(vectors)
