"""What an outlier report flags for one sample, and for all at once."""

from __future__ import annotations

from lrpdyn.figures.flags import Flags, flags_of


def _entry(severity: str, **where: int) -> dict[str, object]:
    return {"where": where, "severity": severity, "causes": [{"cause": "vanished"}]}


def test_flags_are_of_a_sample_and_of_all_samples_at_once() -> None:
    report = {
        "steps": [
            _entry("mild", from_step=10, to_step=20),
            _entry("none", from_step=0, to_step=10),
        ],
        "cells": [
            _entry("far", from_step=10, to_step=20, sample=1),
            _entry("far", from_step=20, to_step=30, sample=0),
        ],
        "pathologies": [_entry("none", step=40, sample=1), _entry("none", step=50)],
    }
    assert flags_of(report, 1) == Flags({10: "far"}, {40: "vanished", 50: "vanished"})
    assert flags_of(report, 0) == Flags({20: "far", 10: "mild"}, {50: "vanished"})
    assert flags_of(report, None) == Flags({10: "mild"}, {40: "vanished", 50: "vanished"})
    assert flags_of(report, 1).order() == [10, 40, 50]
