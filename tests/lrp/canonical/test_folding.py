"""Heads whose last operations are linear, against one layer made by hand."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise, canonise_fully
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan


class Dueling(nn.Module):
    """Value and advantages, as in dueling DQN, for one or several quantiles or atoms."""

    def __init__(self, actions: int = 4, atoms: int = 1, softmax: bool = False) -> None:
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.value = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, atoms))
        self.advantage = nn.Sequential(nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, actions * atoms))
        self.register_buffer("support", torch.linspace(-2, 6, atoms))
        self.shape, self.softmax = (actions, atoms), softmax

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.body(x))
        value = self.value(h).view(-1, 1, self.shape[1])
        advantage = self.advantage(h).view(x.shape[0], *self.shape)
        q = value + advantage - advantage.mean(dim=1, keepdim=True)
        if self.softmax:
            return (torch.softmax(q, dim=2) * self.support).sum(dim=2)
        return q.mean(dim=2)


def folded_by_hand(network: Dueling, weights: Tensor) -> nn.Module:
    """One Linear layer over both hidden layers; `weights` (atoms,) of the atoms in the score."""
    actions, atoms = network.shape
    hidden = [branch[0] for branch in (network.value, network.advantage)]
    centre = torch.eye(actions).double() - 1 / actions
    last = nn.Linear(14, actions).double()
    w_v, w_a = network.value[2].weight, network.advantage[2].weight
    b_v, b_a = network.value[2].bias, network.advantage[2].bias
    by_action = torch.einsum("k,akh->ah", weights, w_a.view(actions, atoms, 7))
    last.weight.data = torch.cat(
        [(weights @ w_v).expand(actions, 7), centre @ by_action], 1
    ).detach()
    bias_a = b_a.view(actions, atoms) @ weights
    last.bias.data = (weights @ b_v + centre @ bias_a).detach()
    both = nn.Linear(8, 14).double()
    both.weight.data = torch.cat([layer.weight for layer in hidden]).detach()
    both.bias.data = torch.cat([layer.bias for layer in hidden]).detach()
    return nn.Sequential(network.body, nn.ReLU(), both, nn.ReLU(), last)


@pytest.mark.parametrize("rule", ["zplus", "epsilon", "gamma", "alpha2beta1", "epsilon-plus"])
@pytest.mark.parametrize("contrast", ["none", "mean", "runner-up"])
@pytest.mark.parametrize(("atoms", "softmax"), [(1, False), (5, False), (5, True)])
def test_dueling_and_distributional_heads_are_one_linear_layer(
    rule: str, contrast: str, atoms: int, softmax: bool
) -> None:
    torch.manual_seed(0)
    network = Dueling(atoms=atoms, softmax=softmax).double()
    found = canonise_fully(network)
    x = torch.randn(3, 6).double()
    torch.testing.assert_close(found.reference(x), network(x))
    torch.testing.assert_close(found.unfolded(x), found.explained(x))
    assert any(note.startswith("folded_head") for note in found.notes)
    assert any("softmax" in note for note in found.notes) == softmax
    weights = (
        network.support - network.support.mean() if softmax else torch.ones(atoms).double() / atoms
    )
    by_hand = canonise(folded_by_hand(network, weights.double()))
    outputs = found.explained(x).detach()
    torch.testing.assert_close(by_hand(x).detach(), outputs)
    rows = contrast_rows(outputs, outputs.argmax(1), contrast)
    maps, expected = (
        relevance(c, make_plan(c, parse_composite(rule)), x, rows)
        for c in (found.explained, by_hand)
    )
    torch.testing.assert_close(maps, expected, rtol=1e-8, atol=1e-10)
    with torch.no_grad():
        network.advantage[2].weight.mul_(2)
    torch.testing.assert_close(found.unfolded(x), found.explained(x))
