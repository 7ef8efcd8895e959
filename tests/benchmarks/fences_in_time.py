"""Does the fence of steps find a late spike in a run whose changes decay, and leave clean runs alone?

Run by hand: ``python tests/benchmarks/fences_in_time.py [--repeats 100]``. Changes by step are
log-normal, correlated from one to the next, and decay tenfold over the run; a late spike is three times
as large as what was there, anywhere in the last third. Real runs have a sigma of .2 to .4 around their
running median and next to no correlation, or hardly any noise where each update sees all data.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from numpy.typing import NDArray

from lrpdyn.outliers.fences.population import population

LENGTHS = (39, 59, 99, 199)
#: The share of the first change that is left, by the share of the run that is done.
TRENDS = {
    "even decay": lambda done: 10.0**-done,
    "early decay": lambda done: 0.1 + 0.9 * np.exp(-10 * done),
    "1 / t": lambda done: 1 / (1 + 9 * done),
    "no decay": np.ones_like,
}


def changes(
    trend: str, count: int, sigma: float, correlation: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the changes of a run without a spike."""
    noise = generator.normal(size=count)
    for step in range(1, count):
        kept = np.sqrt(1 - correlation**2)
        noise[step] = correlation * noise[step - 1] + kept * noise[step]
    return TRENDS[trend](np.linspace(0, 1, count)) * np.exp(sigma * noise)


def where(place: int) -> dict[str, int]:
    return {"from_step": place, "to_step": place + 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    print(f"{'trend':14}{'sigma':>6}{'correlation':>13}{'n':>5}", end="")
    print(f"{'clean: any far':>17}{'any mild':>10}{'spike: far':>13}{'or mild':>9}")
    for trend, (sigma, correlation), count in product(
        TRENDS, ((0.1, 0.5), (0.2, 0.2), (0.2, 0.7), (0.3, 0.2)), LENGTHS
    ):
        generator = np.random.default_rng([count, round(10 * sigma), round(10 * correlation)])
        clean, spiked = [], []
        for _ in range(repeats):
            values = changes(trend, count, sigma, correlation, generator)
            found = population(values, where, over_time=True)
            clean.append((np.any(found.is_far), np.any(found.is_mild)))
            at = int(generator.integers(2 * count // 3, count - 1))
            values[at] *= 3
            found = population(values, where, over_time=True)
            spiked.append((found.is_far[at], found.is_mild[at]))
        clean_far, clean_mild = 100 * np.mean(clean, axis=0)
        far, mild = 100 * np.mean(spiked, axis=0)
        print(f"{trend:14}{sigma:6.1f}{correlation:13.1f}{count:5}", end="")
        print(f"{clean_far:15.0f} %{clean_mild:8.0f} %{far:11.0f} %{mild:7.0f} %", flush=True)


if __name__ == "__main__":
    main()
