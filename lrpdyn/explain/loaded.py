"""A network with the weights of one checkpoint in it, or with other weights, and which these are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, fx, nn

from lrpdyn.architectures.registry import check_function, load_weights
from lrpdyn.checkpoints.digests import USUAL
from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import has_digest, read_weights, read_weights_again, stamp
from lrpdyn.errors import ArchitectureError, CheckpointError
from lrpdyn.explain.model import Model, OtherWeights, with_fixed_inputs
from lrpdyn.lrp.canonical.canonise import Canonised


class StaleWeightsError(RuntimeError):
    """A loaded network is used although its network has been given other weights: a mistake here."""


@dataclass(frozen=True, kw_only=True)
class LoadedNetwork:
    """A model, and the weights that its network was given.

    Nothing is copied: many loaded networks share one network. Those whose weights it no longer has
    raise StaleWeightsError where its layers are reached through `path`, `canonised` or `explained`.

    Parameters
    ----------
    source
        The checkpoint, or what other weights these are.
    digest
        Of the bytes of the weights; None where it was not computed.
    """

    model: Model
    source: Checkpoint | OtherWeights
    digest: str | None = None

    def check(self) -> None:
        """Raise StaleWeightsError where the network has other weights by now."""
        now = self.model.weights.source
        if now is not self.source:
            raise StaleWeightsError(
                f"the network has the weights of {_name(now)} now, not those of {_name(self.source)}"
            )

    @property
    def step(self) -> int:
        """The step of the checkpoint."""
        assert isinstance(self.source, Checkpoint)
        return self.source.step

    @property
    def name(self) -> str:
        """What the weights are called: the step of a checkpoint, or the name of others."""
        return _name(self.source)

    @property
    def path(self) -> nn.Module:
        """The network from the observation to the outputs of the head."""
        self.check()
        return self.model.path

    @property
    def canonised(self) -> Canonised:
        """The canonised network."""
        self.check()
        return self.model.canonised

    @property
    def explained(self) -> fx.GraphModule:
        """The network that is explained."""
        return self.canonised.explained

    def with_batch_size(self, size: int) -> LoadedNetwork:
        """Return the same weights, for batches of `size` samples."""
        return replace(self, model=replace(self.model, batch_size=size))

    def with_samples(self, samples: Sequence[int]) -> LoadedNetwork:
        """Return the same weights, with the fixed inputs of some samples."""
        return replace(self, model=with_fixed_inputs(self.model, self.model.fixed_inputs, samples))


def _name(source: Checkpoint | OtherWeights | None) -> str:
    if isinstance(source, Checkpoint):
        return f"step {source.step}"
    return "no checkpoint" if source is None else source.name


@dataclass(frozen=True, kw_only=True)
class ReadCheckpoint:
    """What was read of a checkpoint, in the machine's own memory.

    Parameters
    ----------
    stamp
        Of its files, from before they were read: a later change shows.
    digest
        Of the bytes of the weights.
    """

    checkpoint: Checkpoint
    stamp: Mapping[str, int]
    weights: Mapping[str, Tensor]
    digest: str


def read(checkpoint: Checkpoint, *, trust: bool, algorithm: str = USUAL) -> ReadCheckpoint:
    """Return the weights of a checkpoint, which go into no network yet: any thread may read."""
    stamped = stamp(checkpoint.path, checkpoint.format)
    weights, digest = read_weights(
        checkpoint.path,
        checkpoint.format,
        trust=trust,
        weights=checkpoint.weights,
        algorithm=algorithm,
    )
    return ReadCheckpoint(checkpoint=checkpoint, stamp=stamped, weights=weights, digest=digest)


def pinned(found: ReadCheckpoint) -> ReadCheckpoint:
    """Return a copy in pinned memory, from where a GPU fetches it without the processor."""
    weights = {name: tensor.contiguous().pin_memory() for name, tensor in found.weights.items()}
    return replace(found, weights=weights)


def put_read(model: Model, found: ReadCheckpoint) -> LoadedNetwork:
    """Return the model with the weights that were read, and their digest."""
    return replace(_put(model, found.checkpoint, found.weights), digest=found.digest)


def load(
    model: Model, checkpoint: Checkpoint, *, trust: bool, algorithm: str = USUAL
) -> LoadedNetwork:
    """Return the model with a checkpoint's weights, and their digest."""
    return put_read(model, read(checkpoint, trust=trust, algorithm=algorithm))


def load_again(model: Model, checkpoint: Checkpoint, *, trust: bool) -> LoadedNetwork:
    """Return the model with the weights of a checkpoint that was explained before.

    Raises
    ------
    CheckpointError
        It cannot be read, or has other weights than those that were explained.
    """
    expected = checkpoint.digest
    if expected is not None and not has_digest(checkpoint.path, checkpoint.format, expected):
        raise CheckpointError(f"{checkpoint.path}: is not the file that was explained")
    weights = read_weights_again(
        checkpoint.path, checkpoint.format, trust=trust, weights=checkpoint.weights
    )
    return _put(model, checkpoint, weights)


def load_if_there(model: Model, checkpoint: Checkpoint, *, trust: bool) -> LoadedNetwork | None:
    """Return what `load_again` does, or None where the checkpoint is gone meanwhile."""
    try:
        return load_again(model, checkpoint, trust=trust)
    except (CheckpointError, ArchitectureError, OSError):
        return None


def _put(model: Model, checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> LoadedNetwork:
    model.weights.source = None  # until all are in
    check_function(model.resolved, checkpoint.header, str(checkpoint.path))
    load_weights(model.network, weights, model.resolved, str(checkpoint.path), model.path)
    _forget(model)
    model.weights.source = checkpoint
    return LoadedNetwork(model=model, source=checkpoint)


def put_weights(model: Model, weights: Mapping[str, Tensor], name: str) -> LoadedNetwork:
    """Return the model with other weights than a checkpoint's, or with some of them, under a name."""
    model.weights.source = None
    model.network.load_state_dict({**model.network.state_dict(), **weights})
    _forget(model)
    model.weights.source = source = OtherWeights(name=name)
    return LoadedNetwork(model=model, source=source)


def _forget(model: Model) -> None:
    """Let the network forget what it made of other weights: some keep it while they are evaluated."""
    model.path.train().eval()


def loaded_now(model: Model) -> LoadedNetwork:
    """Return the model with the weights that it has now, whichever these are."""
    source = model.weights.source
    assert source is not None, "no weights were loaded"
    return LoadedNetwork(model=model, source=source)


@contextmanager
def other_weights(
    model: Model, weights: Mapping[str, Tensor], name: str
) -> Iterator[LoadedNetwork]:
    """Give the model with other weights, or with some; its network has its own again at the end."""
    state, source = model.network.state_dict(), model.weights.source
    own = {key: state[key].clone() for key in weights}
    try:
        yield put_weights(model, weights, name)
    finally:
        model.network.load_state_dict({**state, **own})
        _forget(model)
        model.weights.source = source


@contextmanager
def other_tensors(
    loaded: LoadedNetwork, pairs: Sequence[tuple[Tensor, Tensor]], name: str
) -> Iterator[LoadedNetwork]:
    """Give the network with some tensors changed, as `other_weights` does; the others are not touched.

    Parameters
    ----------
    pairs
        A tensor of the network, and what is put into it, each.
    """
    loaded.check()
    model = loaded.model
    own = [(place, place.clone()) for place, _ in pairs]
    source = OtherWeights(name=name)
    try:
        _fill(model, pairs)
        model.weights.source = source
        yield replace(loaded, source=source, digest=None)
    finally:
        _fill(model, own)
        model.weights.source = loaded.source


def _fill(model: Model, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    model.weights.source = None
    with torch.no_grad():
        for place, content in pairs:
            place.copy_(content)
    _forget(model)
