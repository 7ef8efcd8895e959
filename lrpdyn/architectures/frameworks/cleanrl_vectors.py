"""CleanRL's networks for flat observations: PPO, RPO, TD3, DDPG, SAC, DQN, C51 and PQN."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.architectures.mlp import chain_sizes, perceptron
from lrpdyn.architectures.model import Architecture, Arguments, always
from lrpdyn.architectures.orthogonal import orthogonal
from lrpdyn.architectures.outputs import AtomMean
from lrpdyn.checkpoints.model import Shapes


class ActorCritic(nn.Module):
    """``ppo.Agent``, and of `continuous` actions ``ppo_continuous_action.Agent`` and RPO's.

    `actor` and `critic` are sizes of layers, inputs first.
    """

    heads = ("policy", "value")

    def __init__(self, actor: list[int], critic: list[int], continuous: bool = False) -> None:
        super().__init__()
        self.action_space = "box" if continuous else "discrete"
        self._names = {"policy": "actor_mean" if continuous else "actor", "value": "critic"}
        for head, sizes in (("policy", actor), ("value", critic)):
            self.add_module(self._names[head], perceptron(sizes, "tanh"))
        if continuous:
            self.actor_logstd = nn.Parameter(torch.zeros(1, actor[-1]))

    def initialise(self) -> None:
        """Begin as CleanRL does (``layer_init``)."""
        orthogonal(self, {})
        for head, gain in (("policy", 0.01), ("value", 1.0)):
            *_, last = self.get_submodule(self._names[head]).children()
            nn.init.orthogonal_(last.weight, gain)  # type: ignore[arg-type]  # of a Linear

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the outputs of `head`."""
        return nn.Sequential(nn.Flatten(), self.get_submodule(self._names[head]))


class Actor(nn.Module):
    """``Actor`` of TD3, DDPG (`last` is ``fc_mu``) and SAC (``fc_mean``), explained at its means."""

    heads = ("policy",)
    action_space = "box"
    left_out: Mapping[str, str] = {
        "policy": "the tanh that squashes a mean, and the action's range"
    }

    def __init__(self, layers: list[int], last: str) -> None:
        super().__init__()
        self._names = ("fc1", "fc2", last)
        for name, (inputs, outputs) in zip(self._names, pairwise(layers), strict=True):
            self.add_module(name, nn.Linear(inputs, outputs))

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the means."""
        first, second, last = (self.get_submodule(name) for name in self._names)
        return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), last)


class QNetwork(nn.Module):
    """``QNetwork`` of DQN, of C51 with ``atoms``, and of PQN with LayerNorm (`normalised`)."""

    heads = ("q",)
    atoms: Tensor

    def __init__(
        self, layers: list[int], n_atoms: int | None = None, normalised: bool = False
    ) -> None:
        super().__init__()
        chain: list[nn.Module] = []
        for inputs, outputs in pairwise(layers):
            norm = [nn.LayerNorm(outputs)] if normalised else []
            chain += [nn.Linear(inputs, outputs), *norm, nn.ReLU()]
        self.network = nn.Sequential(*chain[: -2 if normalised else -1])
        self._actions, self._normalised = layers[-1] // (n_atoms or 1), normalised
        if n_atoms is not None:
            self.register_buffer("atoms", torch.linspace(-100, 100, n_atoms))

    def initialise(self) -> None:
        """Begin as CleanRL does: PQN with ``layer_init``, others as torch does."""
        if self._normalised:
            orthogonal(self, {})

    def path(self, head: str) -> nn.Module:
        """Return the layers from the observation to the Q values."""
        means = [AtomMean(self._actions, self.atoms)] if hasattr(self, "atoms") else []
        return nn.Sequential(nn.Flatten(), self.network, *means)


def _recognise_ppo(
    shapes: Shapes, hints: Mapping[str, Any], *, continuous: bool
) -> Arguments | None:
    actor = chain_sizes(shapes, "actor_mean" if continuous else "actor")
    critic = chain_sizes(shapes, "critic")
    if actor is None or critic is None or "activation" in hints:
        return None
    if continuous:
        return {"actor": actor, "critic": critic, "continuous": True}
    # Others call theirs so too: only the sizes say that it is CleanRL's.
    usual = actor[1:-1] == critic[1:-1] == [64, 64]
    return {"actor": actor, "critic": critic} if usual else None


def _recognise_actor(shapes: Shapes, hints: Mapping[str, Any], *, last: str) -> Arguments | None:
    weights = [shapes[f"{name}.weight"] for name in ("fc1", "fc2", last)]
    return {"layers": [shape[1] for shape in weights] + [weights[-1][0]], "last": last}


def _recognise_dqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    layers = chain_sizes(shapes, "network")
    # As of PPO: others call their layers so too.
    usual = layers is not None and layers[1:-1] == [120, 84] and "activation" not in hints
    return {"layers": layers} if usual else None


def _recognise_c51(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    layers = chain_sizes(shapes, "network")
    return None if layers is None else {"layers": layers, "n_atoms": shapes["atoms"][0]}


def _recognise_pqn(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    weights = [shapes[f"network.{index}.weight"] for index in (0, 3, 6)]
    layers = [shape[1] for shape in weights] + [weights[-1][0]]
    return {"layers": layers, "normalised": True}


ARCHITECTURES = tuple(
    Architecture(
        name=f"cleanrl-{name}",
        factory=factory,
        recognise=recognise,
        source=f"cleanrl/{scripts[0]}.py",
        assumes=always(
            f"the network of CleanRL's {' or '.join(f'{script}.py' for script in scripts)}: {function} "
            "(weights do not tell)"
        ),
        unused=unused,
    )
    for name, factory, recognise, scripts, function, unused in (
        ("ppo", ActorCritic, partial(_recognise_ppo, continuous=False), ("ppo",), "tanh", ""),
        (
            "ppo-continuous", ActorCritic, partial(_recognise_ppo, continuous=True),
            ("ppo_continuous_action", "rpo_continuous_action"), "tanh", "",
        ),
        (
            "td3", Actor, partial(_recognise_actor, last="fc_mu"),
            ("td3_continuous_action", "ddpg_continuous_action"), "ReLU", r"action_(scale|bias)$",
        ),
        (
            "sac", Actor, partial(_recognise_actor, last="fc_mean"), ("sac_continuous_action",),
            "ReLU", r"action_(scale|bias)$|fc_logstd\.",
        ),
        ("dqn", QNetwork, _recognise_dqn, ("dqn",), "ReLU", ""),
        ("c51", QNetwork, _recognise_c51, ("c51",), "ReLU", ""),
        ("pqn", QNetwork, _recognise_pqn, ("pqn",), "LayerNorm and ReLU", ""),
    )
)  # fmt: skip
