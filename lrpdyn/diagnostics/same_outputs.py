"""What is checked before the first step: the network as explained, and Captum's own rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrpdyn.dynamics.measures import cosines
from lrpdyn.errors import ArchitectureError, ObservationError
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.model import Model, batches, with_held, with_plan
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.stock import reasons
from lrpdyn.observations.checked_samples import checked_samples

#: The network as loaded and as explained may differ by this share of the largest output.
LARGEST_DIFFERENCE = 1e-4


def compare_outputs(model: Model, observations: Samples) -> dict[str, float]:
    """Return the largest difference between the network as loaded and as explained.

    Of `lrpdyn.observations.checked_samples.checked_samples`, as many as ``samples`` says.

    Raises
    ------
    ObservationError
        The network does not take observations of this shape.
    ArchitectureError
        The outputs are not (N, units), or the two networks differ.
    """
    samples = checked_samples(len(observations))
    checked = with_held(model, model.held, samples)
    compared = [_compared(checked, x) for x in batches(checked, observations[samples])]
    differences = [pair for pairs in compared for pair in pairs]
    difference, largest = max(differences, key=lambda pair: pair[0] / max(pair[1], 1e-30))
    if not difference <= LARGEST_DIFFERENCE * largest:
        raise ArchitectureError(
            f"the network as explained differs from the network as loaded by {difference:.3g} (largest "
            f"output {largest:.3g}); its relevance would be wrong"
        )
    return {
        "largest_difference": difference,
        "largest_output": largest,
        "samples": len(samples),
    }


def _compared(model: Model, x: Tensor) -> list[tuple[float, float]]:
    """Return the differences between the forms of the network on a batch, each with its scale."""
    shape = tuple(x.shape[1:])
    with torch.no_grad():
        try:
            loaded = model.path(x)
        except RuntimeError as error:
            raise ObservationError(
                f"observations of shape {shape} do not fit architecture "
                f"{model.resolved.architecture.name}: {str(error).splitlines()[0]}"
            ) from error
        reference = model.canonised.reference(x)
        differences = [_difference(loaded, reference)]
        if model.canonised.unfolded is not model.canonised.explained:
            differences.append(_difference(model.canonised.unfolded(x), model.explained(x)))
    if loaded.ndim != 2:
        raise ArchitectureError(
            f"architecture {model.resolved.architecture.name}: expected outputs (N, units), found "
            f"{tuple(loaded.shape)} for {tuple(x.shape)}"
        )
    return differences


def _difference(expected: Tensor, found: Tensor) -> tuple[float, float]:
    """Return the largest difference and the largest entry; what is not finite is passed over."""
    if expected.shape != found.shape:
        return float("inf"), 0.0
    finite = torch.isfinite(expected)
    if not bool(finite.any()):
        return 0.0, 0.0
    difference = (expected - found)[finite].abs().max()
    return float(difference), float(expected[finite].abs().max())


def stock_deviation(model: Model, observations: Samples, question: Question) -> dict[str, Any]:
    """Return how far Captum's own rule is from the exact one, and why.

    ``largest_difference`` is the largest difference over the largest relevance, ``cosine`` the least
    cosine of a sample's two maps, of as many samples as ``samples`` says.
    """
    exact_rule = model.composite.exact_rule
    assert exact_rule is not None
    samples = checked_samples(len(observations))
    checked, shown, asked = chosen_samples(model, observations, question, samples)
    stock = explain(checked, shown, asked).relevance
    exact_model = with_plan(replace(checked, composite=parse_composite(exact_rule)), shown, None)
    exact = explain(exact_model, shown, asked).relevance
    difference = np.abs(stock - exact).max() / max(float(np.abs(exact).max()), 1e-30)
    alike = cosines(stock, exact)
    return {
        "exact_rule": exact_rule,
        "largest_difference": float(difference),
        "cosine": None if np.isnan(alike).all() else float(np.nanmin(alike)),
        "samples": len(samples),
        "reasons": reasons(model.explained, next(batches(checked, shown))),
    }
