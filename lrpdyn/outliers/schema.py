"""What a stored outlier report has to hold, so that a damaged one is told and not stumbled over."""

from __future__ import annotations

from typing import Any

from lrpdyn.files.json_data import Each, fault

SCHEMA = 1

_NUMBER = (None, float)
_BETWEEN = {"from_step": int, "to_step": int, "sample?": int, "step?": None}
_WHERE = {
    "pathologies": {"step": int, "sample?": int, "from_step?": None, "row?": None},
    "steps": _BETWEEN,
    "cells": {**_BETWEEN, "sample": int},
    "samples": {"sample": int, "from_step?": None, "step?": None, "row?": None},
    "pixels": {"sample?": int, "column": int, "row?": int, "from_step?": None, "step?": None},
}
_ENTRY = {
    "value": _NUMBER, "fence_mild": _NUMBER, "fence_far": _NUMBER,
    "severity": frozenset({"mild", "far", "none"}), "severity_per_unit?": (None, str),
    "causes": [{"cause": str, "share": _NUMBER, "evidence": str}],
    "tail?": _NUMBER, "form?": (None, str),
}  # fmt: skip
_TOTAL = {"values": int, "zeros": float, "fence_mild": _NUMBER, "fence_far": _NUMBER, "mild": int,
          "far": int, "window?": (None, int)}  # fmt: skip
_EXPECTED = {
    "totals": {**dict.fromkeys(_WHERE, _TOTAL), "pathologies": {"values": int}},
    **{kind: [{"where": where, **_ENTRY}] for kind, where in _WHERE.items()},
    "shifts?": [{"step": int, "before": float, "after": float}],
    "advice?": Each(str),
    "phases?": (None, {"of": str, "explained": float, "why?": (None, str),
                       "borders": [{"step": int, "sure": float}]}),
    "regions?": (None, {"steps": [int], "names": [str], "share": [[_NUMBER]], "effect": [[_NUMBER]],
                        "agreement": [_NUMBER], "agreement_over_regions": _NUMBER, "rule": str}),
    "agreement?": (None, {"rule": str,
                          "steps": [{"step": int, "rule": _NUMBER, "gradient": _NUMBER}]}),
    "curve?": (None, {"source": str, "series": [{"series": str, "rank_correlation": _NUMBER,
                                                 "p": _NUMBER, "steps": int}]}),
}  # fmt: skip


def newer(report: Any) -> bool:
    """Tell whether a report says that it is of a later schema."""
    schema = report.get("schema") if isinstance(report, dict) else None
    return isinstance(schema, int) and not isinstance(schema, bool) and schema > SCHEMA


def wrong(report: Any) -> str | None:
    """Return what is wrong with a report, or None."""
    found = fault(report, {"schema": int, **_EXPECTED}, "report")
    if found is not None:
        return found
    if report["schema"] != SCHEMA:
        return f"schema {report['schema']}, expected {SCHEMA}"
    if not all(entry["causes"] for entry in report["pathologies"]):
        return "report.pathologies hold one without a cause"
    phases = report.get("phases")
    if phases is not None and not phases["borders"] and phases.get("why") is None:
        return "report.phases has neither borders nor why"
    return _regions(report.get("regions"))


def _regions(regions: Any) -> str | None:
    if regions is None:
        return None
    steps, names = len(regions["steps"]), len(regions["names"])
    tables = [regions["share"], regions["effect"]]
    fit = all(len(table) == names and all(len(row) == steps for row in table) for table in tables)
    if fit and len(regions["agreement"]) == names:
        return None
    return "report.regions do not have a value for each region and step"
