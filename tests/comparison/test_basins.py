"""Basins of seeds, with two kinds of them planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

import lrpdyn
from lrpdyn.comparison.basin_words import basin_lines
from lrpdyn.comparison.basins import Basins, basins, rank_correlation
from lrpdyn.comparison.map_similarity import map_similarity
from lrpdyn.comparison.paired_steps import paired_steps
from lrpdyn.comparison.rows import read_rows
from lrpdyn.comparison.text import as_json, as_table
from lrpdyn.run.reader import RunFolder
from tests.benchmarks import many_seeds

PLANTED = (1, 2, 1, 2, 1, 2, 1, 2)


def found(folders: list[Path]) -> Basins:
    runs = [RunFolder.open(folder) for folder in folders]
    return basins("rule zplus", runs, read_rows(folders))


def test_basins_are_the_two_kinds_of_seeds(seeds: list[Path]) -> None:
    said = found(seeds)
    assert (said.number, said.basin_of) == (2, PLANTED)
    assert said.parts_at is not None
    assert said.parts_at["step"] == 1
    (one,) = said.differs
    assert one["basin"] == 2
    first, last = one["rows"]
    # A block at either end: more of it in one basin is less of the rest.
    assert first == 0 or last == 23
    assert one["columns"] == [0, 23]
    assert abs(one["share"] - one["share_of_others"]) > 0.5
    text = "\n".join(basin_lines(said))
    assert "2 basins" in text
    assert "from step 1 on" in text
    assert "two networks before training" in text


def test_compare_says_the_basins_in_every_form(seeds: list[Path]) -> None:
    compared = lrpdyn.compare([seeds[0].parent])
    (said,) = compared.basins
    assert said.basin_of == PLANTED
    assert json.loads(as_json(compared))["basins"][0]["basin_of"] == list(PLANTED)
    assert "2 basins" in as_table(compared, 5, 80)


def test_fewer_runs_and_one_kind_have_no_basins(seeds: list[Path]) -> None:
    few = found(seeds[:4])
    assert (few.number, few.silhouette) == (1, None)
    assert "6 needed" in basin_lines(few)[-1]
    six = replace(few, silhouette=0.1, chance=0.5)
    assert basin_lines(six)[-1].startswith("One basin")


def test_similarity_is_the_mean_cosine_of_cells_where_both_maps_are_there(
    seeds: list[Path],
) -> None:
    runs = [RunFolder.open(folder) for folder in seeds[:2]]
    one, other = (np.array(run.relevance[3]) for run in runs)
    one[0] = 0
    for run, maps in zip(runs, (one, other), strict=True):
        run.__dict__["relevance"] = {3: maps}
    cosines = []
    for a, b in zip(one[1:], other[1:], strict=True):
        # 24 rows in 8 cells of 3.
        cells = [np.abs(m.astype(float).sum(axis=0)).reshape(8, 3, 8, 3).sum(axis=(1, 3)).ravel()
                 for m in (a, b)]  # fmt: skip
        cosines.append(cells[0] @ cells[1] / np.linalg.norm(cells[0]) / np.linalg.norm(cells[1]))
    alike = map_similarity(runs, paired_steps([[3], [3]]))
    assert alike.shape == (1, 2, 2)
    assert alike[0, 0, 1] == pytest.approx(np.mean(cosines), abs=1e-6)


def test_runs_of_other_spacing_are_paired_by_share_of_training() -> None:
    paired = paired_steps([[0, 10, 20, 30, 40], [0, 190, 400]])
    assert paired.steps.tolist() == [[0, 20, 40], [0, 190, 400]]
    assert paired.how == "the same share of training"
    assert paired.most_apart == pytest.approx(0.025)
    assert paired_steps([range(1000)] * 2).steps.shape == (2, 20)


def test_rank_correlation_is_that_of_mann_whitney_and_its_interval_covers() -> None:
    dice = np.random.default_rng(0)
    truth, inside = 2 * 0.7602 - 1, 0  # P(x > y) of normal values one apart
    for _ in range(300):
        one, other = dice.normal(1, size=6), dice.normal(size=5)
        value, low, high = rank_correlation(one, other)
        assert value == pytest.approx(2 * mannwhitneyu(one, other).statistic / 30 - 1)
        inside += low <= truth <= high
    assert 0.91 < inside / 300 < 0.99
    assert rank_correlation(np.array([3.0, 4, 5]), np.array([0.0, 1, 2]))[2] == 1


@pytest.mark.slow
def test_seeds_that_learned_a_shortcut_are_a_basin(tmp_path: Path) -> None:
    for seed in range(8):
        many_seeds.train(seed, tmp_path / f"seed-{seed}", checkpoints=6)
        many_seeds.explained(tmp_path, seed, ["zplus"])
    said = many_seeds.found_basins([tmp_path / f"zplus-{seed}" for seed in range(8)])
    assert said.basin_of == PLANTED
    assert said.differs[0]["region"] == "border"
    assert said.parts_at is not None
    assert 3 < said.parts_at["step"] / many_seeds.STEPS <= 5
