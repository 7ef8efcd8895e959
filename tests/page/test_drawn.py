"""The figures that a page shows as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from PIL import Image

import lrpdyn
from lrpdyn.page.drawn import DrawnFigure, layers_figure, trust_figure
from tests.run.measured import by_step, with_faithfulness


def width_of(figure: DrawnFigure | None) -> int:
    assert figure is not None
    content = base64.b64decode(figure.url.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as opened:
        return opened.width


def without(run: lrpdyn.Run, name: str) -> lrpdyn.Run:
    """Return a run as of a version that did not write a file."""
    files = {file: sha for file, sha in run.manifest["files"].items() if file != name}
    return replace(run, manifest={**run.manifest, "files": files})


def test_the_layers_are_a_picture_with_words(image_run: lrpdyn.Run) -> None:
    figure = layers_figure(image_run)
    assert figure is not None
    assert width_of(figure) == 1008
    assert "effective rank" in figure.words
    assert layers_figure(without(image_run, "layers.csv")) is None


def test_faithfulness_is_a_picture_where_it_was_measured(copied: Callable[[str], Path]) -> None:
    run = with_faithfulness(copied("measured"))
    figure = trust_figure(run, None)
    assert figure is not None
    assert width_of(figure) == 1008
    assert "next to that of: rule, by size alone, gradient x input, edges" in figure.words
    checks = {**run.manifest["checks"], "faithfulness": None}
    assert trust_figure(replace(run, manifest={**run.manifest, "checks": checks}), None) is None
    flat = by_step(run.steps)
    for one in flat["steps"]:
        one["abpc"] = dict.fromkeys(one["abpc"])
    assert trust_figure(with_faithfulness(run.path, flat), None) is None
