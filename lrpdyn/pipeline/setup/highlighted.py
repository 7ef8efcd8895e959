"""The observations at which a run's last checkpoint cares most about what it chooses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Listing
from lrpdyn.errors import ArchitectureError, CheckpointError, UsageError
from lrpdyn.explain.explanation import outputs_of
from lrpdyn.explain.loaded import load
from lrpdyn.explain.model import Model, with_fixed_inputs, with_layers, with_units
from lrpdyn.explain.units import Units
from lrpdyn.observations.choice import highlights
from lrpdyn.observations.layout import Expected
from lrpdyn.pipeline.setup.network_input import network_input
from lrpdyn.pipeline.setup.options import Options


def highlighted(
    count: int,
    sources: list[Any],
    expected: Expected,
    model: Model,
    options: Options,
    listing: Listing,
) -> list[int]:
    """Return the numbers of so many observations, by the last finite checkpoint of all that are listed.

    Raises
    ------
    UsageError
        There are not so many, or the outputs do not compete.
    """
    if options.samples is not None:
        raise UsageError("--samples and --select: give one of them")
    loaded, fixed = network_input(sources, expected, model, replace(options, select=None))
    model = with_layers(with_fixed_inputs(model, fixed, loaded.chosen), loaded.values)
    for checkpoint in reversed(listing.checkpoints):
        try:
            outputs = outputs_of(load(model, checkpoint, trust=options.trust), loaded.values)
        except (CheckpointError, ArchitectureError):
            if not options.skip_bad:
                raise
            continue
        if np.isfinite(outputs).all():
            units = with_units(model, outputs.shape[1], options.actions).units
            return highlights(loaded.values, importance_of(outputs, units), count)
    raise CheckpointError(f"--select {options.select}: no checkpoint gives finite outputs")


def importance_of(outputs: NDArray[np.float64], units: Units) -> NDArray[np.float64]:
    """Return the gap between the best and the worst output, (N,); of several actions, the sum of theirs.

    Raises
    ------
    UsageError
        The outputs do not compete: one output, or continuous or binary actions.
    """
    if outputs.shape[1] < 2 or units.have_no_preference:
        raise UsageError(
            "--select highlights: expected outputs that compete, of which one is chosen, found "
            f"{outputs.shape[1]} that do not; take spread:K or random:K"
        )
    begins = (
        np.append(0, np.cumsum(units.groups)[:-1]).astype(int) if units.groups else np.array([0])
    )
    best, worst = (f.reduceat(outputs, begins, axis=1) for f in (np.maximum, np.minimum))
    found: NDArray[np.float64] = (best - worst).sum(axis=1)
    return found
