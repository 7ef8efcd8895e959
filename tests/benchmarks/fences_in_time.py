"""Does the fence of steps find a late spike in a run whose changes decay, and leave clean runs alone?

Run by hand: ``python tests/benchmarks/fences_in_time.py [--repeats 100]``. Changes by step are
log-normal, correlated from one to the next, and decay tenfold over the run; a late spike is three times
as large as what was there, anywhere in the last third. Found and flagged: beyond the far fence.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from lrpdyn.outliers.fences.population import population

LENGTHS = (39, 59, 99, 199)


def changes(
    count: int, sigma: float, correlation: float, decay: float, generator: np.random.Generator
) -> NDArray[np.float64]:
    """Return the changes of a run without a spike."""
    noise = generator.normal(size=count)
    for step in range(1, count):
        kept = np.sqrt(1 - correlation**2)
        noise[step] = correlation * noise[step - 1] + kept * noise[step]
    return np.exp(sigma * noise - np.log(decay) * np.linspace(0, 1, count))


def where(place: int) -> dict[str, int]:
    return {"from_step": place, "to_step": place + 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    print(
        "decay  sigma  correlation    n | clean: any far, any beyond mild | spike: far, beyond mild"
    )
    for decay in (10.0, 1.0):
        for sigma, correlation in ((0.1, 0.5), (0.2, 0.5), (0.2, 0.8), (0.3, 0.5)):
            for count in LENGTHS:
                generator = np.random.default_rng([count, int(10 * sigma), int(10 * correlation)])
                clean, spiked = [], []
                for _ in range(repeats):
                    values = changes(count, sigma, correlation, decay, generator)
                    found = population(values, where, rolls=True)
                    clean.append((np.any(found.is_far), np.any(found.is_mild)))
                    at = int(generator.integers(2 * count // 3, count - 1))
                    values[at] *= 3
                    found = population(values, where, rolls=True)
                    spiked.append((found.is_far[at], found.is_mild[at]))
                row = [
                    f"{100 * value:5.0f} %"
                    for value in np.mean([*zip(clean, spiked, strict=True)], axis=0).ravel()
                ]
                print(
                    f"{decay:5.0f}  {sigma:5.1f}  {correlation:11.1f}  {count:3} |"
                    f" {row[0]:>14} {row[1]:>16} | {row[2]:>10} {row[3]:>12}"
                )


if __name__ == "__main__":
    main()
