"""The rows of a page's outlier table, and the phases of its run."""

from __future__ import annotations

from typing import Any

import pytest

import lrpdyn
from lrpdyn.outliers.first import conditions
from lrpdyn.page.findings import findings_of
from lrpdyn.page.page import page_of


def test_findings_lead_to_their_step_and_sample(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    first = page.findings.rows[0]
    assert (first.kind, first.severity, first.step) == ("pathologies", "pathology", 32)
    assert first.causes[0].name == "duplicate_checkpoint"
    assert 32 in page.flagged.anywhere
    assert {row.kind for row in page.findings.rows} == {"pathologies", "steps", "samples", "cells"}
    cell = next(row for row in page.findings.rows if row.kind == "cells")
    assert cell.step == image_run.outliers["cells"][0]["where"]["to_step"]
    assert "→" in cell.where


@pytest.mark.parametrize("borders", [[], [{"step": 20, "sure": 0.8}]])
def test_phases_cover_all_steps(borders: list[dict[str, Any]], image_run: lrpdyn.Run) -> None:
    report = {**image_run.outliers, "phases": {"borders": borders, "why": "too few"}}
    found = findings_of(report, [0, 10, 20, 30])
    spans = [(phase.first, phase.last, phase.sure) for phase in found.phases]
    assert spans == ([(0, 10, None), (20, 30, 0.8)] if borders else [])


def test_a_pathology_of_many_samples_is_one_row_that_leads_to_the_first(
    image_run: lrpdyn.Run,
) -> None:
    (first, *_) = image_run.outliers["pathologies"]
    alike = [{**first, "where": {"step": 1_000, "sample": n}} for n in range(8, 0, -1)]
    report = {
        **image_run.outliers,
        "pathologies": alike,
        "conditions": conditions(alike, [0, 1_000]),
    }
    rows = [row for row in findings_of(report, [0, 1_000]).rows if row.kind == "pathologies"]
    assert [row.where for row in rows] == ["step 1,000, samples 1, 2, 3, 4, 5, 6, ..."]
    assert (rows[0].step, rows[0].sample) == (1_000, 1)


def test_a_row_says_how_far_beyond_its_fence_a_value_is(image_run: lrpdyn.Run) -> None:
    (first, *_) = image_run.outliers["cells"]
    entry = {**first, "value": 3.0, "fence_far": 1.2, "severity": "far"}
    report = {**image_run.outliers, "cells": [entry]}
    (row,) = (row for row in findings_of(report, [0]).rows if row.kind == "cells")
    assert (row.value, row.beyond) == ("3", "2.50")
