"""Checks after the last step: what the maps depend on, and a second look at outliers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.formats.live import LIVE
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.diagnostics.baseline import parse_baseline
from lrpdyn.diagnostics.interventions import Interventions, chosen_transitions
from lrpdyn.diagnostics.random_networks import mean_of_networks, measure_network
from lrpdyn.diagnostics.reference_gain import with_reference
from lrpdyn.diagnostics.sanity_checks import (
    Weights,
    dependence,
    random_weights,
    with_statistics,
)
from lrpdyn.diagnostics.second_look import Maps, SecondLook
from lrpdyn.dynamics.one_step import OfRandom
from lrpdyn.dynamics.step_table import Records
from lrpdyn.errors import UsageError
from lrpdyn.explain.explanation import Integers, Question, explain_batch
from lrpdyn.explain.loaded import load_again, load_if_there
from lrpdyn.explain.model import Model, batches, with_fixed_inputs
from lrpdyn.files.npy import map_npy
from lrpdyn.observations.checked_samples import checked_samples, evenly_spaced
from lrpdyn.observations.reference import usual_reference
from lrpdyn.outliers.facts import Evidence
from lrpdyn.outliers.report import Outliers
from lrpdyn.pipeline.results.faithful_steps import (
    Faithfulness,
    Measuring,
    extent,
    flagged_steps,
    patches_of,
)
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import parse_faithfulness
from lrpdyn.run.layout import relevance_path
from lrpdyn.system.memory import give_back
from lrpdyn.system.processes import in_order
from lrpdyn.system.progress import progress_bar

#: Something to be done, which gives plain data.
Work = Callable[[], Any]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What the maps depend on, and the evidence at steps that are outliers.

    `dependence` has an entry for the first, middle and last finite step and for those whose faithfulness is
    measured, `layers` one for each transition whose layers' weights were put back. None is what was not
    checked.
    """

    dependence: list[dict[str, Any]] | None
    of_random: OfRandom | None
    faithfulness: Faithfulness | None
    agreement: dict[str, Any] | None
    evidence: Evidence
    layers: list[dict[str, Any]]


def check_maps(
    job: Job,
    question: Question,
    records: Records,
    outliers: Outliers,
    draw: Work,
    workers: int = 1,
) -> Checked:
    """Compare the maps with those of random networks, and with painting patches over.

    Steps that are outliers are explained once more, and with layers put back. All of it is shared among
    `workers` processes, and so is `draw`, which is no check but takes as long. A step whose checkpoint
    is gone since it was explained is skipped.
    """
    places = {step: place for place, step in enumerate(records["step"].tolist())}
    checkpoints = {checkpoint.step: checkpoint for checkpoint in job.listing.checkpoints}

    def targets(step: int) -> Integers:
        return np.array(records["target"][places[step]])

    look = SecondLook(
        model=job.model,
        observations=job.observations.values,
        question=question,
        normalisation=job.options.normalize,
        checkpoints=checkpoints,
        targets=targets,
        maps=_maps_of(job, question, checkpoints, targets),
        trust=job.options.trust,
    )
    wanted = outliers.wanted()
    networks = parse_baseline(job.options.baseline)
    fresh = [random_weights(job.model, seed) for seed in range(networks + 1)] if networks else []
    regions = None if job.painting is None else job.painting.regions
    gone = {c.step for c in checkpoints.values() if c.format == LIVE and not c.path.exists()}
    finite = [step for step in records.finite_steps if step not in gone]
    if finite and finite[-1] in checkpoints:
        # Buffers that are not learned are those of the last finite step, whoever measures a network.
        load_if_there(job.model, checkpoints[finite[-1]], trust=job.options.trust)
    if fresh:
        samples = checked_samples(len(job.observations.values))
        shown = job.observations.values[samples]
        model = with_fixed_inputs(job.model, job.model.fixed_inputs, samples)
        fresh = [with_statistics(model, weights, shown) for weights in fresh]
    chosen = [finite[n] for n in sorted({0, len(finite) // 2, len(finite) - 1})] if finite else []
    measuring = _measuring(job, look, outliers, finite)
    depended = {*chosen, *(() if measuring is None else measuring.steps)}
    of_networks: list[Work] = [
        partial(measure_network, job.model, job.observations.values, question, network, regions)
        for network in fresh[:networks]
    ]
    of_steps: list[Work] = [
        partial(_dependence_at, job, question, fresh, checkpoint)
        for checkpoint in (job.listing.checkpoints if networks else ())
        if checkpoint.step in depended
    ]
    of_patches: list[Work] = [
        partial(look.agreement_at, step, job.fill)
        for step in (chosen if job.painting is None else ())
    ]
    of_faithfulness: list[Work] = [] if measuring is None else list(measuring.works())
    of_outliers = look.works(wanted, outliers.facts)
    most = job.options.interventions
    of_layers: list[Work] = []
    if most != 0:
        interventions = Interventions(
            model=job.model,
            observations=job.observations.values,
            question=question,
            normalisation=job.options.normalize,
            checkpoints=checkpoints,
            trust=job.options.trust,
        )
        of_layers += interventions.works(chosen_transitions(outliers), len(finite), most)
    # The longest first, and all at once: a step takes a tenth of the time of a check.
    works = [draw, *of_faithfulness, *of_networks, *of_layers, *of_steps, *of_patches, *of_outliers]
    give_back()
    found = in_order(
        lambda n: works[n](), range(len(works)), min(workers, len(works)), ahead=len(works)
    )
    done = iter(
        list(
            progress_bar(found, quiet=job.options.quiet, desc="checking the maps", total=len(works))
        )
    )
    _, faithful, measured, put_back, dependent, agreed, looked = (
        list(islice(done, len(part)))
        for part in (
            [draw],
            of_faithfulness,
            of_networks,
            of_layers,
            of_steps,
            of_patches,
            of_outliers,
        )
    )
    agreement = {"rule": job.model.composite.name, "fill": job.fill.plain, "steps": _there(agreed)}
    return Checked(
        dependence=_there(dependent) if networks else None,
        of_random=mean_of_networks(measured, regions),
        agreement=agreement if job.painting is None else None,
        evidence=look.evidence(wanted, outliers.facts, looked),
        layers=put_back,
        faithfulness=None if measuring is None else measuring.result(faithful),
    )


def _measuring(
    job: Job, look: SecondLook, outliers: Outliers, finite: Sequence[int]
) -> Measuring | None:
    """Return what measures the faithfulness of the steps that are asked for; None where none are."""
    asked = parse_faithfulness(job.options.faithfulness)
    if asked == "none" or not finite:
        return None
    regions = None if job.painting is None else job.painting.regions
    values = job.observations.values
    patches = len(patches_of(values.shape, regions, [0]))
    wanted = job.options.faithfulness_samples
    steps, samples = extent(asked, len(finite), len(values), patches, wanted)
    chosen = {finite[place] for place in evenly_spaced(len(finite), steps)}
    return Measuring(
        look=look,
        fill=job.fill,
        regions=regions,
        steps=sorted(chosen | (set(flagged_steps(outliers)) & set(finite))),
        samples=evenly_spaced(len(values), samples),
        referred=_referred(job),
    )


def _referred(job: Job) -> tuple[str, Model] | None:
    """Return a reference to compare with, where there is none, and the model that has it, if it can."""
    values = job.observations.values
    usual = None if job.model.reference is not None else usual_reference(values, job.fill)
    if usual is None:
        return None
    name, reference = usual
    try:
        return name, with_reference(job.model, reference, values, job.bounds)
    except UsageError:
        return None


def _there(values: Iterable[dict[str, Any] | None]) -> list[dict[str, Any]]:
    return [value for value in values if value is not None]


def _dependence_at(
    job: Job, question: Question, fresh: Sequence[Weights], checkpoint: Checkpoint
) -> dict[str, Any] | None:
    """Return what the maps of one step depend on, over the samples of `checked_samples`."""
    loaded = load_if_there(job.model, checkpoint, trust=job.options.trust)
    if loaded is None:
        return None
    values = job.observations.values
    found = dependence(loaded, values, question, fresh)
    give_back()
    return {"step": checkpoint.step, "samples": len(checked_samples(len(values))), **found}


def _maps_of(
    job: Job,
    question: Question,
    checkpoints: Mapping[int, Checkpoint],
    targets: Callable[[int], Integers],
) -> Maps:
    """Return what gives the float32 maps of some samples at a step: stored, or made once more."""

    def stored(step: int, samples: Sequence[int]) -> NDArray[np.float32]:
        # Mapped for as long as it takes to copy: of thousands of samples few are read.
        return np.array(map_npy(relevance_path(job.folder, step))[list(samples)])

    def explained_again(step: int, samples: Sequence[int]) -> NDArray[np.float32]:
        loaded = load_again(job.model, checkpoints[step], trust=job.options.trust)
        asked = replace(question, targets=targets(step))
        # In the batches that they were in: last bits depend on it.
        found: dict[int, NDArray[np.float32]] = {}
        for chosen, x in batches(job.model, job.observations.values):
            inside = [n for n in samples if chosen.start <= n < chosen.stop]
            if inside:
                maps = explain_batch(loaded, x, asked.part(chosen)).relevance
                found |= {n: maps[n - chosen.start] for n in inside}
        return np.stack([found[n] for n in samples])

    return stored if job.storage.whole else explained_again


def same_weights(listing: Listing, records: Records) -> list[list[int]]:
    """Return the groups of steps that have the same weights: a training that stood still."""
    order = np.argsort(records["digest"], kind="stable")
    steps, hashes = records["step"][order], records["digest"][order]
    borders = np.flatnonzero(hashes[1:] != hashes[:-1]) + 1
    groups = {tuple(group.tolist()) for group in np.split(steps, borders) if len(group) > 1}
    return [list(group) for group in sorted(groups | set(listing.same))]
