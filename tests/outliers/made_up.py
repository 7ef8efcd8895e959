"""A made-up run, calm but for what a test plants in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from lrpdyn.dynamics.totals import Sums
from lrpdyn.outliers.facts import (
    Changes,
    Evidence,
    RunFacts,
    Steps,
    Wanted,
)
from lrpdyn.outliers.report import build_report, find_outliers


def calm_run(steps: int = 41, samples: int = 8, seed: int = 0) -> RunFacts:
    """Return a run whose relevance is its score, shared among four pixels."""
    generator = np.random.default_rng(seed)
    step = 100 * np.arange(steps)
    score = 2 + 0.1 * generator.standard_normal((steps, samples)).cumsum(axis=0) * 0.1
    transitions = steps - 1
    change = 0.1 * generator.lognormal(sigma=0.3, size=(transitions, samples))
    return RunFacts(
        gives_only_support=True,
        conserves=True,
        follows_preference=True,
        steps=Steps(
            step=step,
            score=score,
            relevance_sum=0.97 * score,
            relevance_l1=0.97 * score,
            support=np.full((steps, samples), 1.5),
            argmax=np.zeros((steps, samples), dtype=np.int64),
            finite=np.ones(steps, dtype=bool),
            broken=((),) * steps,
            weight_layers=("first", "last"),
            weight_change=np.vstack(
                [[np.nan] * 2, 0.02 * generator.lognormal(sigma=0.1, size=(transitions, 2))]
            ),
            weight_norm=np.full((steps, 2), 3.0),
            weight_back=np.full((steps, 2), np.nan),
            weight_sketch=np.full((steps, 64), np.nan),
            reset=((),) * steps,
            activity_layers=("first",),
            dead=np.full((steps, 1), 0.4),
            dormant=np.full((steps, 1), 0.4),
            rank=np.full((steps, 1), 4.0),
            outline=np.full((steps, 4), 0.25),
            faithfulness=np.full(steps, np.nan),
            faithfulness_band=np.full((steps, 2), np.nan),
        ),
        changes=Changes(
            before=np.arange(transitions),
            after=np.arange(1, steps),
            change=change,
            scale_share=np.full((transitions, samples), 0.2),
            scale_factor=np.ones((transitions, samples)),
            growth_share=np.full((transitions, samples), 0.2),
            left_out=np.zeros(transitions, dtype=bool),
        ),
        relative=generator.uniform(0.1, 0.2, (samples, 2, 2)),
        sums=lambda of: sums_of(np.ones((2, 2)), np.full((2, 2), 0.05), np.zeros((2, 2), np.int32)),
    )


def sums_of(total: np.ndarray, largest: np.ndarray, largest_at: np.ndarray) -> Sums:
    """Return the sums of one sample, of which the rest is zero."""
    zero = np.zeros((1, *total.shape))
    return Sums(steps=2, net=zero, total=total[None], magnitude=zero, coarse=zero, logarithms=zero,
                largest=largest[None], largest_at=largest_at[None])  # fmt: skip


def with_steps(facts: RunFacts, **values: Any) -> RunFacts:
    """Return a run with other facts by step."""
    return replace(facts, steps=replace(facts.steps, **values))


def with_changes(facts: RunFacts, **values: Any) -> RunFacts:
    """Return a run with other facts by transition."""
    return replace(facts, changes=replace(facts.changes, **values))


def spiked(facts: RunFacts, transition: int, sample: int | None = None, by: float = 30) -> RunFacts:
    """Return a run in which the change of one transition (of one sample) is many times as large."""
    change = facts.changes.change.copy()
    change[transition, slice(None) if sample is None else sample] *= by
    return with_changes(facts, change=change)


def report_on(
    facts: RunFacts, look: Callable[[Wanted], Evidence] = lambda wanted: {}
) -> dict[str, Any]:
    """Return the report on a run; `look` gives the evidence that it asks for."""
    outliers = find_outliers(facts)
    return build_report(outliers, look(outliers.wanted()))


def names(entry: dict[str, Any]) -> list[str]:
    """Return the names of an entry's causes."""
    return [cause["cause"] for cause in entry["causes"]]


def everywhere(report: dict[str, Any]) -> Iterator[str]:
    """Yield the names of all causes of a report."""
    for kind in ("cells", "steps", "samples", "pathologies"):
        for entry in report[kind]:
            yield from names(entry)


def evidence(entry: dict[str, Any], name: str) -> str:
    """Return the evidence of one cause of an entry."""
    return next(cause["evidence"] for cause in entry["causes"] if cause["cause"] == name)
