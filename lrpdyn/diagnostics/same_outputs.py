"""Whether the network as explained is the one that was loaded, and Captum's own rules the exact ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.dynamics.measures import cosines
from lrpdyn.errors import ArchitectureError, ObservationError
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches, with_plan
from lrpdyn.files.streamed import Samples
from lrpdyn.files.text import first_line
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.stock import reasons
from lrpdyn.observations.checked_samples import checked_samples

#: The network as loaded and as explained may differ by this share of the largest output.
LARGEST_DIFFERENCE = 1e-4


def compare_outputs(
    loaded: LoadedNetwork, observations: Samples, outputs: NDArray[np.float64] | None = None
) -> dict[str, Any]:
    """Return the largest difference between the network as loaded and as explained, and its step.

    Of `lrpdyn.observations.checked_samples.checked_samples`, as many as ``samples`` says.

    Parameters
    ----------
    outputs
        (N, K), what the network as explained gave for all observations; computed where not given.

    Raises
    ------
    ObservationError
        The network does not take observations of this shape.
    ArchitectureError
        The outputs are not (N, units), or the two networks differ.
    """
    samples = checked_samples(len(observations))
    checked = loaded.with_samples(samples)
    known = None if outputs is None else torch.from_numpy(outputs[samples])
    differences = [
        pair
        for part, x in batches(checked.model, observations[samples])
        for pair in _compared(checked, x, None if known is None else known[part])
    ]
    difference, largest = max(differences, key=lambda pair: share_of(*pair))
    if not difference <= LARGEST_DIFFERENCE * largest:
        raise ArchitectureError(
            f"{loaded.name}: the network as explained differs from the network as loaded by "
            f"{difference:.3g} (largest output {largest:.3g}); its relevance would be wrong"
        )
    return {
        "largest_difference": difference,
        "largest_output": largest,
        "samples": len(samples),
        "step": loaded.step if isinstance(loaded.source, Checkpoint) else None,
    }


def share_of(difference: float, largest: float) -> float:
    """Return a difference as a share of the largest output."""
    return difference / max(largest, 1e-30)


def _compared(
    loaded: LoadedNetwork, x: Tensor, explained: Tensor | None
) -> list[tuple[float, float]]:
    """Return the differences between the forms of the network on a batch, each with its scale."""
    shape, canonised = tuple(x.shape[1:]), loaded.canonised
    architecture = loaded.model.resolved.architecture.name
    with torch.no_grad():
        try:
            outputs = loaded.path(x)
        except RuntimeError as error:
            raise ObservationError(
                f"observations of shape {shape} do not fit architecture {architecture}: "
                f"{first_line(error)}"
            ) from error
        if outputs.ndim != 2:
            raise ArchitectureError(
                f"architecture {architecture}: expected outputs (N, units), found "
                f"{tuple(outputs.shape)} for {tuple(x.shape)}; give --arch a network that keeps one axis of "
                "units (no squeeze)"
            )
        if explained is None:
            explained = canonised.explained(x)
        if canonised.reference is canonised.unfolded:
            return [_difference(outputs, explained)]
        # What gives the outputs is not explained: both halves of the way to what is are compared.
        return [
            _difference(outputs, canonised.reference(x)),
            _difference(canonised.unfolded(x), explained),
        ]


def _difference(expected: Tensor, found: Tensor) -> tuple[float, float]:
    """Return the largest difference and the largest entry; what is not finite is passed over."""
    if expected.shape != found.shape:
        return float("inf"), 0.0
    expected, found = expected.cpu().double(), found.cpu().double()
    finite = torch.isfinite(expected)
    if not bool(finite.any()):
        return 0.0, 0.0
    difference = (expected - found)[finite].abs().max()
    return float(difference), float(expected[finite].abs().max())


def stock_deviation(
    loaded: LoadedNetwork, observations: Samples, question: Question
) -> dict[str, Any]:
    """Return how far Captum's own rule is from the exact one, and why.

    ``largest_difference`` is the largest difference over the largest relevance, ``cosine`` the least
    cosine of a sample's two maps, of as many samples as ``samples`` says.
    """
    exact_rule = loaded.model.composite.exact_rule
    assert exact_rule is not None
    samples = checked_samples(len(observations))
    checked, shown, asked = chosen_samples(loaded, observations, question, samples)
    stock = explain(checked, shown, asked).relevance
    unplanned = replace(checked.model, composite=parse_composite(exact_rule))
    exactly = replace(checked, model=with_plan(unplanned, shown, None))
    exact = explain(exactly, shown, asked).relevance
    difference = np.abs(stock - exact).max() / max(float(np.abs(exact).max()), 1e-30)
    alike = cosines(stock, exact)
    _, first = next(batches(checked.model, shown))
    return {
        "exact_rule": exact_rule,
        "largest_difference": float(difference),
        "cosine": None if np.isnan(alike).all() else float(np.nanmin(alike)),
        "samples": len(samples),
        "reasons": reasons(checked.explained, first),
    }
