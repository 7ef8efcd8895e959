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
from lrpdyn.errors import ArchitectureError
from lrpdyn.explain.explanation import Question, chosen_samples, explain
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches, with_plan
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.stock import reasons
from lrpdyn.observations.checked_samples import checked_samples

#: The network as loaded and as explained may differ by this share of the largest output.
LARGEST_DIFFERENCE = 1e-4


def compare_outputs(
    loaded: LoadedNetwork,
    observations: Samples,
    outputs: NDArray[np.float64] | None = None,
    *,
    mixing: bool = True,
) -> dict[str, Any]:
    """Return the largest difference between the network as loaded and as explained, and its step.

    Of `lrpdyn.observations.checked_samples.checked_samples`, as many as ``samples`` says.

    Parameters
    ----------
    outputs
        (N, K), what the network as explained gave for all observations; computed where not given.
    mixing
        Whether to look, even where nothing differs, at what a sample gives alone: three passes more.

    Raises
    ------
    ObservationError
        The network does not take observations of this shape.
    ArchitectureError
        The outputs are not (N, units), the two networks differ, or the network as loaded gives a
        sample other outputs alone than together with others, or other ones each time.
    """
    samples = checked_samples(len(observations))
    checked = loaded.with_samples(samples)
    known = None if outputs is None else torch.from_numpy(outputs[samples])
    differences: list[tuple[float, float]] = []
    for part, x in batches(checked.model, observations[samples]):
        with torch.no_grad():
            own = checked.path(x)
        differences += _compared(checked, x, own, None if known is None else known[part])
    difference, largest = max(differences, key=lambda pair: share_of(*pair))
    differs = not difference <= LARGEST_DIFFERENCE * largest
    if differs or mixing:  # it says more of what is wrong than the difference does
        _refuse_mixing(checked, observations[samples[:2]])
    if differs:
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


def _refuse_mixing(loaded: LoadedNetwork, pair: Samples) -> None:
    """Refuse a network in which a sample's outputs depend on other samples, or on what came before."""

    def outputs(size: int) -> Tensor:
        model = loaded.with_batch_size(size).model
        with torch.no_grad():
            return torch.cat([model.path(x) for _, x in batches(model, pair)])

    together = outputs(2)
    for size, fault, instead in (
        (2, "other outputs when it is called again with the same observations",
         "one that keeps nothing from call to call and draws nothing at random"),
        (1, "a sample other outputs alone than together with another",
         "one that takes each sample on its own: without a mean over the samples, and with "
         "batch_first=True in recurrent and attention modules where samples come first"),
    ):  # fmt: skip
        difference, largest = _difference(together, outputs(size))
        if not difference <= LARGEST_DIFFERENCE * largest:
            raise ArchitectureError(
                f"{loaded.name}: the network as loaded gives {fault} (by {difference:.3g}, largest "
                f"output {largest:.3g}), so that its relevance would be wrong; expected {instead}"
            )


def share_of(difference: float, largest: float) -> float:
    """Return a difference as a share of the largest output."""
    return difference / max(largest, 1e-30)


def _compared(
    loaded: LoadedNetwork, x: Tensor, outputs: Tensor, explained: Tensor | None
) -> list[tuple[float, float]]:
    """Return the differences between the forms of the network on a batch, each with its scale.

    `outputs` are those of the network as loaded.
    """
    canonised = loaded.canonised
    with torch.no_grad():
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
    # A nan that the network does not have is a difference, which no comparison would show.
    difference = (expected - found)[finite].abs().nan_to_num(nan=torch.inf).max()
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
