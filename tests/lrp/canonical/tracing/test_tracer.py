"""Tracing with an example: what depends on shapes alone is known, the rest is a step or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.canonise import canonise, canonise_fully

X = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))


class Applied(nn.Module):
    def __init__(self, function: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.layer, self.norm = nn.Linear(8, 8), nn.BatchNorm1d(6)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.register_buffer("flag", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x).flatten(1)


def _branching(m: Any, x: Tensor) -> Tensor:
    samples, places, size = x.shape
    assert places == 6, "wrong number of places"
    if x.ndim == 3 and size > 4 and not m.training:
        x = m.layer(x)
    return x.reshape(samples, places * size)


def _prepended(m: Any, x: Tensor) -> Tensor:
    token = m.token.expand(x.size(0), -1, -1)
    return torch.cat([token, x], dim=1)


def _with_a_state(m: Any, x: Tensor) -> Tensor:
    state = torch.zeros(len(x), 8) + x.new_zeros(x.shape[0], 1)
    for place in range(x.shape[1]):
        state = torch.tanh(m.layer(x[:, place]) + state)
    return state


def _masked(m: Any, x: Tensor) -> Tensor:
    mask = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool)
    mask[: x.shape[1] // 2, 3:] = True
    scores = (x @ x.mT).masked_fill(mask, float("-inf"))
    return scores.softmax(-1) @ m.layer(x)


def _unpacked(m: Any, x: Tensor) -> Tensor:
    first, *others = m.layer(x).chunk(4, dim=-1)
    return torch.cat([first, sum(others)], dim=-1).view(*x.shape[:2], -1)


def _told(m: Any, x: Tensor) -> Tensor:
    kinds = isinstance(x, Tensor) and torch.is_tensor(x) and not isinstance(x, nn.Module)
    return m.layer(x) if kinds and x.dtype == torch.float32 and x.device.type == "cpu" else x


def _changed(m: Any, x: Tensor) -> Tensor:
    bias = m.layer.bias.clone()
    bias[2:5].zero_()
    h = F.linear(x, m.layer.weight, bias)
    kept = h
    h += x
    h.relu_()
    return kept + m.layer(h)


def _assigned(m: Any, x: Tensor) -> Tensor:
    steps = torch.zeros(len(x), x.shape[1], 8)
    for place in range(x.shape[1]):
        steps[:, place] = m.layer(x[:, place])
    steps[..., 2:4] = steps[..., 2:4] * 2 + 1
    return steps


def _asked_by_functions(m: Any, x: Tensor) -> Tensor:
    mask = torch.zeros(x.shape[1], x.shape[1]).to(x)  # a step of the graph, whose dtype is known
    assert torch.is_floating_point(mask)
    return m.layer(x) if torch.numel(mask) == 36 and not torch.is_complex(x) else x


def _changed_beside_others(m: Any, x: Tensor) -> Tensor:
    h = m.layer(x)
    gate, signal = m.norm(h).chunk(2, dim=-1)
    gate.sigmoid_()  # the other half is another part of the same memory
    return F.relu(m.norm(h), inplace=True) + h + torch.cat([gate, signal.tanh()], dim=-1)


FOLLOWED = [
    _assigned,
    _branching,
    _prepended,
    _with_a_state,
    _masked,
    _unpacked,
    _told,
    _changed,
    _asked_by_functions,
]


@pytest.mark.parametrize("function", FOLLOWED)
def test_what_depends_on_shapes_is_followed(function: Callable[[Any, Tensor], Tensor]) -> None:
    network = Applied(function).eval()
    found = canonise_fully(network, example=X[:1])
    with torch.no_grad():
        for samples in (X, X[:1], X[:3]):
            torch.testing.assert_close(found.reference(samples), network(samples.clone()))
        network.token.mul_(2)  # other weights, as when a checkpoint is loaded
        network.layer.bias.add_(1)
        torch.testing.assert_close(found.reference(X), network(X.clone()))


def _changed_by_a_view(m: Any, x: Tensor) -> Tensor:
    h = m.layer(x)
    h.transpose(1, 2)[:, :3].relu_()
    return h


def _changed_under_a_view(m: Any, x: Tensor) -> Tensor:
    h = m.layer(x)
    kept = h[:, :2]
    h.mul_(3)
    return torch.cat([kept, h], dim=1)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda m, x: x if x.sum() > 0 else -x, "branches on the entries of a tensor"),
        (lambda m, x: x * x.max().item(), "one extreme of two branches"),
        (lambda m, x: x * sum(1.0 for _ in range(x.shape[0])), "counts by the number of samples"),
        (lambda m, x: x if x.shape[0] > 2 else -x, "branches on the number of samples"),
        (lambda m, x: x if len(x) > 2 else -x, "branches on the number of samples"),
        (lambda m, x: x if m.flag else -x, "branches on the entries of a tensor"),
        (lambda m, x: next(iter(x)), "uses the number of samples as a plain number"),
        (lambda m, x: torch.float_power(x, 3.0), "float_power"),
        (lambda m, x: torch.where(x > 0, x, 0.0), "'gt'"),
        (_changed_by_a_view, "'relu_' .* a view is used later"),
        (_changed_under_a_view, "'mul_' .* a view is used later"),
    ],
)
def test_what_depends_on_data_is_refused(
    function: Callable[[Any, Tensor], Tensor], says: str
) -> None:
    with pytest.raises(ArchitectureError, match=says) as refused:
        canonise(Applied(function).eval(), example=X[:1])
    assert "test_tracer.py" in str(refused.value)


class WithDefaults(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 2)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, *, scale: float = 2.0, **options: Any
    ) -> Tensor:
        x = x * scale if mask is None else x * mask
        return self.layer(x).mean(1)


def test_optional_arguments_have_their_defaults() -> None:
    network = WithDefaults().eval()
    torch.testing.assert_close(canonise(network, example=X[:1])(X), network(X))


def test_nothing_that_was_replaced_for_the_trace_stays() -> None:
    kept = len, isinstance, torch.zeros
    with pytest.raises(ArchitectureError):
        canonise(Applied(lambda m, x: m.missing), example=X[:1])  # type: ignore[arg-type, return-value]
    canonise(Applied(_with_a_state).eval(), example=X[:1])
    assert (len, isinstance, torch.zeros) == kept
