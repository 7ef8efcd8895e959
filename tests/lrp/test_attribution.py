"""Scores of outputs, and what one pass through a network gives of them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.attribution import contrast_rows, explain, output_layer, relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp.formulae import by_epsilon
from tests.lrp.test_rules import composite_of, relevance_of


def test_contrast_is_a_difference_of_scores() -> None:
    outputs = torch.tensor([[1.0, 4.0, 2.0], [3.0, -1.0, 0.5]])
    target = outputs.argmax(1)
    for contrast, expected in (
        ("none", [4.0, 3.0]),
        ("mean", [4 - 7 / 3, 3 - 2.5 / 3]),
        ("runner-up", [2.0, 2.5]),
    ):
        rows = contrast_rows(outputs, target, contrast)
        assert (rows * outputs).sum(1).tolist() == pytest.approx(expected)
    fixed = contrast_rows(outputs, target, "runner-up", torch.tensor([0, 1]))
    assert (fixed * outputs).sum(1).tolist() == pytest.approx([3.0, 4.0])


def test_contrast_of_outputs_that_no_linear_layer_gives() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).double()
    x = torch.rand(2, 1, 6, 6).double()
    rows = contrast_rows(network(x).detach(), torch.tensor([0, 2]), "mean")
    found = relevance_of(network, "epsilon", x, rows)
    plain = [relevance_of(network, "epsilon", x, torch.eye(3).double()[[k, k]]) for k in range(3)]
    expected = sum(rows[:, k, None, None, None] * plain[k] for k in range(3))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_support_is_what_speaks_for_the_score_in_the_last_layer() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    x = torch.randn(5, 4).double()
    canonised = canonise(network)
    plan = make_plan(canonised, parse_composite("zplus"))
    rows = contrast_rows(network(x).detach(), torch.tensor([0, 1, 2, 0, 1]), "mean")
    found = explain(canonised, plan, x, lambda outputs: rows)
    hidden = torch.relu(network[0](x))
    expected = (hidden * (rows @ network[2].weight)).clamp(min=0).sum(1)
    torch.testing.assert_close(found.support, expected.detach())
    torch.testing.assert_close(found.outputs, network(x).detach())


def test_what_each_layer_did_is_kept_where_it_is_asked_for() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    x = torch.randn(2, 4).double()
    canonised = canonise(network)
    plan = make_plan(canonised, parse_composite("epsilon"))
    rows = torch.eye(3).double()[[0, 1]]
    found = explain(canonised, plan, x, lambda outputs: rows, keep=True)
    assert list(found.layers) == ["0", "1", "2"]
    first = found.layers["0"]
    torch.testing.assert_close(first.relevance_inputs[0], found.relevance)
    torch.testing.assert_close(first.call.x, x)
    torch.testing.assert_close(first.relevance_output, found.layers["1"].relevance_inputs[0])
    w, b = network[0].weight.detach(), network[0].bias.detach()
    expected = by_epsilon(w, b, x, first.relevance_output)
    torch.testing.assert_close(found.relevance, expected)
    assert not explain(canonised, plan, x, lambda outputs: rows).layers


def test_a_rule_that_raises_leaves_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    network = canonise(nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)))
    composite = composite_of([{"rule": "pass", "name": "0"}, {"rule": "epsilon"}])
    plan = make_plan(network, composite)
    x, rows = torch.randn(2, 4), torch.eye(2) - 0.5
    before = network(x)
    with pytest.raises(ArchitectureError, match=r"takes \(2, 4\) and gives \(2, 3\)"):
        relevance(network, plan, x, rows)
    torch.testing.assert_close(network(x), before)
    good = make_plan(network, parse_composite("epsilon"))
    assert relevance(network, good, x, rows).shape == x.shape


def test_the_output_layer_is_the_last_one_where_that_is_linear() -> None:
    layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)]
    assert output_layer(canonise(nn.Sequential(*layers))) == "3"
    assert output_layer(canonise(nn.Sequential(*layers, nn.Tanh()))) is None
    assert output_layer(canonise(nn.Sequential(nn.Conv2d(1, 3, 3)))) is None
