"""Try every rule on a run's own network, and name one: ``lrpdyn rules --try`` and ``--rule auto``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.diagnostics.faithfulness import ORDERS, Curves, measure
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.diagnostics.reference_gain import are_same, under, usable, with_reference
from lrpdyn.diagnostics.rule_trial import (
    SAMPLES,
    LeftOut,
    OfRule,
    Row,
    candidates,
    choose,
    choose_reference,
    distinct,
    joined_curves,
    measure_rule,
    name_of,
    ranked,
    tried_checkpoints,
    untrained_range,
    with_references,
)
from lrpdyn.diagnostics.sanity_checks import Weights, random_weights, with_statistics
from lrpdyn.errors import ArchitectureError, CheckpointError, RunError, UsageError
from lrpdyn.explain.explanation import Question, chosen_samples, explain, outputs_of
from lrpdyn.explain.loaded import LoadedNetwork, load, load_again
from lrpdyn.explain.model import Model, with_plan
from lrpdyn.files.text import print_note
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.observations.fills import Fill, other_fill
from lrpdyn.observations.reference import make_reference, modal_of, usual_reference
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
#: So many rules, the best first, are tried with a reference, and the rule that a network is prepared with.
_REFERRED = 3
_ALL = slice(None)
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
        Rules, and references of them, that were not tried.
    steps, samples
        The checkpoints and the observations.
    fills
        What patches become: the fill, and the one that references are judged by, too, if any.
    named, reference, reason
        The rule to take, or None; the reference to take with it, if one is known to help; and why, in a
        sentence.
    """

    rows: Sequence[Row]
    random_order: tuple[float, float]
    left_out: Sequence[LeftOut]
    steps: Sequence[int]
    samples: Sequence[int]
    fills: Sequence[str]
    named: str | None
    reference: str | None
    reason: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for JSON and the manifest."""
        found = asdict(self)
        return {"named": found.pop("named"), "reference": found.pop("reference"),
                "reason": found.pop("reason"), "rules": found.pop("rows"), **found,
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
        return trial(job, _reference_to_try(job, options))


def _reference_to_try(job: Job, given: Options) -> tuple[str, NDArray[np.float32]] | None:
    """Return what the best rules are tried with, too, unless the reference was given."""
    if given.reference is not None:
        return None
    return usual_reference(job.observations.values, job.fill)


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
        reference = before.get("reference") if options.reference is None else None
        took = (
            f"rule {before['named']}{'' if reference is None else f' with --reference {reference}'}"
        )
        _say(f"{took}, which --rule auto took when the run began", options.quiet)
        options = replace(options, rule=before["named"], reference=reference or options.reference)
        return *prepare(options, listing, observations), before
    job, checks = prepare(replace(options, rule=_FIRST), listing, observations)
    found = trial(job, _reference_to_try(job, options))
    if found.named is None:
        best = next(row.rule for row in found.rows if row.reference is None)
        raise CheckpointError(
            f"--rule auto: {found.reason}; to take it all the same: --rule {best}"
        )
    _say(f"rule {found.reason}", options.quiet)
    model = replace(job.model, composite=parse_composite(found.named), plan={})
    options = replace(job.options, rule=found.named)
    if found.reference is not None:
        name, reference = make_reference(
            found.reference, job.observations, modal_of(job.observations)
        )
        model, options = replace(model, reference=reference), replace(options, reference=name)
    model = with_plan(model, job.observations.values, job.bounds)
    job = replace(job, options=options, model=model)
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


@dataclass(frozen=True, kw_only=True)
class _Measuring:
    """Measures rules at the checkpoints that were chosen, on several processes.

    Attributes
    ----------
    samples, fresh
        The observations that are explained; the weights of random networks.
    advance
        Is told how much of the work is done, in maps.
    """

    job: Job
    question: Question
    checkpoints: Sequence[Checkpoint]
    samples: Sequence[int]
    fresh: Sequence[Weights]
    advance: Callable[[int], object]

    def at(self, place: int, part: slice = _ALL) -> tuple[LoadedNetwork, Any, Question]:
        """Return the network with the weights of a checkpoint, for a part of the samples."""
        return _at(self.job, self.checkpoints[place], self.question, self.samples[part])

    def maps(self, models: Mapping[str, Model]) -> list[dict[str, OfRule]]:
        """Return by checkpoint what each rule gives, by name."""
        pairs = [(n, name) for n in range(len(self.checkpoints)) for name in models]

        def of_pair(pair: tuple[int, str]) -> OfRule:
            network, shown, asked = self.at(pair[0])
            return measure_rule(network, shown, asked, models[pair[1]], self.fresh[:_COMPARED])

        found = self._done(of_pair, pairs, 1)
        return [dict(zip(models, of_it, strict=True)) for of_it in _split(found, len(models))]

    def curves(
        self, measured: Sequence[Mapping[str, OfRule]], fill: Fill, orders: int = ORDERS
    ) -> list[Curves]:
        """Return by checkpoint the curves of each map, and of so many random orders."""
        stretches = [slice(n, n + _AT_ONCE) for n in range(0, len(self.samples), _AT_ONCE)]
        parts = [(n, part) for n in range(len(measured)) for part in stretches]

        def of_part(place: tuple[int, slice]) -> Curves:
            n, part = place
            network, shown, asked = self.at(n, part)
            targets = next(iter(measured[n].values())).target[part]
            maps = {name: one.maps[part] for name, one in measured[n].items()}
            masks = np.stack(patch_masks(shown.shape))
            return measure(
                network, shown, replace(asked, targets=targets), maps, fill.of(shown), masks, orders
            )

        # The curves of some samples take so many times as long as a rule's maps.
        found = self._done(of_part, parts, len(measured[0]))
        return [joined_curves(of_parts) for of_parts in _split(found, len(stretches))]

    def _done(self, function: Callable[[Any], Any], pieces: Sequence[Any], each: int) -> list[Any]:
        workers = processes(self.job.options.workers, self.job.model.device.type)
        found = []
        for one in in_order(function, pieces, min(workers, len(pieces))):
            found.append(one)
            self.advance(each)
        return found


def _split(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[n : n + size] for n in range(0, len(values), size)]


def trial(job: Job, reference: tuple[str, NDArray[np.float32]] | None) -> Trial:
    """Return what every rule that fits gives for the network and the question of a job.

    The best are tried with a `reference` (`lrpdyn.observations.reference.usual_reference`), too, if any.
    """
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
    untrained = untrained_range(loaded.model, shown, asked, fresh, job.fill.of(shown))
    named_models = {str(model.composite): model for model in models}
    # Maps of each rule, and then their curves, twice: those with a reference take about as long.
    total = 2 * 2 * len(chosen) * len(models)
    with progress_bar(quiet=job.options.quiet, total=total, desc="trying rules", unit="map") as bar:
        measuring = _Measuring(
            job=job, question=question, checkpoints=chosen, samples=samples, fresh=fresh,
            advance=bar.update,
        )  # fmt: skip
        measured, not_finite = _finite(measuring.maps(named_models))
        if not measured[0]:
            raise CheckpointError("no rule can be tried: the maps of all of them are not finite")
        curves = measuring.curves(measured, job.fill)
        rows, band = ranked(measured, curves)
        named, reason = choose(rows, band)
        moved = max(one.score_range for one in curves)
        if moved < _DECIDED * untrained:
            named, reason, reference = (
                None,
                (
                    "no rule is named, for the network is hardly more decided than an untrained one: with "
                    f"all taken away its score moves by {moved:.2g}, that of freshly initialised networks "
                    f"by up to {untrained:.2g}; the best is {rows[0].rule} ({rows[0].faithfulness:.2f})"
                ),
                None,
            )
        found = Trial(
            rows=rows, random_order=band, left_out=[*left_out, *twins, *not_finite],
            steps=sorted(checkpoint.step for checkpoint in chosen), samples=samples,
            fills=[job.fill.kind], named=named, reference=None, reason=reason,
        )  # fmt: skip
        if reference is None:
            return found
        return _with_references(measuring, found, reference, named_models, measured, curves)


def _with_references(
    measuring: _Measuring,
    found: Trial,
    reference: tuple[str, NDArray[np.float32]],
    models: Mapping[str, Model],
    measured: Sequence[Mapping[str, OfRule]],
    curves: Sequence[Curves],
) -> Trial:
    """Return the trial of all rules with that of the best of them with a reference."""
    job, (kind, values) = measuring.job, reference
    loaded, shown, asked = measuring.at(0)
    left_out: list[LeftOut] = list(found.left_out)
    referred: dict[str, Model] = {}
    compared = set() if found.named is None else {found.named}
    for rule in (row.rule for row in found.rows):
        if len(referred) >= _REFERRED and rule != _FIRST:
            continue
        name = name_of(rule, kind)
        try:
            model = with_reference(models[rule], values, shown, job.bounds)
        except UsageError as error:
            left_out.append(LeftOut(rule=name, reason=str(error)))
            continue
        if are_same(explain(under(loaded, model), shown, asked).relevance, measured[0][rule].maps):
            left_out.append(LeftOut(rule=name, reason="its maps are those without the reference"))
            continue
        referred[name] = model
        compared.add(rule)
    found = replace(found, left_out=left_out)
    if not referred:
        return found
    with_it, not_finite = _finite(measuring.maps(referred))
    left_out += not_finite
    if not with_it[0]:
        return found
    second = other_fill(job.fill, job.observations.values)
    more = measuring.curves(with_it, job.fill, orders=0)
    curves = [
        replace(one, score={**one.score, **new.score})
        for one, new in zip(curves, more, strict=True)
    ]
    both = [
        {rule: one for rule, one in alone.items() if rule in compared} | of_it
        for alone, of_it in zip(measured, with_it, strict=True)
    ]
    largest = max(one.score_range for one in curves)
    other = usable(measuring.curves(both, second, orders=0), largest)
    if not other:
        reason = (
            f"with --fill {second.kind} the score hardly moves, so that it is not known to help"
        )
        left_out += [LeftOut(rule=name, reason=reason) for name in with_it[0]]
        return found
    rows, values_of = with_references(found.rows, kind, with_it, curves, other)
    found = replace(found, rows=rows, fills=[job.fill.kind, second.kind])
    taken = choose_reference(rows, values_of, found.named, found.random_order, found.fills)
    if taken is None:
        return found
    return replace(found, named=taken[0].rule, reference=kind, reason=taken[1])


def _finite(
    measured: Sequence[Mapping[str, OfRule]],
) -> tuple[list[dict[str, OfRule]], list[LeftOut]]:
    """Return what has finite maps at every checkpoint, and the rules that have not."""
    fine = [
        name
        for name in measured[0]
        if all(np.isfinite(of_rules[name].maps).all() for of_rules in measured)
    ]
    return (
        [{name: of_rules[name] for name in fine} for of_rules in measured],
        [
            LeftOut(rule=name, reason="its maps are not finite")
            for name in measured[0]
            if name not in fine
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
