"""lrpdyn outliers: every format, and the exit code of --fail-on."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.cli.processes import lrpdyn


def test_outliers_in_every_format(folder: Path) -> None:
    stored = json.loads((folder / "lrpdyn-run" / "outliers.json").read_text())
    assert json.loads(lrpdyn("outliers", "--format", "json", cwd=folder).stdout) == stored
    lines = list(
        csv.DictReader(io.StringIO(lrpdyn("outliers", "--format", "csv", cwd=folder).stdout))
    )
    kinds = ("pathologies", "steps", "samples", "pixels", "cells")
    assert len(lines) == sum(len(stored[kind]) for kind in kinds)
    (strongest,) = (row for row in lines if (row["kind"], row["rank"]) == ("pixels", "1"))
    assert float(strongest["value"]) == stored["pixels"][0]["value"]
    assert strongest["row"] == str(stored["pixels"][0]["where"]["row"])
    short = lrpdyn("outliers", cwd=folder).stdout
    assert short.startswith("LOOK FIRST  nothing can be called unusual: 3 transitions are too few")
    table = lrpdyn("outliers", "--kind", "cells", "--top", "2", cwd=folder).stdout
    assert table.startswith(short.splitlines()[0])
    # The callback saves at 16 steps before the first update, which is what the network was at 0.
    assert "cells: 12 values (33.3 % zero)" in table
    assert "Normalise each map (--normalize l1)" in table
    assert (
        "too few to say which is unusual (20 transitions are needed): listed by size"
        in " ".join(table.split())
    )
    assert table.count("->") >= 2
    markdown = lrpdyn("outliers", "--format", "markdown", "--kind", "cells", cwd=folder).stdout
    assert "| where | value |" in markdown


def test_fail_on_finds_what_it_looks_for(folder: Path) -> None:
    report = folder / "lrpdyn-run" / "outliers.json"
    content = json.loads(report.read_text())
    other = folder / "other"
    other.mkdir()
    content["totals"]["cells"]["far"] = 1
    (other / "outliers.json").write_text(json.dumps(content))
    assert lrpdyn("outliers", "other", "--fail-on", "far", cwd=folder).returncode == 4
    assert lrpdyn("outliers", "--fail-on", "pathology", cwd=folder).returncode == 0
    wrong = {**content["samples"][0], "where": {"step": 16}, "causes": [
        {"cause": "duplicate_checkpoint", "share": None, "evidence": "all weights"}]}  # fmt: skip
    (other / "outliers.json").write_text(json.dumps({**content, "pathologies": [wrong]}))
    assert lrpdyn("outliers", "other", "--fail-on", "pathology", cwd=folder).returncode == 4
