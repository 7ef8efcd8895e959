"""Load the checkpoints of flagged steps once more and gather evidence by layer.

It tells where relevance went, layer by layer: what absorbed it, what divided it by nothing. Of more
than 64 samples, those of the checks are explained, and those that are outliers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.diagnostics.occlusion import agreement
from lrpdyn.dynamics.measures import normalise, rows
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.explain.explanation import Question, chosen_samples, explain, rows_of
from lrpdyn.explain.loaded import LoadedNetwork, load_if_there
from lrpdyn.explain.model import Model, batches
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp import attribution
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.observations.checked_samples import checked_samples, evenly_spaced
from lrpdyn.observations.fills import Fill
from lrpdyn.outliers.criteria import VANISHED
from lrpdyn.outliers.facts import UNAVAILABLE, Evidence, RunFacts, Wanted
from lrpdyn.system.memory import give_back

Maps = Callable[[int, Sequence[int]], NDArray[np.float32]]
#: The share of |R| through small denominators from which they are called unstable, and how many times
#: the run's usual share it has to be.
LEAST_UNSTABLE, TIMES_USUAL = 0.1, 10.0
#: Samples whose patches are painted over to see what the maps are worth.
AGREEMENT_SAMPLES = 16
#: A denominator is next to nothing below this share of the root mean square of its layer's outputs,
#: if it carries at least so many times as much relevance: a small unit of little relevance is sound.
SMALL, CARRIED = 1e-3, 10.0
#: So many samples are traced at once, at most: what every layer did to them is in memory.
AT_ONCE = 16


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

    def agreement_at(self, step: int, fill: Fill) -> dict[str, Any] | None:
        """Return whether maps rank patches as painting them does; None where the checkpoint is gone.

        Of up to 16 samples, spread over all; see `lrpdyn.diagnostics.occlusion.agreement`.
        """
        given = self.at(step, evenly_spaced(len(self.observations), AGREEMENT_SAMPLES))
        if given is None:
            return None
        part, shown, asked, maps = given
        return {"step": step, **agreement(part, shown, maps, fill.of(shown), asked)}

    def at(
        self, step: int, samples: Sequence[int]
    ) -> tuple[LoadedNetwork, NDArray[np.float32], Question, NDArray[np.float32]] | None:
        """Return the network of a step, and observations, question and stored maps of some samples.

        None where the checkpoint is gone.
        """
        loaded = self._load(step)
        if loaded is None:
            return None
        maps = self.maps(step, samples)
        return (*self._chosen(loaded, self.targets(step), samples), maps)

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


@dataclass(frozen=True)
class Trace:
    """What the layers did to the relevance of N samples at one step, the last layer first.

    Attributes
    ----------
    layers, rules
        The K layers by their names in the checkpoint, and the rule of each.
    came, went
        (K, N): sum|R| of each layer's output and of its inputs.
    kept
        (K, N): sum R of its inputs over sum R of its output; NaN where that is zero.
    small
        (K, N): the share of |R| that came through a denominator of less than a thousandth of the
        root mean square of the layer's outputs, and of less than a tenth of the relevance; NaN for
        a rule or a layer that does not divide so.
    """

    layers: tuple[str, ...]
    rules: tuple[str, ...]
    came: NDArray[np.float64]
    went: NDArray[np.float64]
    kept: NDArray[np.float64]
    small: NDArray[np.float64]

    def vanished_at(self, sample: int) -> int | None:
        """Return the layer that absorbed all relevance of a sample, if one did."""
        came, went = self.came[:, sample], self.went[:, sample]
        gone = (came > 0) & (went <= VANISHED * came[0])
        return int(gone.argmax()) if gone.any() else None

    def smallest_at(self, sample: int) -> tuple[int, float]:
        """Return the layer through whose small denominators most came, and the share."""
        shares = np.nan_to_num(self.small[:, sample])
        return int(shares.argmax()), float(shares.max())

    def most_lost_at(self, sample: int) -> tuple[int, float]:
        """Return the layer that lost or made most relevance, and its sum R of inputs over outputs."""
        away = np.abs(np.nan_to_num(self.kept[:, sample], nan=1.0) - 1)
        layer = int(away.argmax())
        return layer, float(self.kept[layer, sample])


def trace(loaded: LoadedNetwork, observations: NDArray[np.float32], question: Question) -> Trace:
    """Return what every layer did when all samples are explained.

    `question` has a target for each sample. Of each batch only the numbers are kept.
    """
    loaded = loaded.with_batch_size(min(loaded.model.batch_size, AT_ONCE))
    model = loaded.model
    names = layer_names(model)
    layers: list[str] = []
    rules: list[str] = []
    parts: list[list[Tensor]] = []
    for chosen, x in batches(model, observations):
        choose = partial(rows_of, loaded, x, question.part(chosen))
        done = attribution.explain(loaded.explained, model.plan, x, choose, keep=True).layers
        layers = list(done)[::-1]
        rules = [done[layer].rule.text for layer in layers]
        of_layers = zip(*(_numbers(done[layer], len(x)) for layer in layers), strict=True)
        parts.append([torch.stack(numbers) for numbers in of_layers])
    came, went, kept, small = (
        torch.cat(column, dim=1).double().numpy() for column in zip(*parts, strict=True)
    )
    return Trace(
        layers=tuple(names.get(layer, layer) for layer in layers),
        rules=tuple(rules), came=came, went=went, kept=kept, small=small,
    )  # fmt: skip


def _numbers(done: attribution.Propagated, samples: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return `came`, `went`, `kept` and `small` of a layer, (N,) each."""
    layer = done.call.layer
    output = _by_sample(done.relevance_output, layer.samples_along, samples)
    # What is the same for all samples takes its share as a bias does.
    places = layer.inputs_along or (0,) * len(done.relevance_inputs)
    inputs = [
        _by_sample(share, along, samples)
        for share, along in zip(done.relevance_inputs, places, strict=False)
        if along is not None
    ]
    sizes, shares = output.abs(), [(one.abs().sum(dim=1), one.sum(dim=1)) for one in inputs]
    came, total = sizes.sum(dim=1), output.sum(dim=1)
    went = torch.stack([size for size, _ in shares]).sum(dim=0)
    kept = reduce(torch.add, (share for _, share in shares))
    kept = torch.where(total != 0, kept / torch.where(total != 0, total, 1.0), torch.nan)
    divides = denominators(done)
    if divides is None:
        return came, went, kept, torch.full_like(came, torch.nan)
    # Over all samples: of a layer with one output a sample's own mean says nothing.
    usual = done.call.output.cpu().double().square().mean().sqrt()
    divisor = _by_sample(divides, layer.samples_along, samples).abs()
    small = (divisor < SMALL * usual) & (sizes > CARRIED * divisor)
    return came, went, kept, (sizes * small).sum(dim=1) / torch.where(came > 0, came, 1.0)


def _by_sample(entries: Tensor, along: int, samples: int) -> Tensor:
    """Return entries as (N, ...), where samples, or several windows of each, lie along a dimension."""
    return entries.cpu().double().movedim(along, 0).reshape(samples, -1)


def denominators(done: attribution.Propagated) -> Tensor | None:
    """Return what a rule divides the relevance of each output by, or None for other rules."""
    divides = done.rule.denominator
    if divides is None or not isinstance(done.call.layer, Weighted):
        return None
    return divides(done.call)
