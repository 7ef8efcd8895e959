"""What each kind of figure shows of a real run, and where it goes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import lrpdyn
from lrpdyn.api import Run
from lrpdyn.cli.plot import command as plot
from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.kind import FORMATS, PICTURES, Kind
from lrpdyn.figures.kinds import KINDS, check, draw, drawn_files
from lrpdyn.figures.request import Request
from tests.small_runs import UNCHECKED


def test_every_kind_draws_images_into_the_run(of_images: Run, tmp_path: Path) -> None:
    for kind in KINDS:
        if kind == "features":
            with pytest.raises(UsageError, match="no flat ones"):
                draw([of_images], kind)
            continue
        runs = [of_images, of_images] if KINDS[kind].several_runs else [of_images]
        for path in draw(runs, kind, Request(look=Look(dpi=60))):
            assert path.parent == of_images.path / "figures"
            assert {path, path.with_suffix(".txt")} <= set(drawn_files(of_images.path))
            with Image.open(path) as picture:
                assert min(picture.size) > 100


def test_every_kind_that_makes_sense_draws_flat_observations(of_vectors: Run) -> None:
    for kind in KINDS:
        runs = [of_vectors, of_vectors] if KINDS[kind].several_runs else [of_vectors]
        if kind == "channels":
            with pytest.raises(UsageError, match="flat, without channels"):
                draw(runs, kind)
            continue
        assert all(path.stat().st_size > 1000 for path in draw(runs, kind))


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_bytes_in_every_format(of_images: Run, tmp_path: Path, form: str) -> None:
    kind = "dynamics" if form in ("png", "svg", "pdf") else "animation"
    request = Request(formats=[form], look=Look(dpi=60), samples=[1])
    first = draw([of_images], kind, Request(**{**vars(request), "out": tmp_path / "a"}))
    again = draw([of_images], kind, Request(**{**vars(request), "out": tmp_path / "b"}))
    assert [path.suffix for path in first] == [f".{form}"]
    assert first[0].read_bytes() == again[0].read_bytes()


@pytest.mark.parametrize(
    ("asked", "request_", "message"),
    [
        (["nothing"], Request(), "--kind nothing: expected dynamics, filmstrip"),
        (["flimstrip"], Request(), "did you mean filmstrip?"),
        (["dynamics"], Request(samples=[4]), "--sample 4: the run has samples 0 to 3"),
        (["filmstrip"], Request(steps=[17]), "no such step; it has 4 from 0 to 48; nearest: 0, 16, 32"),
        (["dynamics"], Request(steps=[0]), "--steps: changes nothing in dynamics; it is for filmstrip"),
        (["distribution"], Request(samples=[0]), "--sample: changes nothing in distribution"),
        (["dynamics"], Request(formats=["gif"]), "--format gif: dynamics can be written as png, svg"),
        (["animation"], Request(formats=["pdf"]), "animation can be written as gif, webp, apng"),
        (["dynamics", "raster"], Request(out=Path("a.png")), "names one file, but there are 2"),
        (["dynamics"], Request(formats=["svg"], out=Path("a.png")), "ends in .png, but --format is svg"),
        (["dynamics"], Request(out=Path("a.jpg")), "-o a.jpg: expected a folder, or a name that ends"),
        (["terminal"], Request(out=Path("a")), "terminal goes to stdout"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused_before_anything_is(
    of_images: Run, asked: list[str], request_: Request, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        check([of_images], asked, request_)


def test_several_runs_are_for_some_kinds_alone(of_images: Run, of_vectors: Run) -> None:
    with pytest.raises(UsageError, match="expected one run, found 2"):
        draw([of_images, of_images], "dynamics")
    with pytest.raises(UsageError, match="expected two runs or more, found 1"):
        draw([of_images], "comparison")
    with pytest.raises(UsageError, match="expected 2 to 6 runs, found 7"):
        draw([of_images] * 7, "comparison")
    with pytest.raises(UsageError, match="have other samples"):
        draw([of_images, of_vectors], "comparison")
    with pytest.raises(UsageError, match="expected two runs or more, found 1"):
        draw([of_images], "runs")
    with pytest.raises(UsageError, match="have other observations"):
        draw([of_images, of_vectors], "runs")


def test_a_place_that_cannot_be_written_is_one_line(of_images: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made: File exists; choose another place with -o"):
        draw([of_images], "dynamics", Request(out=tmp_path / "file"))


def test_of_a_run_that_keeps_pixels_the_filmstrip_says_so(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path, saved: list[Figure]
) -> None:
    given = {**UNCHECKED, "limit": 2}
    run = lrpdyn.compute(ppo_folder, images[:1], out=tmp_path / "pixels", keep="pixels", **given)
    draw([run], "filmstrip")
    words = saved[-1].get_label()
    assert "of sums over channels, which alone are kept" in words
    with pytest.raises(UsageError, match="keeps relevance summed over channels"):
        draw([run], "channels")
    run = lrpdyn.compute(ppo_folder, images[:1], out=tmp_path / "none", keep="none", **given)
    with pytest.raises(RunError, match="keeps no relevance"):
        draw([run], "animation")


def test_a_run_without_its_relevance_says_so(of_images: Run, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(of_images.path, copy)
    shutil.rmtree(copy / "relevance")
    with pytest.raises(RunError, match="cannot be read"):
        draw([lrpdyn.open_run(copy)], "filmstrip")
    assert draw([lrpdyn.open_run(copy)], "raster")


def test_overwrite_clears_figures_and_nothing_else(
    of_images: Run, ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(of_images.path, copy)
    draw([lrpdyn.open_run(copy)], "raster", Request(formats=["svg"]))
    assert (copy / "figures" / "raster.txt").exists()
    (copy / "figures" / "raster_of_mine.svg").write_text("mine")
    (copy / "figures" / "layers.txt").write_text("mine")
    lrpdyn.compute(ppo_folder, images, rule="zplus", out=copy, overwrite=True, **UNCHECKED)
    assert {path.name for path in (copy / "figures").iterdir()} == {
        "dynamics.png", "dynamics.txt", "layers.txt", "raster_of_mine.svg",
    }  # fmt: skip


ROOT = Path(__file__).parents[2]


def test_the_documentation_lists_the_kinds() -> None:
    text = (ROOT / "docs" / "figures.md").read_text()
    table = text.partition("| --- |")[2].partition("\n\n")[0].splitlines()[1:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    assert [name.strip("`") for name, *_ in rows] == list(KINDS)
    for (_, _, samples, steps, cell), kind in zip(rows, KINDS.values(), strict=True):
        assert bool(samples) == ("samples" in kind.uses), kind.name
        assert ("a file each" in samples) == kind.file_per_sample, kind.name
        assert bool(steps) == ("steps" in kind.uses), kind.name
        # An empty cell: as in the rows above it, or none at all.
        assert kind.formats == tuple(cell.split(", ")) if cell else kind.formats in (PICTURES, ())


def test_a_kind_is_drawn_listed_and_cleared_once_it_is_in_the_list(
    of_images: Run, ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def draw_width(runs: Sequence[Run], request: Request, path: Path) -> None:
        path.write_text(f"{len(runs[0].steps)} of {request.samples}")

    kind = Kind(name="widths", summary="the number of steps", draw=draw_width, formats=("svg",),
                uses=("samples",))  # fmt: skip
    monkeypatch.setitem(KINDS, kind.name, kind)
    copy = tmp_path / "copy"
    shutil.copytree(of_images.path, copy)
    assert "  widths        the number of steps\n" in CliRunner().invoke(plot, ["--help"]).output
    result = CliRunner().invoke(plot, [str(copy), "--kind", "widths", "--sample", "2"])
    drawn = copy / "figures" / "widths_sample2.svg"
    assert (result.output, drawn.read_text()) == (f"{drawn}\n", "4 of [2]")
    mine = drawn.with_suffix(".png")
    shutil.copy(drawn, mine)
    lrpdyn.compute(ppo_folder, images, out=copy, overwrite=True, **UNCHECKED)
    assert not drawn.exists()
    assert mine.exists()


def test_the_list_of_kinds_loads_nothing_that_draws() -> None:
    code = "import sys, lrpdyn.figures.kinds; print({'numpy', 'matplotlib'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
