"""A stored report is read as it was written, and refused by one line where it was not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lrpdyn.errors import RunError
from lrpdyn.files.atomic import save_json, sha256_of
from lrpdyn.run.outlier_report import read_report
from tests.outliers.made_up import calm_run, report_on, spiked, with_steps

Report = dict[str, Any]


@pytest.fixture
def report() -> Report:
    calm = calm_run()
    sums = calm.steps.relevance_l1.copy()
    sums[21, 2:6] = 0
    made = report_on(spiked(with_steps(calm, relevance_l1=sums), 10, 3))
    return {**made, "phases": None, "regions": None, "agreement": None}


def test_a_report_is_read_with_its_hash_and_without(report: Report, tmp_path: Path) -> None:
    save_json(tmp_path / "outliers.json", report)
    assert read_report(tmp_path) == report
    for written in ({}, {"files": {}}, {"files": None}, [], 3):
        save_json(tmp_path / "manifest.json", written)
        assert read_report(tmp_path) == report
    save_json(
        tmp_path / "manifest.json",
        {"files": {"outliers.json": sha256_of(tmp_path / "outliers.json")}},
    )
    assert read_report(tmp_path) == report
    report["cells"][0]["value"] += 1
    save_json(tmp_path / "outliers.json", report)
    with pytest.raises(RunError, match=r"outliers\.json: .*its bytes are not those that were wri"):
        read_report(tmp_path)


def _set(*keys: Any, value: Any) -> Callable[[Report], None]:
    def change(report: Any) -> None:
        for key in keys[:-1]:
            report = report[key]
        report[keys[-1]] = value

    return change


@pytest.mark.parametrize("change", [
    lambda report: report.pop("totals"),
    lambda report: report["cells"][5].pop("where"),
    lambda report: report["pathologies"][0]["where"].pop("step"),
    lambda report: report["cells"][-1]["where"].pop("sample"),
    _set("schema", value=0),
    _set("schema", value="1"),
    _set("cells", value=None),
    _set("cells", 7, "severity", value="huge"),
    _set("cells", 7, "value", value="x"),
    _set("cells", 7, "value", value=10**400),
    _set("cells", 7, "causes", value=[{"cause": "step_gap"}]),
    _set("steps", 30, "where", "from_step", value=[]),
    _set("samples", 3, "where", "sample", value={}),
    _set("pathologies", 0, "causes", value=[]),
    _set("totals", "pixels", "fence_mild", value="far"),
    _set("totals", "cells", "far", value={}),
    _set("advice", value=[1]),
    _set("phases", value={"of": "maps", "borders": [], "explained": 0.5}),
    _set("regions", value={"steps": [1], "names": ["a"], "share": [], "effect": []}),
])  # fmt: skip
def test_a_report_that_cannot_be_used_is_refused_by_a_line(
    report: Report, tmp_path: Path, change: Callable[[Report], None]
) -> None:
    change(report)
    save_json(tmp_path / "outliers.json", report)
    with pytest.raises(
        RunError, match=r"^.*outliers\.json: (is damaged|cannot be read) \(.{,200}makes it anew$"
    ):
        read_report(tmp_path)


@pytest.mark.parametrize(("text", "says"), [
    ("", "cannot be read"), ("[1, 2", "cannot be read"), ("[" * 10**5, "nested too deeply"),
    ('{"schema": NaN}', "NaN is no number of JSON"), ("[]", "is damaged"), ("null", "is damaged"),
    (json.dumps({"schema": 2}), "schema 2; install a newer lrpdyn"),
])  # fmt: skip
def test_what_is_no_report_is_refused_by_a_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(RunError, match="holds no finished run of lrpdyn"):
        read_report(tmp_path)
    (tmp_path / "outliers.json").write_text(text)
    with pytest.raises(RunError, match=says) as refused:
        read_report(tmp_path)
    assert "\n" not in str(refused.value)
