"""Options: one place for a default, for what a value may be, and for what is part of the question."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import click
import numpy as np
import pytest

import lrpdyn
from lrpdyn.cli.compute import command
from lrpdyn.errors import RunError, UsageError
from lrpdyn.pipeline.setup.options import ARRANGEMENT, Options, defaults
from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contrast": "median"}, "contrast 'median': expected one of mean, none, runner-up"),
        ({"keep": "all"}, "keep 'all': expected one of relevance, pixels, none"),
        ({"batch_size": 0}, "batch_size 0: expected 1 or more"),
    ],
)
def test_a_value_that_there_is_not_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**given)  # type: ignore[arg-type]


def test_compute_takes_the_fields_as_keywords(tmp_path: Path) -> None:
    parameters = inspect.signature(lrpdyn.compute).parameters
    assert list(parameters) == ["checkpoints", "observations", *(f.name for f in fields(Options))]
    assert parameters["rule"].default == "zplus"
    assert parameters["rule"].kind is inspect.Parameter.KEYWORD_ONLY
    with pytest.raises(TypeError, match="unexpected keyword argument 'rules'"):
        lrpdyn.compute(tmp_path, np.zeros((1, 3)), rules="zplus")  # type: ignore[call-arg]


def test_each_field_is_an_option_of_the_command_with_its_default() -> None:
    of_command = {p.name: p for p in command.params if isinstance(p, click.Option)}
    of_command["arch_args"] = of_command.pop("arch_arg")
    known = {field.name: field for field in fields(Options)}
    # -v sets what all commands see, and --config is read into the others.
    assert known.keys() - of_command.keys() == set()
    assert of_command.keys() - known.keys() == {"config"}
    for name in known.keys() - {"verbose", "arch_args"}:
        given = of_command[name].to_info_dict()["default"]
        assert given == known[name].default or (given is None and not known[name].default), name


@pytest.mark.parametrize("changed", [{"batch_size": 3}, {"since": 20}, {"normalize": "l1"}])
def test_another_value_of_the_question_is_another_run(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, changed: dict[str, object]
) -> None:
    mlp_run(mlp_folder, vectors, tmp_path / "run")
    (name,) = changed
    with pytest.raises(RunError, match=f"another question: {name.replace('_', ' ')} "):
        mlp_run(mlp_folder, vectors, tmp_path / "run", **changed)


def test_options_of_the_observations_are_those_of_their_reader() -> None:
    known = inspect.signature(lrpdyn.observations.loading.load_observations).parameters
    for name, usual in defaults(ARRANGEMENT).items():
        assert known[name].default == usual
