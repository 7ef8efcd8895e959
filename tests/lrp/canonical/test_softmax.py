"""A softmax before the outputs is skipped."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise_fully
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan


def test_softmax_head_is_explained_at_its_logits() -> None:
    torch.manual_seed(0)
    logits = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))
    for last in (nn.Softmax(dim=1), nn.LogSoftmax(dim=-1)):
        network = nn.Sequential(logits, last)
        found = canonise_fully(network)
        x = torch.randn(2, 4)
        torch.testing.assert_close(found.reference(x), network(x))
        torch.testing.assert_close(found.explained(x), logits(x))
        assert "the logits are explained" in found.notes[0]


@pytest.mark.parametrize("last", [nn.Sigmoid(), nn.LogSigmoid(), nn.Softplus(), torch.sigmoid])
def test_what_squashes_each_output_is_left_out(last: Callable[[Tensor], Tensor]) -> None:
    class Binary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out, self.last = nn.Linear(2, 1), last

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.out(x))

    network = Binary()
    network.out.weight.data, network.out.bias.data = torch.tensor([[1.0, -3.0]]), torch.zeros(1)
    found, x = canonise_fully(network), torch.ones(1, 2)
    torch.testing.assert_close(found.reference(x), network(x))
    assert "is skipped: the logits before it are explained" in found.notes[0]
    plan = make_plan(found.explained, parse_composite("lrp0"))
    maps = relevance(found.explained, plan, x, torch.ones(1, 1))
    torch.testing.assert_close(maps, torch.tensor([[1.0, -3.0]]))


def test_a_constant_behind_a_sigmoid_moves_no_logit() -> None:
    class BothClasses(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            share = torch.sigmoid(self.out(x))
            return torch.cat([share, 1 - share], 1)

    torch.manual_seed(0)
    network, x = BothClasses(), 0.3 * torch.randn(64, 4)
    explained = canonise_fully(network).explained(x)
    logit = network.out(x)
    torch.testing.assert_close(explained, torch.cat([logit, -logit], 1))
    assert torch.equal(explained.argmax(1), network(x).argmax(1))


def test_a_hidden_sigmoid_is_kept() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 1))
    found = canonise_fully(network)
    assert found.reference is found.explained
    assert found.notes == ()
