"""One network that many checkpoints are loaded into, and its explanation at each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lrpdyn.errors import RunError
from lrpdyn.explain.loaded import LoadedNetwork
from lrpdyn.explain.model import batches
from lrpdyn.files.streamed import Samples
from lrpdyn.lrp import attribution
from lrpdyn.lrp.attribution import contrast_rows
from lrpdyn.lrp.stock import explain_with_stock_rule
from lrpdyn.system.memory import SAMPLES, give_back, is_out_of_memory

Integers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
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


@dataclass(frozen=True, kw_only=True)
class Question:
    """Which score is explained.

    `targets` (N,) None means the unit that the network prefers, of `group` where it has several
    actions and one is given; `runner_up` (N,) is the unit that the contrast of this name subtracts
    where it is fixed.
    """

    contrast: str
    targets: Integers | None = None
    runner_up: Integers | None = None
    group: int | None = None

    def part(self, chosen: slice | Sequence[int]) -> Question:
        """Return the question of some samples."""
        targets = None if self.targets is None else self.targets[chosen]
        runner_up = None if self.runner_up is None else self.runner_up[chosen]
        return replace(self, targets=targets, runner_up=runner_up)

    def units(self, argmax: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return which units are explained and subtracted, where `argmax` (N,) is preferred."""
        target, runner_up = (
            None
            if units is None
            else torch.from_numpy(np.ascontiguousarray(units)).to(argmax.device)
            for units in (self.targets, self.runner_up)
        )
        return argmax if target is None else target, runner_up

    def rows(self, outputs: Tensor, argmax: Tensor, groups: Sequence[int]) -> Tensor:
        """Return the weights of the outputs (N, K) in each score, where `argmax` (N,) is preferred."""
        target, runner_up = self.units(argmax)
        return contrast_rows(outputs, target, self.contrast, runner_up, groups)


def chosen_samples(
    loaded: LoadedNetwork, observations: Samples, question: Question, samples: Sequence[int]
) -> tuple[LoadedNetwork, NDArray[np.float32], Question]:
    """Return the network, the observations and the question of some samples alone."""
    chosen = list(samples)
    return loaded.with_samples(chosen), observations[chosen], question.part(chosen)


def preferred(
    loaded: LoadedNetwork, x: Tensor, outputs: Tensor, group: int | None = None
) -> Tensor:
    """Return the unit that the network prefers, (N,), of `group` alone where it is given.

    Where no unit competes with another it is the largest in size. Where an expectation over a softmax
    is explained at the logits, it is the expectation that decides what the agent does.
    """
    canonised, units = loaded.canonised, loaded.model.units
    if not units.compete:
        strength = units.strength(outputs.detach().cpu().double().numpy(), group)
        return torch.from_numpy(strength.argmax(axis=1)).to(outputs.device)
    if canonised.deciding is canonised.unfolded:
        return outputs.argmax(dim=1)
    with torch.no_grad():
        chosen: Tensor = canonised.deciding(x).argmax(dim=1)
    return chosen


def rows_of(loaded: LoadedNetwork, x: Tensor, question: Question, outputs: Tensor) -> Tensor:
    """Return the weights of a batch's outputs (N, K) in each score, (N, K)."""
    argmax = preferred(loaded, x, outputs, question.group)
    return question.rows(outputs, argmax, loaded.model.units.groups)


def outputs_of(loaded: LoadedNetwork, observations: Samples) -> NDArray[np.float64]:
    """Return the plain outputs of the head, (N, units)."""
    with torch.no_grad():
        outputs = [loaded.explained(x).cpu() for _, x in batches(loaded.model, observations)]
    return torch.cat(outputs).double().numpy()


def explain(loaded: LoadedNetwork, observations: Samples, question: Question) -> Explanation:
    """Return the explanation of each sample's score."""
    return joined(list(explain_parts(loaded, observations, question)))


def explain_parts(
    loaded: LoadedNetwork,
    observations: Samples,
    question: Question,
    halved: Callable[[int], object] = lambda size: None,
) -> Iterator[Explanation]:
    """Yield the explanation of one batch of samples after the other.

    Where the device's memory runs out, the batch and those that follow are halved, and `halved`
    gets how many samples are explained at once from there on: last bits depend on it.

    Raises
    ------
    RunError
        There is not enough memory for one sample.
    """
    done, model = 0, loaded.model
    while done < len(observations):
        try:
            for part, x in batches(model, observations, done):
                yield explain_batch(loaded, x, question.part(part))
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
        # Not before the error is gone, which refers to what the batch took.
        if done < len(observations):
            half = -(-min(model.batch_size, len(observations)) // 2)
            loaded = loaded.with_batch_size(half)
            model = loaded.model
            halved(half)
            if model.device.type == "cuda":
                torch.cuda.empty_cache()


def joined(parts: Sequence[Explanation]) -> Explanation:
    """Put the explanations of parts of the samples together."""
    names = [field.name for field in fields(Explanation)]
    return Explanation(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def explain_batch(loaded: LoadedNetwork, x: Tensor, question: Question) -> Explanation:
    """Return the explanation of one batch of `batches`; the question is that of its samples."""
    chosen: dict[str, Tensor] = {}

    def choose(outputs: Tensor) -> Tensor:
        argmax = preferred(loaded, x, outputs, question.group)
        rows = question.rows(outputs, argmax, loaded.model.units.groups)
        chosen.update(argmax=argmax, target=question.units(argmax)[0], rows=rows)
        if not bool(torch.isfinite(outputs).all()):
            raise _NotFiniteError(outputs)
        return rows

    try:
        outputs, maps, support = explain_rows(loaded, x, choose)
    except _NotFiniteError as stopped:
        outputs = stopped.outputs
        maps, support = torch.full_like(x, torch.nan), torch.full_like(outputs[:, 0], torch.nan)
    score = (chosen["rows"].cpu().double() * outputs.cpu().double()).sum(dim=1)
    return Explanation(
        relevance=maps.float().cpu().numpy(),
        score=score.numpy(),
        target=chosen["target"].cpu().numpy(),
        argmax=chosen["argmax"].cpu().numpy(),
        support=support.cpu().double().numpy(),
        outputs=outputs.cpu().double().numpy(),
    )


class _NotFiniteError(Exception):
    """The outputs have NaN or infinity: there is no score to explain."""

    def __init__(self, outputs: Tensor) -> None:
        super().__init__()
        self.outputs = outputs


def explain_rows(
    loaded: LoadedNetwork, x: Tensor, choose: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return outputs (N, K), relevance and support (N,) of a batch, under the model's rule."""
    model = loaded.model
    if model.composite.exact_rule is not None:
        outputs, maps = explain_with_stock_rule(
            loaded.path, loaded.explained, model.composite.name, x, choose
        )
        return outputs, maps, torch.full_like(outputs[:, 0], torch.nan)
    found = attribution.explain(loaded.explained, model.plan, x, choose)
    return found.outputs, found.relevance, found.support
