"""lrpdyn rules: what --rule takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from lrpdyn.cli.rules import command
from lrpdyn.lrp.composites import COMPOSITES
from lrpdyn.lrp.registry import ALIASES, RULES, STOCK
from tests.cli.processes import lrpdyn


def test_every_rule_has_parameters_and_a_source(tmp_path: Path) -> None:
    rules = json.loads(lrpdyn("rules", "--format", "json", cwd=tmp_path).stdout)
    listed = {rule["name"]: rule for rule in rules}
    assert {"zplus", "lrp0", "alpha2beta1", "epsilon-gamma-box", "captum:gamma"} <= set(listed)
    assert listed["alphabeta"]["parameters"] == {"alpha": 2.0, "beta": 1.0}
    assert all(rule["source"] and rule["summary"] for rule in rules if rule["kind"] == "rule")
    assert listed["alphabeta"]["use"] in lrpdyn("rules", cwd=tmp_path).stdout


def test_everything_that_is_registered_is_listed() -> None:
    done = CliRunner().invoke(command, ["--format", "json"], catch_exceptions=False)
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {*RULES, *ALIASES, *COMPOSITES, *STOCK}
    assert rows["zbox"]["use"] == "zbox:LOW,HIGH"
    assert rows["epsilon-plus"]["source"] == "Kohlbrenner et al. 2020"
    assert "zplus is exact" in rows["captum:alpha1beta0"]["summary"]


def test_the_table_has_a_line_each_and_rules_files() -> None:
    done = CliRunner().invoke(command, [], catch_exceptions=False)
    lines = done.stdout.splitlines()
    assert len(lines) == len({*RULES, *ALIASES, *COMPOSITES, *STOCK}) + 2
    assert [line.split()[0] for line in lines[-2:]] == ["RULE+attnlrp", "FILE.toml"]


@pytest.fixture
def flat(mlp_folder: Path, vectors: NDArray[np.float32]) -> list[str]:
    """What is tried: a folder of checkpoints, and observations of six features."""
    np.save(mlp_folder.parent / "obs.npy", vectors)
    known = ["--arch-arg", "activation=tanh", "--workers", "1", "--quiet"]
    return ["--try", str(mlp_folder), str(mlp_folder.parent / "obs.npy"), *known]


def test_a_trial_as_json(flat: list[str], tmp_path: Path) -> None:
    done = lrpdyn("rules", *flat, "--format", "json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert set(found) == {
        "named",
        "reference",
        "reason",
        "rules",
        "random_order",
        "left_out",
        "steps",
        "samples",
        "fills",
    }
    assert set(found["rules"][0]) == {
        "rule", "reference", "faithfulness", "low", "high", "other_fill", "helps", "unit", "random",
        "sum_to_score", "milliseconds",
    }  # fmt: skip
    assert set(found["random_order"]) == {"low", "high"}
    assert all(set(entry) == {"rule", "reason"} for entry in found["left_out"])
    assert found["steps"] == [4, 20, 30]
    assert found["samples"] == [0, 1, 2, 3, 4]
    # These networks were drawn, and never trained.
    assert found["named"] is None
    assert "untrained" in found["reason"]


@pytest.mark.parametrize("width", [40, 80])
def test_the_table_of_a_trial_is_no_wider_than_the_terminal(flat: list[str], width: int) -> None:
    done = CliRunner(env={"COLUMNS": str(width)}).invoke(command, flat, catch_exceptions=False)
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= width
    assert (lines[0].split()[0] == "rule") == (width == 80)
    assert any(line.startswith("gamma:0.25") for line in lines)
    assert " ".join(done.stdout.split()).count("skipped: captum:alpha1beta0, captum:epsilon") == 1


def test_options_of_the_question_and_the_observations_are_those_of_compute(flat: list[str]) -> None:
    def tried(*more: str) -> list[dict[str, float]]:
        given = [*flat, "--format", "json", *more]
        done = CliRunner().invoke(command, given, catch_exceptions=False)
        found: list[dict[str, float]] = json.loads(done.stdout)["rules"]
        return sorted(found, key=lambda row: row["rule"])

    usual = tried()
    for more in (["--target", "1"], ["--contrast", "none"], ["--pattern", "net_30*"], ["--fill", "1"],
                 ["--samples", "0-3"], ["--scale", "2"]):  # fmt: skip
        assert [row["faithfulness"] for row in tried(*more)] != [
            row["faithfulness"] for row in usual
        ], more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ckpts"], "CHECKPOINTS: only with --try"),
        (["--step-from", "x"], "--step-from: only with --try"),
        (["--try"], "--try: expected CHECKPOINTS and OBSERVATIONS"),
        (["--try", "ckpts"], "--try: expected CHECKPOINTS and OBSERVATIONS"),
        (["--try", "ckpts", "obs.npy", "--rule", "gamma"], "No such option"),
    ],
)
def test_wrong_uses_of_a_trial(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_a_folder_without_checkpoints_is_one_line(tmp_path: Path) -> None:
    np.save(tmp_path / "obs.npy", np.zeros((2, 3), np.float32))
    (tmp_path / "empty").mkdir()
    done = lrpdyn("rules", "--try", "empty", "obs.npy", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "found 0 checkpoints, expected one or more; lrpdyn inspect" in done.stderr
    assert done.stderr.count("\n") == 1
