"""Every rule a second time: plain matrix algebra over all pairs of inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

EPSILON = 1e-6
LOW, HIGH = -3.5, 3.0
#: (matrix (out, in), bias (out,), x (N, in), upper relevance (N, out)) -> relevance (N, in)
Formula = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def stab(z: Tensor, epsilon: Tensor | float = EPSILON) -> Tensor:
    return z + torch.where(z >= 0, 1, -1) * epsilon


def largest(output: Tensor, upper: Tensor) -> Tensor:
    """The largest output (N,) that has upper relevance; both (N, out)."""
    return (output * (upper != 0)).abs().max(dim=1).values


def shared(
    contributions: Tensor, denominator: Tensor, upper: Tensor, size: Tensor | None = None
) -> Tensor:
    """Contributions (N, out, in); denominator and upper relevance (N, out); size (N,) of the outputs."""
    size = largest(denominator, upper) if size is None else size
    stabilised = stab(denominator, (1e-5 * size).clamp(max=EPSILON)[:, None])
    return (contributions * (upper / stabilised)[:, :, None]).sum(1)


def by_epsilon(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = x[:, None, :] * w
    return (z * (upper / stab(z.sum(2) + b))[:, :, None]).sum(1)


def by_norm(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = x[:, None, :] * w
    return shared(z, z.sum(2) + b, upper)


def by_lrp0(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = x[:, None, :] * w
    return (z * (upper / (z.sum(2) + b))[:, :, None]).sum(1)


def by_zplus(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = (x[:, None, :] * w).clamp(min=0)
    return shared(z, z.sum(2) + b.clamp(min=0), upper, largest(x @ w.T + b, upper))


def by_alphabeta(alpha: float, beta: float) -> Formula:
    def formula(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
        z = (x[:, None, :] * w).clamp(max=0)
        negative = shared(z, z.sum(2) + b.clamp(max=0), upper, largest(x @ w.T + b, upper))
        return alpha * by_zplus(w, b, x, upper) - beta * negative

    return formula


def by_gamma(gamma: float) -> Formula:
    def formula(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
        z = x[:, None, :] * w
        output = z.sum(2) + b
        raised = z + gamma * z.clamp(min=0)
        lowered = z + gamma * z.clamp(max=0)
        above, below = upper * (output > 0), upper * (output < 0)
        size = largest(output, upper)
        up = shared(raised, raised.sum(2) + b + gamma * b.clamp(min=0), above, size)
        down = shared(lowered, lowered.sum(2) + b + gamma * b.clamp(max=0), below, size)
        return up + down

    return formula


def by_zbox(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    positive, negative = w.clamp(min=0), w.clamp(max=0)
    z = x[:, None, :] * w - LOW * positive - HIGH * negative
    return shared(z, z.sum(2) + b - b.clamp(min=0) - b.clamp(max=0), upper)


def by_wsquare(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = (w**2).expand(len(x), -1, -1)
    return shared(z, z.sum(2) + b**2, upper)


def by_flat(w: Tensor, b: Tensor, x: Tensor, upper: Tensor) -> Tensor:
    z = (w != 0).to(x).expand(len(x), -1, -1)
    return shared(z, z.sum(2), upper)


FORMULAE: dict[str, Formula] = {
    "epsilon": by_epsilon,
    "lrp0": by_lrp0,
    "zplus": by_zplus,
    "alphabeta:3,2": by_alphabeta(3, 2),
    "alpha2beta1": by_alphabeta(2, 1),
    "alpha1beta0": by_alphabeta(1, 0),
    "gamma:0.5": by_gamma(0.5),
    f"zbox:{LOW},{HIGH}": by_zbox,
    "wsquare": by_wsquare,
    "flat": by_flat,
    "norm": by_norm,
}


def as_matrix(layer: nn.Module, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return the layer's matrix (out, in) and bias (out,), from what it does to unit vectors."""
    size = torch.Size(shape).numel()
    with torch.no_grad():
        bias = layer(torch.zeros(1, *shape, dtype=torch.float64)).flatten()
        units = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
        matrix = layer(units).flatten(1) - bias
    return matrix.T, bias
