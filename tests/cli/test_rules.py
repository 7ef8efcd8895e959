"""lrpdyn rules: what --rule takes."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

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
