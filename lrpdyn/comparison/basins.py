"""Basins: groups of seeds that came to look at other things, when they part, and by what they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.comparison.clusters import Labels, Similarity, chance_of_one_group, groups_of
from lrpdyn.comparison.map_similarity import cell_edges, map_similarity, mean_cells
from lrpdyn.comparison.paired_steps import PairedSteps, last_part, paired_steps
from lrpdyn.comparison.rows import Row
from lrpdyn.run.question import question_in_words
from lrpdyn.run.reader import RunFolder, axes_of

#: Of fewer runs nobody can tell two basins from one.
FEWEST = 6
#: Below this silhouette there is no structure worth a name (Kaufman and Rousseeuw 1990).
LEAST_SILHOUETTE = 0.25
#: What is as likely as this by chance is not reported.
BY_CHANCE = 0.05
_PERMUTATIONS = 999
_GOES_WITH = ("score", "reward")
#: The settings that runs have in common whose seeds are compared.
_ASKED = ("rule", "observations", "head", "target", "contrast", "reference")
_SHARE = "share_"
#: Runs of a basin, and of all others, that a rank correlation needs.
_FEWEST_RANKED = 3


@dataclass(frozen=True, kw_only=True)
class Basins:
    """What differs between R runs that were asked the same.

    Attributes
    ----------
    question, runs
        What was asked, in words, and the paths of the runs.
    paired, most_apart
        How steps were paired, and by how much of training these were apart at most.
    similarity, random
        Mean similarity of the maps of two runs over the last quarter of training, and of two networks
        before training (None where fewer than two runs begin at step 0 with weights of their own).
    number, basin_of
        How many basins there are, and the basin of each run from 1 on; 0 of a run that is in none.
    silhouette, chance
        Of the best clusters, and how often a single group looks as far apart; None of too few runs.
    parts_at
        From which point of training the later basins are recognised better than by chance: ``step`` (of the
        first run), ``share`` of training, ``accuracy``; None where it is not known, and `why_no_parting`.
    differs
        By basin: the region, or block of the picture, whose share of the relevance differs most.
    goes_with
        By basin and column: the rank correlation of being in it with the last value, and a 95 % interval.
    """

    question: str
    runs: tuple[str, ...]
    paired: str
    most_apart: float
    similarity: float
    random: float | None
    number: int
    basin_of: tuple[int, ...]
    silhouette: float | None
    chance: float | None
    parts_at: dict[str, Any] | None
    why_no_parting: str
    differs: tuple[dict[str, Any], ...]
    goes_with: tuple[dict[str, Any], ...]


def basins_of(runs: Sequence[RunFolder], rows: Sequence[Row]) -> list[Basins]:
    """Return the basins of all runs that were asked the same, keep maps, and are not alone in that.

    Several runs of one training count once.
    """
    same: dict[tuple[str, ...], dict[str, int]] = {}
    for number, (run, row) in enumerate(zip(runs, rows, strict=True)):
        if run.steps and run.keep != "none":
            asked = tuple(str(row[name]) for name in _ASKED)
            same.setdefault(asked, {}).setdefault(row["training"], number)
    return [
        basins(
            f"rule {asked[0]}, {question_in_words(runs[numbers[0]].manifest)}",
            [runs[number] for number in numbers],
            [rows[number] for number in numbers],
        )
        for asked, numbers in ((asked, list(trained.values())) for asked, trained in same.items())
        if len(numbers) > 1
    ]


def basins(question: str, runs: Sequence[RunFolder], rows: Sequence[Row]) -> Basins:
    """Return the basins of two or more runs of the same observations that were asked the same.

    Parameters
    ----------
    runs, rows
        The runs, each with a step at least, and their rows of the table, in the same order.
    """
    paired = paired_steps([run.steps for run in runs])
    over_training = map_similarity(runs, paired)
    last = over_training[last_part(paired)].mean(axis=0)
    labels, silhouette, chance = _labels(last)
    number = int(labels.max()) + 1
    several = number > 1
    parts_at, why = _parting(over_training, labels, paired) if several else (None, "")
    return Basins(
        question=question,
        runs=tuple(row["path"] for row in rows),
        paired=paired.how,
        most_apart=paired.most_apart,
        similarity=float(last[np.triu_indices(len(runs), 1)].mean()),
        random=_random(runs, over_training[0], paired),
        number=number,
        basin_of=tuple((labels + 1).tolist()),
        silhouette=silhouette,
        chance=chance,
        parts_at=parts_at,
        why_no_parting=why,
        differs=tuple(_differences(runs, rows, labels, paired)) if several else (),
        goes_with=tuple(_correlations(rows, labels)) if several else (),
    )


def _labels(similarity: Similarity) -> tuple[Labels, float | None, float | None]:
    """Return the basin of each run from 0 on, -1 of one alone; all 0 where there is one basin."""
    one = np.zeros(len(similarity), dtype=np.int64)
    if len(similarity) < FEWEST:
        return one, None, None
    labels, silhouette, _ = groups_of(similarity)
    chance = chance_of_one_group(similarity)
    found = silhouette >= LEAST_SILHOUETTE and chance <= BY_CHANCE and labels.max() > 0
    return (labels if found else one), silhouette, chance


def _random(runs: Sequence[RunFolder], first: Similarity, paired: PairedSteps) -> float | None:
    """Return the mean similarity of maps of networks before training that have other weights."""
    hashes = [run.manifest["checkpoints"][0].get("relevance_sha256") for run in runs]
    fresh = [n for n, step in enumerate(paired.steps[:, 0].tolist()) if step == 0]
    pairs = [first[a, b] for a, b in combinations(fresh, 2)
             if hashes[a] is None or hashes[a] != hashes[b]]  # fmt: skip
    return float(np.mean(pairs)) if pairs else None


def _parting(
    over_training: NDArray[np.float64], labels: Labels, paired: PairedSteps
) -> tuple[dict[str, Any] | None, str]:
    """Return the point from which on basins are recognised better than by chance, or why none is known."""
    there = np.flatnonzero(labels >= 0)
    counts = np.bincount(labels[there])
    # Labels that only swap the names of basins of one size are the same.
    same = prod(factorial(n) for n in np.unique(counts, return_counts=True)[1].tolist())
    ways = factorial(len(there)) // prod(map(factorial, counts.tolist())) // same
    if ways * BY_CHANCE < 1:
        return None, f"{len(there)} runs can be put into such basins in {ways} ways only"
    dice = np.random.default_rng(0)
    drawn = np.stack([dice.permutation(labels[there]) for _ in range(_PERMUTATIONS)])
    better_by = []
    for similarity in over_training:
        inner = similarity[np.ix_(there, there)]
        accuracy = _accuracy(inner, labels[there])
        by_chance = np.array([_accuracy(inner, other) for other in drawn])
        p = (1 + np.count_nonzero(by_chance >= accuracy - 1e-9)) / (1 + len(drawn))
        better_by.append((p <= BY_CHANCE, accuracy))
    before = [point for point, (better, _) in enumerate(better_by) if not better]
    first = before[-1] + 1 if before else 0
    if first == len(better_by):
        return None, "at the last step they are not recognised better than by chance"
    return {"step": int(paired.steps[0, first]), "share": float(paired.shares[first]),
            "accuracy": better_by[first][1]}, ""  # fmt: skip


def _accuracy(similarity: Similarity, labels: Labels) -> float:
    """Return how often a run is nearest to the mean of its own basin, itself left out; mean over basins."""
    count = len(labels)
    member = np.eye(labels.max() + 1)[labels]
    sizes = member.sum(axis=0)
    to_members, inside = similarity @ member, np.einsum("ic,ij,jc->c", member, similarity, member)
    own = np.diag(similarity)[:, None]
    left = np.maximum(sizes - member, 1)
    to_mean = (to_members - member * own) / left
    length = (inside - member * (2 * to_members - own)) / left**2
    nearest = (length - 2 * to_mean).argmin(axis=1)
    right = np.bincount(labels, weights=nearest == labels, minlength=len(sizes))
    return float((right / sizes).mean()) if count else 0.0


def _against(labels: Labels) -> list[tuple[int, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return each basin and all other basins; of two, the one is the other's mirror image."""
    basins = range(labels.max() + 1)
    return [(basin, labels == basin, (labels >= 0) & (labels != basin))
            for basin in (basins if len(basins) > 2 else basins[-1:])]  # fmt: skip


def _differences(
    runs: Sequence[RunFolder], rows: Sequence[Row], labels: Labels, paired: PairedSteps
) -> list[dict[str, Any]]:
    """Return by basin the part of the observation whose share of the relevance differs most."""
    regions = [
        name for name in rows[0]
        if name.startswith(_SHARE) and all(row.get(name) is not None for row in rows)
    ]  # fmt: skip
    if regions:
        shares = np.array([[row[name] for name in regions] for row in rows])
    else:
        maps = np.stack([mean_cells(run, step)
                         for run, step in zip(runs, paired.steps[:, -1].tolist(), strict=True)])  # fmt: skip
    found = []
    for basin, inside, outside in _against(labels):
        if regions:
            gaps = shares[inside].mean(axis=0) - shares[outside].mean(axis=0)
            at = int(np.abs(gaps).argmax())
            where: dict[str, Any] = {"region": regions[at].removeprefix(_SHARE)}
            own, other = (float(shares[rows_, at].mean()) for rows_ in (inside, outside))
        else:
            part, where = _part(runs[0], maps[inside].mean(axis=0) - maps[outside].mean(axis=0))
            own, other = (
                float(maps[rows_].mean(axis=0)[part].sum()) for rows_ in (inside, outside)
            )
        found.append({"basin": basin + 1, **where, "share": own, "share_of_others": other})
    return found


def _part(run: RunFolder, gaps: NDArray[np.float64]) -> tuple[Any, dict[str, Any]]:
    """Return the block of cells whose sum of `gaps` is largest in size, or the entry of no picture."""
    axes = axes_of(run.manifest)
    if axes[-2:] != ("row", "column"):
        place = np.unravel_index(int(np.abs(gaps).argmax()), gaps.shape)
        names = axes[-gaps.ndim :]
        return place, {name: int(n) for name, n in zip(names, place, strict=True)}
    gaps = gaps.reshape(-1, *gaps.shape[-2:]).sum(axis=0)
    sums = np.pad(gaps.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    ends = (combinations(range(length + 1), 2) for length in gaps.shape)
    blocks = [(abs(sums[b, d] - sums[a, d] - sums[b, c] + sums[a, c]), a, b, c, d)
              for (a, b), (c, d) in product(*ends)]  # fmt: skip
    _, a, b, c, d = max(blocks)
    rows, columns = (np.append(cell_edges(n), n).tolist() for n in run.shape[-2:])
    where = {"rows": [rows[a], rows[b] - 1], "columns": [columns[c], columns[d] - 1]}
    return (..., slice(a, b), slice(c, d)), where


def _correlations(rows: Sequence[Row], labels: Labels) -> list[dict[str, Any]]:
    """Return whether basins go with the last score and reward."""
    found = []
    for column, (basin, inside, outside) in product(_GOES_WITH, _against(labels)):
        groups = [
            np.array([row[column] for row, here in zip(rows, chosen.tolist(), strict=True)
                      if here and row[column] is not None])
            for chosen in (inside, outside)
        ]  # fmt: skip
        fewest = min(map(len, groups))
        if max(map(len, groups)) > 0:
            ends = rank_correlation(*groups) if fewest >= _FEWEST_RANKED else (None, None, None)
            found.append({"basin": basin + 1, "column": column, "runs": sum(map(len, groups)),
                          **dict(zip(("correlation", "low", "high"), ends, strict=True))})  # fmt: skip
    return found


def rank_correlation(
    one: NDArray[np.float64], other: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Return how often values of one group are larger than the other's less how often smaller, -1 to 1.

    The rank-biserial correlation, 2 AUC - 1, and the ends of its 95 % interval (Newcombe 2006, method 5),
    which holds for few values and at the ends, too.
    """
    theta = float((np.sign(one[:, None] - other).mean() + 1) / 2)
    half = (len(one) + len(other)) / 2
    # 95 %: the values that are no more than 1.96 standard errors, at that value, from what was found.
    points = np.linspace(0, 1, 4001)
    variance = points * (1 - points) / (len(one) * len(other))
    variance *= 2 * half - 1 - (3 * half - 3) / ((2 - points) * (1 + points))
    inside = points[np.abs(points - theta) <= 1.96 * np.sqrt(variance) + 1e-9]
    return 2 * theta - 1, 2 * float(inside[0]) - 1, 2 * float(inside[-1]) - 1
