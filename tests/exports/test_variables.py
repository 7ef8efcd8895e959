"""What a run holds by name, beside its own arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lrpdyn
from lrpdyn.exports.variables import about, coordinates, dimensions_of, first_map, variables
from lrpdyn.run.reader import RunFolder


@pytest.mark.parametrize(
    ("of_run", "shape", "layout", "names"),
    [
        ((2, 5), (2, 5), "NF", ("sample", "feature")),
        ((2, 3, 4, 5), (2, 4, 5), "NCHW", ("sample", "row", "column")),
        ((2, 3, 4, 5), (2, 3, 4, 5), "NCHW", ("sample", "channel", "row", "column")),
        ((2, 4, 5), (2, 4, 5), "NTF", ("sample", "time", "feature")),
        ((2, 4, 5), (2, 4, 5), "NCL", ("sample", "channel", "time")),
        ((2, 6, 3, 4, 5), (2, 6, 4, 5), "NTCHW", ("sample", "time", "row", "column")),
        ((2, 6, 3, 4, 5), (2, 6, 3, 4, 5), "NTCHW", ("sample", "time", "channel", "row", "column")),
    ],
)
def test_dimensions_follow_from_the_observations(
    of_run: tuple[int, ...], shape: tuple[int, ...], layout: str, names: tuple[str, ...]
) -> None:
    run = RunFolder(Path(), {"observations": {"shape": list(of_run), "layout": layout}})
    assert dimensions_of(run, np.zeros(shape)) == names


def test_transitions_lie_between_steps(flat_run: lrpdyn.Run) -> None:
    along = coordinates(flat_run)
    assert along["step"].values.tolist() == [2, 4, 10, 20, 30]
    assert along["sample"].values.tolist() == [0, 1, 2, 3, 4]
    assert along["from_step"].values.tolist() == [2, 4, 10, 20]
    assert along["to_step"].values.tolist() == [4, 10, 20, 30]
    assert along["to_step"].dimensions == ("transition",)
    assert along["step"].attributes == {"units": flat_run.manifest["unit"]}


def test_columns_of_the_tables_are_by_step_and_sample(flat_run: lrpdyn.Run) -> None:
    found = variables(flat_run)
    assert not {"step", "sample", "from_step", "to_step"} & set(found)
    score, change = found["score"], found["change"]
    assert (score.dimensions, score.values.shape) == (("step", "sample"), (5, 5))
    assert (change.dimensions, change.values.shape) == (("transition", "sample"), (4, 5))
    row = flat_run.transitions[7]
    place = [2, 4, 10, 20].index(row["from_step"]), row["sample"]
    assert change.values[place] == row["change"]


def test_what_is_stored_of_a_step_is_told_unless_nothing_is(
    image_run: lrpdyn.Run, flat_run: lrpdyn.Run
) -> None:
    found = first_map(image_run)
    assert found is not None
    assert found.shape == (2, 4, 84, 84)
    assert found.dtype == np.float32
    flat_run.manifest["stored"]["keep"] = "none"
    assert first_map(flat_run) is None


def test_a_rule_is_told_with_its_parameters(flat_run: lrpdyn.Run) -> None:
    flat_run.manifest["rule"] |= {"name": "gamma", "parameters": {"gamma": 0.25, "bias": True}}
    told = about(flat_run)
    assert told["rule"] == "gamma (gamma=0.25, bias=True)"
    assert (told["title"], told["architecture"]) == ("Relevance over training, gamma", "mlp")
    flat_run.manifest["rule"]["parameters"] = {}
    assert about(flat_run)["rule"] == "gamma"
