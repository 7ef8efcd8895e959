"""Every rule against a second formula: plain matrix algebra in float64."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lrpdyn.errors import UsageError
from lrpdyn.lrp.attribution import contrast_rows, relevance
from lrpdyn.lrp.canonise import canonise
from lrpdyn.lrp.rules import parse_rule

EPSILON = 1e-6


def stab(z: Tensor) -> Tensor:
    return torch.where(z >= 0, z + EPSILON, z - EPSILON)


def shared(contributions: Tensor, denominator: Tensor, upper: Tensor) -> Tensor:
    """Contributions (N, out, in), denominator and upper relevance (N, out)."""
    return (contributions * (upper / stab(denominator))[:, :, None]).sum(1)


def by_epsilon(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = x[:, None, :] * w
    return shared(z, z.sum(2) + b, upper)


def by_zplus(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = (x[:, None, :] * w).clamp(min=0)
    return shared(z, z.sum(2) + b.clamp(min=0), upper)


def by_gamma(w: Tensor, b: Tensor, x: Tensor, upper: Tensor, gamma: float = 0.25) -> Tensor:
    z = x[:, None, :] * w
    output = z.sum(2) + b
    raised = z + gamma * z.clamp(min=0)
    lowered = z + gamma * z.clamp(max=0)
    up = shared(raised, raised.sum(2) + b + gamma * b.clamp(min=0), upper * (output > 0))
    down = shared(lowered, lowered.sum(2) + b + gamma * b.clamp(max=0), upper * (output < 0))
    return up + down


FORMULAE: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "epsilon": by_epsilon,
    "zplus": by_zplus,
    "gamma": by_gamma,
}


def as_matrix(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the layer's matrix (out, in) and bias (out,), from what it does to unit vectors."""
    size = torch.Size(shape).numel()
    with torch.no_grad():
        bias = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
        matrix = layer(units).flatten(1) - bias
    return matrix.T, bias


LAYERS = {
    "linear": (lambda bias: nn.Linear(7, 5, bias=bias), (7,)),
    "conv1d": (lambda bias: nn.Conv1d(2, 3, 3, bias=bias), (2, 9)),
    "conv2d": (lambda bias: nn.Conv2d(2, 4, 3, stride=2, padding=1, bias=bias), (2, 7, 7)),
    "conv2d-groups": (lambda bias: nn.Conv2d(4, 4, 2, groups=2, bias=bias), (4, 5, 5)),
    "transposed": (lambda bias: nn.ConvTranspose2d(2, 3, 2, stride=2, bias=bias), (2, 3, 3)),
}


@pytest.mark.parametrize("rule", FORMULAE)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("positive", [True, False])
def test_layer_follows_matrix_formula(rule: str, name: str, bias: bool, positive: bool) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(3)
    layer = make(bias).double()
    x = torch.randn(3, *shape, dtype=torch.float64)
    x = x.abs() if positive else x
    w, b = as_matrix(layer, shape)
    head = nn.Linear(len(b), 2, bias=False).double()
    network = canonise(nn.Sequential(layer, nn.Flatten(), head))
    hidden = layer(x).flatten(1).detach()
    rows = torch.tensor([[1.0, 0.0]] * 3, dtype=torch.float64)
    found = relevance(network, parse_rule(rule), x, rows)
    formula = FORMULAE[rule]
    head_w = head.weight.detach()[:1]
    score = hidden @ head_w.T
    middle = formula(head_w, torch.zeros(1, dtype=torch.float64), hidden, score)
    expected = formula(w, b, x.flatten(1), middle).reshape(x.shape)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


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
    layer = nn.Linear(3, 1)
    layer.weight.data = torch.tensor([weight], dtype=torch.float32)
    layer.bias.data = torch.tensor([bias], dtype=torch.float32)
    found = relevance(
        canonise(nn.Sequential(layer)),
        parse_rule("zplus"),
        torch.tensor([x], dtype=torch.float32),
        torch.ones(1, 1),
    )
    assert found[0].tolist() == pytest.approx(expected, abs=0.005)


@given(
    seed=st.integers(0, 10_000),
    rule=st.sampled_from(["epsilon", "zplus", "gamma"]),
    layers=st.integers(1, 3),
)
@settings(max_examples=40, deadline=None)
def test_relevance_is_conserved_without_biases(seed: int, rule: str, layers: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    sizes = [5, 6, 4, 7][: layers + 1]
    modules: list[nn.Module] = []
    for a, b in pairwise(sizes):
        modules += [nn.Linear(a, b, bias=False), nn.ReLU()]
    network = nn.Sequential(*modules[:-1]).double()
    for parameter in network.parameters():
        # Away from zero, so that no sum is so small that the stabiliser absorbs a part of it.
        parameter.data = torch.rand(parameter.shape, generator=generator).double() + 0.1
    x = torch.rand(4, 5, generator=generator).double() + 0.1
    outputs = network(x).detach()
    target = torch.zeros(4, dtype=torch.long)
    found = relevance(
        canonise(network), parse_rule(rule), x, contrast_rows(outputs, target, "none")
    )
    torch.testing.assert_close(found.sum(1), outputs[:, 0], rtol=1e-4, atol=1e-6)


def test_tiny_epsilon_is_gradient_times_input_without_biases() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 3, bias=False)
    ).double()
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(network(x)[:, 1].sum(), x)
    rows = torch.eye(3, dtype=torch.float64)[[1] * 5]
    found = relevance(canonise(network), parse_rule("epsilon:1e-14"), x.detach(), rows)
    torch.testing.assert_close(found, (gradient * x).detach(), rtol=1e-8, atol=1e-10)


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


@pytest.mark.parametrize(
    "text", ["zpluss", "zplus:1", "gamma:x", "epsilon:-1", "gamma:1,2", "gamma:nan"]
)
def test_wrong_rules_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="rule"):
        parse_rule(text)


def test_rule_reads_back() -> None:
    assert parse_rule("gamma:0.5").parameters == {"gamma": 0.5}
    assert str(parse_rule("epsilon")) == "epsilon:1e-06"
