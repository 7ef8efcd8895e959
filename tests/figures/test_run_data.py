"""Maps that figures load are normalised as the differences are."""

from __future__ import annotations

import numpy as np
import pytest

from lrpdyn.api import Run
from lrpdyn.figures import run_data
from lrpdyn.figures.run_data import Flags, flags_of


def test_maps_are_normalised_as_the_differences_are(of_vectors: Run) -> None:
    maps_of_sample = run_data.maps_of(of_vectors, 3)
    values = [maps_of_sample(step) for step in of_vectors.steps]
    assert [np.abs(value).sum() for value in values] == pytest.approx([1.0] * 5)
    moved = sum(np.abs(one - other) for one, other in zip(values[1:], values, strict=False))
    np.testing.assert_allclose(moved, of_vectors.dynamics[3], rtol=1e-5)
    assert run_data.about_of(of_vectors).value_unit == "relevance normalised by l1"


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
