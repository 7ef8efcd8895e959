"""Options: one place for a default, for what a value may be, and for what is part of the question."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection
from dataclasses import fields
from pathlib import Path
from typing import get_args

import click
import numpy as np
import pytest

import lrpdyn
from lrpdyn.cli.compute import command
from lrpdyn.errors import RunError, UsageError
from lrpdyn.lrp.composites import COMPOSITES
from lrpdyn.lrp.registry import ALIASES, RULES, STOCK
from lrpdyn.observations.frames import ORDERS
from lrpdyn.pipeline.setup import options
from lrpdyn.pipeline.setup.options import AUTO, Options, defaults
from lrpdyn.run.question import CONTRASTS
from lrpdyn.run.stored_maps import KEEP, TYPES
from lrpdyn.run.tables import TABLES
from tests.pipeline.test_compute import Vectors, mlp_run


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"contrast": "median"}, "contrast 'median': expected one of mean, none, runner-up"),
        ({"keep": "all"}, "keep 'all': expected one of relevance, pixels, none"),
        ({"batch_size": 0}, "batch_size 0: expected 1 or more"),
        ({"shard": "3/2"}, "--shard 3/2: expected K/N"),
        ({"shard": "1/2", "curve": "a.csv:r"}, "--curve: a shard has no report"),
        ({"shard": "1/2", "tables": "steps"}, "--tables: a shard has no tables"),
        ({"shard": "1/2", "interventions": 0}, "--interventions: a shard has no report"),
        ({"shard": "1/2", "faithfulness": "all"}, "--faithfulness: a shard has no report"),
        (
            {"faithfulness": "some"},
            "--faithfulness some: expected a number of steps from 1, all or none",
        ),
        ({"interventions": -1}, "interventions -1: expected 0 or more"),
        ({"shard": "1/2", "follow": True}, "--shard: cannot be with --follow"),
        ({"idle": 3.0}, "--idle: only with --follow"),
        ({"follow": True, "poll": 0.0}, "--poll 0.0: expected seconds above 0"),
    ],
)
def test_values_that_cannot_be_are_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Options(**given)  # type: ignore[arg-type]


def test_arrays_can_be_given_with_a_shard() -> None:
    assert Options(shard="1/2", mean=np.zeros(3), std=np.ones(3)).shard == "1/2"


def test_compute_takes_the_fields_as_keywords(tmp_path: Path) -> None:
    parameters = inspect.signature(lrpdyn.compute).parameters
    assert list(parameters) == ["checkpoints", "observations", *(f.name for f in fields(Options))]
    assert parameters["rule"].default == "zplus"
    assert parameters["rule"].kind is inspect.Parameter.KEYWORD_ONLY
    with pytest.raises(TypeError, match=r"^compute.. got an unexpected keyword argument 'rules'"):
        lrpdyn.compute(tmp_path, np.zeros((1, 3)), rules="zplus")  # type: ignore[call-arg]


def test_each_field_is_an_option_of_the_command_with_its_default() -> None:
    of_command = {p.name: p for p in command.params if isinstance(p, click.Option)}
    of_command["arch_args"] = of_command.pop("arch_arg")
    known = {field.name: field for field in fields(Options)}
    assert known.keys() == of_command.keys()
    for name in known.keys() - {"verbose", "arch_args"}:
        given = of_command[name].to_info_dict()["default"]
        assert given == known[name].default or (given is None and not known[name].default), name


def test_help_shows_what_each_field_means() -> None:
    text = lrpdyn.compute.__doc__
    assert text is not None
    documented = text.partition("----------\n")[2].partition("\nReturns\n")[0]
    names = [name for line in re.findall(r"(?m)^\w.*$", documented) for name in line.split(", ")]
    assert set(names) == set(inspect.signature(lrpdyn.compute).parameters)
    assert text.endswith("what was computed is kept.")


@pytest.mark.parametrize("changed", [{"batch_size": 3}, {"since": 20}, {"normalize": "l1"}])
def test_another_value_of_the_question_is_another_run(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, changed: dict[str, object]
) -> None:
    mlp_run(mlp_folder, vectors, tmp_path / "run")
    (name,) = changed
    with pytest.raises(RunError, match=f"another question: {name.replace('_', ' ')} "):
        mlp_run(mlp_folder, vectors, tmp_path / "run", **changed)


@pytest.mark.parametrize(
    ("name", "choices"), [("contrast", CONTRASTS), ("keep", KEEP), ("dtype", TYPES)]
)
def test_choices_are_those_of_what_is_stored(name: str, choices: Collection[str]) -> None:
    (known,) = (known for known in fields(Options) if known.name == name)
    assert set(known.metadata["choices"]) == set(choices)


def test_options_of_the_observations_are_those_of_their_reader() -> None:
    known = inspect.signature(lrpdyn.observations.loading.load_observations).parameters
    for name, usual in defaults("arrangement").items():
        assert known[name].default == usual


def test_what_editors_complete_is_what_there_is() -> None:
    for names, known in (
        (options.Keep, KEEP), (options.StoredType, TYPES), (options.Contrast, CONTRASTS),
        (options.StackOrder, ORDERS), (options.Rows, TABLES),
    ):  # fmt: skip
        assert sorted(get_args(names)) == sorted(known)
    # Not all: a rule of another kind is added without this list.
    assert {*get_args(options.RuleName)} <= {*RULES, *COMPOSITES, *ALIASES, *STOCK, AUTO}
