"""Is the outlier report right about what happened in real training runs?

Run by hand: ``python -m tests.benchmarks.outlier_causes [--work FOLDER] [--repeats 4]``. The first time,
it trains the runs of `training` (minutes on one core), and keeps them in FOLDER. ``--unseen`` takes
seeds that no threshold may have been chosen on: look at those last.

Of clean runs it prints how many have a step far beyond its fence, a group of cells far beyond theirs,
and any checkpoint that stands out by its weights. Of the faults of `plants`, how many are found and
how many with a right cause:

- A fault in a single checkpoint, or between two, is found where the report has an entry at one of its
  places: by the weights, a step or a group of cells beyond a fence, or what to look at first; or a
  pathology there that names a right cause (some have an entry at every step).
- A gradual one is found where any of these names a right cause within its stretch.

Of what happens in training itself (`training.EVENTS`): whether the report has the event, and whether
the layer that it names first is the one of the largest Shapley value by `putting_back`, which uses
Zennit and shares no code with lrpdyn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lrpdyn
from tests.benchmarks.outlier_causes import nets
from tests.benchmarks.outlier_causes.plants import PLANTS, Host, Plant
from tests.benchmarks.outlier_causes.putting_back import parts
from tests.benchmarks.outlier_causes.training import AGENTS, EVENTS, KINDS, State, trained

SEEN, UNSEEN = (0, 1), (2, 3)
CLEAN = (*KINDS, *AGENTS)
RULES = ("zplus", "gamma")
Report = dict[str, Any]


def explained(run: Path, out: Path, checkpoints: Path | None = None, rule: str = "zplus") -> Report:
    """Return the outlier report of a run, or of other checkpoints in place of its own."""
    network = json.loads((run / "run.json").read_text())["arch"]
    given = {} if network is None else {"arch": f"{nets.__file__}:{network}"}
    found = lrpdyn.compute(
        checkpoints or run / "ckpts",
        run / "obs.npy",
        rule=rule,
        out=out,
        quiet=True,
        baseline="none",
        workers=1,
        overwrite=True,
        **given,
    )
    return found.outliers


def read(run: Path) -> dict[int, State]:
    """Return the weights of a run by step."""
    return {
        int(path.stem.split("_")[1]): torch.load(path, weights_only=True)
        for path in (run / "ckpts").iterdir()
    }


# --- What a report says ---------------------------------------------------------------------------


def causes(entry: Report) -> set[str]:
    """Return the causes that an entry names: of growth and shape, which split a change, the larger."""
    named = {
        cause["cause"]
        for cause in entry.get("causes", ())
        if cause["cause"] not in ("score_growth", "shape_change") or cause["share"] >= 0.5
    }
    return named | {entry.get("cause", "")}


def entries(report: Report) -> Iterator[Report]:
    """Yield what is reported by the weights, of steps and of groups of cells beyond a fence."""
    yield from report.get("weights", ())
    yield from (entry for entry in report["steps"] if entry["severity"] != "none")
    yield from (entry for entry in report.get("cell_groups", ()) if entry["severity"] != "none")


def steps_of(entry: Report) -> list[int]:
    """Return the steps at which an entry is: none for a sample over all of them."""
    where = entry.get("where") or {}
    return [where[key] for key in ("step", "from_step", "to_step") if key in where]


def is_at(entry: Report, host: Host) -> bool:
    """Tell whether an entry is where a fault was planted."""
    steps = steps_of(entry)
    if host.pair is not None:
        # The checkpoint that the transition leads to, the transition, or what lasts from there on.
        begin, end = host.pair
        return steps == [end] or (len(steps) == 2 and steps[0] == begin and steps[1] >= end)
    if len(steps) == 2 and min(host.places) <= steps[1] and steps[0] <= max(host.places):
        # One that goes over a stretch, or leads into or out of a checkpoint.
        return any(steps[0] <= place <= steps[1] for place in host.places)
    return any(step in host.places for step in steps)


def judged(report: Report, host: Host, plant: Plant) -> tuple[bool, bool]:
    """Return whether a fault is found, and whether a right cause is named where it is."""
    pathologies = (one for one in report["pathologies"] if causes(one) & plant.causes)
    here = [one for one in chain(entries(report), pathologies) if is_at(one, host)]
    right = any(causes(one) & plant.causes for one in here)
    if plant.gradual:
        return right, right
    first = any(is_at(one, host) for one in report.get("first", ()))
    return bool(here) or first, right


# --- What is measured -----------------------------------------------------------------------------


def clean_rows(work: Path, seeds: tuple[int, ...], only: list[str]) -> Iterator[tuple[str, Report]]:
    """Yield rule and counts of every clean run."""
    for kind in CLEAN:
        for seed in seeds if not only or kind in only else ():
            for rule in RULES:
                with tempfile.TemporaryDirectory() as name:
                    report = explained(trained(work, kind, seed), Path(name), rule=rule)
                far = [one for one in report["steps"] if one["severity"] == "far"]
                cells = [one for one in report.get("cell_groups", ()) if one["severity"] == "far"]
                found = {"steps": far, "cells": cells, "weights": report.get("weights", [])}
                for what, flags in found.items():
                    for one in flags:
                        named = sorted(causes(one) - {""})
                        print(f"  flag: {kind}-{seed} {rule} {what} {one['where']} {named}")
                yield rule, {what: len(flags) for what, flags in found.items()}


def planted_rows(
    work: Path, seeds: tuple[int, ...], only: list[str], repeats: int
) -> Iterator[tuple[str, bool, bool]]:
    """Yield plant, whether found, whether the cause is right, of each plant in several runs."""
    for number, (name, plant) in enumerate(PLANTS.items()):
        if only and name not in only:
            continue
        kinds = [kind for kind in CLEAN if plant.norm in (None, kind == "residual")]
        dice = np.random.default_rng([number, *seeds])
        hosts = [(kind, seed) for kind in kinds for seed in seeds]
        for choice in dice.permutation(len(hosts))[:repeats]:
            kind, seed = hosts[choice]
            run = trained(work, kind, seed)
            other = trained(work, kind, seeds[1] if seed == seeds[0] else seeds[0])
            states = read(run)
            at = int(dice.integers(len(states) // 5 + 1, len(states) - 10))
            host = Host(states, read(other), at, dice)
            plant.plant(host)
            with tempfile.TemporaryDirectory() as folder:
                checkpoints = Path(folder, "ckpts")
                checkpoints.mkdir()
                for step, state in host.states.items():
                    torch.save(state, checkpoints / f"net_{step}.pt")
                report = explained(run, Path(folder, "run"), checkpoints)
            found, right = judged(report, host, plant)
            if not right:
                seen = [
                    (steps_of(one), sorted(causes(one) - {""}))
                    for one in entries(report)
                    if is_at(one, host)
                ]
                where = host.pair or (min(host.places), max(host.places))
                print(
                    f"  {'cause' if found else 'missed'}: {name} in {kind}-{seed} {where} {seen[:3]}"
                )
            yield name, found, right


@dataclass(frozen=True, kw_only=True)
class EventRow:
    """What a report says of an event; None where it does not say which layers made the change.

    `largest` tells whether the layer named first has the largest Shapley value, `single` whether the
    report is right about whether a single layer takes half of the change away. `difference` is the
    largest between the report's shares and those of `putting_back`.
    """

    found: bool
    largest: bool | None = None
    single: bool | None = None
    difference: float = 0.0


def event_rows(
    work: Path, seeds: tuple[int, ...], only: list[str]
) -> Iterator[tuple[str, EventRow]]:
    """Yield what the reports say of every event."""
    for name in EVENTS:
        for seed in seeds if not only or name in only else ():
            run = trained(work, name, seed)
            about = json.loads((run / "run.json").read_text())
            begin, end = about["event"]["from_step"], about["event"]["to_step"]
            with tempfile.TemporaryDirectory() as folder:
                report = explained(run, Path(folder))
            found = any(end in steps_of(one) for one in entries(report))
            of_layers = [
                one
                for one in report.get("layers", ())
                if (one["from_step"], one["to_step"]) == (begin, end) and one["layers"]
            ]
            if not of_layers:
                print(f"  no layers: {name}-{seed} {begin}-{end}, {'found' if found else 'missed'}")
                yield name, EventRow(found=found)
                continue
            told = of_layers[0]
            before, after = (torch.load(run / "ckpts" / f"net_{step}.pt") for step in (begin, end))
            inputs = torch.from_numpy(np.load(run / "obs.npy")[told["samples"]])
            own = parts(about["arch"], before, after, inputs)
            first, most = told["layers"][0]["layer"], max(own.shapley, key=own.shapley.__getitem__)
            differences = [
                abs(one[kind] - values[one["layer"]])
                for kind, values in (("alone", own.alone), ("shapley", own.shapley))
                for one in told["layers"]
                if one[kind] is not None
            ]
            row = EventRow(
                found=found,
                largest=first == most,
                single=told["no_single_layer"] == (max(own.alone.values()) < 0.5),
                difference=max(differences),
            )
            if not (row.largest and row.single):
                shares = {layer: round(value, 3) for layer, value in own.shapley.items()}
                print(
                    f"  wrong: {name}-{seed} {begin}-{end}: {told['words']!r}, by Zennit {shares}"
                )
            yield name, row


def share(values: list[Any]) -> str:
    """Return how many of how many, and the percentage."""
    true = sum(map(bool, values))
    return f"{true:4} of {len(values):3} ({100 * true / max(len(values), 1):3.0f} %)"


def measure(work: Path, seeds: tuple[int, ...], asked: argparse.Namespace) -> None:
    """Print all tables of these seeds."""
    clean = defaultdict(list)
    for rule, counts in clean_rows(work, seeds, asked.only):
        clean[rule].append(counts)
    if clean:
        print(f"\n{'clean runs with any':24}{'far step':>20}{'far cell group':>20}{'weights':>20}")
    for rule, rows in clean.items():
        columns = [share([row[what] for row in rows]) for what in ("steps", "cells", "weights")]
        print(f"{rule:24}" + "".join(f"{column:>20}" for column in columns), flush=True)
    planted = defaultdict(list)
    for name, found, right in planted_rows(work, seeds, asked.only, asked.repeats):
        planted[name].append((found, right))
    if planted:
        print(f"\n{'planted':24}{'found':>20}{'cause right':>20}")
    for name, rows in planted.items():
        print(
            f"{name:24}" + "".join(f"{share([*column]):>20}" for column in zip(*rows, strict=True))
        )
    for gradual in (False, True):
        of = [
            row for name, rows in planted.items() if PLANTS[name].gradual is gradual for row in rows
        ]
        if of:
            columns = "".join(f"{share([*column]):>20}" for column in zip(*of, strict=True))
            print(f"{'ALL GRADUAL' if gradual else 'ALL SINGLE':24}{columns}", flush=True)
    events = defaultdict(list)
    for name, row in event_rows(work, seeds, asked.only):
        events[name].append(row)
    if events:
        titles = ("found", "first layer right", "single layer right", "largest difference")
        print(f"\n{'events':24}" + "".join(f"{title:>20}" for title in titles))
        events["ALL EVENTS"] = [row for rows in events.values() for row in rows]
    for name, rows in events.items():
        shares = [share([row.found for row in rows])]
        for kind in ("largest", "single"):
            shares.append(
                share([row for row in (getattr(r, kind) for r in rows) if row is not None])
            )
        columns = "".join(f"{column:>20}" for column in shares)
        print(f"{name:24}{columns}{max(row.difference for row in rows):20.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, help="where trained runs are, or go")
    parser.add_argument("--repeats", type=int, default=4, help="runs that each fault is planted in")
    parser.add_argument("--only", nargs="+", default=[], help="kinds, faults and events by name")
    parser.add_argument("--unseen", action="store_true", help="the seeds that are looked at last")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    work = asked.work or Path(tempfile.mkdtemp())
    start = time.perf_counter()
    try:
        measure(work, UNSEEN if asked.unseen else SEEN, asked)
    finally:
        if asked.work is None:
            shutil.rmtree(work)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
