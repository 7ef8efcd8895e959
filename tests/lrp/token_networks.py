"""Small networks over tokens, with layers of parameters alone, and with heads on tokens.

Each takes pictures (N, 3, 8, 8) but for those of `SHAPES`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Forward = Callable[[nn.ModuleDict, Tensor], Tensor]


class Network(nn.Module):
    """Layers by name, and a function that calls them."""

    def __init__(self, layers: dict[str, nn.Module], call: Forward) -> None:
        super().__init__()
        self.layers, self.call = nn.ModuleDict(layers), call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(self.layers, x)


class Scale(nn.Module):
    """A module that holds nothing but parameters, in a module of its own."""

    def __init__(self, size: int, shifted: bool = False) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.g = nn.Parameter(torch.ones(size))
        self.b = nn.Parameter(torch.zeros(size)) if shifted else None

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.inner.g
        return x if self.b is None else x + self.b


class Tokens(nn.Module):
    """A first token that is learned, before those of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.cls = nn.Parameter(torch.zeros(1, 1, 8))
        self.place = nn.Parameter(torch.zeros(1, 5, 8))

    def forward(self, x: Tensor) -> Tensor:
        first = self.cls.expand(x.shape[0], -1, -1)
        return torch.cat([first, x], dim=1) + self.place


def tokens(m: nn.ModuleDict, x: Tensor) -> Tensor:
    """Return four tokens of eight features."""
    return torch.relu(m["patch"](x)).flatten(2).transpose(1, 2)


def _patch() -> nn.Module:
    return nn.Conv2d(3, 8, 4, 4)


def _over(layers: dict[str, nn.Module], call: Forward) -> Callable[[], Network]:
    return lambda: Network({"patch": _patch(), **layers}, call)


def _pooled(m: nn.ModuleDict, x: Tensor) -> Tensor:
    x = F.max_pool2d(torch.relu(m["conv"](x)), 2)
    return m["out"](F.adaptive_avg_pool2d(m["norm"](x), 1).squeeze(-1).squeeze(-1))


def _residual(m: nn.ModuleDict, x: Tensor) -> Tensor:
    x = tokens(m, x)
    x = x + m["scale"](m["up"](F.gelu(m["down"](m["norm"](x)))))
    return m["out"](m["last"](x).mean(1))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "batch norm over as many tokens": _over(
        {"a": nn.Linear(8, 4), "norm": nn.BatchNorm1d(4), "out": nn.Linear(16, 3)},
        lambda m, x: m["out"](torch.relu(m["norm"](m["a"](tokens(m, x)))).flatten(1)),
    ),
    "two batch norms over tokens": _over(
        {"a": nn.Linear(8, 5), "norm": nn.BatchNorm1d(4), "b": nn.Linear(5, 6),
         "again": nn.BatchNorm1d(4), "out": nn.Linear(24, 3)},
        lambda m, x: m["out"](
            torch.relu(m["again"](m["b"](torch.relu(m["norm"](m["a"](tokens(m, x))))))).flatten(1)
        ),
    ),
    "batch norm after transpose": _over(
        {"a": nn.Linear(8, 5), "norm": nn.BatchNorm1d(5), "out": nn.Linear(20, 3)},
        lambda m, x: m["out"](
            torch.relu(m["norm"](m["a"](tokens(m, x)).transpose(1, 2))).flatten(1)
        ),
    ),
    "layer norm and residual branch": _over(
        {"norm": nn.LayerNorm(8), "down": nn.Linear(8, 6), "up": nn.Linear(6, 8),
         "scale": Scale(8), "last": nn.LayerNorm(8), "out": nn.Linear(8, 3)},
        _residual,
    ),
    "group norm": _over(
        {"norm": nn.GroupNorm(2, 8), "out": nn.Linear(8, 3)},
        lambda m, x: m["out"](torch.tanh(m["norm"](m["patch"](x))).mean((2, 3))),
    ),
    "first token learned": _over(
        {"tokens": Tokens(), "a": nn.Linear(8, 8), "out": nn.Linear(40, 3)},
        lambda m, x: m["out"](F.silu(m["a"](m["tokens"](tokens(m, x)))).flatten(1)),
    ),
    "scale and shift": _over(
        {"scale": Scale(8, shifted=True), "out": nn.Linear(32, 3)},
        lambda m, x: m["out"](torch.relu(m["scale"](tokens(m, x) - 0.1)).flatten(1)),
    ),
    "permuted and viewed": _over(
        {"out": nn.Linear(32, 3)},
        lambda m, x: m["out"](
            torch.relu(m["patch"](x)).permute(0, 2, 3, 1).contiguous().view(x.size(0), -1)
        ),
    ),
    "shuffled channels": _over(
        {"b": nn.Conv2d(8, 8, 1, groups=2), "out": nn.Linear(32, 3)},
        lambda m, x: m["out"](
            m["b"](
                torch.relu(m["patch"](x)).view(-1, 2, 4, 2, 2).transpose(1, 2).contiguous().view(-1, 8, 2, 2)
            ).clone().flatten(1)
        ),
    ),
    "head then mean": _over(
        {"head": nn.Linear(8, 5)}, lambda m, x: m["head"](tokens(m, x)).mean(1)
    ),
    "head then mean over places": _over(
        {"head": nn.Linear(8, 5)},
        lambda m, x: m["head"](torch.relu(m["patch"](x)).permute(0, 2, 3, 1)).mean((1, 2)),
    ),
    "normalised head then mean": _over(
        {"head": nn.Linear(8, 5), "norm": nn.BatchNorm1d(4)},
        lambda m, x: m["norm"](m["head"](tokens(m, x))).mean(1),
    ),
    "batch norm behind a batch norm": _over(
        {"a": nn.Linear(8, 4), "norm": nn.BatchNorm1d(4), "again": nn.BatchNorm1d(4),
         "out": nn.Linear(16, 3)},
        lambda m, x: m["out"](m["again"](m["norm"](m["a"](tokens(m, x)))).flatten(1)),
    ),
    "head then first token": _over(
        {"head": nn.Linear(8, 5)}, lambda m, x: m["head"](tokens(m, x))[:, 0]
    ),
    "all tokens": _over(
        {"head": nn.Linear(8, 2)}, lambda m, x: m["head"](tokens(m, x)).flatten(1)
    ),
    "one unit, squeezed": _over(
        {"head": nn.Linear(8, 1)}, lambda m, x: m["head"](tokens(m, x)).squeeze(-1)
    ),
    "dueling over tokens": _over(
        {"v": nn.Linear(8, 1), "a": nn.Linear(8, 3)},
        lambda m, x: m["v"](tokens(m, x)).mean(1)
        + m["a"](tokens(m, x)).mean(1)
        - m["a"](tokens(m, x)).mean(1).mean(1, keepdim=True),
    ),
    "max over tokens of a head": _over(
        {"head": nn.Linear(8, 3)}, lambda m, x: m["head"](tokens(m, x)).amax(1)
    ),
    "convolution in one dimension": lambda: Network(
        {"conv": nn.Conv1d(4, 6, 3), "norm": nn.BatchNorm1d(6), "out": nn.Linear(6, 2)},
        lambda m, x: m["out"](
            F.max_pool1d(F.elu(m["norm"](m["conv"](x))), 2).unsqueeze(1).squeeze(1).mean(2)
        ),
    ),
    "sequence of features": lambda: Network(
        {"a": nn.Linear(8, 6), "out": nn.Linear(30, 3)},
        lambda m, x: m["out"](torch.relu(m["a"](x)).flatten(1)),
    ),
    "sequence with a batch norm over it": lambda: Network(
        {"a": nn.Linear(8, 5), "norm": nn.BatchNorm1d(5), "out": nn.Linear(5, 3)},
        lambda m, x: m["out"](torch.relu(m["norm"](m["a"](x))).mean(1)),
    ),
    "pools": lambda: Network(
        {"conv": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "out": nn.Linear(4, 1)}, _pooled
    ),
}  # fmt: skip
SHAPES = {
    "convolution in one dimension": (4, 9), "sequence of features": (5, 8),
    "sequence with a batch norm over it": (5, 8),
}  # fmt: skip


def trained(name: str, steps: int = 20) -> tuple[nn.Module, Tensor]:
    """Return a network after some steps of training, in float64, and inputs that it takes.

    Freshly made, BatchNorm and layers of scales are the identity.
    """
    torch.manual_seed(0)
    network = NETWORKS[name]().double()
    x = torch.randn(6, *SHAPES.get(name, (3, 8, 8)), dtype=torch.float64)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    wanted = torch.randn(network(x).shape, dtype=torch.float64)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(network(x), wanted).backward()
        optimizer.step()
    return network.eval(), x
