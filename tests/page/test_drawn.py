"""The figures that a page shows as they are."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import lrpdyn
from lrpdyn.figures.drawings.features import percent
from lrpdyn.page.drawn import DrawnFigure, features_figure, layers_figure, trust_figure
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


def test_the_features_are_a_picture_whose_words_rank_them(
    flat_run: lrpdyn.Run, image_run: lrpdyn.Run
) -> None:
    last = flat_run.relevance[flat_run.steps[-1]].astype(float)
    shares = (np.abs(last) / np.abs(last).sum(axis=1, keepdims=True)).mean(axis=0)
    order = np.argsort(-shares)
    names = {"features": {str(order[0]): "pole angle"}}
    named = replace(flat_run, manifest={**flat_run.manifest, "names": names})
    figure = features_figure(named)
    assert figure is not None
    assert width_of(figure) == 1008
    ranked = figure.words.split("last step: ")[1].rstrip(".").split(", ")
    assert ranked[0] == f"pole angle {percent(shares[order[0]])}"
    assert ranked[1:] == [f"feature {one} {percent(shares[one])}" for one in order[1:5]]
    assert features_figure(without(flat_run, "features.csv")) is None
    assert features_figure(image_run) is None


def test_features_of_empty_maps_have_no_picture(flat_run: lrpdyn.Run) -> None:
    empty = replace(flat_run)
    empty.__dict__["features"] = flat_run.features.copy()
    empty.features["share"] = np.nan
    assert features_figure(empty) is None


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
