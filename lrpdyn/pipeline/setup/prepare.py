"""From options to a job: the checkpoints are listed, the network is made, observations are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from lrpdyn.architectures.registry import Resolved, check_function, check_spaces, named, resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.diagnostics import same_outputs
from lrpdyn.diagnostics.expected_outputs import MissingStepError, check_recorded
from lrpdyn.errors import ArchitectureError, CheckpointError, UsageError
from lrpdyn.explain.explanation import outputs_of
from lrpdyn.explain.loaded import LoadedNetwork, load
from lrpdyn.explain.model import (
    Model,
    expected_observations,
    make_model,
    with_fixed_inputs,
    with_layers,
    with_plan,
    with_units,
)
from lrpdyn.explain.targets import LABELS, contrast_of, parse_target
from lrpdyn.files.names import Names
from lrpdyn.files.text import print_note
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import Bounds
from lrpdyn.observations.choice import highlights_in
from lrpdyn.observations.datasets import is_dataset
from lrpdyn.observations.doubtful import Doubt, find_doubtful, line_of
from lrpdyn.observations.fills import parse_fill
from lrpdyn.observations.label_files import numbered
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.reference import make_reference, modal_of, parse_reference
from lrpdyn.observations.training_statistics import check_normalisation, recorded_as_normalised
from lrpdyn.pipeline.setup.highlighted import highlighted
from lrpdyn.pipeline.setup.job import Job, make_job
from lrpdyn.pipeline.setup.known_names import known_names
from lrpdyn.pipeline.setup.network_input import network_input
from lrpdyn.pipeline.setup.options import AUTO, Contrast, Options
from lrpdyn.pipeline.setup.values import check_values, selection_of
from lrpdyn.system.progress import progress_bar

#: So many bad checkpoints are reported with their reasons.
_MOST_BAD = 20


def check(options: Options) -> None:
    """Check the options that name something, before anything of the run is read.

    Raises
    ------
    LrpdynError
        There is no such architecture, rule, target, baseline, file or the like.
    """
    if options.arch is not None:
        named(options.arch)  # a file of the user's may register rules too
        if options.rule != AUTO:
            parse_composite(options.rule)
    check_values(options)


def listed(checkpoints: str | Path, options: Options, fewest: int = 2) -> Listing:
    """Return the checkpoints.

    Raises
    ------
    CheckpointError
        There are fewer than `fewest`, or some cannot be used and `skip_bad` is not set.
    """
    listing = discover(
        checkpoints,
        selection=selection_of(options),
        trust=options.trust,
        links=options.links,
        progress=partial(progress_bar, quiet=options.quiet, desc="reading headers"),
    )
    check_bad(listing, options.skip_bad)
    found = len(listing.checkpoints)
    if found < fewest:
        others = [f"{entry.path.name} ({entry.reason})" for entry in listing.left_out[:3]]
        left = f"; skipped: {', '.join(others)}" if others else ""
        expected = "two or more, whose steps differ" if fewest > 1 else "one or more"
        raise CheckpointError(
            f"{checkpoints}: found {found} checkpoint{'s' * (found != 1)}, expected {expected}{left}; "
            "lrpdyn inspect lists every entry"
        )
    return listing


def check_bad(listing: Listing, skip_bad: bool) -> None:
    """Raise CheckpointError where entries cannot be used, unless they are to be skipped."""
    if listing.bad and not skip_bad:
        reasons = "; ".join(entry.reason for entry in listing.bad[:_MOST_BAD])
        beyond = len(listing.bad) - _MOST_BAD
        more = f"; and {beyond} more, see lrpdyn inspect" if beyond > 0 else ""
        total = len(listing.bad) + len(listing.checkpoints)
        raise CheckpointError(
            f"{len(listing.bad)} of {total} checkpoints cannot be used: {reasons}{more}"
        )


def prepare(
    options: Options, listing: Listing, observations: Any, resolved: Resolved | None = None
) -> tuple[Job, dict[str, Any]]:
    """Return the job, whose network is that of the first checkpoint, and what was checked of it.

    Call this with one thread (`one_thread`). `resolved` is the architecture, where it need not be found.
    """
    first = listing.checkpoints[0]
    if resolved is None:
        resolved = resolve(
            options.arch, dict(options.arch_args or {}), first.header, str(first.path),
            options.prefix,
        )  # fmt: skip
    for checkpoint in listing.checkpoints:
        check_spaces(resolved, checkpoint.header, str(checkpoint.path))
        if not options.skip_bad:
            check_function(resolved, checkpoint.header, str(checkpoint.path))
    _say([*listing.notes, *_notes(resolved, first)], options.quiet)
    model = make_model(
        resolved, options.head, _device(options.device), options.batch_size,
        parse_composite(options.rule),
    )  # fmt: skip
    sources = _as_list(observations)
    if options.statistics is None and recorded_as_normalised(sources):
        options = replace(options, statistics="none")
    known = any(entry.header.hints.get("vec_normalize") for entry in listing.checkpoints)
    said = check_normalisation(options.statistics, first.path, first.format, sources, known=known)
    expected = expected_observations(model)
    select, count = options.select, highlights_in(options.select)
    if count is not None:
        chosen = highlighted(count, sources, expected, model, options, listing)
        options = replace(options, samples=chosen, select=None)
    loaded, fixed = network_input(sources, expected, model, options)
    if count is not None:
        loaded = replace(loaded, preparation={**loaded.preparation, "select": select})
    _say([*said, *loaded.notes], options.quiet)
    model = with_layers(with_fixed_inputs(model, fixed, loaded.chosen), loaded.values)
    bounds = bounds_of(expected, loaded)
    loaded = replace(loaded, doubtful=doubtful(model, loaded, bounds))
    if loaded.doubtful and not options.quiet:
        print_note(line_of(loaded.doubtful, loaded.chosen))
    recorded = check_outputs(model, listing, loaded, options)
    network = _load_first(model, listing, options)
    checks: dict[str, Any] = {
        "outputs": same_outputs.compare_outputs(network, loaded.values),
        "expected": recorded,
    }
    count = outputs_of(network, loaded.values[:1]).shape[1]
    given, modal = parse_fill(options.fill), modal_of(loaded)
    name, reference = make_reference(parse_reference(options.reference), loaded, modal)
    model = replace(with_units(model, count, options.actions), reference=reference)
    model = with_plan(model, loaded.values, bounds)
    contrast = contrast_of(options.contrast, model.units)
    options = replace(options, contrast=cast(Contrast, contrast), reference=name)
    asked = None if options.target is None else str(options.target)
    names = known_names(options, model, loaded, sources, count)
    target = parse_target(
        asked, len(loaded.values), count, model.units, labels=partial(_labels, loaded, names)
    )
    if target.policy == LABELS and loaded.classes:
        _say([f"labels number the classes in this order: {_listed(loaded.classes)}"], options.quiet)
    fill = modal if isinstance(given, str) else _scaled(given, loaded)
    job = make_job(options, listing, model, loaded, target, bounds=bounds, fill=fill, names=names)
    return job, checks


def check_outputs(
    model: Model, listing: Listing, observations: Observations, options: Options
) -> dict[str, Any] | None:
    """Compare the network's outputs with those that were recorded, if any were.

    None, too, while a run is followed that has no checkpoint of the recorded step yet.
    """
    try:
        return check_recorded(
            model, listing, observations, options.expect, options.expect_step,
            actions=options.actions, trust=options.trust,
        )  # fmt: skip
    except MissingStepError:
        if not options.follow:
            raise
        return None


def _as_list(observations: Any) -> list[Any]:
    if isinstance(observations, str | Path | np.ndarray | Mapping) or is_dataset(observations):
        return [observations]
    return list(observations)


def _device(name: str) -> str:
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name.partition(":")[0], False):
        here = ", ".join(kind for kind, there in available.items() if there)
        raise UsageError(f"--device {name}: not available here; expected auto, {here}")
    return name


def _load_first(model: Model, listing: Listing, options: Options) -> LoadedNetwork:
    for checkpoint in listing.checkpoints:
        try:
            return load(model, checkpoint, trust=options.trust)
        except (CheckpointError, ArchitectureError):
            if not options.skip_bad:
                raise
    raise CheckpointError("no checkpoint can be loaded; lrpdyn inspect says why")


def bounds_of(expected: Expected, loaded: Observations) -> Bounds | None:
    """Return the least and the largest value that observations can have, where it is known."""
    pixels = (0.0, 255.0 / loaded.scale) if loaded.pixels else None
    if loaded.normalisation is not None:
        ends = None if pixels is None else loaded.normalisation.bounds(*pixels)
        if ends is None or len(ends[0]) > 1:
            return ends
        return ends[0][0], ends[1][0]
    if loaded.preparation["statistics"] is not None:  # the space may be of the raw observations
        return pixels
    return expected.range or pixels


def doubtful(model: Model, loaded: Observations, bounds: Bounds | None) -> tuple[Doubt, ...]:
    """Return which observations may be wrong; `model` has the inputs that are fixed next to them."""
    known = None
    if bounds is not None:
        least, most = bounds
        if not isinstance(least, tuple) and not isinstance(most, tuple):
            known = (least, most)
    return tuple(find_doubtful(loaded.values, known, model.fixed_inputs))


def _labels(loaded: Observations, names: Names, count: int) -> list[int]:
    """Return the labels of the samples as units of a head with `count` of them."""
    samples = [
        name or f"sample {number}"
        for number, name in zip(loaded.chosen, loaded.sample_names, strict=True)
    ]
    return numbered(
        loaded.labels, samples, classes=loaded.classes, units=names.get("units", {}), count=count
    )


def _listed(classes: Sequence[str]) -> str:
    listed = [f"{number} {name}" for number, name in enumerate(classes)]
    return ", ".join([*listed[:20], *(["..."] if len(listed) > 20 else [])])


def _scaled(fill: float, loaded: Observations) -> float:
    """Return a value of the observation files as the network takes it."""
    value = fill / loaded.scale
    if loaded.normalisation is None:
        return value
    ends = loaded.normalisation.bounds(value, value)
    if ends is None or len(set(ends[0])) > 1:
        raise UsageError(
            "--fill: normalised by a mean and deviation for each channel or pixel, one value is "
            "another in each; give --fill modal (the default), blurred or mean"
        )
    return ends[0][0]


def _say(lines: Iterable[str], quiet: bool) -> None:
    """Write notes to stderr; with `quiet`, only what is trusted to run code."""
    for line in lines:
        if not quiet or line.startswith("trusted"):
            print_note(f"Note: {line}")


def _notes(resolved: Resolved, first: Checkpoint) -> list[str]:
    """Say which architecture and which keys were taken, where others were possible."""
    notes = []
    name = resolved.architecture.name
    if resolved.also:
        notes.append(
            f"architecture {name} is taken, the first that fits; so would {', '.join(resolved.also)} "
            "(--arch NAME)"
        )
    unused = resolved.mapping.unused(first.header.shapes)
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        notes.append(
            f"weights under '{resolved.mapping.prefix}' are architecture {name}; not used: "
            f"{', '.join(unused[:3])}{more}"
        )
    return notes
