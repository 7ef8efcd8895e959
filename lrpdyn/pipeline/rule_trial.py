"""Try every rule on a run's own network, and name one: ``lrpdyn rules --try`` and ``--rule auto``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.diagnostics.faithfulness import Curves, measure
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.diagnostics.rule_trial import (
    SAMPLES,
    LeftOut,
    OfRule,
    Row,
    candidates,
    choose,
    distinct,
    joined_curves,
    measure_rule,
    ranked,
    tried_checkpoints,
    untrained_range,
)
from lrpdyn.diagnostics.sanity_checks import random_weights, with_statistics
from lrpdyn.errors import ArchitectureError, CheckpointError, RunError
from lrpdyn.explain.explanation import Question, chosen_samples, outputs_of
from lrpdyn.explain.loaded import LoadedNetwork, load, load_again
from lrpdyn.explain.model import Model, with_plan
from lrpdyn.files.text import print_note
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.pipeline.setup.fixed_targets import fixed_targets, question_of_job
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import AUTO, Options
from lrpdyn.pipeline.setup.prepare import check, listed, prepare
from lrpdyn.run.manifest import MANIFEST, load_manifest
from lrpdyn.system.processes import in_order, processes
from lrpdyn.system.progress import progress_bar
from lrpdyn.system.threads import one_thread

#: The rule that a network is prepared with before any is chosen; it fits every network.
_FIRST = "zplus"
#: So many random networks are drawn; maps are compared with those of the first of them.
_NETWORKS, _COMPARED = 4, 2
#: Patches of so many observations are taken away by one worker at a time.
_AT_ONCE = 4
#: A network is no more decided than an untrained one where its score moves by less than this times as
#: much as that of freshly initialised ones.
_DECIDED = 2.0


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What came of trying all rules.

    Attributes
    ----------
    rows
        A row for each rule, the most faithful first.
    random_order
        What 5 and 95 % of the faithfulness of random orders of patches lie below.
    left_out
        Rules that were not tried.
    steps, samples
        The checkpoints and the observations.
    named, reason
        The rule to take, or None, and why, in a sentence.
    """

    rows: Sequence[Row]
    random_order: tuple[float, float]
    left_out: Sequence[LeftOut]
    steps: Sequence[int]
    samples: Sequence[int]
    named: str | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON and the manifest."""
        found = asdict(self)
        return {"named": found.pop("named"), "reason": found.pop("reason"),
                "rules": found.pop("rows"), **found,
                "random_order": dict(zip(("low", "high"), self.random_order, strict=True))}  # fmt: skip


def try_rules(checkpoints: str | Path, observations: Any, options: Options) -> Trial:
    """Return what every rule that fits gives on a few checkpoints and observations.

    Parameters
    ----------
    checkpoints, observations
        As `lrpdyn.compute` takes them; one checkpoint is enough.
    options
        Those of `lrpdyn.compute` that tell the network, the question and how observations are read.

    Raises
    ------
    LrpdynError
        As of `lrpdyn.compute`; nothing can be held against the rules.
    """
    options = replace(options, rule=_FIRST)
    check(options)
    with one_thread():
        job, _ = prepare(options, listed(checkpoints, options, fewest=1), observations)
        return trial(job)


def prepared(
    options: Options, listing: Listing, observations: Any
) -> tuple[Job, dict[str, Any], Mapping[str, Any] | None]:
    """Return what `prepare` does, and what came of the trial where ``--rule auto`` asks for one.

    A run that is resumed has its rule already.

    Raises
    ------
    CheckpointError
        No rule can be named.
    """
    if options.rule != AUTO:
        return *prepare(options, listing, observations), None
    before = _recorded(options)
    if before is not None:
        _say(f"rule {before['named']}, which --rule auto took when the run began", options.quiet)
        return *prepare(replace(options, rule=before["named"]), listing, observations), before
    job, checks = prepare(replace(options, rule=_FIRST), listing, observations)
    found = trial(job)
    if found.named is None:
        best = found.rows[0].rule
        raise CheckpointError(
            f"--rule auto: {found.reason}; to take it all the same: --rule {best}"
        )
    _say(f"rule {found.reason}", options.quiet)
    model = replace(job.model, composite=parse_composite(found.named), plan={})
    model = with_plan(model, job.observations.values, job.bounds)
    job = replace(job, options=replace(job.options, rule=found.named), model=model)
    return job, checks, found.as_dict()


def _recorded(options: Options) -> dict[str, Any] | None:
    """Return what the run that is resumed recorded of its trial; None where there is no run yet."""
    if options.overwrite or not (options.folder / MANIFEST).exists():
        return None
    rule = load_manifest(options.folder)["rule"]
    if "tried" not in rule:
        raise RunError(
            f"{options.folder}: holds a run of another question: rule ({rule['name']} there, auto here); "
            "give the rule that it has, replace it with --overwrite, or choose another folder with -o"
        )
    tried: dict[str, Any] = rule["tried"]
    return tried


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        print_note(f"Note: {line}")


def trial(job: Job) -> Trial:
    """Return what every rule that fits gives for the network and the question of a job."""
    quiet = job.options.quiet
    question = question_of_job(job, fixed_targets(job, None))
    samples = evenly_spaced(len(job.observations.values), SAMPLES)
    chosen = _usable(job, tried_checkpoints(job.listing.checkpoints), samples)
    loaded, shown, asked = _at(job, chosen[0], question, samples)
    models, left_out = candidates(job.model, shown, job.bounds)
    models, twins = distinct(loaded, shown, asked, models)
    fresh = [
        with_statistics(loaded.model, random_weights(job.model, seed), shown)
        for seed in range(_NETWORKS)
    ]
    filled, masks = job.fill.of(shown), np.stack(patch_masks(shown.shape))
    untrained = untrained_range(loaded.model, shown, asked, fresh, filled)
    workers = processes(job.options.workers, job.model.device.type)
    pairs = [(checkpoint, model) for checkpoint in chosen for model in models]
    stretches = [slice(n, n + _AT_ONCE) for n in range(0, len(samples), _AT_ONCE)]
    parts = [(place, part) for place in range(len(chosen)) for part in stretches]
    # The curves of some samples take so many times as long as a rule's maps.
    longer = len(models)
    with progress_bar(quiet=quiet, total=len(pairs) + longer * len(parts), desc="trying rules",
                      unit="map") as bar:  # fmt: skip

        def done(function: Callable[[int], Any], pieces: int, each: int) -> list[Any]:
            found = []
            for one in in_order(function, range(pieces), min(workers, pieces)):
                found.append(one)
                bar.update(each)
            return found

        def of_pair(place: int) -> OfRule:
            checkpoint, model = pairs[place]
            network, _, own = _at(job, checkpoint, question, samples)
            return measure_rule(network, shown, own, model, fresh[:_COMPARED])

        flat: list[OfRule] = done(of_pair, len(pairs), 1)
        measured = [flat[n : n + len(models)] for n in range(0, len(flat), len(models))]
        models, measured, not_finite = _finite(models, measured)

        def of_part(n: int) -> Curves:
            place, part = parts[n]
            network, _, own = _at(job, chosen[place], question, samples[part])
            of_rules = measured[place]
            fixed = replace(own, targets=of_rules[0].target[part])
            maps = {str(n): one.maps[part] for n, one in enumerate(of_rules)}
            return measure(network, shown[part], fixed, maps, filled[part], masks)

        found: list[Curves] = done(of_part, len(parts), longer)
        curves = [
            joined_curves(found[n : n + len(stretches)])
            for n in range(0, len(found), len(stretches))
        ]
    rows, band = ranked([str(model.composite) for model in models], measured, curves)
    named, reason = choose(rows, band)
    moved = max(one.score_range for one in curves)
    if moved < _DECIDED * untrained:
        named, reason = (
            None,
            (
                "no rule is named, for the network is hardly more decided than an untrained one: with all "
                f"taken away its score moves by {moved:.2g}, that of freshly initialised networks by up to "
                f"{untrained:.2g}; the best is {rows[0].rule} ({rows[0].faithfulness:.2f})"
            ),
        )
    return Trial(
        rows=rows, random_order=band, left_out=[*left_out, *twins, *not_finite],
        steps=sorted(checkpoint.step for checkpoint in chosen), samples=samples,
        named=named, reason=reason,
    )  # fmt: skip


def _finite(
    models: Sequence[Model], measured: Sequence[Sequence[OfRule]]
) -> tuple[list[Model], list[list[OfRule]], list[LeftOut]]:
    """Return what has finite maps at every checkpoint, and the rules that have not."""
    fine = [
        all(np.isfinite(one.maps).all() for one in by_step)
        for by_step in zip(*measured, strict=True)
    ]
    if not any(fine):
        raise CheckpointError("no rule can be tried: the maps of all of them are not finite")
    return (
        list(compress(models, fine)),
        [list(compress(of_rules, fine)) for of_rules in measured],
        [
            LeftOut(rule=str(model.composite), reason="its maps are not finite")
            for model, is_fine in zip(models, fine, strict=True)
            if not is_fine
        ],
    )


def _at(
    job: Job, checkpoint: Checkpoint, question: Question, samples: Sequence[int]
) -> tuple[LoadedNetwork, Any, Question]:
    """Return the network with a checkpoint's weights, unless it has them, for some samples alone."""
    model = job.model
    if model.weights.source is checkpoint:
        loaded = LoadedNetwork(model=model, source=checkpoint)
    else:
        loaded = load_again(model, checkpoint, trust=job.options.trust)
    return chosen_samples(loaded, job.observations.values, question, samples)


def _usable(
    job: Job, checkpoints: Sequence[Checkpoint], samples: Sequence[int]
) -> list[Checkpoint]:
    """Return the checkpoints that can be loaded, whose outputs are finite; the first is loaded last."""
    usable = []
    for checkpoint in reversed(checkpoints):
        try:
            loaded = load(job.model, checkpoint, trust=job.options.trust)
        except (CheckpointError, ArchitectureError):
            if not job.options.skip_bad:
                raise
            continue
        outputs = outputs_of(loaded.with_samples(samples), job.observations.values[list(samples)])
        if np.isfinite(outputs).all():
            usable.append(checkpoint)
    if not usable:
        steps = ", ".join(f"{one.step:,}" for one in checkpoints)
        raise CheckpointError(
            f"no rule can be tried: outputs at steps {steps} are not finite; --until leaves them out"
        )
    return usable[::-1]
