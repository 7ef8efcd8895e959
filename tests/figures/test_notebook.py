"""A run in a notebook."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import lrpdyn
from lrpdyn.api import Run
from lrpdyn.figures.notebook import strongest
from tests.small_runs import UNCHECKED

TEMPTING = '<script>alert("x")</script> & "quoted"'


@pytest.fixture(scope="module")
def run(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    out = tmp_path_factory.mktemp("notebook") / TEMPTING.replace("/", "|")
    return lrpdyn.compute(ppo_folder, images, rule="zplus", out=out, **UNCHECKED)


class _Tags(HTMLParser):
    """The tags and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def _shown(html: str) -> Image.Image:
    picture = re.search(r"base64,([^\"]+)\"", html)
    assert picture is not None
    return Image.open(io.BytesIO(base64.b64decode(picture[1])))


def _difference(html: str, drawn: bytes) -> float:
    """Return how far a display's picture is from a drawn one, of 255: it has fewer colours and pixels."""
    shown = _shown(html).convert("RGB")
    with Image.open(io.BytesIO(drawn)) as whole:
        other = whole.convert("RGB").resize(shown.size, Image.Resampling.LANCZOS)
    return float(np.abs(np.asarray(shown, dtype=float) - np.asarray(other)).mean())


def _read(run: Run) -> tuple[_Tags, str]:
    html = run._repr_html_()
    page = _Tags()
    page.feed(html)
    return page, html


def test_a_run_shows_its_figure_and_three_outliers_and_escapes_its_name(run: Run) -> None:
    page, html = _read(run)
    assert set(page.tags) == {
        "div", "p", "strong", "br", "img", "table", "thead", "tbody", "tr", "th", "td",
    }  # fmt: skip
    assert TEMPTING.replace("/", "|") in page.text
    assert page.tags.count("tr") == 1 + 3
    assert run.question in page.text
    assert _difference(html, (run.path / "figures" / "dynamics.png").read_bytes()) < 5


def test_the_figure_is_drawn_where_it_is_gone_and_the_run_stays_as_it_was(run: Run) -> None:
    path = run.path / "figures" / "dynamics.png"
    drawn = path.read_bytes()
    path.unlink()
    try:
        assert _difference(run._repr_html_(), drawn) < 5
        assert not path.exists()
    finally:
        path.write_bytes(drawn)


def test_causes_are_escaped(run: Run) -> None:
    read = replace(run)
    entry = {**run.outliers["cells"][0], "severity": "far"}
    entry["causes"] = [{"cause": "weights", "share": 0.5, "evidence": TEMPTING}]
    read.__dict__["outliers"] = {**run.outliers, "cells": [entry]}
    page, html = _read(read)
    assert "<script" not in html
    assert TEMPTING in page.text


def _entry(severity: str, value: float, fence: float | None) -> dict[str, object]:
    return {"severity": severity, "value": value, "fence_far": fence}


def test_far_comes_before_mild_and_the_furthest_beyond_its_fence_first() -> None:
    report = {
        "steps": [_entry("none", 9e9, None)],
        "samples": [_entry("mild", 90, 100.0)],
        "pixels": [_entry("far", 3, 2.0), _entry("none", 1, 2.0)],
        "cells": [_entry("far", 40, 20.0)],
    }
    found = [kind for kind, _ in strongest(report, 3)]
    assert found == ["cells", "pixels", "samples"]


def test_a_large_picture_and_long_texts_stay_below_100_kb(run: Run) -> None:
    path = run.path / "figures" / "dynamics.png"
    drawn = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1000, 3), dtype=np.uint8)
    read = replace(run)
    cells = [{**run.outliers["cells"][0], "severity": "far",
              "causes": [{"cause": "weights", "share": 0.5, "evidence": TEMPTING * 9999}]}]  # fmt: skip
    read.__dict__["outliers"] = {**run.outliers, "cells": 3 * cells}
    try:
        Image.fromarray(noise).save(path)
        html = read._repr_html_()
        assert 30_000 < len(html) < 100_000
        small = _shown(html)
        assert small.height / small.width == pytest.approx(1.5, rel=0.02)
    finally:
        path.write_bytes(drawn)


def test_no_torch_is_loaded(run: Run) -> None:
    code = (
        f"import sys, lrpdyn; html = lrpdyn.open_run({str(run.path)!r})._repr_html_()\n"
        "assert html; heavy = {'torch', 'matplotlib.pyplot'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
