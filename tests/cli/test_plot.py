"""lrpdyn plot, as a user types it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

import lrpdyn
from lrpdyn.cli.plot import command
from lrpdyn.errors import UsageError
from tests.cli import processes
from tests.small_runs import UNCHECKED


@pytest.fixture(scope="module")
def run(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> str:
    out = tmp_path_factory.mktemp("plot") / "run"
    lrpdyn.compute(ppo_folder, images, out=out, **UNCHECKED)
    return str(out)


def _plot(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


def _pixels(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_options_reach_the_figures(run: str, tmp_path: Path) -> None:
    folder = str(tmp_path)
    result = _plot(run, "--kind", "filmstrip,channels", "--sample", "1-2", "--steps", "0,48", "--dpi",
                   "50", "--format", "png,svg", "--cmap", "viridis,PuOr", "-o", folder)  # fmt: skip
    names = [Path(line).name for line in result.stdout.split()]
    assert names == [
        f"{kind}_sample{sample}.{form}"
        for kind in ("filmstrip", "channels")
        for sample in (1, 2)
        for form in ("png", "svg")
    ]
    captions = {Path(name).with_suffix(".txt").name for name in names}
    assert {path.name for path in tmp_path.iterdir()} == {*names, *captions}
    small = _pixels(tmp_path / "filmstrip_sample1.png")
    _plot(run, "--kind", "filmstrip", "--dpi", "100", "-o", str(tmp_path / "large.png"))
    assert _pixels(tmp_path / "large.png").shape[1] > 1.8 * small.shape[1]
    _plot(run, "--kind", "filmstrip", "--sample", "1", "--steps", "0,48", "--dpi", "50", "-o",
          str(tmp_path / "other.png"))  # fmt: skip
    other = _pixels(tmp_path / "other.png")
    assert small.shape == other.shape
    assert (small != other).any()


def test_several_runs_are_compared(run: str, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "runs" / "copy")
    result = _plot(run, f"{tmp_path}/runs/c*", "-o", str(tmp_path))
    assert result.stdout == f"{tmp_path / 'comparison.png'}\n"
    for arguments in ([run, run], [run, "--kind", "trajectory,runs"]):
        assert "expected two runs or more, found 1" in str(_plot(*arguments).exception)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample", "x"], "--sample x: expected sample numbers"),
        (["--sample", "3-1"], "--sample 3-1: expected sample numbers"),
        (["--sample", "1-4"], "--sample 4: the run has samples 0 to 3"),
        (["--steps", "ten"], "--steps ten: expected steps, as 0,100k,1.1M"),
        (["--format", "bmp"], "--format bmp: expected png, svg, pdf, gif, webp, apng"),
        (["--cmap", "jet"], "--cmap jet: expected one of inferno"),
        (["--kind", ","], "--kind: expected a kind of figure, found ,"),
        (["--kind", "pie"], "--kind pie: expected dynamics"),
    ],
)
def test_wrong_usage_names_the_option_and_draws_nothing(
    run: str, arguments: list[str], message: str, tmp_path: Path
) -> None:
    result = _plot(run, "-o", str(tmp_path), *arguments)
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_pipe_gets_neither_colours_nor_more_than_its_columns(run: str) -> None:
    environment = {**os.environ, "COLUMNS": "50", "COLORTERM": "truecolor"}
    for encoding, marks in (("utf-8", "█▁"), ("ascii", "_")):
        done = subprocess.run(
            [sys.executable, "-m", "lrpdyn", "plot", run, "--kind", "terminal", "--sample", "2"],
            env={**environment, "PYTHONIOENCODING": encoding}, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        text = done.stdout.decode(encoding)
        assert "\x1b" not in text
        assert "dynamics of sample 2" in text
        assert all(mark in text for mark in marks)
        assert max(map(len, text.splitlines())) <= 50


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize(("no_colour", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_unless_it_says_no(
    run: str, no_colour: str, coloured: bool
) -> None:
    ours, theirs = os.openpty()
    environment = {**os.environ, "COLUMNS": "60", "TERM": "xterm", "NO_COLOR": no_colour}
    with subprocess.Popen(
        [sys.executable, "-m", "lrpdyn", "plot", run, "--kind", "terminal"],
        env={**environment, "PYTHONIOENCODING": "utf-8"}, stdout=theirs, stdin=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        text = processes.all_of(ours)
        assert process.wait() == 0
    os.close(ours)
    assert (b"\x1b[38;5;" in text) == coloured
    assert "dynamics of sample 0" in text.decode()


def test_plot_draws_every_kind(folder: Path) -> None:
    result = processes.lrpdyn("plot", cwd=folder)
    assert result.returncode == 0, result.stderr
    paths = result.stdout.split()
    assert [Path(path).name for path in paths] == [
        "dynamics.png", "filmstrip_sample0.png", "distribution.png", "trajectory.png",
    ]  # fmt: skip
    for path in paths:
        with Image.open(folder / path) as picture:
            assert min(picture.size) > 200
    again = (folder / paths[1]).read_bytes()
    processes.lrpdyn("plot", "--kind", "filmstrip", cwd=folder)
    assert (folder / paths[1]).read_bytes() == again
