"""lrpdyn rules: what --rule takes."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.processes import lrpdyn


def test_every_rule_has_parameters_and_a_source(tmp_path: Path) -> None:
    rules = json.loads(lrpdyn("rules", "--format", "json", cwd=tmp_path).stdout)
    listed = {rule["name"]: rule for rule in rules}
    assert {"zplus", "lrp0", "alpha2beta1", "epsilon-gamma-box", "captum:gamma"} <= set(listed)
    assert listed["alphabeta"]["parameters"] == {"alpha": 2.0, "beta": 1.0}
    assert all(rule["source"] and rule["summary"] for rule in rules if rule["kind"] == "rule")
    assert listed["alphabeta"]["use"] in lrpdyn("rules", cwd=tmp_path).stdout
