"""Captum's own rules as they are: the same numbers as Captum, and a warning where they are wrong."""

from __future__ import annotations

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.stock import explain_with_stock_rule, reasons

RULES = {
    "captum:alpha1beta0": Alpha1_Beta0_Rule,
    "captum:epsilon": EpsilonRule,
    "captum:gamma": GammaRule,
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("contrast", [0.0, 0.5])
def test_numbers_are_those_of_captum(rule: str, contrast: float) -> None:
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    x = torch.randn(4, 6)
    unit = torch.tensor([0, 1, 2, 0])
    rows = torch.eye(3)[unit] - contrast * torch.eye(3)[(unit + 1) % 3]

    outputs, found = explain_with_stock_rule(net, canonise(net), rule, x, lambda outputs: rows)

    torch.testing.assert_close(outputs, net(x))
    for key, value in net.state_dict().items():
        torch.testing.assert_close(value, before[key], rtol=0, atol=0)
    for sample in range(4):
        other = network()
        with torch.no_grad():
            last = other[4]
            assert isinstance(last, nn.Linear)
            last.weight[0], last.bias[0] = rows[sample] @ last.weight, rows[sample] @ last.bias
        for layer in other:
            if isinstance(layer, nn.Linear):
                layer.rule = RULES[rule]()  # type: ignore[assignment]
        expected = LRP(other).attribute(x[sample : sample + 1].clone().requires_grad_(), target=0)
        torch.testing.assert_close(found[sample : sample + 1], expected, rtol=1e-4, atol=1e-5)


def test_reasons_name_the_layers() -> None:
    found = reasons(canonise(network()), torch.randn(4, 6))
    assert found[0].startswith("0, 4 take negative inputs")
    assert found[1].startswith("0, 2, 4 have biases")


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(3, 3, bias=False), nn.Linear(3, 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x) + x)


def test_joined_branches_are_a_reason() -> None:
    assert "join branches" in reasons(canonise(Residual()), torch.rand(2, 3))[-1]


def test_what_captum_cannot_explain_is_refused_and_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.GELU(), nn.Linear(3, 2))
    canonised = canonise(net)
    x, rows = torch.rand(2, 3), torch.eye(2)
    with pytest.raises(ArchitectureError, match=r"GELU.*--rule zplus, which is exact"):
        explain_with_stock_rule(net, canonised, "captum:alpha1beta0", x, lambda outputs: rows)
    assert not any("rule" in vars(module) for module in net.modules())
    averaged = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with pytest.raises(ArchitectureError, match="one Linear layer"):
        explain_with_stock_rule(averaged, canonise(averaged), "captum:gamma", x, lambda o: rows)
