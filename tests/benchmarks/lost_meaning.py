"""How often `map_lost_meaning` is found where a checkpoint is another network, and in sound training.

``python -m tests.benchmarks.lost_meaning [--seeds 0 1 2 3] [--work FOLDER]`` trains the runs of
`tests.benchmarks.outlier_causes` and measures the faithfulness of z-plus at every step. Two of the later
checkpoints of each are replaced, one at a time, by one whose

- upper layers, all but the first, are drawn anew;
- input layer has its weights in an order by chance;
- logits are all shifted by twice the median score, which changes nothing that the network does: under
  ``--contrast none`` z-plus then has next to nothing to share out.

Prints how often the cause is there, how often in sound steps, and how often the report of the first
two has anything to look at first at that checkpoint.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.diagnostics.faithfulness import areas, measure, random_areas
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.explain.explanation import Question, explain
from lrpdyn.observations.fills import make_fill
from lrpdyn.outliers.criteria import Criteria
from lrpdyn.pipeline.results.run_facts import with_faithfulness
from tests.benchmarks.outlier_causes import nets
from tests.benchmarks.outlier_causes.__main__ import read, steps_of
from tests.benchmarks.outlier_causes.plants import State
from tests.benchmarks.outlier_causes.training import KINDS, trained
from tests.diagnostics.networks import loaded_of
from tests.outliers.made_up import calm_run, with_steps

SAMPLES, EVERY, PLANTS = 8, 2, 2
KIND_NAMES = ("cnn-adam", "cnn-momentum", "warm-cosine")


def upper_layers(state: State, dice: np.random.Generator, _shift: float) -> None:
    """Draw all layers but the first anew, as they are initialised."""
    names = list(state)
    first = names[0].rpartition(".")[0]
    for name in names:
        layer = name.rpartition(".")[0]
        if layer != first:
            bound = float(state[f"{layer}.weight"][0].numel()) ** -0.5
            drawn = dice.uniform(-bound, bound, tuple(state[name].shape))
            state[name] = torch.from_numpy(drawn).float()


def input_layer(state: State, dice: np.random.Generator, _shift: float) -> None:
    """Give the first layer's weights an order by chance."""
    name = next(iter(state))
    order = torch.from_numpy(dice.permutation(state[name].numel()))
    state[name] = state[name].flatten()[order].reshape(state[name].shape)


def shifted_logits(state: State, _dice: np.random.Generator, shift: float) -> None:
    """Take the same constant from all logits."""
    name = list(state)[-1]
    state[name] = state[name] - shift


FAULTS: dict[str, Callable[[State, np.random.Generator, float], None]] = {
    "upper layers drawn anew": upper_layers,
    "input layer scrambled": input_layer,
    "logits shifted": shifted_logits,
}
#: By contrast: which faults are planted under it.
CONTRASTS = {"mean": tuple(FAULTS)[:2], "none": tuple(FAULTS)}


class Series:
    """The checkpoints of a run, whose faithfulness is measured one at a time."""

    def __init__(self, network: type[torch.nn.Module], observations: NDArray[np.float32]) -> None:
        self.network, self.observations = network, observations
        self.filled = make_fill("modal", float(np.median(observations)), observations).of(
            observations
        )
        self.masks = np.stack(patch_masks(observations.shape))

    def at(self, state: State, contrast: str) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Return what `checks.faithfulness` has of a step, and its scores."""
        network = self.network()
        network.load_state_dict(state)
        loaded = loaded_of(lambda: network, self.observations, "zplus")
        question = Question(contrast=contrast)
        own = explain(loaded, self.observations, question)
        fixed = replace(question, targets=own.target)
        maps = {"rule": own.relevance}
        curves = measure(loaded, self.observations, fixed, maps, self.filled, self.masks)
        _, (low, high) = random_areas(curves.score["random"], curves.score_range)
        abpc = float(np.median(areas(curves.score["rule"], curves.score_range)[2]))
        found = {"abpc": {"rule": abpc}, "random_band": {"low": low, "high": high}}
        return found, own.score.astype(np.float64)


def lost(measured: list[tuple[dict[str, Any], NDArray[np.float64]]]) -> NDArray[np.bool_]:
    """Return at which steps of a run the cause is present."""
    scores = np.stack([score for _, score in measured])
    facts = with_steps(calm_run(*scores.shape), score=scores)
    steps = [{"step": int(facts.steps.step[n]), **found} for n, (found, _) in enumerate(measured)]
    return Criteria(with_faithfulness(facts, steps)).lost_meaning


def looked_at_first(run: Path, network: str, states: dict[int, State], step: int) -> set[str]:
    """Return the kinds of what the report says first of a checkpoint, by its weights and maps alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "ckpts")
        folder.mkdir()
        for place, state in states.items():
            torch.save(state, folder / f"net_{place}.pt")
        found = lrpdyn.compute(
            folder, run / "obs.npy", arch=f"{nets.__file__}:{network}", out=Path(name, "run"), quiet=True,
            faithfulness="none", baseline="none", interventions=0, workers=1, samples=f"0-{SAMPLES - 1}",
        )  # fmt: skip
        return {one["kind"] for one in found.outliers["first"] if step in steps_of(one)}


def main() -> None:
    """Train, measure, plant, and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--work", type=Path, help="where trained runs are, or go")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work = given.work or Path(tempfile.mkdtemp())
    clean: dict[str, list[bool]] = defaultdict(list)
    planted: dict[tuple[str, str], list[bool]] = defaultdict(list)
    first: dict[str, list[set[str]]] = defaultdict(list)
    for kind in KIND_NAMES:
        network = KINDS[kind].network
        for seed in given.seeds:
            run = trained(work, kind, seed)
            states = dict(sorted(read(run).items()))
            states = {step: states[step] for step in list(states)[::EVERY]}
            steps, dice = list(states), np.random.default_rng([seed, 9])
            series = Series(network, np.load(run / "obs.npy")[:SAMPLES])
            places = dice.choice(np.arange(len(steps) // 4, len(steps) - 2), PLANTS, replace=False)
            for contrast, faults in CONTRASTS.items():
                measured = [series.at(state, contrast) for state in states.values()]
                clean[contrast] += lost(measured).tolist()
                for fault in faults:
                    for place in places.tolist():
                        state = dict(states[steps[place]])
                        FAULTS[fault](state, dice, 2 * float(np.median(measured[place][1])))
                        changed = [*measured]
                        changed[place] = series.at(state, contrast)
                        planted[fault, contrast].append(bool(lost(changed)[place]))
                        if contrast == "mean":
                            others = {**states, steps[place]: state}
                            first[fault].append(
                                looked_at_first(run, network.__name__, others, steps[place])
                            )
            print(f"{kind}-{seed}: {len(steps)} steps", flush=True)
    for contrast, found in clean.items():
        print(f"sound steps, contrast {contrast}: {sum(found)} of {len(found)}")
    for (fault, contrast), found in planted.items():
        print(f"{fault}, contrast {contrast}: map_lost_meaning in {sum(found)} of {len(found)}")
    for fault, kinds in first.items():
        print(f"{fault}: looked at first in {sum(map(bool, kinds))} of {len(kinds)}: "
              f"{sorted(set().union(*kinds))}")  # fmt: skip


if __name__ == "__main__":
    main()
