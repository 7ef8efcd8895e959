"""The ranks of pixels by `numpy.argsort` and by the radix sort that lrpdyn 0.1 had: time of each.

Run by hand: ``python tests/benchmarks/argsort.py``. Both orders are measured in turn in one run, for as
many pixels as four frames of 84 x 84 and a picture of 224 x 224 in colours have, of numbers as relevance
is: of both signs, over many orders of magnitude, some of them exactly zero, in float64 made from float32
or summed in float64. The order of equal numbers does not matter to ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

SIZES, ROUNDS = (7_056, 28_224, 50_176, 150_528), 40
Order = Callable[[NDArray[np.float64]], NDArray[np.intp]]


def radix(values: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the order of `values` by the first 32 of their bits, in two sorts of 16 bits."""
    bits = values.view(np.int64)
    first = (bits ^ (bits >> 63 & np.iinfo(np.int64).max)) >> 32
    order = first.astype(np.uint16).argsort(kind="stable")
    order = order[(first >> 16).astype(np.int16)[order].argsort(kind="stable")]
    if (values[order][1:] < values[order][:-1]).any():
        alike = np.diff(first[order]) == 0
        places = np.flatnonzero(np.append(alike, False) | np.append(False, alike))
        those = order[places]
        order[places] = those[values[those].argsort()]
    return order


WAYS: dict[str, Order] = {
    "radix": radix,
    "argsort": lambda values: values.argsort(),
    "stable": lambda values: values.argsort(kind="stable"),
}


def relevance(size: int, kind: str) -> NDArray[np.float64]:
    """Return numbers as relevance is."""
    random = np.random.default_rng(size)
    values = random.normal(size=size) * random.lognormal(sigma=3, size=size)
    values[random.random(size) < 0.2] = 0
    return values.astype(kind).astype(np.float64)


def main() -> None:
    """Print the milliseconds of each way, and how many times as fast as the radix sort it is."""
    for kind in ("float32", "float64"):
        for size in SIZES:
            values = relevance(size, kind)
            taken: dict[str, list[float]] = {name: [] for name in WAYS}
            for _ in range(ROUNDS):
                for name, order in WAYS.items():
                    start = time.perf_counter()
                    found = order(values)
                    taken[name].append(time.perf_counter() - start)
                    assert (np.diff(values[found]) >= 0).all()
            least = {name: 1e3 * min(seconds) for name, seconds in taken.items()}
            each = ", ".join(
                f"{name} {ms:6.2f} ms ({least['radix'] / ms:.2f}x)" for name, ms in least.items()
            )
            print(f"{size:7,d} pixels of {kind}: {each}", flush=True)


if __name__ == "__main__":
    main()
