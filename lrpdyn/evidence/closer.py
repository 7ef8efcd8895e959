"""Load the checkpoints of flagged steps once more and gather evidence by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn import explanation
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.evidence.layers import Trace, trace
from lrpdyn.evidence.painting import agreement
from lrpdyn.explanation import Model, Question
from lrpdyn.lrp.registry import STOCK
from lrpdyn.measures import normalise, rows
from lrpdyn.outliers.facts import UNAVAILABLE, RunFacts, Wanted

Evidence = dict[tuple[int, str], dict[str, Any]]
#: The share of |R| through small denominators from which they are called unstable, and how many times
#: the run's usual share it has to be.
LEAST_UNSTABLE, TIMES_USUAL = 0.1, 10.0
#: Samples whose patches are painted over to see what the maps are worth.
AGREEMENT_SAMPLES = 16


class SecondLook:
    """Gathers evidence by layer of the steps that a report asks about.

    Parameters
    ----------
    checkpoints, targets
        By step: the checkpoint, and the units (N,) that were explained.
    maps
        Reads the stored relevance of a step.
    """

    def __init__(
        self,
        model: Model,
        observations: NDArray[np.float32],
        question: Question,
        normalisation: str,
        checkpoints: Mapping[int, Checkpoint],
        targets: Mapping[int, NDArray[np.int64]],
        maps: Callable[[int], NDArray[np.float32]],
        *,
        trust: bool,
    ) -> None:
        self._model, self._observations, self._question = model, observations, question
        self._normalisation, self._trust = normalisation, trust
        self._checkpoints, self._targets, self._maps = checkpoints, targets, maps

    def __call__(self, facts: RunFacts, wanted: Wanted) -> Evidence:
        """Return the evidence of each place of `wanted`, by place and cause."""
        steps = facts.steps.step.tolist()
        found: Evidence = {}
        if self._model.composite.name not in STOCK:
            traces = {place: self._trace(steps[place]) for place in (*wanted.places, *wanted.usual)}
            usual = _usual([traces[place] for place in wanted.usual])
            for place in wanted.places:
                found |= _of_step(traces[place], place, usual)
        for transition, samples in wanted.flips.items():
            before, after = (
                int(places[transition]) for places in (facts.changes.before, facts.changes.after)
            )
            found[after, "action_flip"] = {
                "samples": self._flips(steps[before], steps[after], samples)
            }
        return found

    def agreement(self, fill: float) -> dict[str, Any]:
        """Tell, at the first, middle and last step, if maps rank patches as painting them does.

        Of up to 16 samples, spread over all; see `lrpdyn.evidence.painting.agreement`. A step whose
        checkpoint is gone is left out.
        """
        steps = sorted(self._targets)
        samples = _spread(len(self._observations), AGREEMENT_SAMPLES)
        model = explanation.with_held(self._model, self._model.held, samples)
        runner_up = self._question.runner_up
        found = []
        for step in (
            steps[place] for place in sorted({0, len(steps) // 2, len(steps) - 1}) if steps
        ):
            if not self._load(step):
                continue
            second = None if runner_up is None else runner_up[samples]
            asked = Question(self._question.contrast, self._targets[step][samples], second)
            shown, maps = self._observations[samples], self._maps(step)[samples]
            found.append({"step": step, **agreement(model, shown, maps, fill, asked)})
        return {"rule": self._model.composite.name, "fill": fill, "steps": found}

    def _load(self, step: int) -> bool:
        try:
            explanation.load(self._model, self._checkpoints[step], trust=self._trust)
        except (CheckpointError, ArchitectureError, OSError):
            return False  # it was there when it was explained
        return True

    def _asked(self, targets: NDArray[np.int64]) -> Question:
        return Question(self._question.contrast, targets, self._question.runner_up)

    def _trace(self, step: int) -> Trace | None:
        if not self._load(step):
            return None
        return trace(self._model, self._observations, self._asked(self._targets[step]))

    def _flips(
        self, before: int, after: int, samples: tuple[int, ...]
    ) -> dict[int, float | str | None]:
        """Return the share of each sample's change that goes away when its old unit is kept."""
        if not self._load(after):
            return dict.fromkeys(samples, UNAVAILABLE)
        kept = explanation.explain(
            self._model, self._observations, self._asked(self._targets[before])
        )
        one, two, held = (
            rows(normalise(maps, self._normalisation))
            for maps in (self._maps(before), self._maps(after), kept.relevance)
        )
        change, without = np.abs(two - one).sum(axis=1), np.abs(held - one).sum(axis=1)
        return {n: float(1 - without[n] / change[n]) if change[n] > 0 else None for n in samples}


def _spread(count: int, most: int) -> list[int]:
    """Return up to `most` of `count` places, spread over all of them."""
    places: list[int] = np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()
    return places


def _usual(traces: list[Trace | None]) -> float:
    """Return the usual share of |R| that comes through small denominators at their worst layer."""
    known = [one for one in traces if one is not None]
    if not known:
        return 0.0
    return float(np.median(np.concatenate([np.nan_to_num(one.small).max(axis=0) for one in known])))


def _of_step(found: Trace | None, place: int, usual: float) -> Evidence:
    """Return what one step tells, in words, by cause and sample."""
    if found is None:
        names = ("vanished_relevance", "unstable_denominator", "conservation_failure")
        return {(place, name): {"samples": {}, "gone": True} for name in names}
    vanished, unstable, lost = {}, {}, {}
    for sample in range(found.came.shape[1]):
        layer = found.vanished_at(sample)
        if layer is not None:
            vanished[sample] = f"{found.layers[layer]} absorbed it, under {found.rules[layer]}"
        layer, share = found.smallest_at(sample)
        if share > max(LEAST_UNSTABLE, TIMES_USUAL * usual) and sample not in vanished:
            unstable[sample] = (
                f"{100 * share:.3g} % of |R| comes through denominators next to nothing in "
                f"{found.layers[layer]}, under {found.rules[layer]}, usually {100 * usual:.2g} %"
            )
        layer, kept = found.most_lost_at(sample)
        if np.isfinite(kept):
            lost[sample] = (
                f"most in {found.layers[layer]}, which gives on {100 * kept:.3g} % of what it gets"
            )
    return {
        (place, "vanished_relevance"): {"samples": vanished},
        (place, "unstable_denominator"): {"samples": unstable},
        (place, "conservation_failure"): {"samples": lost},
    }


def stored_maps(path: Callable[[int], Path]) -> Callable[[int], NDArray[np.float32]]:
    """Return a reader of stored relevance by step."""

    def read(step: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.load(path(step), allow_pickle=False)
        return found

    return read
