"""Noisy layers by their mean weights, whatever their noise is."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lrpdyn.architectures.noisy import FactorisedNoisyLinear, NoisyLinear, NoisyPair


@pytest.mark.parametrize(
    ("kind", "weight", "bias", "keys"),
    [
        (NoisyLinear, "weight_mu", "bias_mu", 6),
        (FactorisedNoisyLinear, "mu_W", "mu_bias", 6),
        (NoisyPair, "mu.weight", "mu.bias", 4),
    ],
)
def test_the_mean_weights_are_the_layer(
    kind: type[nn.Module], weight: str, bias: str, keys: int
) -> None:
    torch.manual_seed(0)
    layer, x = kind(3, 2), torch.randn(5, 3)
    state = layer.state_dict()
    assert len(state) == keys
    expected = F.linear(x, state[weight], state[bias])
    assert expected.abs().max() > 0.1
    for name, values in state.items():
        if name not in (weight, bias):
            values.fill_(7)
    assert torch.equal(layer(x), expected)
