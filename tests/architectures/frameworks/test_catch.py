"""The demo's network: recognised, and a path for each of the outputs that it trains with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from lrpdyn.architectures.frameworks.catch import CatchNetwork


def test_its_paths_give_what_it_is_trained_with(
    load: Callable[..., Any], compare: Callable[..., None]
) -> None:
    torch.manual_seed(0)
    theirs, x = CatchNetwork(channels=3, actions=4), torch.rand(2, 3, 24, 24)
    resolved, network = load(theirs.state_dict())
    assert resolved.architecture.name == "catch"
    assert resolved.arguments == {"channels": 3, "actions": 4}
    policy, value = theirs(x)
    compare(network, x, policy.detach(), "policy")
    compare(network, x, value.detach(), "value")
