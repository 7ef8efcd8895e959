"""What is said of a finished run is what its manifest and its tables hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lrpdyn
from lrpdyn.run.summary import closing_lines, closing_words, told_apart
from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.fixture
def run(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> lrpdyn.Run:
    return mlp_run(mlp_folder, vectors, tmp_path / "run", rule="epsilon", workers=1)


def said(run: lrpdyn.Run, **changed: Any) -> dict[str, str]:
    """Return what is said of a run whose manifest says something else."""
    return dict(closing_words(replace(run, manifest={**run.manifest, **changed})))


def test_numbers_are_those_of_the_tables(run: lrpdyn.Run) -> None:
    words = dict(closing_words(run))
    changed = run.transitions["argmax_changed"]
    assert words["question"].endswith(
        f"the preference changes in {changed.sum()} of {changed.size} transitions"
    )
    metrics = run.metrics
    negative = int((metrics["score"] < 0).sum())
    assert words["sign"].startswith(f"negative scores {negative} of {metrics['score'].size}; ")
    share = metrics["relevance_sum"] / metrics["score"]
    expected = f"{np.median(share):.2f} ({share.min():.2f} to {share.max():.2f})"
    assert f"sum(R)/score {expected}" in words["sums"]


def test_lines_are_the_words_in_one_column(run: lrpdyn.Run) -> None:
    words = closing_words(run)
    lines = closing_lines(run)
    assert [line[10:] for line in lines] == [text for _, text in words]
    assert [line[:10].rstrip() for line in lines] == [word for word, _ in words]
    assert not {"batches", "tables", "warning"} & dict(words).keys()  # of which nothing is to say


def test_smaller_batches_and_other_rules_are_told(run: lrpdyn.Run) -> None:
    smaller = [{"step": 4, "batch_size": 3}, {"step": 20, "batch_size": 2}]
    text = said(run, smaller_batches=smaller, batch_size=64)["batches"]
    assert text.startswith("of down to 2 observations, not 64, from step 4 on: ")
    assert "--batch-size 2 makes them its own" in text
    stock = {"exact_rule": "zplus", "largest_difference": 0.25, "cosine": 0.5, "reasons": ["bias"]}
    text = said(run, checks={**run.manifest["checks"], "stock": stock})["warning"]
    assert text == (
        "epsilon differs from the exact rule, zplus, by 0.25 of the largest relevance, cosine 0.50: bias"
    )
    stock["largest_difference"] = 1e-5
    text = said(run, checks={**run.manifest["checks"], "stock": stock})["warning"]
    assert text.endswith(": here both are right")


def test_how_much_maps_depend_on_the_unit(run: lrpdyn.Run) -> None:
    none = {"median": None, "low": None}
    for cosine, much in ((0.95, "hardly"), (0.7, "partly"), (0.2, "clearly")):
        found = {"best_to_worst": {"median": cosine}, "upper_layers": none, "random": none,
                 "random_to_random": none}  # fmt: skip
        words = said(run, checks={**run.manifest["checks"], "dependence": [found]})
        assert f": {much} (cosine best to worst {cosine:.2f})" in words["depends"]
        assert ("not why this" in words["note"]) is (much == "hardly")
        assert "random" not in words


@pytest.mark.parametrize(
    ("to_random", "low", "apart"),
    [(0.85, 0.94, False), (0.39, 0.64, True), (0.16, 0.12, False), (None, None, False)],
)
def test_told_apart(to_random: float | None, low: float | None, apart: bool) -> None:
    found = {"random": {"median": to_random}, "random_to_random": {"low": low}}
    assert told_apart(found) is apart
