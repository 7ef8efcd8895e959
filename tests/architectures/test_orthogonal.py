"""Orthogonal initialisation with gains by name."""

from __future__ import annotations

import torch
from torch import nn

from lrpdyn.architectures.orthogonal import orthogonal


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.actor = nn.Linear(4, 2)
        self.other = nn.Linear(4, 2)


def test_rows_are_orthogonal_and_as_long_as_their_gain() -> None:
    torch.manual_seed(0)
    network = Network()
    before = network.other.weight.clone()
    orthogonal(network, {"actor": 0.01}, without=["other"])
    for weight, gain in ((network.body[0].weight, 2**0.5), (network.actor.weight, 0.01)):
        rows = weight.detach().flatten(1)
        torch.testing.assert_close(rows @ rows.T, gain**2 * torch.eye(len(rows)))
    assert not network.body[0].bias.any()
    assert not network.actor.bias.any()
    assert torch.equal(network.other.weight, before)
