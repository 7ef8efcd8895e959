"""One network that many checkpoints are loaded into, and its explanation at each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from lrpdyn.architectures.registry import Resolved, load_weights, path_of
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import read_weights
from lrpdyn.errors import ArchitectureError, ObservationError
from lrpdyn.lrp.attribution import contrast_rows, layers_of, relevance
from lrpdyn.lrp.canonise import canonise
from lrpdyn.lrp.layers import LINEAR_LAYERS
from lrpdyn.lrp.rules import Rule
from lrpdyn.observations import Expected

#: The network as loaded and as explained may differ by this share of the largest output.
LARGEST_DIFFERENCE = 1e-4


@dataclass(frozen=True)
class Model:
    """A network, and the canonised path to one of its heads, which shares its weights."""

    resolved: Resolved
    network: nn.Module
    path: nn.Module
    explained: fx.GraphModule
    head: str
    device: torch.device
    batch_size: int


@dataclass(frozen=True)
class Explanation:
    """What one checkpoint gives for N samples; `score` is NaN where an output is not finite."""

    relevance: NDArray[np.float32]
    score: NDArray[np.float64]
    target: NDArray[np.int64]
    argmax: NDArray[np.int64]

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.score).all() and np.isfinite(self.relevance).all())


def make_model(resolved: Resolved, head: str | None, device: str, batch_size: int) -> Model:
    """Build the network and canonise the path to `head`."""
    chosen = torch.device(device)
    network = resolved.build().to(chosen)
    name, path = path_of(network, head)
    return Model(resolved, network, path.eval(), canonise(path), name, chosen, batch_size)


def expected_observations(model: Model, shape: tuple[int, ...] | None) -> Expected:
    """Return what the first layer with weights takes, and how pixels are scaled."""
    preprocessing = model.resolved.architecture.preprocessing
    layers = (
        layer for layer in layers_of(model.explained).values() if isinstance(layer, LINEAR_LAYERS)
    )
    first = next(layers, None)
    if first is None:
        raise ArchitectureError(
            f"architecture {model.resolved.architecture.name}: head {model.head} has no linear layer"
        )
    linear = isinstance(first, nn.Linear)
    return Expected(
        channels=None if linear else int(first.in_channels),  # type: ignore[arg-type]
        features=int(first.in_features) if linear else None,  # type: ignore[arg-type]
        divisor=preprocessing.divisor,
        range=preprocessing.expected,
        shape=shape,
    )


def load(model: Model, checkpoint: Checkpoint, *, trust: bool) -> str:
    """Load a checkpoint's weights into the model; return their SHA-256."""
    weights, sha256 = read_weights(checkpoint.path, checkpoint.format, trust=trust)
    load_weights(model.network, weights, model.resolved, str(checkpoint.path))
    return sha256


def compare_outputs(model: Model, observations: NDArray[np.float32]) -> dict[str, float]:
    """Return the largest difference between the network as loaded and as explained.

    Raises
    ------
    ObservationError
        The network does not take observations of this shape.
    ArchitectureError
        The outputs are not (N, units), or the two networks differ.
    """
    x = next(_batches(model, observations))
    shape = tuple(x.shape[1:])
    with torch.no_grad():
        try:
            loaded = model.path(x)
        except RuntimeError as error:
            raise ObservationError(
                f"observations of shape {shape} do not fit architecture "
                f"{model.resolved.architecture.name}: {str(error).splitlines()[0]}"
            ) from error
        explained = model.explained(x)
    if loaded.ndim != 2:
        raise ArchitectureError(
            f"architecture {model.resolved.architecture.name}: expected outputs (N, units), found "
            f"{tuple(loaded.shape)} for {tuple(x.shape)}"
        )
    difference = float((loaded - explained).abs().max())
    largest = float(loaded.abs().max())
    if difference > LARGEST_DIFFERENCE * largest:
        raise ArchitectureError(
            f"the network as explained differs from the network as loaded by {difference:.3g} (largest "
            f"output {largest:.3g}); its relevance would be wrong"
        )
    return {"largest_difference": difference, "largest_output": largest}


def outputs_of(model: Model, observations: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the plain outputs of the head, (N, units)."""
    with torch.no_grad():
        outputs = [model.explained(x) for x in _batches(model, observations)]
    return torch.cat(outputs).double().cpu().numpy()


def explain(
    model: Model,
    rule: Rule,
    observations: NDArray[np.float32],
    contrast: str,
    targets: NDArray[np.int64] | None,
    runner_up: NDArray[np.int64] | None,
) -> Explanation:
    """Explain each sample's score at the weights that are loaded.

    `targets` (N,) None means the preferred unit; `runner_up` (N,) is the unit that the contrast of
    this name subtracts where it is held fixed.
    """
    parts = []
    start = 0
    for x in _batches(model, observations):
        chosen = slice(start, start + len(x))
        start += len(x)
        fixed = None if targets is None else _tensor(targets[chosen], model)
        second = None if runner_up is None else _tensor(runner_up[chosen], model)
        parts.append(_explain_batch(model, rule, x, contrast, fixed, second))
    return Explanation(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _explain_batch(
    model: Model,
    rule: Rule,
    x: Tensor,
    contrast: str,
    fixed: Tensor | None,
    runner_up: Tensor | None,
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    with torch.no_grad():
        outputs = model.explained(x)
    argmax = outputs.argmax(dim=1)
    target = argmax if fixed is None else fixed
    rows = contrast_rows(outputs, target, contrast, runner_up)
    score = (rows.double() * outputs.double()).sum(dim=1)
    if bool(torch.isfinite(outputs).all()):
        maps = relevance(model.explained, rule, x, rows)
    else:
        maps = torch.full_like(x, torch.nan)
    return (
        maps.float().cpu().numpy(),
        score.cpu().numpy(),
        target.cpu().numpy(),
        argmax.cpu().numpy(),
    )


def _tensor(values: NDArray[np.int64], model: Model) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(model.device)


def _batches(model: Model, observations: NDArray[np.float32]) -> Iterator[Tensor]:
    dtype = next(model.network.parameters()).dtype
    for start in range(0, len(observations), model.batch_size):
        batch = torch.from_numpy(observations[start : start + model.batch_size])
        yield batch.to(model.device, dtype)
