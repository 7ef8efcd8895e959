"""The figure of the layers: each line is a column of layers.csv, and the largest eight are named."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpdyn.api import Run, open_run
from lrpdyn.errors import RunError
from lrpdyn.figures.canvas.look import DEFAULT_LOOK
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.layers import draw_layers
from lrpdyn.figures.kinds import draw
from lrpdyn.run.layer_curves import DRAWN, LayerCurves, layer_curves


def test_the_lines_are_the_columns_of_the_table(of_images: Run, saved: list[Figure]) -> None:
    (path,) = draw([of_images], "layers")
    assert path.name == "layers.png"
    with open(of_images.path / "layers.csv") as file:
        rows = list(csv.DictReader(file))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    *panels, key = saved[0].axes
    drawn = [name for name in DRAWN if any(row[name] for row in rows)]
    assert len(panels) == len(drawn)
    for name, axes in zip(drawn, panels, strict=True):
        for line in axes.lines:
            cells = [row[name] for row in rows if row["layer"] == line.get_label()]
            expected = [float(cell) if cell else np.nan for cell in cells]
            if name == "weight_change":  # a zero has no logarithm
                expected = [value or np.nan for value in expected]
            np.testing.assert_array_equal(line.get_ydata(), expected)
    assert [text.get_text() for text in key.get_legend().get_texts()] == layers
    assert panels[0].get_yscale() == "log"


def test_of_many_layers_eight_are_named_and_the_others_grey(saved: list[Figure]) -> None:
    change = np.linspace(0.1, 1, 12) * np.ones((3, 1))
    names = [f"a_very_long_name_of_a_block.{'x' * 60}.{place}" for place in range(12)]
    values = {name: np.full((3, 12), np.nan) for name in DRAWN} | {"weight_change": change}
    curves = LayerCurves(steps=np.arange(3), layers=names, named=names[4:], values=values)
    draw_layers(Path("a.png"), curves, about=About(rule="r", question="q"), look=DEFAULT_LOOK)
    axes, key = saved[0].axes
    colours = {line.get_label(): line.get_color() for line in axes.lines}
    assert [name for name in names if colours[name] == "0.75"] == names[:4]
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 9
    saved[0].draw_without_rendering()
    legend = key.get_legend().get_window_extent()
    assert legend.x1 <= saved[0].bbox.width
    assert legend.y0 >= axes.get_window_extent().y1


def test_the_eight_are_those_whose_weights_moved_most(of_images: Run) -> None:
    curves = layer_curves(of_images)
    moved = dict(zip(curves.layers, np.nansum(curves.values["weight_change"], axis=0), strict=True))
    left_out = set(curves.layers) - set(curves.named)
    assert len(curves.named) == min(8, len(curves.layers))
    assert all(moved[one] <= min(moved[name] for name in curves.named) for one in left_out)


def test_a_run_without_the_table_says_what_to_do(of_vectors: Run) -> None:
    manifest = json.loads((of_vectors.path / "manifest.json").read_text())
    del manifest["files"]["layers.csv"], manifest["sha256"]
    (of_vectors.path / "manifest.json").write_text(json.dumps(manifest))
    (of_vectors.path / "layers.csv").unlink()
    with pytest.raises(RunError, match=r"has no layers\.csv.*the command that made the run"):
        draw([open_run(of_vectors.path)], "layers")
