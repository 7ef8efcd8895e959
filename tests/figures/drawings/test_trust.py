"""The figure of trust: its lines are medians of faithfulness.csv, its bands those of the check."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from lrpdyn.api import Run, open_run
from lrpdyn.errors import RunError
from lrpdyn.figures.canvas import style
from lrpdyn.figures.kinds import draw
from lrpdyn.figures.request import Request
from lrpdyn.run.faithfulness_curves import DRAWN
from lrpdyn.run.training_curve import Curve
from tests.run.measured import by_step, with_faithfulness


@pytest.fixture
def measured(of_images: Run, tmp_path: Path) -> Run:
    return with_faithfulness(Path(shutil.copytree(of_images.path, tmp_path / "measured")))


def test_lines_are_medians_of_the_table(measured: Run, saved: list[Figure]) -> None:
    (path,) = draw([measured], "trust")
    assert path.name == "trust.png"
    with open(measured.path / "faithfulness.csv") as file:
        rows = list(csv.DictReader(file))
    key, axes = saved[0].axes
    names = [text.get_text() for text in key.get_legend().get_texts()]
    assert names == ["rule zplus", "middle half of the samples", *DRAWN.values(),
                     "random orders, 5 to 95 %"]  # fmt: skip
    zero, *lines = axes.lines
    assert list(zero.get_ydata()) == [0, 0]
    for name, line in zip(["rule", *DRAWN], lines, strict=True):
        expected = [
            np.median([float(r["abpc"]) for r in rows if (r["map"], r["step"]) == (name, str(s))])
            for s in measured.steps
        ]
        np.testing.assert_allclose(line.get_ydata(), expected)
        assert list(line.get_xdata()) == list(measured.steps)
        assert (line.get_linewidth() > 2) is (name == "rule")
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == len(lines)
    random, middle = (area for area in axes.collections if isinstance(area, PolyCollection))
    ends = random.get_paths()[0].vertices[:, 1]
    assert (ends.min(), ends.max()) == (-0.05, 0.05)
    last = middle.get_paths()[0].vertices[
        middle.get_paths()[0].vertices[:, 0] == measured.steps[-1], 1
    ]
    np.testing.assert_allclose((last.min(), last.max()), (0.45, 0.55))  # of values 0.4 to 0.6


def test_the_training_curve_lies_above_over_the_same_steps(
    measured: Run, saved: list[Figure]
) -> None:
    curve = Curve("progress.csv:reward", np.arange(-10.0, 80), np.arange(90.0))
    draw([measured], "trust", Request(curve=curve))
    above, _, axes = saved[0].axes
    assert above.get_position().y0 > axes.get_position().y1
    assert above.get_xlim() == axes.get_xlim()
    steps = above.lines[0].get_xdata()
    assert (steps[0], steps[-1]) == (measured.steps[0], measured.steps[-1])
    assert "training curve: progress.csv:reward" in [text.get_text() for text in saved[0].texts]


def test_a_step_that_could_not_be_measured_has_no_point(measured: Run, saved: list[Figure]) -> None:
    checked = by_step(measured.steps)
    checked["steps"][0] |= {
        "abpc": dict.fromkeys(checked["steps"][0]["abpc"]),
        "random_band": {"low": None, "high": None},
    }
    for one in checked["steps"]:  # as of flat observations
        del one["abpc"]["edges"]
    draw([with_faithfulness(measured.path, checked)], "trust")
    key, axes = saved[0].axes
    assert np.isnan(axes.lines[1].get_ydata()[0])
    assert axes.get_xlim()[0] <= measured.steps[0]
    names = [text.get_text() for text in key.get_legend().get_texts()]
    assert DRAWN["edges"] not in names
    colours = [line.get_color() for line in axes.lines[1:]]
    assert colours[-1] == style.LINE_COLOURS[list(DRAWN).index("difference")]  # whatever is missing


def test_a_step_far_above_the_others_does_not_hide_them(measured: Run, saved: list[Figure]) -> None:
    checked = by_step(measured.steps)
    draw([with_faithfulness(measured.path, checked)], "trust")
    assert not [text for text in saved[0].texts if "the axis ends" in text.get_text()]
    checked["steps"][1]["abpc"]["rule"] = 30.0
    draw([with_faithfulness(measured.path, checked)], "trust")
    (note,) = [text.get_text() for text in saved[1].texts if "the axis ends" in text.get_text()]
    assert f"at step {measured.steps[1]:,}" in note
    assert note.endswith("values reach 30.1")  # the middle half: 29.95 to 30.05
    assert saved[1].axes[1].get_ylim()[1] < 2


def test_a_run_without_the_table_says_what_to_do(measured: Run) -> None:
    manifest = json.loads((measured.path / "manifest.json").read_text())
    del manifest["files"]["faithfulness.csv"], manifest["sha256"]
    (measured.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"has no faithfulness\.csv.*the command that made the run"):
        draw([open_run(measured.path)], "trust")


def test_a_run_that_was_not_measured_says_what_to_do(measured: Run) -> None:
    nothing = {**by_step([]), "steps": []}
    with pytest.raises(RunError, match=r"was not measured.*--faithfulness all"):
        draw([with_faithfulness(measured.path, nothing)], "trust")
