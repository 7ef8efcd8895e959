"""Layers whose form of the forward pass is their own."""

from __future__ import annotations

import torch
from torch import nn

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan


def test_normalisation_with_its_scale_held_fixed() -> None:
    torch.manual_seed(0)
    layer = nn.LayerNorm(5).double()
    layer.weight.data.uniform_(0.5, 1.5)
    layer.bias.data.uniform_(-0.5, 0.5)
    network = nn.Sequential(layer)
    x = torch.randn(3, 5).double()
    canonised = canonise(network)
    plan = make_plan(canonised, parse_composite("epsilon"))
    assert plan["0"].text == "fixed-scale"
    found = relevance(canonised, plan, x, torch.eye(5).double()[[1, 1, 1]])
    scale = (x.var(1, correction=0, keepdim=True) + layer.eps).sqrt()
    weights = (torch.eye(5).double()[1] - 1 / 5) / scale * layer.weight[1]
    z = (x * weights).sum(1) + layer.bias[1]
    expected = x * weights * (z / (z + 1e-6 * z.sign()))[:, None]
    torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=1e-12)
