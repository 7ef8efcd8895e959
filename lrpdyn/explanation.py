"""One network that many checkpoints are loaded into, and its explanation at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from lrpdyn.architectures.registry import Resolved, load_weights, path_of
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import read_weights, read_weights_again
from lrpdyn.errors import ArchitectureError, CheckpointError, RunError, UsageError
from lrpdyn.heap import SAMPLES, give_back
from lrpdyn.held import Held
from lrpdyn.lrp import attribution
from lrpdyn.lrp.attribution import contrast_rows
from lrpdyn.lrp.canonise import Canonised, canonise_fully
from lrpdyn.lrp.composites import Composite
from lrpdyn.lrp.layers import Weighted
from lrpdyn.lrp.plan import Bounds, Plan, layers_of, make_plan
from lrpdyn.lrp.registry import STOCK, Rule
from lrpdyn.lrp.stock import explain_with_stock_rule
from lrpdyn.observations import Expected
from lrpdyn.resources import is_out_of_memory
from lrpdyn.streamed import Samples, pieces

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Model:
    """A network, and the canonised path to one of its heads, which shares its weights.

    `plan` is the rule of each layer; it is empty until the observations are known, and where one of
    Captum's own rules is asked for. `held` are the values of the other inputs, by sample, of a
    network with several.
    """

    resolved: Resolved
    network: nn.Module
    path: nn.Module
    canonised: Canonised
    composite: Composite
    plan: Plan
    head: str
    device: torch.device
    batch_size: int
    held: Held = field(default_factory=dict)

    @property
    def explained(self) -> fx.GraphModule:
        """The network that is explained."""
        return self.canonised.explained


@dataclass(frozen=True)
class Explanation:
    """What one checkpoint gives for N samples; `score` is NaN where an output is not finite.

    `outputs` (N, units) are those of the explained network, `support` (N,) what speaks for the
    score in the last layer.
    """

    relevance: NDArray[np.float32]
    score: NDArray[np.float64]
    target: Integers
    argmax: Integers
    support: NDArray[np.float64]
    outputs: NDArray[np.float64]

    @property
    def finite(self) -> bool:
        return bool(np.isfinite(self.score).all() and np.isfinite(self.relevance).all())


@dataclass(frozen=True)
class Question:
    """Which score is explained.

    `targets` (N,) None means the unit that the network prefers; `runner_up` (N,) is the unit that
    the contrast of this name subtracts where it is held fixed.
    """

    contrast: str
    targets: Integers | None = None
    runner_up: Integers | None = None

    def part(self, chosen: slice | Sequence[int]) -> Question:
        """Return the question of some samples."""
        targets = None if self.targets is None else self.targets[chosen]
        runner_up = None if self.runner_up is None else self.runner_up[chosen]
        return Question(self.contrast, targets, runner_up)


def make_model(
    resolved: Resolved, head: str | None, device: str, batch_size: int, composite: Composite
) -> Model:
    """Build the network and canonise the path to `head`."""
    chosen = torch.device(device)
    network = resolved.build().to(chosen)
    name, path = path_of(network, head)
    canonised = canonise_fully(path.eval(), composite.claims)
    return Model(resolved, network, path, canonised, composite, {}, name, chosen, batch_size)


def with_held(model: Model, held: Held, chosen: Sequence[int]) -> Model:
    """Return the model with the other inputs' values of the samples that were chosen."""
    return replace(model, held={name: values[list(chosen)] for name, values in held.items()})


def with_plan(model: Model, observations: Samples, bounds: Bounds | None) -> Model:
    """Return the model with the rule of each layer.

    `bounds` are the least and the largest value that observations can have, where that is known.

    Raises
    ------
    UsageError
        A rule does not fit a layer, or observations lie outside of the bounds of ``zbox``.
    """
    if model.composite.name in STOCK:
        return model
    for assignment in model.composite.assignments:
        if assignment.rule.name == "zbox":
            _check_box(assignment.rule, observations)
    example = next(batches(model, observations[:1]))
    return replace(model, plan=make_plan(model.explained, model.composite, example, bounds))


def _check_box(rule: Rule, observations: Samples) -> None:
    low, high = rule.parameters["low"], rule.parameters["high"]
    if low is None or high is None:
        return
    shape = (1, -1, *[1] * (observations.ndim - 2))
    lowest = np.reshape(low, shape) if isinstance(low, tuple) else low
    highest = np.reshape(high, shape) if isinstance(high, tuple) else high
    outside = [
        bool((piece < lowest).any() or (piece > highest).any()) for piece in pieces(observations)
    ]
    if any(outside):
        least = min(float(piece.min()) for piece in pieces(observations))
        most = max(float(piece.max()) for piece in pieces(observations))
        raise UsageError(
            f"rule {rule}: the observations lie in {least:g}.."
            f"{most:g}, as the network takes them; its bounds must hold them"
        )


def expected_observations(model: Model, shape: tuple[int, ...] | None) -> Expected:
    """Return what the first layer with weights takes, and how pixels are scaled."""
    preprocessing = model.resolved.architecture.preprocessing
    weighted = (
        layer.module for layer in layers_of(model.explained).values() if isinstance(layer, Weighted)
    )
    first = next(weighted, None)
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
    weights, sha256 = read_weights(
        checkpoint.path, checkpoint.format, trust=trust, weights=checkpoint.weights
    )
    _put(model, checkpoint, weights)
    return sha256


def load_again(model: Model, checkpoint: Checkpoint, *, trust: bool) -> None:
    """Load the weights of a checkpoint that was explained before."""
    weights = read_weights_again(
        checkpoint.path, checkpoint.format, trust=trust, weights=checkpoint.weights
    )
    _put(model, checkpoint, weights)


def _put(model: Model, checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    load_weights(model.network, weights, model.resolved, str(checkpoint.path), model.path)


def can_load(model: Model, checkpoint: Checkpoint, *, trust: bool) -> bool:
    """Load a checkpoint that was explained before, and tell whether it is still there."""
    try:
        load_again(model, checkpoint, trust=trust)
    except (CheckpointError, ArchitectureError, OSError):
        return False
    return True


def chosen_samples(
    model: Model, observations: Samples, question: Question, samples: Sequence[int]
) -> tuple[Model, NDArray[np.float32], Question]:
    """Return the model, the observations and the question of some samples alone."""
    part = with_held(model, model.held, samples)
    return part, observations[list(samples)], question.part(list(samples))


def preferred(model: Model, x: Tensor, outputs: Tensor) -> Tensor:
    """Return the unit that the network as loaded prefers, (N,).

    Where an expectation over a softmax is explained at the logits, it is the expectation that
    decides what the agent does.
    """
    if model.canonised.reference is model.canonised.unfolded:
        return outputs.argmax(dim=1)
    with torch.no_grad():
        chosen: Tensor = model.canonised.reference(x).argmax(dim=1)
    return chosen


def outputs_of(model: Model, observations: Samples) -> NDArray[np.float64]:
    """Return the plain outputs of the head, (N, units)."""
    with torch.no_grad():
        outputs = [model.explained(x).cpu() for x in batches(model, observations)]
    return torch.cat(outputs).double().numpy()


def explain(model: Model, observations: Samples, question: Question) -> Explanation:
    """Explain each sample's score at the weights that are loaded."""
    return joined(list(explain_parts(model, observations, question)))


def explain_parts(
    model: Model,
    observations: Samples,
    question: Question,
    halved: Callable[[int], object] = lambda size: None,
) -> Iterator[Explanation]:
    """Yield the explanation of one batch of samples after the other.

    Where the device's memory runs out, the batch and those that follow are halved, and `halved` is
    told how many samples are explained at once from there on: last bits depend on it.

    Raises
    ------
    RunError
        There is not enough memory for one sample.
    """
    done = 0
    while done < len(observations):
        try:
            chosen = batch_slices(model, len(observations), done)
            for part, x in zip(chosen, batches(model, observations, done), strict=True):
                yield explain_batch(model, x, question.part(part))
                done = part.stop
                if part.stop // SAMPLES > part.start // SAMPLES:
                    give_back()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if model.batch_size == 1:
                raise RunError(
                    f"the memory of {model.device} does not hold one observation while it is explained; "
                    "what is finished is kept: the same command goes on where there is more, with --device "
                    "cpu or --workers 1"
                ) from error
        # Not before the error is gone, which holds what the batch took.
        if done < len(observations):
            model = replace(model, batch_size=-(-min(model.batch_size, len(observations)) // 2))
            halved(model.batch_size)
            if model.device.type == "cuda":
                torch.cuda.empty_cache()


def joined(parts: Sequence[Explanation]) -> Explanation:
    """Put the explanations of parts of the samples together."""
    return Explanation(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Explanation))
    )


def explain_batch(model: Model, x: Tensor, question: Question) -> Explanation:
    """Explain one batch of `batches`; the question is that of its samples."""
    chosen: dict[str, Tensor] = {}

    def choose(outputs: Tensor) -> Tensor:
        argmax = preferred(model, x, outputs)
        target = argmax if question.targets is None else _tensor(question.targets, model)
        second = None if question.runner_up is None else _tensor(question.runner_up, model)
        rows = contrast_rows(outputs, target, question.contrast, second)
        chosen.update(argmax=argmax, target=target, rows=rows)
        if not bool(torch.isfinite(outputs).all()):
            raise _NotFiniteError(outputs)
        return rows

    try:
        outputs, maps, support = explain_rows(model, x, choose)
    except _NotFiniteError as stopped:
        outputs = stopped.outputs
        maps, support = torch.full_like(x, torch.nan), torch.full_like(outputs[:, 0], torch.nan)
    score = (chosen["rows"].cpu().double() * outputs.cpu().double()).sum(dim=1)
    return Explanation(
        maps.float().cpu().numpy(),
        score.numpy(),
        chosen["target"].cpu().numpy(),
        chosen["argmax"].cpu().numpy(),
        support.cpu().double().numpy(),
        outputs.cpu().double().numpy(),
    )


class _NotFiniteError(Exception):
    """The outputs hold NaN or infinity: there is no score to explain."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs


def explain_rows(
    model: Model, x: Tensor, choose: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return outputs (N, K), relevance and support (N,) of a batch, under the model's rule."""
    if model.composite.name in STOCK:
        outputs, maps = explain_with_stock_rule(
            model.path, model.explained, model.composite.name, x, choose
        )
        return outputs, maps, torch.full_like(outputs[:, 0], torch.nan)
    found = attribution.explain(model.explained, model.plan, x, choose)
    return found.outputs, found.relevance, found.support


def _tensor(values: NDArray[np.int64], model: Model) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(model.device)


def batch_slices(model: Model, count: int, begin: int = 0) -> Iterator[slice]:
    """Yield which of `count` samples, from `begin` on, are explained at once: last bits depend on it."""
    for start in range(begin, count, model.batch_size):
        yield slice(start, min(start + model.batch_size, count))


def batches(model: Model, observations: Samples, begin: int = 0) -> Iterator[Tensor]:
    """Yield the observations as the network takes them, and hold its other inputs at theirs.

    On a GPU the next batch is on its way while one is worked on.
    """
    dtype = next(model.network.parameters()).dtype

    def moved(chosen: slice) -> Tensor:
        batch = torch.from_numpy(observations[chosen])
        if model.device.type == "cuda":
            return batch.pin_memory().to(model.device, dtype, non_blocking=True)
        return batch.to(model.device, dtype)

    slices = list(batch_slices(model, len(observations), begin))
    ahead = moved(slices[0]) if slices else None
    for n, chosen in enumerate(slices):
        assert ahead is not None
        x, ahead = ahead, moved(slices[n + 1]) if n + 1 < len(slices) else None
        for name, values in model.held.items():
            part = torch.from_numpy(values[chosen])
            # The canonised network shares the buffer: its content changes, not the buffer.
            getattr(model.path, f"held_{name}").data = part.to(model.device, dtype)
        yield x
