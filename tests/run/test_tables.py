"""Tables by step: what they hold is what a row for each sample gives, and every reader knows it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
import xarray
from click.testing import CliRunner
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.cli import compute as compute_command
from lrpdyn.cli import outliers as outliers_command
from lrpdyn.cli import plot as plot_command
from lrpdyn.comparison.comparison import compare, comparison_lines
from lrpdyn.errors import RunError, UsageError
from lrpdyn.exports.formats import export
from lrpdyn.figures.drawings.distribution import populations_of
from lrpdyn.figures.drawings.side_by_side import sides_of
from lrpdyn.figures.drawings.trajectory import panels_of
from lrpdyn.figures.kinds import KINDS, draw, lines
from lrpdyn.figures.request import Request
from lrpdyn.figures.terminal import Terminal
from lrpdyn.files.atomic import blocks_of, save_table
from lrpdyn.files.plain import open_plain
from lrpdyn.page.page import page_of
from lrpdyn.page.report import write_report
from lrpdyn.pipeline import blocks
from lrpdyn.pipeline.setup.requirements import bytes_to_write
from lrpdyn.run import tables as by_step
from lrpdyn.run.layout import RESULTS
from lrpdyn.run.series import table_series
from lrpdyn.run.summary import change_lines, run_notes
from lrpdyn.run.tables import medians_in, read_table, rows_by_step
from lrpdyn.run.training_curve import Curve, curve_section
from lrpdyn.run.trust import trust_lines

Vectors = NDArray[np.float32]
KEYS = {
    "metrics": ["step", "from_step_zero"],
    "transitions": ["from_step", "to_step", "step_gap"],
}


def run_of(folder: Path, vectors: Vectors, out: Path, **options: Any) -> lrpdyn.Run:
    return lrpdyn.compute(
        folder, vectors, out=out, arch_args={"activation": "tanh"}, quiet=True, **options
    )


def results(run: lrpdyn.Run) -> dict[str, bytes]:
    return {name: (run.path / name).read_bytes() for name in RESULTS}


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    path = tmp_path / "regions.npz"
    np.savez(path, median=np.arange(6) < 3, right_median=np.arange(6) >= 4)
    return path


@pytest.fixture(scope="module")
def originals(mlps: Path, vectors: Vectors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the same run with a row for each of six samples, and by step."""
    folder = tmp_path_factory.mktemp("tables")
    for tables in ("samples", "steps"):
        run_of(
            mlps, np.concatenate([vectors, -vectors[:1]]), folder / tables, tables=tables, workers=1
        )
    return folder


@pytest.fixture
def pair(originals: Path, tmp_path: Path) -> tuple[lrpdyn.Run, lrpdyn.Run]:
    """Copies of the two."""
    shutil.copytree(originals, tmp_path, dirs_exist_ok=True)
    return lrpdyn.open_run(tmp_path / "samples"), lrpdyn.open_run(tmp_path / "steps")


@pytest.fixture
def by_steps(pair: tuple[lrpdyn.Run, lrpdyn.Run]) -> lrpdyn.Run:
    return pair[1]


def test_values_are_those_of_the_samples(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, masks: Path
) -> None:
    weights = torch.load(mlp_folder / "net_10.pt", weights_only=True)
    weights["2.weight"][0, 0] = float("nan")
    torch.save(weights, mlp_folder / "net_10.pt")
    torch.save({"not": "weights"}, mlp_folder / "net_25.pt")
    samples, steps = (
        run_of(mlp_folder, np.concatenate([vectors, -vectors[:1]]), tmp_path / tables, tables=tables,
               regions=masks, skip_bad=True)
        for tables in ("samples", "steps")
    )  # fmt: skip
    assert (samples.manifest["tables"], steps.manifest["tables"]) == ("samples", "steps")
    gaps = steps.transitions["step_gap"]
    assert gaps.dtype == bool
    assert gaps.tolist() == [False, True]
    for name, keys in KEYS.items():
        of_samples, found = (pandas.read_csv(run.path / f"{name}.csv") for run in (samples, steps))
        groups = of_samples.groupby(keys[:-1], sort=False)
        assert len(found) == len(groups)
        expected = groups[keys].first().reset_index(drop=True)
        for column in of_samples.columns.drop(["sample", *keys]):
            each = groups[column]
            if column in ("target", "argmax"):
                lowest_of_most = each.agg(lambda units: units.mode().min())
                expected[f"{column}_most_common"] = lowest_of_most.array
                shares = each.agg(lambda units: units.value_counts(normalize=True).max())
                expected[f"{column}_most_common_share"] = shares.array
            elif column.endswith("_name"):  # nobody gave a name
                if column != "sample_name":
                    expected[f"{column}_most_common"] = np.nan
            elif column == "argmax_changed":
                expected["argmax_changed_share"] = each.mean().array
            else:
                for end, of in (("median", "median"), ("least", "min"), ("most", "max")):
                    expected[f"{column}_{end}"] = each.agg(of).array
        pandas.testing.assert_frame_equal(
            found, expected, check_like=True, check_dtype=False, check_exact=True
        )
    # Nothing is known of a step that is not finite, but that it is there.
    lost = steps.metrics[steps.metrics["step"] == 10]
    assert lost["argmax_most_common"].tolist() == [-1]
    assert np.isnan(lost["score_median"]).all()
    assert [name for name in medians_in(steps.metrics.dtype.names or ()) if "effect" in name] == [
        "effect_median", "effect_right_median",
    ]  # fmt: skip
    # What the tables are decides nothing else.
    tables = {"metrics.csv", "transitions.csv"}
    assert {name for name in RESULTS if results(samples)[name] != results(steps)[name]} == tables


def test_the_columns_are_as_promised(by_steps: lrpdyn.Run) -> None:
    with (by_steps.path / "metrics.csv").open(newline="") as file:
        assert next(csv.reader(file))[:8] == [
            "step", "target_most_common", "target_most_common_share", "score_median", "score_least",
            "score_most", "argmax_most_common", "argmax_most_common_share",
        ]  # fmt: skip
    with (by_steps.path / "transitions.csv").open(newline="") as file:
        assert next(csv.reader(file))[:5] == [
            "from_step", "to_step", "change_median", "change_least", "change_most",
        ]  # fmt: skip
    assert by_steps.metrics["step"].tolist() == [2, 4, 10, 20, 30]
    assert by_steps.transitions.to_pandas()["to_step"].tolist() == [4, 10, 20, 30]
    assert by_steps.metrics["argmax_most_common"].dtype == np.int64


def test_samples_without_a_value_are_left_out_and_ties_are_told_by_the_lowest() -> None:
    values = {
        "step": 7, "argmax": [3, None, 1, 1, 3], "score": [None, 4.0, 1.0, float("nan"), 2.0],
        "cosine": [None, None], "entropy": np.array([np.inf, -np.inf]),
    }  # fmt: skip
    columns = ("step", "sample", "argmax", "score", "cosine", "entropy")
    (row,) = rows_by_step([values], columns)
    assert row[:6] == [7, 1, 0.5, 2.0, 1.0, 4.0]
    assert row[6:9] == [None] * 3
    assert np.isnan(row[9])
    assert row[10:] == [-np.inf, np.inf]
    (nobody,) = rows_by_step([{"target": [None, None]}], ["target"])
    assert nobody == [None, None]


@pytest.mark.parametrize(
    ("most", "asked", "written"),
    [
        (25, None, "samples"),
        (24, None, "steps"),
        (24, "samples", "samples"),
        (25, "steps", "steps"),
    ],
)
def test_a_table_of_too_many_rows_is_written_by_step(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int,
    asked: str | None, written: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(by_step, "MOST_ROWS", most)
    np.save(tmp_path / "obs.npy", vectors)
    arguments = [str(mlp_folder), str(tmp_path / "obs.npy"), "-o", str(tmp_path / "run"),
                 "--arch-arg", "activation=tanh", "--workers", "1", "--baseline", "none"]  # fmt: skip
    arguments += [] if asked is None else ["--tables", asked]
    for _ in range(2):  # the second time it is finished
        done = CliRunner().invoke(compute_command.command, arguments, catch_exceptions=False)
        run = lrpdyn.open_run(tmp_path / "run")
        assert run.manifest["tables"] == written
        assert len(run.metrics) == (25 if written == "samples" else 5)
        says = (
            "Tables have a row for each step: medians and extremes over 5 samples. With --tables samples "
            "they have one for each sample, 25 in metrics.csv."
        )
        assert (says in " ".join(done.stderr.split())) == (written == "steps")
    assert "is finished" in done.stderr


def test_other_tables_are_no_other_question(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    explain, calls = blocks.explain_parts, []

    def counted(*arguments: Any) -> Any:
        calls.append(1)
        return explain(*arguments)

    monkeypatch.setattr(blocks, "explain_parts", counted)
    first = results(run_of(mlp_folder, vectors, tmp_path / "run", workers=1))
    assert len(calls) == 5
    run = run_of(mlp_folder, vectors, tmp_path / "run", workers=1, tables="steps")
    assert len(run.metrics) == 5
    again = run_of(mlp_folder, vectors, tmp_path / "run", workers=1, tables="steps")
    assert again.manifest["sha256"] == run.manifest["sha256"]
    assert results(run_of(mlp_folder, vectors, tmp_path / "run", workers=1)) == first
    assert len(calls) == 5
    # A run of a version that wrote no others says nothing of them.
    manifest = json.loads((run.path / "manifest.json").read_text())
    del manifest["tables"], manifest["sha256"]
    (run.path / "manifest.json").write_text(json.dumps(manifest))
    stamp = (run.path / "metrics.csv").stat().st_mtime_ns
    run_of(mlp_folder, vectors, tmp_path / "run", workers=1)
    assert (run.path / "metrics.csv").stat().st_mtime_ns == stamp


def test_workers_and_shards_give_the_same_bytes(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    np.save(tmp_path / "obs.npy", vectors)
    options: dict[str, Any] = {"arch_args": {"activation": "tanh"}, "quiet": True}
    one, two = (
        lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", out=tmp_path / str(workers), tables="steps",
                       workers=workers, **options)
        for workers in (1, 2)
    )  # fmt: skip
    assert results(one) == results(two)
    parts = [tmp_path / f"part-{number}" for number in (1, 2)]
    for number, part in enumerate(parts, start=1):
        asked = {"out": part, "shard": f"{number}/2", **options}
        with pytest.raises(UsageError, match="a shard has no tables; give it to lrpdyn merge"):
            lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", tables="steps", **asked)
        lrpdyn.compute(mlp_folder, tmp_path / "obs.npy", **asked)
    merged = lrpdyn.merge(parts, out=tmp_path / "merged", tables="steps", quiet=True)
    assert results(merged) == results(one)
    assert merged.manifest["tables"] == "steps"
    with pytest.raises(UsageError, match="tables 'rows': expected samples or steps"):
        lrpdyn.merge(parts, out=tmp_path / "merged", tables="rows")


def test_a_finished_shard_of_many_rows_stays_finished(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_step, "MOST_ROWS", 1)
    written = []
    for _ in range(2):
        run = run_of(mlp_folder, vectors, tmp_path / "part", shard="1/2", workers=1)
        written.append((run.path / "manifest.json").stat().st_mtime_ns)
    assert written[0] == written[1]


def test_what_is_none_of_the_tables(mlp_folder: Path, vectors: Vectors, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="tables 'rows': expected samples or steps"):
        run_of(mlp_folder, vectors, tmp_path / "run", tables="rows")
    done = CliRunner().invoke(compute_command.command, ["x", "y", "--tables", "rows"])
    assert done.exit_code == 2
    assert "samples, steps" in done.stderr.replace("'", "")
    assert not (tmp_path / "run").exists()


def test_the_disk_that_is_needed_is_that_of_fewer_rows(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = {}

    def noted(job: Any) -> None:
        needed[job.options.tables] = bytes_to_write(job)

    monkeypatch.setattr("lrpdyn.pipeline.compute.check_requirements", noted)
    for tables in ("samples", "steps"):
        run_of(mlp_folder, vectors, tmp_path / tables, tables=tables, workers=1)
    assert needed["samples"] - needed["steps"] == 40 * (5 + 4) * (5 - 1)


def test_what_is_said_at_the_end_is_the_same(pair: tuple[lrpdyn.Run, lrpdyn.Run]) -> None:
    samples, steps = (change_lines(run) for run in pair)
    assert samples == steps
    assert [len(run_notes(run)) for run in pair] == [0, 1]
    assert trust_lines(pair[0]) == trust_lines(pair[1])


def test_figures_are_drawn_of_medians_or_refused(
    pair: tuple[lrpdyn.Run, lrpdyn.Run], tmp_path: Path
) -> None:
    samples, steps = pair
    done = CliRunner().invoke(plot_command.command, [str(steps.path)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    drawn = [Path(line).name for line in done.stdout.split()]
    assert "distribution.png" in drawn
    assert "trajectory.png" in drawn
    for kind in set(KINDS) - {"comparison", "runs", "raster", "animation", "channels", "terminal"}:
        assert draw([steps], kind, Request(out=tmp_path))
    for kind in ("raster", "animation"):
        says = (
            rf"--kind {kind}: needs a row for each sample, .*{re.escape(str(steps.path))} have one "
        )
        with pytest.raises(RunError, match=rf"{says}for each step; .*--tables samples"):
            draw([steps], kind, Request(out=tmp_path))
    with pytest.raises(RunError, match=r"--sample 1,2: needs .*--tables samples"):
        draw([steps], "trajectory", Request(samples=[1, 2], out=tmp_path))
    # What can be drawn of both is the same, in the same order.
    expected, found = populations_of(samples), populations_of(steps)
    assert [one.name for one in found] == ["steps", "pixels"]
    for one in found:
        other = next(other for other in expected if other.name == one.name)
        np.testing.assert_array_equal(one.values, other.values)
    assert sides_of([samples, steps], [0])[0][0].change.tolist() == (
        sides_of([samples, steps], [0])[0][1].change.tolist()
    )


def test_panels_say_what_they_are_of(pair: tuple[lrpdyn.Run, lrpdyn.Run]) -> None:
    samples, steps = pair
    of_samples = {panel.title: panel for panel in panels_of(samples, None, None)}
    panels = {panel.title: panel for panel in panels_of(steps, None, None)}
    score = panels["score"]
    assert "median over samples" in score.note
    assert "least to most" in score.note
    per_sample = samples.metrics["score"].reshape(5, 6)
    np.testing.assert_array_equal(score.lines[""], np.median(per_sample, axis=1))
    low, high = score.band or ()
    np.testing.assert_array_equal(low, per_sample.min(axis=1))
    np.testing.assert_array_equal(high, per_sample.max(axis=1))
    (title,) = (panel.title for panel in panels.values() if panel.name == "change")
    assert "median over samples" in panels[title].note
    for name, values in of_samples[title].lines.items():
        np.testing.assert_array_equal(panels[title].lines[name], values)
    (distance,) = (panel for panel in panels.values() if panel.name == "distance")
    assert "median over samples" in distance.note
    np.testing.assert_array_equal(
        distance.lines[""], np.median(samples.metrics["distance_from_first"].reshape(5, 6), axis=1)
    )
    units = panels["most common of the preferred units"]
    np.testing.assert_array_equal(units.lines[""], steps.metrics["argmax_most_common"])
    assert not any("mean over" in panel.note for panel in panels.values())
    assert not any(title.startswith("checks") for title in panels)


def test_characters_show_medians_and_say_so(pair: tuple[lrpdyn.Run, lrpdyn.Run]) -> None:
    terminal = Terminal(width=80, colours=0, blocks=False)
    shown = lines([pair[1]], "terminal", Request(), terminal)
    named = [line.partition("  ")[0] for line in shown]
    assert named[-4:] == [
        "change, median", "prediction change, median", "score, median", "entropy, median",
    ]  # fmt: skip
    least = float(pair[1].metrics["score_median"].min())
    assert f"{least:.3g} to " in shown[-2]


def test_curves_are_held_against_medians(
    pair: tuple[lrpdyn.Run, lrpdyn.Run], tmp_path: Path
) -> None:
    samples, steps = pair
    series = table_series(steps).curves()
    np.testing.assert_array_equal(table_series(steps).steps, steps.steps)
    np.testing.assert_array_equal(series["change"], table_series(samples).curves()["change"])
    np.testing.assert_array_equal(
        series["entropy"], np.median(samples.metrics["entropy"].reshape(5, 6), axis=1)
    )
    curve = Curve("c", np.array([0.0, 5, 15, 25]), np.array([1.0, 3, 2, 4]))
    named = {
        run.path.name: [one["series"] for one in curve_section(run, curve)["series"]]
        for run in pair
    }
    changes = ["change", "change_per_unit", "prediction_change"]
    assert named == {
        "samples": [*changes, "entropy", "distance_from_first_l1"],
        "steps": [*changes, "entropy_median", "distance_from_first_l1_median"],
    }
    path = tmp_path / "curve.csv"
    path.write_text("step,reward\n0,1\n5,3\n15,2\n25,4\n")
    arguments = [str(steps.path), "--curve", f"{path}:reward"]
    done = CliRunner().invoke(outliers_command.command, arguments, catch_exceptions=False)
    assert "entropy_median" in done.stdout


def test_the_page_shows_no_sample_a_median_as_its_own(
    pair: tuple[lrpdyn.Run, lrpdyn.Run], mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    samples, steps = pair
    page = page_of(steps)
    names = [one.name for one in page_of(samples).series]
    assert names[-1] == page.series[-1].name == "churn"  # of all samples in both
    assert [one.name for one in page.series[:-1]] == [f"{name}_median" for name in names[:-1]]
    assert all(one.title.endswith(", median over samples") for one in page.series[:-1])
    score = page.series[0].values
    np.testing.assert_array_equal(
        score, np.repeat(steps.metrics["score_median"][:, None], 6, axis=1)
    )
    assert (page.units == -1).all()
    assert "The tables are by step: curves are medians over all samples of the run." in page.notes
    assert '"units":[[null' in write_report(steps).path.read_text().replace(" ", "")
    held = run_of(mlp_folder, vectors, tmp_path / "held", tables="steps", target="modal")
    values = held.manifest["target"]["values"]
    np.testing.assert_array_equal(page_of(held).units, [values] * 5)


def test_exports_hold_what_the_tables_hold(by_steps: lrpdyn.Run, tmp_path: Path) -> None:
    out = export(by_steps, "csv", tmp_path / "csv")
    assert (out / "metrics.csv").read_bytes() == (by_steps.path / "metrics.csv").read_bytes()
    zarr = export(by_steps, "zarr", tmp_path / "run.zarr")
    for dataset in (by_steps.to_xarray(), xarray.open_zarr(zarr)):
        assert dataset["score_median"].dims == ("step",)
        assert dataset["change_most"].dims == ("transition",)
        assert dataset["to_step"].values.tolist() == [4, 10, 20, 30]
        np.testing.assert_array_equal(dataset["score_median"], by_steps.metrics["score_median"])
        assert dataset["dynamics"].dims == ("sample", "feature")


def test_runs_are_compared_by_their_maps(pair: tuple[lrpdyn.Run, lrpdyn.Run]) -> None:
    samples, steps = pair
    (alike,) = compare([samples, samples]).pairs
    assert alike["cells"] == 24
    found = compare([samples, steps])
    assert found.pairs[0] == {**alike, "cells": None, "change_rank": None}
    assert found.outliers == compare([samples, samples]).outliers
    row = next(line for line in comparison_lines(found, 2, 5) if line.startswith("  A-B"))
    assert row.split() == ["A-B", "1.00", "1.00", "-", "-"]


def test_a_column_of_samples_is_not_there_and_says_what_is(by_steps: lrpdyn.Run) -> None:
    for column, instead in (
        ("score", ", and score_median, score_least, score_most"),
        ("argmax_changed", ", and argmax_changed_share"),
        ("target", ", and target_most_common, target_most_common_share"),
        ("sample", ""),
    ):
        table = by_steps.transitions if column == "argmax_changed" else by_steps.metrics
        says = f"no column {column}: the table has a row for each step{instead}; the command "
        with pytest.raises(RunError, match=says + "that made the run, with --tables samples"):
            _ = table[table["step_gap" if column == "argmax_changed" else "step"] >= 0][column]
    with pytest.raises(RunError, match="no column no such: the table has step, target"):
        _ = by_steps.metrics["no such"]


def test_a_long_table_takes_little_more_than_its_numbers(tmp_path: Path) -> None:
    columns = ("step", "sample", "score", "entropy")
    values = np.random.default_rng(0).normal(size=(30_000, 2))
    values[::7, 1] = np.nan
    rows = ([step, step % 5, *pair] for step, pair in enumerate(values.tolist()))
    save_table(tmp_path / "a.csv", columns, blocks_of(rows))
    tracemalloc.start()
    with open_plain(tmp_path / "a.csv") as file:
        table = read_table(file, columns[:2])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < table.nbytes + 8 * 2**20
    assert (table["step"] == np.arange(30_000)).all()
    np.testing.assert_array_equal(table["score"], values[:, 0])
    np.testing.assert_array_equal(table["entropy"], values[:, 1])


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("quoted", [[], [29_000], [0]])
def test_names_are_read_with_their_numbers(quoted: list[int], ending: str) -> None:
    count = 30_000  # of which the file is several times as long as what is read at once
    numbers = np.random.default_rng(0).integers(0, 2**62, count)
    values = numbers.view(np.float64)
    layers = [f"layer {n % 1000}" for n in range(count)]
    for n in quoted:
        layers[n] = 'the "first", of two\nlines'
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=ending)
    writer.writerow(["step", "layer", "score", "target", "map"])
    rows = zip(numbers.tolist(), layers, values.tolist(), numbers.tolist(), layers, strict=True)
    writer.writerows([n, layer, v, n if n % 2 else "", name] for n, layer, v, _, name in rows)
    for content in (text.getvalue(), text.getvalue().removesuffix(ending)):
        table = read_table(io.BytesIO(content.encode()), ["step"])
        assert table["step"].tolist() == numbers.tolist()
        assert table["score"].tobytes() == values.tobytes()
        assert table["target"].tolist() == np.where(numbers % 2, numbers, -1).tolist()
        assert table["layer"].tolist() == table["map"].tolist() == layers
        assert table["layer"].dtype == f"U{max(map(len, layers))}"


@pytest.mark.parametrize("quote", [b"", b'"'])
def test_rows_that_make_up_for_each_other_are_refused(quote: bytes) -> None:
    text = b"step,score\n1,%s2%s,3\n4\n5,6\n" % (quote, quote)
    with pytest.raises(ValueError, match="a row has more or fewer cells than its header"):
        read_table(io.BytesIO(text), ["step"])


@pytest.mark.parametrize("text", [b"", b"step\n1,2\n", b"step\n1.5\n", b"step\n\xff\n", b"x\n1\n"])
def test_what_is_no_table_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_table(io.BytesIO(text), ["step"])


def test_a_column_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match="a column has no name"):
        read_table(io.BytesIO(b"step,sample,\n1,0,2\n"), ("step", "sample"))
