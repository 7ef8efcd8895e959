"""Every framework's folder: right entries, right order, right weights, and explained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lrpdyn
from lrpdyn.architectures.registry import load_weights, resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.readers import read_weights
from lrpdyn.checkpoints.selection import Selection
from tests.checkpoints.layouts import LAYOUTS
from tests.checkpoints.networks import Net, architecture, observations, states


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS[name]
    folder = tmp_path / "run"
    folder.mkdir()
    series = states()
    beside = layout.write(folder, series)
    listing = discover(folder, selection=Selection(**layout.options))
    assert listing.bad == ()
    assert [checkpoint.step for checkpoint in listing.checkpoints] == list(layout.steps)
    assert listing.unit == layout.unit
    reasons = {e.path.name: e.reason.removeprefix(f"{e.path}: ") for e in listing.left_out}
    assert beside.items() <= reasons.items()
    for checkpoint, weights in zip(listing.checkpoints, series.values(), strict=True):
        resolved = resolve(architecture(), {}, checkpoint.header, name)
        found, digest = read_weights(checkpoint.path, checkpoint.format, weights=checkpoint.weights)
        assert len(digest) == len("xxh3_128-") + 32
        network = Net()
        load_weights(network, found, resolved, name)
        for key, value in network.state_dict().items():
            torch.testing.assert_close(value, weights[key], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["stable-baselines3", "huggingface-shards", "torchrl", "timm"])
def test_layout_is_explained_as_bare_weights_are(name: str, tmp_path: Path) -> None:
    runs = []
    for which in ("bare", name):
        layout = LAYOUTS[which]
        folder = tmp_path / which
        folder.mkdir()
        layout.write(folder, states())
        runs.append(
            lrpdyn.compute(
                folder, observations(), out=tmp_path / f"run-{which}", arch=architecture(),
                scale=255, quiet=True, baseline="none", **layout.options,
            )
        )  # fmt: skip
    for step in runs[0].steps:
        np.testing.assert_array_equal(runs[0].relevance[step], runs[1].relevance[step])


def test_every_row_of_the_documentation_names_a_test_that_exists() -> None:
    root = Path(__file__).parents[2]
    text = (root / "docs/checkpoints.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("|") and "::" in line]
    named = [part.split("`")[0] for row in rows for part in row.split("`tests/")[1:]]
    for test in named:
        file, _, function = test.partition("::")
        name, _, parameter = function.partition("[")
        assert f"def {name}(" in (root / "tests" / file).read_text(), test
        if name == "test_layout":
            assert parameter.removesuffix("]") in LAYOUTS, test
    tested = {test.partition("[")[2].removesuffix("]") for test in named if "test_layout[" in test}
    assert tested == set(LAYOUTS)
