"""How often 95 % intervals of a mean cover it, by distribution and number of runs.

Run by hand: ``python -m tests.benchmarks.interval_coverage``. `interval` is what `lrpdyn compare` prints;
next to it are an interval from percentiles of resampled means and Student's t (with SciPy).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lrpdyn.comparison.groups import interval

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
Interval = Callable[[Floats], tuple[float, float]]

#: What is drawn from, with its true mean.
KNOWN: dict[str, tuple[Draw, float]] = {
    "normal": (lambda random, n: random.normal(size=n), 0.0),
    "lognormal, sigma 0.5": (lambda random, n: random.lognormal(0, 0.5, n), float(np.exp(0.125))),
    "lognormal, sigma 1": (lambda random, n: random.lognormal(0, 1, n), float(np.exp(0.5))),
    "uniform": (lambda random, n: random.uniform(size=n), 0.5),
    "beta(8, 2)": (lambda random, n: random.beta(8, 2, n), 0.8),
    "beta(0.5, 0.5)": (lambda random, n: random.beta(0.5, 0.5, n), 0.5),
}


def percentiles(values: Floats) -> tuple[float, float]:
    """Return the percentiles of resampled means."""
    drawn = np.random.default_rng(0).integers(0, len(values), (1999, len(values)))
    low, high = np.quantile(values[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def student(values: Floats) -> tuple[float, float]:
    """Return Student's interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


INTERVALS: dict[str, Interval] = {
    "interval": lambda values: interval([values]),
    "percentiles": percentiles,
    "Student's t": student,
}


def coverage(found: Interval, draw: Draw, mean: float, runs: int, times: int, seed: int) -> float:
    """Return the share of `times` intervals over `runs` drawn values that hold the true mean."""
    random = np.random.default_rng(seed)
    covered = 0
    for _ in range(times):
        low, high = found(draw(random, runs))
        covered += low <= mean <= high
    return covered / times


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3000)
    given = parser.parse_args()
    print("| values | runs |", " | ".join(INTERVALS), "|")
    print("| --- | --- |" + " --- |" * len(INTERVALS))
    for name, (draw, mean) in KNOWN.items():
        for runs in (5, 8, 20):
            shares = [
                coverage(one, draw, mean, runs, given.times, runs) for one in INTERVALS.values()
            ]
            print(
                f"| {name} | {runs} |",
                " | ".join(f"{100 * s:.1f} %" for s in shares),
                "|",
                flush=True,
            )


if __name__ == "__main__":
    main()
