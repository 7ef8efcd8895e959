"""What follows the last linear layers: dueling streams, quantiles, atoms, on numbers by hand."""

from __future__ import annotations

import torch
from torch import nn

from lrpdyn.architectures.outputs import AtomMean, Dueling, QuantileMean


def test_dueling_adds_the_value_and_the_advantage_over_its_mean() -> None:
    value, advantage = nn.Linear(2, 1, bias=False), nn.Linear(2, 3, bias=False)
    value.weight.data = torch.tensor([[1.0, 1.0]])
    advantage.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [2.0, 2.0]])
    found = Dueling(value, advantage, actions=3)(torch.tensor([[1.0, 2.0]]))
    assert found.tolist() == [[3.0 + 1 - 3, 3.0 + 2 - 3, 3.0 + 6 - 3]]


def test_dueling_of_distributions_works_on_each_atom() -> None:
    torch.manual_seed(0)
    value, advantage, x = nn.Linear(4, 5), nn.Linear(4, 15), torch.randn(2, 4)
    found = Dueling(value, advantage, actions=3, atoms=5)(x)
    assert found.shape == (2, 3, 5)
    parts = advantage(x).view(2, 3, 5)
    torch.testing.assert_close(found[:, 1], value(x) + parts[:, 1] - parts.sum(1) / 3)


def test_quantiles_are_laid_out_as_frameworks_do() -> None:
    outputs = torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    assert QuantileMean((2, 3), 2)(outputs).tolist() == [[2.0, 5.0]]
    assert QuantileMean((3, 2), 1)(outputs).tolist() == [[3.0, 4.0]]


def test_atoms_are_weighed_by_their_probability_and_share_the_support() -> None:
    support = torch.tensor([0.0, 10.0])
    mean = AtomMean(1, support)
    logits = torch.log(torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(mean(logits), torch.tensor([[7.5]]))
    support.mul_(2)  # as weights that are loaded in place
    torch.testing.assert_close(mean(logits), torch.tensor([[15.0]]))
    assert mean.state_dict() == {}
