"""Every rule on every linear layer: against plain matrix algebra and against Zennit, in float64."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from zennit import rules as zennit_rules

from lrpdyn.lrp import rules
from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp.formulae import FORMULAE, HIGH, LOW, as_matrix

ZENNIT = {
    "epsilon": lambda: zennit_rules.Epsilon(1e-6),
    "zplus": zennit_rules.ZPlus,
    "alphabeta:3,2": lambda: zennit_rules.AlphaBeta(3, 2),
    "alpha2beta1": lambda: zennit_rules.AlphaBeta(2, 1),
    "alpha1beta0": lambda: zennit_rules.AlphaBeta(1, 0),
    "gamma:0.5": lambda: zennit_rules.Gamma(0.5),
    f"zbox:{LOW},{HIGH}": lambda: zennit_rules.ZBox(LOW, HIGH),
    "wsquare": zennit_rules.WSquare,
    "flat": zennit_rules.Flat,
    "norm": zennit_rules.Norm,
}


LAYERS = {
    "linear": (lambda bias: nn.Linear(7, 5, bias=bias), (7,)),
    "conv1d": (lambda bias: nn.Conv1d(2, 3, 3, bias=bias), (2, 9)),
    "conv2d": (lambda bias: nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=bias), (2, 7, 7)),
    "conv2d-groups": (lambda bias: nn.Conv2d(4, 4, 2, groups=2, bias=bias), (4, 5, 5)),
    "conv3d": (lambda bias: nn.Conv3d(2, 3, 2, bias=bias), (2, 3, 3, 3)),
    "transposed1d": (lambda bias: nn.ConvTranspose1d(2, 3, 2, bias=bias), (2, 4)),
    "transposed2d": (lambda bias: nn.ConvTranspose2d(2, 3, 2, stride=2, bias=bias), (2, 3, 3)),
}


class Layer:
    """One layer, its input, and the relevance of its output."""

    def __init__(self, name: str, bias: bool, positive: bool) -> None:
        make, shape = LAYERS[name]
        torch.manual_seed(3)
        self.layer = make(bias).double()
        x = torch.randn(3, *shape, dtype=torch.float64).clamp(LOW, HIGH)
        self.x = x.abs() if positive else x
        self.upper = torch.randn(self.layer(self.x).shape, dtype=torch.float64)

    def explained(self, rule: str) -> Tensor:
        """Relevance of the input, asked of the rule itself for any relevance of the output."""
        network = canonise(nn.Sequential(self.layer))
        plan = make_plan(network, parse_composite(rule), self.x[:1])
        (layer,) = network.children()
        from lrpdyn.lrp.rules import Call

        call = Call(layer, (self.x,), self.layer(self.x).detach())  # type: ignore[arg-type]
        return plan["0"].function(call, self.upper)  # type: ignore[return-value]

    def by_zennit(self, rule: Any) -> Tensor:
        x = self.x.clone().requires_grad_()
        handles = rule.register(self.layer)
        (found,) = torch.autograd.grad(self.layer(x), x, self.upper)
        handles.remove()
        return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("of_rows", [False, True])
@pytest.mark.parametrize("rule", ["zplus", "gamma:0.5"])
def test_many_weights_are_made_in_blocks(
    monkeypatch: pytest.MonkeyPatch, rule: str, bias: bool, of_rows: bool
) -> None:
    large = (lambda bias: nn.Linear(2100, 130, bias=bias), (2, 2100) if of_rows else (2100,))
    monkeypatch.setitem(LAYERS, "large", large)
    case = Layer("large", bias, positive=True)
    calls = []
    in_blocks = rules._share_in_blocks
    monkeypatch.setattr(rules, "_share_in_blocks", lambda *a: calls.append(1) or in_blocks(*a))
    found = case.explained(rule)
    assert calls
    torch.testing.assert_close(found, case.by_zennit(ZENNIT[rule]()), rtol=1e-10, atol=1e-10)
    monkeypatch.setattr(rules, "LARGE", 1 << 62)
    torch.testing.assert_close(found, case.explained(rule), rtol=1e-12, atol=1e-14)
    # Where an input is negative, both halves count: nothing is left out.
    monkeypatch.undo()
    monkeypatch.setitem(LAYERS, "large", large)
    case = Layer("large", bias, positive=False)
    expected = case.by_zennit(ZENNIT[rule]())
    torch.testing.assert_close(case.explained(rule), expected, rtol=1e-10, atol=1e-10)


def test_stabiliser_goes_by_the_outputs_that_have_relevance() -> None:
    # A mask hides an entry by minus infinity; the third sample has relevance nowhere.
    z = torch.tensor([[-torch.inf, 0.02, 9.0], [-0.03, 0.01, 5.0], [1.0, 2.0, 3.0]])
    relevance = torch.tensor([[0.0, 1e-30, 0.0], [-3.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    call = rules.Call(rules.Sum((1,)), (z,), z)
    expected = torch.tensor([[2e-7], [3e-7], [torch.inf]])
    torch.testing.assert_close(rules.stabiliser(call, relevance), expected)


@pytest.mark.parametrize("rule", FORMULAE)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_layer_follows_matrix_formula_and_zennit(
    rule: str, name: str, bias: bool, positive: bool
) -> None:
    case = Layer(name, bias, positive)
    found = case.explained(rule)
    w, b = as_matrix(case.layer, tuple(case.x.shape[1:]))
    expected = FORMULAE[rule](w, b, case.x.flatten(1), case.upper.flatten(1)).reshape(found.shape)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    if rule in ZENNIT:
        torch.testing.assert_close(found, case.by_zennit(ZENNIT[rule]()), rtol=1e-10, atol=1e-10)


def one_unit(weight: list[float], bias: float) -> nn.Sequential:
    layer = nn.Linear(len(weight), 1).double()
    layer.weight.data = torch.tensor([weight]).double()
    layer.bias.data = torch.tensor([bias]).double()
    return nn.Sequential(layer)


def relevance_of(network: nn.Module, rule: str, x: Tensor, rows: Tensor) -> Tensor:
    canonised = canonise(network)
    return relevance(canonised, make_plan(canonised, parse_composite(rule), x[:1]), x, rows)


@pytest.mark.parametrize(
    ("weight", "x", "bias", "expected"),
    [
        ([1, 2, -1], [1, 1, 1], 0, [0.667, 1.333, 0]),
        ([1, 2, -1], [1, -1, -3], 0, [0.5, 0, 1.5]),
        ([1, 1, -1], [1, -0.999, -3], 0, [0.75, 0, 2.25]),
        ([1, 2, -1], [1, 1, 1], -4, [-0.67, -1.33, 0]),
        ([1, 2, -1], [1, 1, 1], -3, [-0.33, -0.67, 0]),
    ],
)
def test_zplus_where_stock_captum_fails(
    weight: list[float], x: list[float], bias: float, expected: list[float]
) -> None:
    found = relevance_of(
        one_unit(weight, bias), "zplus", torch.tensor([x]).double(), torch.ones(1, 1).double()
    )
    assert found[0].tolist() == pytest.approx(expected, abs=0.005)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [("alpha1beta0", [-1, 0]), ("alpha2beta1", [-2, 0.5]), ("zplus", [-1, 0])],
)
def test_hand_values_of_alphabeta(rule: str, expected: list[float]) -> None:
    found = relevance_of(
        one_unit([1, -1], -1), rule, torch.ones(1, 2).double(), torch.ones(1, 1).double()
    )
    assert found[0].tolist() == pytest.approx(expected, abs=1e-5)


class Residual(nn.Module):
    """A residual network without biases that begins each block with its ReLU."""

    def __init__(self, width: int, blocks: int, generator: torch.Generator) -> None:
        super().__init__()
        self.first = nn.Linear(5, width, bias=False)
        self.blocks = nn.ModuleList([nn.Linear(width, width, bias=False) for _ in range(blocks)])
        self.last = nn.Linear(width, 3, bias=False)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        for block in self.blocks:
            x = x + block(torch.relu(x))
        return self.last(torch.relu(x))


@given(seed=st.integers(0, 10_000), blocks=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_lrp0_is_gradient_times_input_without_biases(seed: int, blocks: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    network = Residual(6, blocks, generator)
    x = torch.randn(4, 5, generator=generator).double().requires_grad_()
    (gradient,) = torch.autograd.grad(network(x)[:, 1].sum(), x)
    canonised = canonise(network)
    entries = [{"rule": "lrp0"}, {"rule": "epsilon:1e-13", "type": "sum"}]
    plan = make_plan(canonised, composite_of(entries))
    rows = torch.eye(3).double()[[1] * 4]
    found = relevance(canonised, plan, x.detach(), rows)
    expected = (gradient * x).detach()
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6 * float(expected.abs().max()))


def composite_of(entries: list[dict[str, Any]]) -> Any:
    from lrpdyn.lrp.composites import Composite, assignment

    return Composite("test", tuple(assignment(entry, "test") for entry in entries))


@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(
        ["epsilon", "zplus", "gamma", "alpha1beta0", "wsquare", "flat", "epsilon-plus"]
    ),
    residual=st.booleans(),
    layers=st.integers(1, 3),
)
@settings(max_examples=80, deadline=None)
def test_relevance_is_conserved_without_biases(
    seed: int, rule: str, residual: bool, layers: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    if residual:
        network: nn.Module = Residual(6, layers, generator)
    else:
        sizes = [5, 6, 4, 7][: layers + 1]
        modules: list[nn.Module] = []
        for a, b in pairwise(sizes):
            modules += [nn.Linear(a, b, bias=False), nn.ReLU()]
        network = nn.Sequential(*modules[:-1]).double()
    for parameter in network.parameters():
        # Mostly positive, and away from zero: no sum is so small that the stabiliser takes a part.
        size = torch.rand(parameter.shape, generator=generator).double() + 0.3
        negative = torch.rand(parameter.shape, generator=generator) < 0.1
        parameter.data = torch.where(negative, -0.1 * size, size)
    x = torch.rand(4, 5, generator=generator).double() + 0.3
    outputs = network(x).detach()
    target = torch.zeros(4, dtype=torch.long)
    found = relevance_of(network, rule, x, contrast_rows(outputs, target, "none"))
    # alpha2beta1 conserves where contributions of both signs are there, which is no law.
    torch.testing.assert_close(found.sum(1), outputs[:, 0], rtol=1e-4, atol=1e-6)


def test_lrp0_passes_nothing_through_a_sum_of_zero() -> None:
    network = one_unit([1, -1], 0)
    found = relevance_of(network, "lrp0", torch.ones(1, 2).double(), torch.ones(1, 1).double())
    assert found[0].tolist() == [0, 0]


@pytest.mark.parametrize("rule", ["zplus", "gamma", "alpha2beta1", "lrp0"])
def test_small_activations_do_not_erase_relevance(rule: str) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)
    ).double()
    x = torch.rand(4, 6).double()
    canonised = canonise(network)
    plan = make_plan(canonised, parse_composite(rule))
    rows = torch.eye(3).double()[[0, 1, 2, 0]]
    usual = relevance(canonised, plan, x, rows)
    alone = relevance(canonised, plan, x[:1], rows[:1])
    torch.testing.assert_close(alone, usual[:1], rtol=1e-12, atol=0)  # of each sample on its own
    with torch.no_grad():
        network[0].weight.mul_(1e-9)
    torch.testing.assert_close(
        relevance(canonised, plan, x, rows) * 1e9, usual, rtol=1e-3, atol=1e-3
    )
