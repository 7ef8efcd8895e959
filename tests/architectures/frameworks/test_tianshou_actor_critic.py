"""Tianshou's actor-critics, from their published layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.architectures.frameworks.tianshou_networks import DQNet, under


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.rand(2, 4, 84, 84)


@pytest.mark.parametrize("scaled", [True, False])
def test_actor_critic(
    load: Callable[..., Any], compare: Callable[..., None], x: Tensor, scaled: bool
) -> None:
    features, actor, critic = DQNet(None), nn.Linear(512, 6), nn.Linear(512, 1)
    inner = "preprocess.module" if scaled else "preprocess"
    parts = {
        name: under(inner, weights=features.state_dict())
        | under("last.model.0", weights=last.state_dict())
        for name, last in (("actor", actor), ("critic", critic))
    }
    seen = 255 * x if scaled else x
    hidden = features(x).detach()
    policy, value = actor(hidden).detach(), critic(hidden).detach()
    both = under("actor", weights=parts["actor"]) | under("critic", weights=parts["critic"])
    for weights in (both, both | under("_actor_critic", weights=both)):
        resolved, network = load(weights)
        assert resolved.architecture.name == "tianshou-ppo" + ("" if scaled else "-unscaled")
        assert resolved.architecture.preprocessing.divisor == (1 if scaled else None)
        compare(network, seen, policy, "policy")
        compare(network, seen, value, "value")
    _, network = load(under("policy.actor", weights=parts["actor"]))
    assert network.heads == ("policy",)
    compare(network, seen, policy)
