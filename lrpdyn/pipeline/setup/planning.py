"""The rule of each operation of a network of which nothing is explained yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lrpdyn.architectures.registry import resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.errors import (
    ArchitectureError,
    CheckpointError,
    LrpdynError,
    ObservationError,
    UsageError,
)
from lrpdyn.explain.loaded import load
from lrpdyn.explain.model import (
    Model,
    expected_observations,
    make_model,
    with_fixed_inputs,
    with_layers,
    with_plan,
)
from lrpdyn.files.text import print_note
from lrpdyn.lrp.canonical.canonise import canonise_fully
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.operations_table import operations_table
from lrpdyn.lrp.plan import make_plan, unused
from lrpdyn.observations import spaces
from lrpdyn.observations.choice import highlights_in
from lrpdyn.observations.doubtful import line_of
from lrpdyn.observations.fixed_inputs import notes
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import Observations
from lrpdyn.pipeline.setup.network_input import network_input
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import bounds_of, check, doubtful
from lrpdyn.pipeline.setup.values import selection_of

#: The usual side of the images of a classifier, in pixels.
_SIDE = 224


@dataclass(frozen=True, kw_only=True)
class Planned:
    """The plan of a network: of which checkpoint, its operations (`operations_table`), and notes."""

    checkpoint: Checkpoint
    model: Model
    operations: Sequence[Mapping[str, Any]]
    notes: Sequence[str]


def planned(
    checkpoints: str,
    observations: Sequence[Any],
    options: Options,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> Planned:
    """Return what `lrpdyn.compute` would do to each operation of the first checkpoint's network.

    Parameters
    ----------
    checkpoints
        As `lrpdyn.compute` takes them; one is enough.
    observations
        The same; may be none. Zeros then take their place, of the shape that the checkpoint or the
        architecture tells. Where nothing tells it, the network is traced without an example.
    options
        Those that choose checkpoints, the network, the rule and how observations are read.
    progress
        Wraps the list of paths while they are read.

    Raises
    ------
    LrpdynError
        An operation has no rule, or the network needs observations to be traced.
    """
    check(options)
    composite = parse_composite(options.rule)
    if composite.exact_rule is not None:
        raise UsageError(
            f"--rule {options.rule}: Captum's own rules are attached by Captum, which has no plan; see "
            f"--rule {composite.exact_rule}, which is exact"
        )
    listing = discover(
        checkpoints, selection=selection_of(options), trust=options.trust, links=options.links,
        progress=progress,
    )  # fmt: skip
    if not listing.checkpoints:
        raise CheckpointError(
            f"{checkpoints}: found no checkpoint; lrpdyn inspect lists every entry"
        )
    first = listing.checkpoints[0]
    resolved = resolve(
        options.arch, dict(options.arch_args or {}), first.header, str(first.path), options.prefix
    )
    model = make_model(resolved, options.head, "cpu", options.batch_size, composite)
    load(model, first, trust=options.trust)
    if observations:
        model, loaded = _with_observations(model, list(observations), options)
        said = list(loaded.notes)
        if loaded.doubtful and not options.quiet:
            print_note(line_of(loaded.doubtful, loaded.chosen))
    else:
        model, said = _with_zeros(model, options)
    found = [*resolved.assumed, *said, *model.canonised.notes, *unused(composite, model.explained)]
    rows = operations_table(model.explained, model.plan, model.path)
    return Planned(checkpoint=first, model=model, operations=rows, notes=found)


def _with_observations(
    model: Model, sources: list[Any], options: Options
) -> tuple[Model, Observations]:
    expected = expected_observations(model)
    if highlights_in(options.select) is not None:  # which ones does not matter to the plan
        options = replace(options, select=None)
    loaded, fixed = network_input(sources, expected, model, options)
    model = with_layers(with_fixed_inputs(model, fixed, loaded.chosen), loaded.values)
    bounds = bounds_of(expected, loaded)
    loaded = replace(loaded, doubtful=doubtful(model, loaded, bounds))
    return with_plan(model, loaded.values, bounds), loaded


def _with_zeros(model: Model, options: Options) -> tuple[Model, list[str]]:
    """Return the model with its plan, which an observation of zeros is an example for, or none."""
    examples = _examples(model, expected_observations(model))
    failed: dict[bool, LrpdynError] = {}
    for zeros in examples:
        try:
            if zeros is None:
                said = "no observations, and nothing tells their shape: traced without an example"
                return _without_example(model), [said]
            with_zeros, _ = _with_observations(model, [zeros], options)
            said = f"no observations: zeros {_shapes(zeros)} are the example of them"
            return with_zeros, [said, *notes(model.path, {})]
        except (ArchitectureError, ObservationError) as error:
            failed[zeros is None] = error
    # What an example met says more than that there has to be one.
    reason = failed.get(False) or failed[True]
    # A trace that failed has a cause; an operation without a rule has none, whatever the example.
    if (len(examples) == 1 and examples[0] is not None) or reason.__cause__ is None:
        raise reason
    raise ObservationError(
        "expected OBSERVATIONS after CHECKPOINTS, since nothing tells the shape of what this network sees; "
        f"found none, and without them {reason}"
    )


def _without_example(model: Model) -> Model:
    if any(one.rule.definition.bounded for one in model.composite.assignments):
        raise ObservationError(
            f"--rule {model.composite}: expected OBSERVATIONS, whose shape its bounds have, found none"
        )
    model = replace(model, layers=canonise_fully(model.path, model.composite.claims))
    return replace(model, plan=make_plan(model.explained, model.composite))


def _examples(model: Model, expected: Expected) -> list[Any]:
    """Return what may be an example of the observations, the likeliest first; None for having none."""
    hints = model.resolved.hints
    space = hints.get("observation_space")
    zeros = None if space is None else spaces.zeros(space)
    if zeros is not None:
        return [zeros]
    if expected.shape is not None:
        return [np.zeros((1, *expected.shape), np.float32)]
    if expected.channels is None:
        return [np.zeros((1, expected.features or 1), np.float32), None]
    arguments = {**hints.get("config", {}), **model.resolved.arguments}
    side = arguments.get("image_size", arguments.get("img_size"))
    if expected.channels != 3 and side is None:
        return [None]
    sides = side if isinstance(side, list | tuple) else (side or _SIDE,) * 2
    image = np.zeros((1, expected.channels, *sides), np.float32)
    return [image] if side is not None else [None, image]


def _shapes(zeros: Any) -> str:
    if isinstance(zeros, Mapping):
        return ", ".join(f"{name} {array.shape}" for name, array in zeros.items())
    return str(zeros.shape)
