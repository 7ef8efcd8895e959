"""What both tables hold, column by column, against what is computed of the stored maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from sklearn.metrics.pairwise import cosine_similarity

import lrpdyn
from lrpdyn.dynamics.columns import names_of
from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.pipeline.results.table_rows import metric_columns, metric_values, transition_values
from tests.pipeline.results.test_finish import facts_of
from tests.pipeline.test_compute import Vectors
from tests.pipeline.test_steps import explained, stored

STEPS = (2, 4, 10, 20, 30)


def test_metrics_of_steps_are_given_in_order(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    *_, steps = explained(mlp_folder, vectors, tmp_path, rule="gamma")
    random = OfRandom(entropy=np.arange(5.0), shares=None)
    rows = list(metric_values(steps.records, None, None, random, {}, {}))
    assert metric_columns(None) == names_of("step")
    assert [row["step"] for row in rows] == list(STEPS)
    assert all(set(row) == set(names_of("step")) - {"sample"} for row in rows)
    maps = stored(tmp_path, STEPS)
    np.testing.assert_allclose([row["relevance_sum"] for row in rows], maps.sum(2), rtol=1e-9)
    support = np.abs(steps.records["support"]) / np.abs(steps.records["score"])
    np.testing.assert_allclose([row["support"] for row in rows], support, rtol=1e-12)
    assert rows[3]["entropy_random"] == [0, 1, 2, 3, 4]
    unknown = next(iter(metric_values(steps.records, None, None, None, {}, {})))
    assert np.isnan(unknown["entropy_random"]).all()


def test_regions_have_columns_of_their_own(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    np.savez(tmp_path / "parts.npz", left=np.arange(6) < 2, right=np.arange(6) >= 4)
    job, *_, steps = explained(
        mlp_folder, vectors, tmp_path / "run", regions=tmp_path / "parts.npz"
    )
    assert job.painting is not None
    regions = job.painting.regions
    assert metric_columns(regions)[-8:] == (
        "share_left", "share_per_area_left", "share_per_random_left", "effect_left",
        "share_right", "share_per_area_right", "share_per_random_right", "effect_right",
    )  # fmt: skip
    random = OfRandom(entropy=np.zeros(5), shares=np.array([5 * [0.5], 5 * [0.0]]))
    rows = list(metric_values(steps.records, regions, regions.areas(vectors.shape), random, {}, {}))
    size = np.abs(stored(tmp_path / "run", STEPS))
    left = size[:, :, :2].sum(2) / size.sum(2)
    for name, expected in (
        ("share_left", left), ("share_per_area_left", 3 * left), ("share_per_random_left", 2 * left),
    ):  # fmt: skip
        np.testing.assert_allclose([row[name] for row in rows], expected, rtol=1e-6)
    assert np.isnan([row["share_per_random_right"] for row in rows]).all()  # nothing to divide by


def test_transitions_lead_from_one_step_to_the_next(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, _, manifest, steps = explained(mlp_folder, vectors, tmp_path)
    moved = np.arange(20.0).reshape(4, 5)
    rows = list(transition_values(steps.records, facts_of(job, manifest, steps), moved))
    assert [(row["from_step"], row["to_step"]) for row in rows] == [
        (2, 4),
        (4, 10),
        (10, 20),
        (20, 30),
    ]
    change = np.abs(np.diff(stored(tmp_path, STEPS), axis=0)).sum(2)
    score, argmax = steps.records["score"], steps.records["argmax"]
    for name, expected in {
        "change": change,
        "change_per_unit": change / np.array([[2], [6], [10], [10]]),
        "score_change": np.diff(score, axis=0),
        "argmax_changed": np.diff(argmax, axis=0) != 0,
        "prediction_change": moved,
        "shape_share": 1 - steps.records["scale_share"][1:],
    }.items():
        np.testing.assert_allclose([row[name] for row in rows], expected, rtol=1e-9)
    assert not any(row["step_gap"] for row in rows)


def test_maps_are_compared_with_those_of_the_last_step_whatever_it_is(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    def computed(**options: str) -> lrpdyn.Run:
        out = tmp_path / options.get("keep", "run")
        arguments = {"activation": "tanh"}
        return lrpdyn.compute(mlp_folder, vectors, out=out, arch_args=arguments, quiet=True,
                              workers=1, faithfulness="none", baseline="none", **options)  # fmt: skip

    def expected(run: lrpdyn.Run, last: int) -> list[float]:
        maps = [run.relevance[step].astype(np.float64) for step in run.steps]
        alike = [np.diag(cosine_similarity(one, run.relevance[last])) for one in maps]
        return np.concatenate(alike).tolist()

    run = computed()
    np.testing.assert_allclose(run.metrics["cosine_to_last"], expected(run, 30), atol=1e-9)
    weights = torch.load(mlp_folder / "net_20.pt", weights_only=True)
    torch.save(weights, mlp_folder / "net_40.pt")
    torch.save({key: value * torch.nan for key, value in weights.items()}, mlp_folder / "net_50.pt")
    run = computed()  # resumed: another step is the last now, and one after it is not finite
    table = run.metrics
    finite = table["step"] < 50
    np.testing.assert_allclose(table["cosine_to_last"][finite], expected(run, 40), atol=1e-9)
    assert np.isnan(table["cosine_to_last"][~finite]).all()
    assert (run.path / "metrics.csv").read_text().splitlines()[-1].endswith(",,,,,,")
    without = computed(keep="none").metrics
    assert np.isnan(without["cosine_to_last"]).all()
    np.testing.assert_array_equal(without["gini"], table["gini"])
