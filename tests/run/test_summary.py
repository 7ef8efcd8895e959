"""What is said of a finished run is what its manifest and its tables hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import lrpdyn
from lrpdyn.files.text import terminal_width
from lrpdyn.run.summary import closing_lines, closing_words
from lrpdyn.run.trust import trust_text
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


def test_lines_are_the_words_in_one_column(run: lrpdyn.Run) -> None:
    words = closing_words(run)
    trust, _, rest = "\n".join(closing_lines(run)).partition("\n\n")
    assert trust.splitlines() == trust_text(run, terminal_width())
    lines = rest.splitlines()
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
