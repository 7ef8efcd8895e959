"""Groups of runs: their means, and intervals that cover the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lrpdyn.comparison.belonging import differences
from lrpdyn.comparison.groups import Mean, group_means, group_names, interval
from lrpdyn.errors import UsageError
from tests.benchmarks.interval_coverage import KNOWN, coverage, percentiles

SAME = {"rule": "zplus", "head": "policy", "architecture": "mlp", "target": "argmax", "contrast": "mean",
        "normalize": "none", "reference": "none", "unit": "steps", "observations": "a", "step_list": "b",
        "samples": 4}  # fmt: skip


def runs(*values: float | None, **more: Any) -> list[dict[str, Any]]:
    return [
        {**SAME, "path": f"seed_{n}/zplus", "seed": n, "training": f"t{n}", "score": value, "reward": value,
         **more}
        for n, value in enumerate(values)
    ]  # fmt: skip


def mean_of(rows: list[dict[str, Any]], column: str = "score") -> Mean:
    (mean,) = group_means(rows, ["all"] * len(rows), [column])
    return mean


@pytest.mark.parametrize("name", ["normal", "lognormal, sigma 0.5", "beta(8, 2)"])
@pytest.mark.parametrize("count", [5, 20])
def test_intervals_cover_the_truth(name: str, count: int) -> None:
    """`python -m tests.benchmarks.interval_coverage` has more; 300 draws tell 95 % from 90 % at most."""
    draw, truth = KNOWN[name]
    share = coverage(lambda values: interval([values]), draw, truth, count, 300, 1)
    assert 0.915 <= share <= 0.985


def test_percentiles_of_few_runs_would_not() -> None:
    draw, truth = KNOWN["normal"]
    assert coverage(percentiles, draw, truth, 5, 300, 1) < 0.9


def test_strata_are_resampled_by_themselves() -> None:
    random = np.random.default_rng(3)
    covered = 0
    for _ in range(300):
        ends = interval([random.normal(size=6), random.normal(100, 1, size=12)])
        assert ends is not None
        covered += ends[0] <= 200 / 3 <= ends[1]
        assert ends[1] - ends[0] < 5  # resampled as one they are 40 apart
    assert 0.915 <= covered / 300 <= 0.985


def test_a_mean_is_over_trainings() -> None:
    values = [1.0, 2.0, 3.0, 4.0, 6.0]
    mean = mean_of(runs(*values))
    assert (mean.runs, mean.trainings, mean.mean, mean.why) == (5, 5, 3.2, "")
    assert mean.spread == pytest.approx(np.std(values, ddof=1))
    assert (mean.low, mean.high) == interval([np.array(values)])
    twice = mean_of([*runs(*values), *runs(*values)])
    assert (twice.runs, twice.trainings) == (10, 5)
    assert (twice.low, twice.high) == (mean.low, mean.high)  # a copy makes nothing surer


def test_intervals_stay_within_what_values_can_be() -> None:
    shares = [0.999, 0.998, 0.99, 0.995, 0.9]
    of_score = mean_of(runs(*shares))
    assert of_score.high is not None
    assert of_score.high > 1
    given = [{**row, "random": row["score"], "share_ball": row["score"]} for row in runs(*shares)]
    for column in ("random", "share_ball"):
        mean = mean_of(given, column)
        assert (mean.low, mean.high) == (of_score.low, 1.0)
    few = mean_of(
        [{**row, "flags_dormant": row["score"]} for row in runs(0, 0, 0, 0, 1)], "flags_dormant"
    )
    assert few.low == 0


def test_too_few_or_equal_trainings_have_no_interval() -> None:
    few = mean_of(runs(1, 2, 3, 5, None))
    assert (few.runs, few.mean, few.low, few.why) == (4, 2.75, None, "it needs 5 trainings")
    equal = mean_of(runs(*[0.25] * 6))
    assert (equal.mean, equal.high, equal.why) == (0.25, None, "all trainings have the same value")
    absent = mean_of(runs(None, None))
    assert (absent.runs, absent.mean, absent.why) == (0, None, "no run has it")
    two_heads = [*runs(1, 2, 3, 4, 5), *runs(1, 2, 3, 4, head="value", observations="z")]
    assert mean_of(two_heads, "reward").why == "it needs 5 trainings of each of 2 settings"


def test_runs_that_do_not_belong_together_have_no_mean() -> None:
    mixed = [*runs(1, 2, 3, 4, 5), *runs(6, observations="other", head="value")]
    mean = mean_of(mixed)
    assert (mean.runs, mean.mean, mean.why) == (6, None, "other observations, heads")
    assert mean_of(mixed, "reward").mean is not None  # of the training, whatever is explained of it
    assert mean_of([*runs(1, 2), *runs(5, step_list="x")]).mean == 2.5
    found = {one.setting: one for one in differences(mixed, ["score", "reward"])}
    assert list(found) == ["observations", "head"]
    assert found["head"].columns == ("score",)
    assert found["head"].runs["value"] == ["seed_0/zplus"]


def test_groups_have_names() -> None:
    rows = [*runs(1, 2), *runs(3, rule="gamma:0.25")]
    assert group_names(rows, "rule") == ["zplus", "zplus", "gamma:0.25"]
    assert group_names(rows, "seed") == ["0", "1", "0"]
    assert group_names(rows, r"(seed_\d+)") == ["seed_0", "seed_1", "seed_0"]
    for by, why in (
        ("lr-(.*)", "matches none of 3 paths, not seed_0/zplus; widen"),
        ("_1/(.*)", "matches 1 of 3 paths, not seed_0/zplus; widen"),
        ("lr", "expected rule, seed, head, or a pattern with one group .*, found no groups"),
        ("Rule", r"\(did you mean rule\?\)"),
        ("", "--by nothing: expected rule, seed, head, or"),
        ("(l)(r)", "found 2 groups"),
        ("(", r"no regular expression .*; one with a group is such as 'lr-"),
    ):
        with pytest.raises(UsageError, match=why):
            group_names(rows, by)
    with pytest.raises(UsageError, match="no seed in the path"):
        group_names([{**rows[0], "seed": None}], "seed")
