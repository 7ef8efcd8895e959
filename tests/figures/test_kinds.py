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
from lrpdyn.figures import kinds, run_data
from lrpdyn.figures.canvas import maps
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.changes import raster_of, sides_of
from lrpdyn.figures.flags import Flags, flags_of
from lrpdyn.figures.kind import FORMATS, PICTURES, Kind
from lrpdyn.figures.kinds import KINDS, check, draw, drawn_files
from lrpdyn.figures.panels import marks_of, panels_of
from lrpdyn.figures.populations import label, populations_of
from lrpdyn.figures.request import Request, name_pattern
from lrpdyn.figures.terminal import Terminal


@pytest.fixture(scope="module")
def of_images(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory
) -> Run:
    """A run on images."""
    out = tmp_path_factory.mktemp("of_images") / "run"
    return lrpdyn.compute(ppo_folder, images, rule="zplus", out=out, quiet=True)


@pytest.fixture
def of_vectors(mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path) -> Run:
    """A run on flat observations, normalised."""
    return lrpdyn.compute(
        mlp_folder, vectors, rule="epsilon", out=tmp_path / "run", normalize="l1",
        quiet=True, arch_args={"activation": "tanh"},
    )  # fmt: skip


def test_every_kind_draws_images_into_the_run(of_images: Run, tmp_path: Path) -> None:
    for kind in KINDS:
        runs = [of_images, of_images] if kind == "comparison" else [of_images]
        for path in draw(runs, kind, Request(look=Look(dpi=60))):
            assert path.parent == of_images.path / "figures"
            assert path in drawn_files(of_images.path)
            with Image.open(path) as picture:
                assert min(picture.size) > 100


def test_every_kind_that_makes_sense_draws_flat_observations(of_vectors: Run) -> None:
    for kind in KINDS:
        runs = [of_vectors, of_vectors] if kind == "comparison" else [of_vectors]
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


def test_names_tell_samples_and_formats(of_images: Run, tmp_path: Path) -> None:
    request = Request(samples=[1, 3], formats=["svg", "pdf"], look=Look(dpi=60), out=tmp_path)
    names = [path.name for path in draw([of_images], "dynamics", request)]
    assert names == ["dynamics_sample1-3.svg", "dynamics_sample1-3.pdf"]
    request = Request(samples=[1, 3], look=Look(dpi=60), out=tmp_path)
    names = [path.name for path in draw([of_images], "filmstrip", request)]
    assert names == ["filmstrip_sample1.png", "filmstrip_sample3.png"]
    assert all(name_pattern(KINDS.values()).fullmatch(path.name) for path in tmp_path.iterdir())
    one = Request(samples=[2], look=Look(dpi=60), out=tmp_path / "new" / "mine.PNG")
    assert draw([of_images], "filmstrip", one) == [tmp_path / "new" / "mine.PNG"]


@pytest.mark.parametrize(
    ("asked", "request_", "message"),
    [
        (["nothing"], Request(), "--kind nothing: expected dynamics, filmstrip"),
        (["dynamics"], Request(samples=[4]), "--sample 4: the run has samples 0 to 3"),
        (["filmstrip"], Request(steps=[17]), "no such step; it has 4 from 0 to 48, near it 0, 16, 32"),
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


def test_several_runs_are_for_a_comparison_alone(of_images: Run, of_vectors: Run) -> None:
    with pytest.raises(UsageError, match="expected one run, found 2"):
        draw([of_images, of_images], "dynamics")
    with pytest.raises(UsageError, match="expected 2 to 6 runs, found 1"):
        draw([of_images], "comparison")
    with pytest.raises(UsageError, match="have other samples"):
        draw([of_images, of_vectors], "comparison")


def test_a_place_that_cannot_be_written_is_one_line(of_images: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be made: File exists; choose another place with -o"):
        draw([of_images], "dynamics", Request(out=tmp_path / "file"))


def test_differences_of_a_filmstrip_add_up_to_the_dynamics(
    of_images: Run, saved: list[Figure]
) -> None:
    draw([of_images], "filmstrip", Request(samples=[2], look=Look(dpi=60)))
    shown = [np.asarray(image.get_array()) for image in maps.drawn_maps(saved[0])]
    steps = len(of_images.steps)
    assert len(shown) == 1 + steps + steps - 1
    summed = of_images.dynamics[2].astype(np.float64).sum(axis=0)
    np.testing.assert_allclose(sum(shown[1 + steps :]), summed, rtol=1e-5)


def test_maps_are_normalised_as_the_differences_are(of_vectors: Run) -> None:
    maps_of_sample = run_data.maps_of(of_vectors, 3)
    values = [maps_of_sample(step) for step in of_vectors.steps]
    assert [np.abs(value).sum() for value in values] == pytest.approx([1.0] * 5)
    moved = sum(np.abs(one - other) for one, other in zip(values[1:], values, strict=False))
    np.testing.assert_allclose(moved, of_vectors.dynamics[3], rtol=1e-5)
    assert run_data.about(of_vectors).value_unit == "relevance normalised by l1"


def test_the_heatmap_shows_the_arrays_of_the_run(of_images: Run, saved: list[Figure]) -> None:
    draw([of_images], "dynamics", Request(samples=[3], look=Look(dpi=60)))
    shown = [np.asarray(image.get_array()) for image in maps.drawn_maps(saved[0])]
    _, dynamics, relative, net, _ = [values for values in shown if values.shape[:2] == (84, 84)]
    np.testing.assert_allclose(dynamics, of_images.dynamics[3].astype(np.float64).sum(axis=0))
    np.testing.assert_allclose(relative, of_images.relative_dynamics[3])
    np.testing.assert_allclose(net, of_images.net_change[3].astype(np.float64).sum(axis=0))


def test_panels_hold_the_tables(of_images: Run) -> None:
    panels = {panel.title.partition(",")[0].partition(" over")[0]: panel
              for panel in panels_of(of_images, None, None)}  # fmt: skip
    metrics, transitions = of_images.metrics, of_images.transitions
    score = metrics["score"].reshape(-1, 4)
    np.testing.assert_allclose(panels["score"].lines[""], np.median(score, axis=1))
    low, high = panels["score"].band or ()
    assert (low >= score.min(axis=1)).all()
    assert (high <= score.max(axis=1)).all()
    changed = panels["change into the step"]
    np.testing.assert_allclose(
        changed.lines["relevance, sum of |R_i - R_i+1|"][1:],
        np.median(transitions["change"].reshape(-1, 4), axis=1),
    )
    np.testing.assert_allclose(
        changed.right["prediction (right)"][1:],
        np.median(transitions["prediction_change"].reshape(-1, 4), axis=1),
    )
    preferred = panels["share of samples that prefer a unit"]
    np.testing.assert_allclose(sum(preferred.lines.values()), 1.0)
    distance = panels["distance from the first map"].lines[""]
    np.testing.assert_allclose(distance, metrics["distance_from_first"].reshape(-1, 4).mean(axis=1))
    assert distance[0] == 0
    depends = panels["what the maps depend on: cosine"]
    assert set(depends.lines) >= {"to random networks", "random to random"}
    sums = metrics["relevance_sum"].reshape(-1, 4) / score
    checks = next(panel for title, panel in panels.items() if title.startswith("checks"))
    np.testing.assert_allclose(checks.lines["sum(R) / score"], np.median(sums, axis=1))


def test_panels_of_one_sample_are_its_own(of_images: Run) -> None:
    panels = {panel.title: panel for panel in panels_of(of_images, [2], None)}
    rows = of_images.metrics[of_images.metrics["sample"] == 2]
    np.testing.assert_array_equal(panels["score"].lines[""], rows["score"])
    np.testing.assert_array_equal(panels["preferred unit"].lines[""], rows["argmax"])
    assert panels["score"].band is None
    assert panels["preferred unit"].stepwise


def test_the_raster_is_the_table_of_transitions(of_images: Run) -> None:
    table = raster_of(of_images, [3, 1])
    for column, sample in enumerate((3, 1)):
        rows = of_images.transitions[of_images.transitions["sample"] == sample]
        np.testing.assert_array_equal(table.change[:, column], rows["change"])
    assert table.ends == [(0, 16), (16, 32), (32, 48)]


def test_a_comparison_names_its_runs(of_images: Run) -> None:
    sides, alike = sides_of([of_images, of_images], [0, 2])
    assert sides[0].name.startswith("run, rule zplus; head policy")
    assert sides[0].ends.tolist() == [16, 32, 48]
    assert alike == "cosine of dynamics, median over samples: A-B 1.00"


def test_the_populations_are_those_of_the_report(of_images: Run) -> None:
    for population in populations_of(of_images):
        total = of_images.outliers["totals"][population.name]
        assert population.values.size == total["values"]
        assert (population.mild, population.far) == (total["fence_mild"], total["fence_far"])
    where = {"from_step": 700_000, "to_step": 800_000, "sample": 2}
    causes = [{"cause": "action_flip"}, {"cause": "step_gap"}]
    assert label({"where": where, "causes": causes}) == "700k → 800k, sample 2: action_flip"
    assert label({"where": {"sample": 2, "row": 3, "column": 4}, "causes": []}) == (
        "sample 2, row 3, column 4"
    )


def _entry(severity: str, **where: int) -> dict[str, object]:
    return {"where": where, "severity": severity, "causes": [{"cause": "vanished"}]}


def test_flags_are_of_a_sample_and_of_all_samples_at_once() -> None:
    report = {
        "steps": [
            _entry("mild", from_step=10, to_step=20),
            _entry("none", from_step=0, to_step=10),
        ],
        "cells": [
            _entry("far", from_step=10, to_step=20, sample=1),
            _entry("far", from_step=20, to_step=30, sample=0),
        ],
        "pathologies": [_entry("none", step=40, sample=1), _entry("none", step=50)],
    }
    assert flags_of(report, 1) == Flags({10: "far"}, {40: "vanished", 50: "vanished"})
    assert flags_of(report, 0) == Flags({20: "far", 10: "mild"}, {50: "vanished"})
    assert flags_of(report, None) == Flags({10: "mild"}, {40: "vanished", 50: "vanished"})
    assert flags_of(report, 1).order() == [10, 40, 50]


def test_marks_say_why_there_are_no_phases(of_images: Run) -> None:
    marks = marks_of(of_images, None)
    assert marks.borders == []
    assert "too few" in marks.in_words()


def test_the_terminal_shows_each_sample(of_images: Run) -> None:
    lines = kinds.lines(
        [of_images], "terminal", Request(samples=[1, 3]), Terminal(width=60, colours=0, blocks=True)
    )
    heads = [line for line in lines if line.startswith("dynamics of sample")]
    assert heads == [f"dynamics of sample {n} over 4 checkpoints" for n in (1, 3)]
    assert max(map(len, lines)) <= 60
    with pytest.raises(UsageError, match="samples 0 to 3"):
        kinds.lines(
            [of_images],
            "terminal",
            Request(samples=[9]),
            Terminal(width=60, colours=0, blocks=True),
        )


def test_of_a_run_that_keeps_pixels_the_filmstrip_says_so(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path, saved: list[Figure]
) -> None:
    given = {"quiet": True, "baseline": "none", "limit": 2}
    run = lrpdyn.compute(ppo_folder, images[:1], out=tmp_path / "pixels", keep="pixels", **given)
    draw([run], "filmstrip")
    words = " ".join(text.get_text() for text in saved[-1].texts)
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
    (copy / "figures" / "raster_of_mine.svg").write_text("mine")
    lrpdyn.compute(
        ppo_folder, images, rule="zplus", out=copy, overwrite=True, baseline="none", quiet=True
    )
    assert {path.name for path in (copy / "figures").iterdir()} == {
        "dynamics.png", "raster_of_mine.svg",
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
    lrpdyn.compute(ppo_folder, images, out=copy, overwrite=True, baseline="none", quiet=True)
    assert not drawn.exists()
    assert mine.exists()


def test_the_list_of_kinds_loads_nothing_that_draws() -> None:
    code = "import sys, lrpdyn.figures.kinds; print({'numpy', 'matplotlib'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"
