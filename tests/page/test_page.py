"""The data of a page beside those of its run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.dynamics.measures import normalise
from lrpdyn.page.page import Page, page_of
from lrpdyn.page.pictures import View
from lrpdyn.run.training_curve import Curve
from tests.page.unpacking import unpack, unpack_bytes


def values(view: View, place: int, sample: int) -> NDArray[np.float64]:
    found = view.maps[place][sample]
    assert found is not None
    return unpack(found.text, found.largest, view.levels)


def almost(found: NDArray[np.float64], exact: NDArray[Any], levels: int) -> bool:
    largest = np.abs(exact).max()
    bound = np.sqrt(np.abs(exact) * largest) / levels + largest / (2 * levels) ** 2
    return bool((np.abs(found - exact.ravel()) <= 1.001 * bound.ravel() + 1e-12).all())


def test_maps_are_those_of_the_run_summed_over_channels(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    relevance, change = page.views["relevance"], page.views["change"]
    assert page.steps == page.kept.steps == image_run.steps
    assert page.samples == (0, 1, 2, 3)
    for place, step in enumerate(image_run.steps):
        now = image_run.relevance[step].astype(float)
        for sample in range(4):
            assert almost(values(relevance, place, sample), now[sample].sum(axis=0), 127)
    before, after = (image_run.relevance[s].astype(float) for s in image_run.steps[2:4])
    exact = np.abs(after - before).sum(axis=1)
    assert exact.max() > 0
    assert almost(values(change, 3, 2), exact[2], 63)
    assert change.maps[0] == [None] * 4
    assert almost(values(page.views["dynamics"], 0, 1), image_run.dynamics[1].sum(axis=0), 127)
    assert not relevance.signed


def test_the_observation_is_the_newest_frame(image_run: lrpdyn.Run) -> None:
    seen = page_of(image_run).observations
    shown = np.frombuffer(unpack_bytes(seen.pictures[3]), np.uint8).reshape(84, 84) / 255
    exact = image_run.observations[3, -1]
    np.testing.assert_allclose(seen.low + shown * (seen.high - seen.low), exact, atol=2e-3)
    assert (seen.height, seen.width, seen.channels) == (84, 84, 1)


def test_numbers_are_those_of_the_tables(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    series = {one.name: one.values for one in page.series}
    metrics, transitions = image_run.metrics, image_run.transitions
    np.testing.assert_array_equal(series["score"].ravel(), metrics["score"])
    np.testing.assert_array_equal(series["change"][1:].ravel(), transitions["change"])
    assert np.isnan(series["change"][0]).all()
    np.testing.assert_array_equal(page.units.ravel(), metrics["target"])


def test_findings_lead_to_their_step_and_sample(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run)
    # The callback saves at 16 steps before the first update, which is what the network was at 0.
    first = page.findings.rows[0]
    assert (first.kind, first.severity, first.step) == ("pathologies", "pathology", 16)
    assert first.causes[0].name == "duplicate_checkpoint"
    assert 16 in page.flagged.anywhere
    pixel = next(row for row in page.findings.rows if row.kind == "pixels")
    strongest = image_run.outliers["pixels"][0]["where"]
    assert (pixel.sample, pixel.row, pixel.column) == tuple(strongest.values())
    assert pixel.step is None
    cell = next(row for row in page.findings.rows if row.kind == "cells")
    assert cell.step == image_run.outliers["cells"][0]["where"]["to_step"]
    assert "→" in cell.where


def test_a_thinned_page_has_curves_of_all_steps(image_run: lrpdyn.Run) -> None:
    page = page_of(image_run, most_pixels=3 * 4 * 84 * 84)
    assert page.kept.steps == (0, 16, 48)
    assert page.notes[0].startswith("3 of 4 steps have pictures")
    assert all(len(one.values) == 4 for one in page.series)
    exact = np.abs(image_run.relevance[48].astype(float) - image_run.relevance[32])
    assert almost(values(page.views["change"], 2, 0), exact[0].sum(axis=0), 63)


def test_normalised_runs_show_normalised_maps(
    mlp_folder: Any, vectors: NDArray[np.float32], tmp_path: Any
) -> None:
    run = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "run", rule="epsilon", normalize="l1",
                         arch_args={"activation": "tanh"}, quiet=True)  # fmt: skip
    page = page_of(run)
    exact = normalise(run.relevance[run.steps[1]], "l1")
    assert almost(values(page.views["relevance"], 1, 3), exact[3], 127)
    change = np.abs(exact - normalise(run.relevance[run.steps[0]], "l1"))
    assert almost(values(page.views["change"], 1, 3), change[3], 63)


def test_flat_observations_and_a_training_curve(flat_run: lrpdyn.Run) -> None:
    curve = Curve("reward", np.array([1.0, 5.0]), np.array([2.0, 4.0]))
    page: Page = page_of(flat_run, curve)
    assert page.views["relevance"].signed
    assert (page.observations.height, page.observations.width) == (1, 6)
    np.testing.assert_allclose(page.observations.values, flat_run.observations, rtol=1e-4)
    assert page.series[0].name == "training"
    np.testing.assert_array_equal(page.series[0].values[:, 0], [2, 2, 4, 4, 4])


def test_words_of_the_manifest(image_run: lrpdyn.Run) -> None:
    facts = page_of(image_run).facts
    manifest = dict(facts.manifest)
    assert manifest["output"] == "head policy, target argmax, contrast mean"
    assert manifest["observations"].startswith("4 x 4 x 84 x 84")
    assert [entry.step for entry in facts.checkpoints] == ["0", "16", "32", "48"]
    assert dict(facts.checks)["sign"].startswith("negative scores 0 of 16")


@pytest.mark.parametrize("borders", [[], [{"step": 20, "sure": 0.8}]])
def test_phases_cover_all_steps(borders: list[dict[str, Any]], image_run: lrpdyn.Run) -> None:
    from lrpdyn.page.findings import findings_of

    report = {**image_run.outliers, "phases": {"borders": borders, "why": "too few"}}
    found = findings_of(report, [0, 10, 20, 30])
    spans = [(phase.first, phase.last, phase.sure) for phase in found.phases]
    assert spans == ([(0, 10, None), (20, 30, 0.8)] if borders else [])
