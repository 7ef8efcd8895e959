"""Do rules rank as published on a trained VGG-like classifier: composites and gamma over plain epsilon?

``python -m tests.benchmarks.rule_ranks [--seeds 0 1 2] [--samples 16] [--work FOLDER]`` trains the network of
`vgg` for each seed (a minute each on one core) and holds rules against each other on pictures that it
was not trained on, under three fills: the median area between the perturbation curves, in units of
the score's range at the checkpoint, with 95 % intervals over pictures and the mean rank over seeds. Then
what ``lrpdyn rules --try`` names.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata

from lrpdyn.pipeline.rule_trial import try_rules
from lrpdyn.pipeline.setup.options import Options
from tests.benchmarks import vgg
from tests.benchmarks.faithful import areas_at, interval, job_of

RULES = (
    "epsilon-gamma-box", "epsilon-alpha2-beta1", "epsilon-alpha2-beta1-flat", "epsilon-plus",
    "epsilon-plus-flat", "gamma", "zplus", "alphabeta:2,1", "epsilon",
)  # fmt: skip
FILLS = ("modal", "blurred", "mean")


def print_ranks(found: Mapping[tuple[str, str], Sequence[np.ndarray]]) -> None:
    """Print a table for each fill of the areas of all seeds, by fill and map."""
    for fill in dict.fromkeys(fill for fill, _ in found):
        names = [name for of, name in found if of == fill]
        medians = np.array([[np.median(part) for part in found[fill, name]] for name in names])
        ranks = rankdata(-medians, axis=0).mean(axis=1)
        print(f"\n{fill:26} median  95 % interval   less epsilon: 95 %   by seed; mean rank")
        for place in np.argsort(ranks):
            name, values = names[place], np.concatenate(found[fill, names[place]])
            low, high = interval(values)
            less, more = interval(values - np.concatenate(found[fill, "epsilon"]))
            print(f"{name:26} {np.median(values):6.2f}  {low:6.2f} {high:6.2f}    {less:6.2f} {more:6.2f}    "
                  f"{medians[place].round(2).tolist()}  {ranks[place]:.1f}")  # fmt: skip


def main() -> None:
    """Train, explain, take patches away, and print a row for each map and fill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--depth", type=int, default=2, help="convolutions of each of three blocks")
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--fills", nargs="+", default=FILLS, choices=FILLS)
    parser.add_argument("--work", type=Path, help="where trained runs are, or go")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work = given.work or Path(tempfile.mkdtemp())
    options = {"arch": f"{vgg.__file__}:Vgg", "arch_args": {"depth": given.depth}, "scale": "255"}
    found: dict[tuple[str, str], list[np.ndarray]] = {}
    for seed in given.seeds:
        folder = work / f"vgg-{given.depth}-{seed}"
        if not folder.exists():
            print(
                f"seed {seed}: {vgg.train(folder, seed, given.depth):.1%} of 500 test pictures are right"
            )
        pictures = vgg.Pictures(test=True).as_bytes(given.samples, seed)
        job = job_of(folder, pictures, **options)
        for fill in given.fills:
            started = time.perf_counter()
            areas = areas_at(job, job.listing.checkpoints[-1], RULES, fill)
            for name, values in areas.of.items():
                found.setdefault((fill, name), []).append(values)
            low, high = areas.band
            print(f"seed {seed}, {fill}: random orders {low:.2f} to {high:.2f}; "
                  f"{time.perf_counter() - started:.0f} s", flush=True)  # fmt: skip
        if seed != given.seeds[0]:
            continue
        tried = try_rules(folder, pictures, Options(quiet=True, workers=1, **options))
        print(f"seed {seed}: rules --try: {tried.reason}", flush=True)
        print("  ", ", ".join(f"{row.rule} {row.faithfulness:.2f}" for row in tried.rows))
    print_ranks(found)


if __name__ == "__main__":
    main()
