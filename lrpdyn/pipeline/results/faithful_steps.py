"""Which steps and samples of a run have their faithfulness measured, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from lrpdyn.diagnostics.faithfulness import (
    ORDERS,
    RANDOM,
    RULE,
    Floats,
    areas,
    measure,
    random_areas,
    yardsticks,
)
from lrpdyn.diagnostics.interventions import chosen_transitions
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.diagnostics.reference_gain import (
    TwoFills,
    abpc,
    are_same,
    gain,
    is_better,
    under,
    usable,
)
from lrpdyn.diagnostics.second_look import SecondLook
from lrpdyn.explain.explanation import explain
from lrpdyn.explain.model import Model
from lrpdyn.observations.checked_samples import MOST_CHECKED
from lrpdyn.observations.fills import Fill, other_fill
from lrpdyn.observations.regions import Mask, Regions
from lrpdyn.outliers.report import Outliers
from lrpdyn.system.memory import give_back

#: At least so many steps and samples are measured, where there are as many.
FEWEST_STEPS, FEWEST_SAMPLES = 5, 8
#: An explanation takes about so many forward passes, by which the measuring is to take as long.
PASSES = 4
#: The maps of a picture whose patches are taken away in two orders each.
_MAPS = 5
#: Below this share of the run's largest range a score is flat: nothing can be told of what moves it.
FLAT = 1e-3


def extent(
    asked: str | int | None, steps: int, samples: int, patches: int, wanted: int | None = None
) -> tuple[int, int]:
    """Return how many steps and samples are measured, of those that there are.

    Where no number of steps is asked for, so many as take about what the explaining took, counted in
    forward passes, but five at least; eight samples, and more where all of that would not be used, or
    as many as are `wanted`.

    >>> extent(None, 12, 64, 49), extent("all", 12, 64, 49), extent(None, 2000, 64, 49)
    ((5, 8), (12, 8), (66, 8))
    """
    each = 2 + (2 * _MAPS + ORDERS) * (patches - 1)
    pairs = PASSES * steps * samples // each
    fewest = min(samples, wanted or FEWEST_SAMPLES)
    most = max(FEWEST_STEPS, pairs // fewest) if asked is None else asked
    chosen = steps if isinstance(most, str) else min(steps, most)
    if wanted is not None:
        return chosen, fewest
    return chosen, min(samples, MOST_CHECKED, max(fewest, pairs // max(chosen, 1)))


def flagged_steps(outliers: Outliers) -> list[int]:
    """Return the steps that flagged transitions lead to, at most ten."""
    flagged = [one for one in chosen_transitions(outliers) if one.why != "strongest"]
    return [transition.after for transition in flagged]


@dataclass(frozen=True, kw_only=True)
class OfStep:
    """What is measured of one step: by map morf, lerf and abpc of each sample, (3, m).

    Attributes
    ----------
    score, policy
        Not divided by `score_range` yet, which the whole run judges; `policy` is empty where no
        distribution is predicted.
    band
        That of the random orders' abpc of the score, not divided either.
    """

    step: int
    score_range: float
    score: Mapping[str, Floats]
    policy: Mapping[str, Floats]
    band: tuple[float, float]
    forwards: int


@dataclass(frozen=True, kw_only=True)
class OfReference:
    """What a reference would change at a step, under two fills.

    Attributes
    ----------
    reference
        Its name, as ``--reference`` takes it.
    fills
        The fills, as `Fill.plain`.
    without, with_it
        The rule's areas alone and with the reference, in shares of the score's range, each (1, m).
    """

    step: int
    reference: str
    fills: tuple[float | str, float | str]
    without: TwoFills
    with_it: TwoFills
    forwards: int

    def as_check(self) -> dict[str, Any]:
        """Return plain data, for the manifest: medians, and the gain's interval (`reference_gain.gain`)."""
        pairs = ((self.without.fill, self.with_it.fill), (self.without.other, self.with_it.other))
        entries = []
        for fill, (without, with_it) in zip(self.fills, pairs, strict=True):
            more = gain(with_it, without)
            entries.append({
                "fill": fill, "without": float(np.median(without)), "with": float(np.median(with_it)),
                "gain": {"low": more.low, "high": more.high},
            })  # fmt: skip
        return {
            "reference": self.reference,
            "step": self.step,
            "helps": is_better(self.with_it, self.without),
            "fills": entries,
        }


@dataclass(frozen=True, kw_only=True)
class Faithfulness:
    """What was measured of a run: at these steps, of these samples, with patches that became the fill.

    `reference` is what one would change at the last of the steps; None where none fits or the score is flat.
    """

    steps: Sequence[OfStep]
    samples: Sequence[int]
    patches: int
    fill: float | str
    reference: OfReference | None = None

    def is_flat(self, of: OfStep) -> bool:
        """Return whether the score hardly moves with all patches taken away, against the run's most."""
        largest = max(one.score_range for one in self.steps)
        return not of.score_range > FLAT * largest

    def divided(self, of: OfStep, values: Any) -> Floats:
        """Return values of the score in units of its range; NaN where it is flat."""
        divisor = np.nan if self.is_flat(of) else of.score_range
        return np.asarray(values) / divisor

    def rows(self) -> Iterator[list[Any]]:
        """Yield the rows of faithfulness.csv."""
        for of in self.steps:
            scores = {name: self.divided(of, values) for name, values in of.score.items()}
            unknown = np.full((3, len(self.samples)), np.nan)
            for place, sample in enumerate(self.samples):
                for name, values in scores.items():
                    policy = of.policy.get(name, unknown)
                    yield [of.step, sample, name, *values[:, place], *policy[:, place]]

    def of_rule(self, samples: int) -> dict[int, Floats]:
        """Return by step the abpc of the rule's maps, (N,), NaN of samples that were not measured."""
        found = {}
        for of in self.steps:
            found[of.step] = np.full(samples, np.nan)
            found[of.step][list(self.samples)] = self.divided(of, of.score[RULE][2])
        return found

    def as_check(self) -> dict[str, Any]:
        """Return plain data, for the manifest: at each step the median abpc of each map."""
        entries = []
        for of in self.steps:
            low, high = self.divided(of, of.band)
            entries.append({
                "step": of.step,
                "range": _finite(of.score_range),
                "abpc": {name: _median(self.divided(of, v[2])) for name, v in of.score.items()},
                "random_band": {"low": _finite(low), "high": _finite(high)},
                "abpc_policy": {name: _median(values[2]) for name, values in of.policy.items()},
            })  # fmt: skip
        return {
            "fill": self.fill,
            "patches": self.patches,
            "samples": list(self.samples),
            "forward_passes": sum(
                of.forwards for of in (*self.steps, self.reference) if of is not None
            ),
            "steps": entries,
            "reference": None if self.reference is None else self.reference.as_check(),
        }


def _median(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """Measures the faithfulness of the maps of some steps, of the same samples at each.

    At the last step what a reference would change, too, if `referred` has one: its name, and the model whose
    relevance is measured from it.
    """

    look: SecondLook
    fill: Fill
    regions: Regions | None
    steps: Sequence[int]
    samples: Sequence[int]
    referred: tuple[str, Model] | None

    def works(self) -> list[Callable[[], Any]]:
        """Return what has to be done, in any order; None where a checkpoint is gone."""
        return [*(partial(self._at, step) for step in self.steps), self._reference]

    def result(self, found: Sequence[Any]) -> Faithfulness:
        """Return what `works` gave as one."""
        *steps, reference = found
        return Faithfulness(
            steps=[of for of in steps if of is not None],
            reference=reference,
            samples=self.samples,
            patches=len(self._masks),
            fill=self.fill.plain,
        )

    @property
    def _masks(self) -> Mask:
        """The patches of the samples: regions, or where there are not two of them those of the grid."""
        return patches_of(self.look.observations.shape, self.regions, self.samples)

    def _at(self, step: int) -> OfStep | None:
        given = self.look.at(step, self.samples)
        if given is None:
            return None
        loaded, shown, asked, relevance = given
        filled = self.fill.of(shown)
        maps = {RULE: relevance, f"{RULE}_absolute": np.abs(relevance)}
        maps |= yardsticks(loaded, shown, asked, filled)
        curves = measure(loaded, shown, asked, maps, filled, self._masks)
        give_back()
        score, band = _areas(curves.score)
        return OfStep(
            step=step,
            score_range=curves.score_range,
            score=score,
            policy={} if curves.policy is None else _areas(curves.policy)[0],
            band=band,
            forwards=curves.forwards,
        )

    def _reference(self) -> OfReference | None:
        given = None if self.referred is None else self.look.at(self.steps[-1], self.samples)
        if self.referred is None or given is None:
            return None
        name, model = self.referred
        loaded, shown, asked, relevance = given
        referred = explain(under(loaded, model), shown, asked).relevance
        if not np.isfinite(referred).all() or are_same(referred, relevance):
            return None
        maps = {RULE: relevance, name: referred}
        second = other_fill(self.fill, self.look.observations)
        here, there = (
            measure(loaded, shown, asked, maps, fill.of(shown), self._masks, random_orders=0)
            for fill in (self.fill, second)
        )
        give_back()
        largest = here.score_range
        if not usable([here], largest) or not usable([there], largest):
            return None
        without, with_it = (
            TwoFills(fill=abpc([here], one), other=abpc([there], one)) for one in maps
        )
        return OfReference(
            step=self.steps[-1],
            reference=name,
            fills=(self.fill.plain, second.plain),
            without=without,
            with_it=with_it,
            forwards=here.forwards + there.forwards,
        )


def _areas(curves: Mapping[str, Floats]) -> tuple[dict[str, Floats], tuple[float, float]]:
    found = {name: np.stack(areas(both)) for name, both in curves.items() if name != RANDOM}
    of_random, band = random_areas(curves[RANDOM])
    return {**found, RANDOM: np.stack(of_random)}, band


def patches_of(shape: tuple[int, ...], regions: Regions | None, samples: Sequence[int]) -> Mask:
    """Return the masks (P, m or 1, ...) of what is taken away from some of the observations."""
    if regions is None or len(regions.names) < 2:
        return np.stack(patch_masks(shape))
    return regions.masks if regions.masks.shape[1] == 1 else regions.masks[:, list(samples)]
