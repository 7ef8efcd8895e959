"""LSTM and GRU against the formulas of Arras et al. 2017 and 2019, written out in NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan

Array = NDArray[np.float64]
FEATURES, HIDDEN, UNITS, TIMES = 3, 4, 2, 5


class Recurrent(nn.Module):
    """A recurrent layer, and a Linear layer over its last output."""

    def __init__(self, kind: type[nn.RNNBase], *, bias: bool = True, **known: Any) -> None:
        super().__init__()
        self.inner = kind(FEATURES, HIDDEN, batch_first=True, bias=bias, **known)
        self.out = nn.Linear(HIDDEN * (1 + self.inner.bidirectional), UNITS, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.inner(x)[0][:, TIMES // 2])


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def shared(weight: Array, inputs: Array, outputs: Array, upper: Array) -> Array:
    """Return what the inputs of a linear layer get: R_i = sum_j x_i w_ji R_j / z_j."""
    return inputs * (weight.T @ (upper / np.where(outputs == 0, 1, outputs)))


def lstm(
    w: dict[str, Array], xs: list[Array], upper: list[Array]
) -> tuple[list[Array], list[Array]]:
    """Return the outputs, and the relevance of the inputs for that of the outputs, of one direction."""
    w_x, w_h, bias = w["weight_ih"], w["weight_hh"], w["bias"]
    h, c, kept = np.zeros(HIDDEN), np.zeros(HIDDEN), []
    for x in xs:
        i, f, g, o = np.split(w_x @ x + w_h @ h + bias, 4)
        entering, held = sigmoid(i) * np.tanh(g), sigmoid(f) * c
        kept.append((x, h, entering, held, g))
        c = held + entering
        h = sigmoid(o) * np.tanh(c)
    outputs = [k[1] for k in kept[1:]] + [h]
    of_g, of_h, of_c = slice(2 * HIDDEN, 3 * HIDDEN), np.zeros(HIDDEN), np.zeros(HIDDEN)
    found = []
    for (x, before, entering, held, g), given in zip(kept[::-1], upper[::-1], strict=True):
        of_c = of_c + of_h + given  # the gate o gets nothing
        of_entering, of_c = of_c * entering / (entering + held), of_c * held / (entering + held)
        found.append(shared(w_x[of_g], x, g, of_entering))
        of_h = shared(w_h[of_g], before, g, of_entering)
    return outputs, found[::-1]


def gru(
    w: dict[str, Array], xs: list[Array], upper: list[Array]
) -> tuple[list[Array], list[Array]]:
    w_x, w_h, b_x, b_h = w["weight_ih"], w["weight_hh"], w["bias_ih"], w["bias_hh"]
    h, kept, n = np.zeros(HIDDEN), [], slice(2 * HIDDEN, None)
    for x in xs:
        r, z, _ = np.split(sigmoid(w_x @ x + b_x + w_h @ h + b_h), 3)
        inner, state = w_x[n] @ x + b_x[n], w_h[n] @ h + b_h[n]
        new, held = (1 - z) * np.tanh(inner + r * state), z * h
        kept.append((x, h, inner, state, r * state, new, held))
        h = new + held
    outputs = [k[1] for k in kept[1:]] + [h]
    of_h, found = np.zeros(HIDDEN), []
    for (x, before, inner, state, weighed, new, held), given in zip(
        kept[::-1], upper[::-1], strict=True
    ):
        whole = of_h + given
        of_new, of_h = whole * new / (new + held), whole * held / (new + held)
        found.append(shared(w_x[n], x, inner, of_new * inner / (inner + weighed)))
        of_h = of_h + shared(w_h[n], before, state, of_new * weighed / (inner + weighed))
    return outputs, found[::-1]


def by_formula(network: Recurrent, x: Array, unit: int) -> Array:
    """Return the relevance (T, F) of one sample."""
    module = network.inner
    run = lstm if isinstance(module, nn.LSTM) else gru
    parameters = {name: p.detach().numpy() for name, p in module.named_parameters()}
    directions = ["", "_reverse"][: 1 + module.bidirectional]

    def weights(layer: int, direction: str) -> dict[str, Array]:
        rows = (4 if run is lstm else 3) * HIDDEN
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        found = {n: parameters.get(f"{n}_l{layer}{direction}", np.zeros(rows)) for n in names}
        return {**found, "bias": found["bias_ih"] + found["bias_hh"]}

    nothing = [np.zeros(HIDDEN)] * TIMES
    inputs = [list(x)]
    for layer in range(module.num_layers):
        parts = []
        for direction in directions:
            way = -1 if direction else 1
            outputs, _ = run(weights(layer, direction), inputs[-1][::way], nothing)
            parts.append(outputs[::way])
        inputs.append([np.concatenate(at) for at in zip(*parts, strict=True)])
    shown = inputs[-1][TIMES // 2]
    out = network.out.weight.detach().numpy()[unit : unit + 1]
    score = network(torch.from_numpy(x[None]))[0, unit].detach().numpy()[None]
    upper = [np.zeros_like(shown) for _ in range(TIMES)]
    upper[TIMES // 2] = shared(out, shown, score, score)
    for layer in reversed(range(module.num_layers)):
        halves = [np.split(at, len(directions)) for at in upper]
        upper = [np.zeros_like(at) for at in inputs[layer]]
        for place, direction in enumerate(directions):
            way = -1 if direction else 1
            given = [half[place] for half in halves][::way]
            _, found = run(weights(layer, direction), inputs[layer][::way], given)
            upper = [sum_ + one for sum_, one in zip(upper, found[::way], strict=True)]
    return np.stack(upper)


def explained(network: Recurrent, x: Tensor, rule: str, unit: int) -> Array:
    canonised = canonise(network, example=x[:1])
    composite = parse_composite(rule)
    plan = make_plan(canonised, composite, x)
    rows = torch.zeros(len(x), UNITS, dtype=x.dtype)
    rows[:, unit] = 1
    found: Array = relevance(canonised, plan, x, rows).numpy()
    return found


@pytest.mark.parametrize(
    ("kind", "known"),
    [
        *itertools.product([nn.LSTM, nn.GRU], [{}, {"num_layers": 2}, {"bidirectional": True}]),
        (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    ],
)
def test_relevance_is_that_of_the_published_formulas(
    kind: type[nn.RNNBase], known: dict[str, Any]
) -> None:
    torch.manual_seed(0)
    network = Recurrent(kind, **known).double()
    x = torch.randn(3, TIMES, FEATURES, dtype=torch.float64)
    found = explained(network, x, "lrp0", 1)
    for sample, of_sample in zip(x.numpy(), found, strict=True):
        expected = by_formula(network, sample, 1)
        largest = float(np.abs(expected).max())
        np.testing.assert_allclose(of_sample, expected, rtol=0, atol=1e-10 * largest)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("rule", ["lrp0", "gamma:0.25"])
def test_relevance_is_conserved_where_no_bias_takes_any(kind: type[nn.RNNBase], rule: str) -> None:
    torch.manual_seed(1)
    network = Recurrent(kind, bias=False, num_layers=2, bidirectional=True).double()
    x = torch.randn(3, TIMES, FEATURES, dtype=torch.float64)
    found = explained(network, x, rule, 0).sum(axis=(1, 2))
    np.testing.assert_allclose(found, network(x)[:, 0].detach().numpy(), rtol=1e-4)
