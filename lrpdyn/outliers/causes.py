"""Why something stands out: every cause with its share or its evidence, not one label.

Masks (T, N) say in which transition of which sample a cause is present; the change of one cell is
also split into scale and shape. What no criterion finds is called unexplained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from lrpdyn.outliers import criteria
from lrpdyn.outliers.advice import CAUSES
from lrpdyn.outliers.facts import UNAVAILABLE, Floats, RunFacts, Truths

#: The share of a change that a cause of an aggregate has to be present in to be told.
TOLD = 0.05
#: A score that changed by less than this factor did not grow.
GROWTH = 1.1


@dataclass(frozen=True)
class Criteria:
    """Every criterion of a run, worked out once.

    `layers` is the evidence by layer, from `lrpdyn.diagnostics`, by step and cause; empty where it was
    not gathered.
    """

    facts: RunFacts
    layers: Mapping[tuple[int, str], Mapping[str, Any]]

    @cached_property
    def vanished(self) -> Truths:
        """(S, N)."""
        steps = self.facts.steps
        return criteria.vanished(steps.score, steps.relevance_l1)

    @cached_property
    def unstable(self) -> Truths:
        """(S, N)."""
        found = criteria.unstable(self.facts.steps, self.facts.question)
        for (step, cause), evidence in self.layers.items():
            if cause == "unstable_denominator":
                for sample in evidence["samples"]:
                    found[step, int(sample)] = True
        return found

    @cached_property
    def lost(self) -> Truths:
        """(S, N)."""
        return criteria.not_conserved(self.facts.steps)

    @cached_property
    def dead(self) -> Truths:
        """(S, A)."""
        return criteria.dead(self.facts.steps)

    @cached_property
    def jumps(self) -> Truths:
        """(S, L)."""
        return criteria.weight_jumps(self.facts.steps)

    @cached_property
    def ratios(self) -> Floats:
        """(S, L)."""
        return criteria.weight_ratio(self.facts.steps)

    @cached_property
    def duplicates(self) -> Truths:
        """(S,)."""
        return criteria.duplicates(self.facts.steps)

    @cached_property
    def gaps(self) -> Truths:
        """(T,)."""
        return criteria.step_gaps(self.facts.steps, self.facts.changes)

    @cached_property
    def lengths(self) -> Floats:
        """(T,)."""
        return criteria.lengths(self.facts.steps, self.facts.changes)

    @cached_property
    def masks(self) -> dict[str, Truths]:
        """By cause, the transitions of samples (T, N) in which it is present."""
        facts = self.facts
        before, after = facts.changes.before, facts.changes.after
        shape = facts.changes.change.shape

        def at_either_end(steps: Truths) -> Truths:
            found: Truths = steps[before] | steps[after]
            return found

        def for_all_samples(transitions: Any) -> Truths:
            return np.broadcast_to(transitions[:, None], shape)

        negative = criteria.negative(facts.steps, facts.question)
        changed_units = criteria.flips(facts.steps, facts.changes)
        dead = (self.dead[before] != self.dead[after]).any(axis=1)
        return {
            "vanished_relevance": at_either_end(self.vanished),
            "unstable_denominator": at_either_end(self.unstable),
            "duplicate_checkpoint": for_all_samples(self.duplicates[after]),
            "dead_layer": for_all_samples(dead),
            "weight_jump": for_all_samples(self.jumps[after].any(axis=1)),
            "step_gap": for_all_samples(self.gaps),
            "conservation_failure": at_either_end(self.lost),
            "negative_score": at_either_end(negative),
            "score_crosses_zero": criteria.crosses_zero(facts.steps, facts.changes),
            "action_flip": changed_units & facts.question.follows_preference,
        }

    @cached_property
    def turned(self) -> Truths:
        """Where a map turned round although the sign of its score stayed, (T, N)."""
        changes, score = self.facts.changes, self.facts.steps.score
        same = score[changes.before] * score[changes.after] > 0
        found: Truths = (changes.scale_factor < 0) & same
        return found

    @cached_property
    def growth(self) -> Floats:
        """The share of each change that is growth: scale, unless the map turned round, (T, N)."""
        changes = self.facts.changes
        return np.where(self.turned, 0.0, changes.scale_share)

    @cached_property
    def grew(self) -> Truths:
        """Where most of a change is growth, and the score changed as well, (T, N)."""
        changes, score = self.facts.changes, np.abs(self.facts.steps.score)
        before, after = score[changes.before], score[changes.after]
        with np.errstate(divide="ignore", invalid="ignore"):
            factor = np.maximum(after / before, before / after)
        found: Truths = (self.growth >= 0.5) & ~(factor < GROWTH)
        return found

    @cached_property
    def explained(self) -> Truths:
        """Where some cause is present, (T, N)."""
        found: Truths = self.grew | np.logical_or.reduce(list(self.masks.values()))
        return found


def cause(name: str, share: float | None, evidence: str) -> dict[str, Any]:
    """Return one cause as it stands in the report."""
    return {"cause": name, "share": share, "evidence": evidence}


def of_cell(known: Criteria, transition: int, sample: int) -> list[dict[str, Any]]:
    """Return what is known of the change of one sample in one transition."""
    found = [
        cause(name, *_at_cell(known, name, transition, sample))
        for name, mask in known.masks.items()
        if mask[transition, sample]
    ]
    found += _split(known, transition, sample)
    if not known.explained[transition, sample]:
        found.append(cause("unexplained", None, "none of the known causes is present"))
    return found


def _split(known: Criteria, transition: int, sample: int) -> list[dict[str, Any]]:
    """Return how much of a change is growth, and how much a change of shape, the larger first."""
    changes, score = known.facts.changes, known.facts.steps.score[:, sample]
    share = float(known.growth[transition, sample])
    if not np.isfinite(share):
        return []
    growth = _growth(score[changes.before[transition]], score[changes.after[transition]])
    if known.turned[transition, sample]:
        factor = changes.scale_factor[transition, sample]
        text = f"the map turned round, x {factor:.3g} along its own direction, at {growth}"
        return [cause("shape_change", 1.0, text)]
    split = [
        cause("score_growth", share, growth),
        cause("shape_change", 1 - share, "the explanation itself moved"),
    ]
    return sorted(split, key=lambda entry: -entry["share"])


def _growth(before: float, after: float) -> str:
    text = f"score {before:.3g} -> {after:.3g}"
    return f"{text}, x {after / before:.3g}" if before else text


def _at_cell(known: Criteria, name: str, transition: int, sample: int) -> tuple[float | None, str]:
    """Return the share and the evidence of a cause that is present in a cell."""
    facts = known.facts
    steps, changes = facts.steps, facts.changes
    ends = (int(changes.before[transition]), int(changes.after[transition]))
    scores = [float(steps.score[end, sample]) for end in ends]
    if name == "vanished_relevance":
        at = [end for end in ends if known.vanished[end, sample]]
        return None, "; ".join(vanishing(known, end, sample) for end in at)
    if name == "unstable_denominator":
        at = [end for end in ends if known.unstable[end, sample]]
        return None, "; ".join(instability(known, end, sample) for end in at)
    if name == "action_flip":
        evidence = known.layers.get((ends[1], name), {}).get("samples", {}).get(sample)
        one, two = (int(steps.argmax[end, sample]) for end in ends)
        text = f"unit {one} -> {two}"
        if evidence is None:
            return None, text
        if evidence == UNAVAILABLE:
            return None, f"{text}; how much of it goes away with the old target: unavailable"
        return evidence, f"{text}; this share of the change goes away when {one} is kept"
    if name == "conservation_failure":
        lost = criteria.loss(steps)
        usual = float(np.nanmedian(lost))
        seen = [f"{100 * lost[end, sample]:.3g} %" for end in ends]
        text = f"|score - sum R| / |score| is {' -> '.join(seen)}, usually {100 * usual:.3g} %"
        worst = max(ends, key=lambda end: float(np.nan_to_num(lost[end, sample])))
        return None, text + _by_layer(known, worst, name, sample)
    if name == "negative_score":
        weakest = min((steps.support[end, sample] for end in ends), default=np.nan)
        weak = ", weak" if weakest < criteria.WEAK_SUPPORT else ""
        text = f"score {scores[0]:.3g} -> {scores[1]:.3g}"
        if np.isfinite(weakest):
            text += f"; what speaks for it is {weakest:.3g} of it at least{weak}"
        return None, text
    if name == "score_crosses_zero":
        return None, f"score {scores[0]:.3g} -> {scores[1]:.3g}"
    return None, of_transition(known, name, transition)


def of_transition(known: Criteria, name: str, transition: int) -> str:
    """Return the evidence of a cause that a transition has for all its samples."""
    steps, changes = known.facts.steps, known.facts.changes
    before, after = int(changes.before[transition]), int(changes.after[transition])
    if name == "weight_jump":
        jumped = np.flatnonzero(known.jumps[after])
        strongest = jumped[np.argsort(-known.ratios[after, jumped], kind="stable")]
        return "; ".join(
            f"{steps.weight_layers[layer]} moved by {100 * steps.weight_change[after, layer]:.3g} %, "
            f"{known.ratios[after, layer]:.3g} times the usual"
            for layer in strongest[:3]
        )
    if name == "dead_layer":
        either = np.flatnonzero(known.dead[before] != known.dead[after])
        return "; ".join(
            f"{steps.activity_layers[layer]}: {100 * steps.dead[before, layer]:.3g} % -> "
            f"{100 * steps.dead[after, layer]:.3g} % of its units are dead"
            for layer in either
        )
    if name == "step_gap":
        text = f"{known.lengths[transition]:.3g} times the usual distance"
        left = changes.left_out[transition]
        return f"{text}; a checkpoint in between was left out" if left else text
    return f"all weights are those of step {steps.step[before]:,}"


def vanishing(known: Criteria, step: int, sample: int) -> str:
    """Return the evidence that relevance vanished at a step: where, and under which rule."""
    steps = known.facts.steps
    size, score = steps.relevance_l1[step, sample], steps.score[step, sample]
    text = f"step {steps.step[step]:,}: sum|R| is {size:.3g}, the score {score:.3g}"
    return text + _by_layer(known, step, "vanished_relevance", sample)


def _by_layer(known: Criteria, step: int, name: str, sample: int) -> str:
    """Return what the layers tell of a cause at a step, to be added to its evidence."""
    found = known.layers.get((step, name))
    if found is None:
        return ""
    if found.get("gone"):
        return f"; by layer: {UNAVAILABLE}"
    where = found["samples"].get(sample)
    return "" if where is None else f"; {where}"


def instability(known: Criteria, step: int, sample: int) -> str:
    """Return the evidence that a denominator was next to nothing at a step."""
    steps = known.facts.steps
    text = f"step {steps.step[step]:,}"
    support = steps.support[step, sample]
    if support < criteria.UNSTABLE_SUPPORT:
        text += (
            f": what speaks for the score of {steps.score[step, sample]:.3g} is {support:.2g} of it"
        )
    return text + _by_layer(known, step, "unstable_denominator", sample)


def of_many(known: Criteria, cells: tuple[Any, Any], what: str) -> list[dict[str, Any]]:
    """Return the causes of a sum of cells: a transition's samples, or a sample's transitions.

    Parameters
    ----------
    cells
        An index into (T, N) that gives the K cells.
    what
        What they are: "samples" or "transitions".

    Returns
    -------
    list
        Each with the share of the whole change that lies in the cells where it is present; of scale
        and shape, the mean of their shares, weighted by the change.
    """
    change = known.facts.changes.change[cells]
    total = float(change.sum())
    if total == 0:
        return []
    found = []
    for name in CAUSES:
        mask = known.masks.get(name)
        if mask is None or not mask[cells].any():
            continue
        share = float(change[mask[cells]].sum()) / total
        if share < TOLD:
            continue
        text = f"in {int(mask[cells].sum()):,} of {mask[cells].size:,} {what}"
        if what == "samples" and name in ("weight_jump", "dead_layer", "step_gap"):
            text = of_transition(known, name, int(cells[0]))
        found.append(cause(name, share, text))
    scale = known.growth[cells]
    split = float((np.nan_to_num(scale) * change).sum()) / total
    shares = [
        cause("score_growth", split, f"mean over its {what}"),
        cause("shape_change", 1 - split, f"mean over its {what}"),
    ]
    found += sorted(shares, key=lambda entry: -entry["share"])
    without = float(change[~known.explained[cells]].sum()) / total
    if without >= 0.5:
        found.append(cause("unexplained", without, "no known cause in this share of the change"))
    return found
