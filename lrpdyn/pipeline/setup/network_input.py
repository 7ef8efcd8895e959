"""The observations of a job, as its network sees them."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrpdyn.architectures.registry import heads_of, path_of
from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.explain.model import Model
from lrpdyn.observations.fixed_inputs import (
    FixedInputs,
    assumed_without,
    hidden_states,
    is_recurrent,
    join_inputs,
    joins,
    names_given,
    notes,
    places_of,
    split_inputs,
)
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import Observations, load_observations
from lrpdyn.observations.normalisation import Statistics, from_file
from lrpdyn.observations.spaces import DictInputs
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.run.layout import nearest_folder


def network_input(
    sources: list[Any], expected: Expected, model: Model, options: Options
) -> tuple[Observations, FixedInputs]:
    """Return the observations, and the values of inputs that are fixed next to them.

    Raises
    ------
    LrpdynError
        They do not fit the network, or its observation space.
    """
    _check_head(sources, model)
    inputs = _dict_inputs(model.resolved.hints, options)
    if inputs is not None and joins(inputs, model.path, expected.features):
        loaded = _joined(sources, expected, inputs, options)
        fixed = hidden_states(sources, model.path, sum(loaded.counts))
    else:
        given, fixed = split_inputs(sources, model.path, inputs)
        if fixed and options.stack is not None:
            raise UsageError(
                f"--stack {options.stack}: there are values of {', '.join(fixed)} for each of the frames; "
                "give stacks of frames, with the values of each stack"
            )
        loaded = _load(given, expected, options)
    if (is_recurrent(model.path) or assumed_without(model.path)) and not fixed:
        loaded = replace(loaded, notes=(*loaded.notes, *notes(model.path, fixed)))
    return loaded, fixed


def _check_head(sources: list[Any], model: Model) -> None:
    """Raise ObservationError where values are of the fixed inputs of another head alone."""
    given, own = names_given(sources), set(getattr(model.path, "held", {}))
    if own & given:
        return
    for head in heads_of(model.network):
        others = set(getattr(path_of(model.network, head)[1], "held", {}))
        if others and others <= given:
            where = "the mapping" if isinstance(sources[0], Mapping) else sources[0]
            raise ObservationError(
                f"{where}: holds {', '.join(sorted(others))} of head {head}, and head {model.head} takes "
                f"{', '.join(sorted(own)) or 'none of it'}; explain that head with --head {head}"
            )


def _joined(
    sources: list[Any], expected: Expected, inputs: DictInputs, options: Options
) -> Observations:
    """Return the inputs of a Dict space, one after the other, by name or as they were joined before."""
    joined = [join_inputs(source, inputs) for source in sources]
    places = places_of(inputs)
    order = ", ".join(f"{name} ({size})" for name, _, size in places)
    arrays = [array for array in joined if array is not None]
    if len(arrays) < len(joined):
        if options.statistics not in (None, "none") and len(places) > 1:
            raise UsageError(
                f"--statistics {options.statistics}: the observations are several inputs, {order}, and each "
                "has its own: give them by name, in one .npz"
            )
        loaded = _load(sources, expected, options)
        notes = [f"one array for the inputs of a Dict space, taken as joined in its order: {order}"]
    elif options.scale not in (None, "none") or options.mean or options.std:
        raise UsageError(
            f"--scale, --mean, --std: the observations are several inputs, {order}; their space says "
            "what is done to each"
        )
    else:
        plain = replace(options, statistics=options.statistics and "none")
        loaded = _load(arrays, expected, plain)
        files = [source if isinstance(source, str | Path) else "<array>" for source in sources]
        loaded = replace(loaded, files=tuple(map(str, files)))
        notes = []
    used = None if options.statistics is None else str(options.statistics)
    preparation = {
        **loaded.preparation, "statistics": used, "inputs": [list(place) for place in places]
    }  # fmt: skip
    return replace(loaded, preparation=preparation, notes=(*loaded.notes, *notes))


def _load(sources: list[Any], expected: Expected, options: Options) -> Observations:
    return load_observations(
        sources, expected, **options.part("arrangement"), trust=options.trust,
        folder=nearest_folder(options.folder),
    )  # fmt: skip


def _dict_inputs(hints: Mapping[str, Any], options: Options) -> DictInputs | None:
    spaces = hints.get("observation_space", {}).get("spaces")
    if not spaces:
        return None
    given = options.statistics

    @functools.cache
    def normalisation(name: str) -> Statistics | None:
        if given is None or str(given) == "none":
            return None
        return from_file(Path(given), trust=options.trust, name=name)

    return DictInputs(
        spaces=spaces,
        normalize_images=hints.get("normalize_images") is not False,
        normalisation=normalisation,
        bounded=given is None and options.scale is None,
    )
