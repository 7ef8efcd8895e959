"""torchrl's own networks: recognised, and the same outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.registry import path_of
from lrpdyn.errors import ArchitectureError
from tests.architectures.conftest import Compare, Load

pytestmark = pytest.mark.frameworks


@pytest.fixture(scope="module")
def torchrl() -> Any:
    """Return what the tests take of torchrl and tensordict, which are slow to import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torchrl")
        from tensordict import TensorDict, nn
        from torchrl import modules
        from torchrl.modules.models import models
    return SimpleNamespace(
        **{**vars(nn), **vars(models), **vars(modules), "TensorDict": TensorDict}
    )


def moved(network: nn.Module, *examples: Tensor) -> nn.Module:
    """Return a network that has its shapes, and weights that count."""
    torch.manual_seed(0)
    network(*examples)
    with torch.no_grad():
        for weights in network.parameters():
            weights += 0.05 * torch.randn(weights.shape)
    return network


IMAGES, VECTORS = torch.rand(3, 4, 84, 84), torch.randn(3, 6)


@pytest.mark.parametrize(
    ("make", "x", "name", "head"),
    [
        (lambda own: own.ConvNet.default_atari_dqn(5), IMAGES, "atari-dqn", "q"),
        (lambda own: own.DuelingCnnDQNet(5), IMAGES, "dueling-cnn", "q"),
        (lambda own: own.DuelingMlpDQNet(5), VECTORS, "dueling-mlp", "q"),
        (lambda own: own.DdpgCnnActor(3), IMAGES, "ddpg-cnn", "policy"),
        (lambda own: own.DdpgMlpActor(3), VECTORS, "ddpg-mlp", "policy"),
    ],
)
def test_networks_of_the_sizes_that_torchrl_has(
    torchrl: Any,
    make: Callable[[Any], nn.Module],
    x: Tensor,
    name: str,
    head: str,
    load: Load,
    compare: Compare,
) -> None:
    theirs = moved(make(torchrl), x)
    with torch.no_grad():
        found = theirs(x)
    wanted = found[0] if isinstance(found, tuple) else found
    resolved, ours = load(theirs.state_dict())
    assert (resolved.architecture.name, ours.heads) == (f"torchrl-{name}", (head,))
    assert "as torchrl builds it: " in resolved.assumed[0]
    compare(ours, x, wanted)
    within = {f"module.0.module.{key}": value for key, value in theirs.state_dict().items()}
    compare(load(within)[1], x, wanted)


def test_sizes_of_the_user_s_own_need_the_activation(
    torchrl: Any, load: Load, compare: Compare
) -> None:
    options = {"num_cells": [16], "out_features": 8, "activation_class": nn.Tanh}
    outputs = {"depth": 1, "num_cells": 32, "activation_class": nn.Tanh}
    theirs = moved(
        torchrl.DuelingMlpDQNet(5, mlp_kwargs_feature=options, mlp_kwargs_output=outputs), VECTORS
    )
    with pytest.raises(ArchitectureError, match="activation of the hidden layers is neither"):
        load(theirs.state_dict())
    resolved, ours = load(theirs.state_dict(), activation="tanh")
    assert resolved.architecture.name == "torchrl-dueling-mlp"
    assert "ELU" not in resolved.assumed[0]
    with torch.no_grad():
        compare(ours, VECTORS, theirs(VECTORS))


def test_a_gaussian_actor_is_explained_at_its_means(
    torchrl: Any, load: Load, compare: Compare
) -> None:
    network = nn.Sequential(
        torchrl.MLP(in_features=6, out_features=4, num_cells=[16, 16]),
        torchrl.NormalParamExtractor(),
    )
    inner = torchrl.TensorDictModule(network, in_keys=["observation"], out_keys=["loc", "scale"])
    theirs = torchrl.ProbabilisticActor(
        inner, in_keys=["loc", "scale"], distribution_class=torchrl.TanhNormal
    )
    resolved, ours = load(theirs.state_dict(), activation="tanh")
    assert (resolved.architecture.name, ours.action_space) == ("torchrl-gaussian", "box")
    assert "means" in resolved.assumed[0]
    with torch.no_grad():
        seen = inner(torchrl.TensorDict({"observation": VECTORS}, batch_size=3))
        compare(ours, VECTORS, seen["loc"])


@pytest.mark.parametrize("kind", ["lstm", "gru"])
@pytest.mark.parametrize("first", [True, False])
def test_a_recurrent_actor(torchrl: Any, load: Load, kind: str, first: bool) -> None:
    made: Any = {"lstm": torchrl.LSTMModule, "gru": torchrl.GRUModule}[kind]
    names = ["hidden", "cell"] if kind == "lstm" else ["hidden"]
    core = made(
        input_size=6, hidden_size=8, num_layers=2, in_keys=["x", *names],
        out_keys=["y", *(("next", name) for name in names)],
    )  # fmt: skip
    perceptron = torchrl.MLP(in_features=6, out_features=6, num_cells=[16])
    last = torchrl.MLP(in_features=8, out_features=3, num_cells=[16])
    parts = [core, torchrl.TensorDictModule(last, in_keys=["y"], out_keys=["q"])]
    if first:
        parts.insert(
            0, torchrl.TensorDictModule(perceptron, in_keys=["observation"], out_keys=["x"])
        )
    theirs = torchrl.TensorDictSequential(*parts)
    resolved, ours = load(theirs.state_dict(), activation="tanh")
    assert resolved.architecture.name == "torchrl-recurrent"
    path: Any = path_of(ours, None)[1]
    generator = torch.Generator().manual_seed(1)
    steps = torch.randn(3, 4, 6, generator=generator)
    states = {name: torch.randn(3, 2, 8, generator=generator) for name in names}
    for name, values in zip(path.held, states.values(), strict=True):
        path.get_buffer(f"held_{name}").data = values
    with torch.no_grad():
        for step in steps.unbind(1):
            given = {
                "observation" if first else "x": step,
                **states,
                "is_init": torch.zeros(3, 1, dtype=bool),
            }
            seen = theirs(torchrl.TensorDict(given, batch_size=3))
            states = {name: seen["next", name] for name in names}
        assert list(path.held) == [f"{kind}_{name[0]}" for name in names]
        torch.testing.assert_close(path(steps), seen["q"], rtol=1e-5, atol=1e-6)
