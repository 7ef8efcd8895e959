"""Load the checkpoints of flagged steps once more and gather evidence by layer.

Of more than 64 samples, those of the checks are explained, and those that are outliers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.occlusion import agreement
from lrpdyn.diagnostics.trace import AT_ONCE, Trace, trace
from lrpdyn.dynamics.measures import normalise, rows
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import LoadedNetwork, load_if_there
from lrpdyn.explain.model import Model
from lrpdyn.files.streamed import Samples
from lrpdyn.observations.checked_samples import checked_samples, evenly_spaced
from lrpdyn.outliers.facts import UNAVAILABLE, Evidence, RunFacts, Wanted
from lrpdyn.system.memory import give_back

Maps = Callable[[int, Sequence[int]], NDArray[np.float32]]
#: The share of |R| through small denominators from which they are called unstable, and how many times
#: the run's usual share it has to be.
LEAST_UNSTABLE, TIMES_USUAL = 0.1, 10.0
#: Samples whose patches are painted over to see what the maps are worth.
AGREEMENT_SAMPLES = 16


@dataclass(frozen=True, kw_only=True)
class SecondLook:
    """Gathers evidence by layer of the steps that a report asks about.

    Attributes
    ----------
    checkpoints, targets
        The checkpoints by step; what returns the units (N,) that were explained at a step.
    maps
        Reads the stored relevance of some samples of a step.
    """

    model: Model
    observations: Samples
    question: Question
    normalisation: str
    checkpoints: Mapping[int, Checkpoint]
    targets: Callable[[int], NDArray[np.int64]]
    maps: Maps
    trust: bool

    @property
    def _checked(self) -> list[int]:
        return checked_samples(len(self.observations))

    def works(self, wanted: Wanted, facts: RunFacts) -> list[Callable[[], Any]]:
        """Return what has to be done for the evidence of `wanted`, in any order; it gives plain data."""
        steps = facts.steps.step.tolist()
        before, after = facts.changes.before, facts.changes.after
        looks: list[Callable[[], Any]] = [
            partial(self._trace, steps[place], wanted.samples.get(place, ()))
            for place in self._places(wanted)
        ]
        looks += [
            partial(self._flips, steps[before[transition]], steps[after[transition]], samples)
            for transition, samples in wanted.flips.items()
        ]
        return looks

    def evidence(self, wanted: Wanted, facts: RunFacts, results: Sequence[Any]) -> Evidence:
        """Return the evidence of `wanted` by place and cause, made of what `works` gave."""
        places = self._places(wanted)
        traces = dict(zip(places, results[: len(places)], strict=True))
        found: Evidence = {}
        if traces:
            usual = _usual([traces[place] for place in wanted.usual], len(self._checked))
            for place in wanted.places:
                traced = self._traced(wanted.samples.get(place, ()))
                found |= _of_step(traces[place], traced, place, usual)
        for transition, flips in zip(wanted.flips, results[len(places) :], strict=True):
            found[int(facts.changes.after[transition]), "action_flip"] = {"samples": flips}
        return found

    def _places(self, wanted: Wanted) -> list[int]:
        """Return the places that are traced; stock rules leave nothing to trace."""
        if self.model.composite.exact_rule is not None:
            return []
        return list(dict.fromkeys((*wanted.places, *wanted.usual)))

    def agreement_at(self, step: int, fill: float) -> dict[str, Any] | None:
        """Return whether maps rank patches as painting them does; None where the checkpoint is gone.

        Of up to 16 samples, spread over all; see `lrpdyn.diagnostics.occlusion.agreement`.
        """
        loaded = self._load(step)
        if loaded is None:
            return None
        samples = evenly_spaced(len(self.observations), AGREEMENT_SAMPLES)
        part, shown, asked = self._chosen(loaded, self.targets(step), samples)
        return {"step": step, **agreement(part, shown, self.maps(step, samples), fill, asked)}

    def _load(self, step: int) -> LoadedNetwork | None:
        return load_if_there(self.model, self.checkpoints[step], trust=self.trust)

    def _chosen(
        self, loaded: LoadedNetwork, targets: NDArray[np.int64], samples: Sequence[int]
    ) -> tuple[LoadedNetwork, NDArray[np.float32], Question]:
        question = replace(self.question, targets=targets)
        return chosen_samples(loaded, self.observations, question, samples)

    def _traced(self, outliers: Sequence[int]) -> list[int]:
        """Return the samples that are traced: those of the checks, and outliers."""
        return [*self._checked, *(n for n in outliers if n not in set(self._checked))]

    def _trace(self, step: int, outliers: Sequence[int]) -> Trace | None:
        loaded = self._load(step)
        if loaded is None:
            return None
        samples = self._traced(outliers)
        found = trace(*self._chosen(loaded, self.targets(step), samples))
        if len(samples) > AT_ONCE:  # what few leave behind is used again for the next step
            give_back()
        return found

    def _flips(
        self, before: int, after: int, samples: tuple[int, ...]
    ) -> dict[int, float | str | None]:
        """Return the share of each sample's change that goes away when its old unit is kept."""
        loaded = self._load(after)
        if loaded is None:
            return dict.fromkeys(samples, UNAVAILABLE)
        kept = explain(*self._chosen(loaded, self.targets(before), samples))
        try:
            stored = self.maps(before, samples), self.maps(after, samples)
        except (CheckpointError, ArchitectureError, OSError):
            return dict.fromkeys(samples, UNAVAILABLE)  # not kept, and their checkpoint is gone
        one, two, fixed = (
            rows(normalise(maps, self.normalisation)) for maps in (*stored, kept.relevance)
        )
        change, without = np.abs(two - one).sum(axis=1), np.abs(fixed - one).sum(axis=1)
        return {
            n: float(1 - without[row] / change[row]) if change[row] > 0 else None
            for row, n in enumerate(samples)
        }


def _usual(traces: Sequence[Trace | None], checked: int) -> float:
    """Return the usual share of |R| that comes through small denominators at their worst layer.

    Of the first `checked` samples: the others are outliers.
    """
    known = [one for one in traces if one is not None]
    if not known:
        return 0.0
    worst = [np.nan_to_num(one.small[:, :checked]).max(axis=0) for one in known]
    return float(np.median(np.concatenate(worst)))


def _of_step(found: Trace | None, samples: Sequence[int], place: int, usual: float) -> Evidence:
    """Return the evidence of one step, in words, by cause and sample; `samples` are those traced."""
    if found is None:
        names = ("vanished_relevance", "unstable_denominator", "conservation_failure")
        return {(place, name): {"samples": {}, "gone": True} for name in names}
    vanished, unstable, lost = {}, {}, {}
    for traced, sample in enumerate(samples):
        layer = found.vanished_at(traced)
        if layer is not None:
            vanished[sample] = f"{found.layers[layer]} absorbed it, under {found.rules[layer]}"
        layer, share = found.smallest_at(traced)
        if share > max(LEAST_UNSTABLE, TIMES_USUAL * usual) and sample not in vanished:
            unstable[sample] = (
                f"{100 * share:.3g} % of |R| comes through denominators next to nothing in "
                f"{found.layers[layer]}, under {found.rules[layer]}, usually {100 * usual:.2g} %"
            )
        layer, kept = found.most_lost_at(traced)
        if np.isfinite(kept):
            lost[sample] = (
                f"most in {found.layers[layer]}, which gives on {100 * kept:.3g} % of what it gets"
            )
    return {
        (place, "vanished_relevance"): {"samples": vanished},
        (place, "unstable_denominator"): {"samples": unstable},
        (place, "conservation_failure"): {"samples": lost},
    }
