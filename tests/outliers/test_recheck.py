"""Evidence by layer is requested where something is flagged, and nowhere else."""

from __future__ import annotations

from typing import Any

from lrpdyn.outliers.facts import RunFacts, Wanted
from tests.outliers.made_up import (
    evidence,
    report_on,
    spiked,
    with_steps,
)


def test_evidence_by_layer_is_asked_for_where_something_is_flagged(calm: RunFacts) -> None:
    argmax = calm.steps.argmax.copy()
    argmax[21:, 3] = 2
    facts = spiked(with_steps(calm, argmax=argmax), 20, 3)
    asked: list[Wanted] = []

    def look(wanted: Wanted) -> dict[tuple[int, str], dict[str, Any]]:
        asked.append(wanted)
        return {
            (21, "action_flip"): {"samples": {3: 0.75}},
            (21, "unstable_denominator"): {"samples": {3: "50 % of |R| in last"}},
        }

    report = report_on(facts, look)
    assert asked[0].places == (20, 21)
    assert asked[0].flips == {20: (3,)}
    assert len(asked[0].usual) == 8
    flip = next(c for c in report["cells"][0]["causes"] if c["cause"] == "action_flip")
    assert flip["share"] == 0.75
    assert "50 % of |R| in last" in evidence(report["cells"][0], "unstable_denominator")
    assert [entry["where"] for entry in report["pathologies"]] == [{"step": 2100, "sample": 3}]
