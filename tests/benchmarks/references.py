"""Maps with a reference and without, held against each other: ABPC by task, step, fill and rule.

    python -m tests.benchmarks.references --work FOLDER [--task pong=CKPTS,OBS ...]

Two tasks are trained into the folder unless they are there (`tests.benchmarks.references_data`); others are
given by name. Of each the early, middle and last checkpoint are measured, as `lrpdyn rules --try` does, by
what `--faithfulness` measures. A pair is one rule under one fill at one step; the interval of its gain
is that of observations drawn again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrpdyn.diagnostics.faithfulness import RANDOM, Curves, areas, measure
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.diagnostics.rule_trial import tried_checkpoints
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import LoadedNetwork, load
from lrpdyn.explain.model import with_plan
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.observations.fills import make_fill
from lrpdyn.observations.reference import make_reference
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, question_of_job
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import listed, prepare
from tests.benchmarks import references_data

RULES = ("zplus", "gamma", "epsilon", "alphabeta:2,1", "epsilon-gamma-box")
#: "other" is the same place of another observation. Zero is what relevance without a reference is measured
#: from, which this fill favours as the modal one does a modal reference: it is counted apart.
FILLS = ("modal", "blurred", "mean", "other", "0")
DRAWS, ENDS = 2000, (5, 95)
#: Smaller differences are of rounding: the maps are the same.
SAME = 1e-4
TASKS: Mapping[str, Mapping[str, Any]] = {
    "photographs": {"arch": "tests.benchmarks.references_data:Vgg", "scale": 255},
    "boxing": {},
}
Maps = dict[str, NDArray[np.float32]]


def prepared(checkpoints: str, observations: str, options: Mapping[str, Any]) -> Job:
    """Return what is known of a task before it is explained."""
    chosen = Options(quiet=True, device="cpu", **options)
    return prepare(chosen, listed(checkpoints, chosen), observations)[0]


def maps_of(
    job: Job,
    loaded: LoadedNetwork,
    shown: NDArray[np.float32],
    asked: Question,
    references: Sequence[str],
) -> Maps:
    """Return the maps of each rule under each reference, by `RULE REFERENCE`."""
    found = {}
    for rule in RULES:
        for reference in references:
            values = make_reference(reference, job.observations, job.fill.value)[1]
            model = replace(job.model, composite=parse_composite(rule), plan={}, reference=values)
            model = with_plan(model, job.observations.values, job.bounds)
            maps = explain(replace(loaded, model=model), shown, asked).relevance
            found[f"{rule} {reference}"] = maps
    return found


def curves_of(
    job: Job, shown: NDArray[np.float32], loaded: LoadedNetwork, asked: Question, maps: Maps
) -> dict[str, Curves]:
    """Return the curves of maps under each fill that the observations allow."""
    masks, found = np.stack(patch_masks(shown.shape)), {}
    for name in FILLS:
        if name == "other":
            filled = np.roll(shown, len(shown) // 2, axis=0)
        else:
            value = job.fill.value if name == "modal" else 0.0
            kind = 0.0 if name == "0" else name
            filled = make_fill(kind, value, job.observations.values).of(shown)
        found[name] = measure(loaded, shown, asked, maps, filled, masks)
    return found


def measured(job: Job, samples: int, references: Sequence[str]) -> list[dict[str, Any]]:
    """Return a row for each step, fill, rule and reference: the ABPC of each observation."""
    question = question_of_job(job, fixed_targets(job, None))
    chosen = evenly_spaced(len(job.observations.values), samples)
    rows = []
    for checkpoint in tried_checkpoints(job.listing.checkpoints):
        loaded = load(job.model, checkpoint, trust=False)
        loaded, shown, asked = chosen_samples(loaded, job.observations.values, question, chosen)
        maps = maps_of(job, loaded, shown, asked, references)
        for fill, curves in curves_of(job, shown, loaded, asked, maps).items():
            for name, of_map in curves.score.items():
                abpc = areas(of_map, curves.score_range)[2]
                rows.append({"step": checkpoint.step, "fill": fill, "map": name,
                             "abpc": (abpc.mean(axis=0) if name == RANDOM else abpc).tolist()})  # fmt: skip
        print(f"  step {checkpoint.step} is measured", flush=True)
    return rows


def interval(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean, and its interval over observations that are drawn again."""
    draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), ENDS)
    return float(values.mean()), float(low), float(high)


def show(found: Mapping[str, Sequence[Mapping[str, Any]]], references: Sequence[str]) -> None:
    """Print the table of each task, and in how many pairs each reference is better."""
    for task, rows in found.items():
        of = {(row["step"], row["fill"], row["map"]): np.array(row["abpc"]) for row in rows}
        places = list(dict.fromkeys((row["fill"], row["step"]) for row in rows))
        for reference in references:
            print(
                f"\n{task}, ABPC without | with {reference} [90 % of the gain]; random orders last"
            )
            print(f"{'fill':8}{'step':>9}  " + "".join(f"{rule:28}" for rule in RULES))
            gains: dict[str, list[tuple[float, float, float]]] = {}
            for fill, step in places:
                entries = []
                for rule in RULES:
                    without, given = (
                        of[step, fill, f"{rule} {name}"] for name in ("none", reference)
                    )
                    gain, low, high = interval(given - without)
                    entries.append(
                        f"{without.mean():.2f} | {given.mean():.2f} [{low:+.2f} {high:+.2f}]"
                    )
                    if np.abs(given - without).max() > SAME:
                        gains.setdefault(fill, []).append((gain, low, high))
                entries.append(f"{of[step, fill, RANDOM].mean():.2f}")
                print(f"{fill:8}{step:>9}  " + "".join(f"{entry:28}" for entry in entries))
            for fill, of_fill in gains.items():
                print(f"{task}, {reference}, fill {fill}: {_said(of_fill)}")
            four = [gain for fill, of_fill in gains.items() if fill != "0" for gain in of_fill]
            print(f"{task}, {reference}, all fills but 0: {_said(four)}")


def _said(gains: Sequence[tuple[float, float, float]]) -> str:
    better, clearly, worse = (
        sum(holds(one) for one in gains)
        for holds in (lambda g: g[0] > 0, lambda g: g[1] > 0, lambda g: g[2] < 0)
    )
    share = f"better in {better} of {len(gains)} pairs ({better / max(len(gains), 1):.0%})"
    return f"{share}, beyond the interval in {clearly}; worse beyond it in {worse}"


def main() -> None:
    """Measure all tasks, keep what was measured, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--task", action="append", default=[], metavar="NAME=CKPTS,OBS")
    parser.add_argument("--only", nargs="*", default=list(TASKS))
    parser.add_argument("--samples", type=int, default=24)
    parser.add_argument("--references", nargs="+", default=["modal", "mean"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {}
    for name in given.only:
        folder = given.work / name
        if not (folder / "obs.npy").exists():
            getattr(references_data, name)(folder)
        tasks[name] = (str(folder / "ckpts"), str(folder / "obs.npy"), TASKS[name])
    for text in given.task:
        name, _, paths = text.partition("=")
        checkpoints, observations = paths.split(",")
        tasks[name] = (checkpoints, observations, {})
    found = {}
    for name, (checkpoints, observations, options) in tasks.items():
        print(name, flush=True)
        job = prepared(checkpoints, observations, options)
        found[name] = measured(job, given.samples, ["none", *given.references])
        (given.work / f"{name}.json").write_text(json.dumps(found[name]))
    show(found, given.references)


if __name__ == "__main__":
    main()
