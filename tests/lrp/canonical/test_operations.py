"""Each operation that is known: the same outputs, and relevance that is conserved."""

from __future__ import annotations

import operator
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.lrp.attribution import relevance
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.canonical.operations import is_known
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan


class Pieces(nn.Module):
    """A network of one module or function between two linear layers."""

    def __init__(self, piece: Callable[[Tensor], Tensor], after: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, padding=1)
        self.piece = piece
        self.head = nn.Linear(after, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.piece(self.conv(x)).flatten(1))


PIECES: dict[str, tuple[Callable[[Tensor], Tensor], int]] = {
    **{
        kind.__name__: (kind(), 144)
        for kind in (
            nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish, nn.Tanh,
            nn.Sigmoid, nn.Hardtanh, nn.Hardsigmoid, nn.Hardswish, nn.Softplus, nn.Softsign, nn.PReLU,
            nn.Identity, nn.Dropout, nn.Dropout2d,
        )
    },
    "relu in place": (lambda x: F.relu(x, True), 144),
    "relu_": (lambda x: x.relu_(), 144),
    "clamp": (lambda x: torch.clamp(x, -0.3, 0.3), 144),
    "max-pool": (nn.MaxPool2d(2), 36),
    "adaptive max-pool": (nn.AdaptiveMaxPool2d(2), 16),
    "average-pool": (nn.AvgPool2d(2), 36),
    "adaptive average-pool": (nn.AdaptiveAvgPool2d(2), 16),
    "mean": (lambda x: x.mean(dim=(2, 3)), 4),
    "mean function": (lambda x: torch.mean(x, (2, 3)), 4),
    "amax": (lambda x: x.amax(dim=(2, 3)), 4),
    "group norm": (nn.GroupNorm(2, 4), 144),
    "layer norm": (nn.LayerNorm([4, 6, 6]), 144),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), 144),
    "layer norm function": (lambda x: F.layer_norm(x, [6, 6]), 144),
    "group norm function": (lambda x: F.group_norm(x, 2), 144),
    "batch norm apart": (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(4)), 144),
    "zero padding": (nn.ZeroPad2d(1), 256),
    "reflection padding": (nn.ReflectionPad2d(1), 256),
    "pad": (lambda x: F.pad(x, (1, 1, 1, 1)), 256),
    "upsample": (nn.Upsample(scale_factor=2), 576),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"), 576),
    "pixel shuffle": (nn.PixelShuffle(2), 144),
    "permute": (lambda x: x.permute(0, 2, 3, 1).contiguous(), 144),
    "sum of branches": (lambda x: x + torch.relu(x), 144),
    "sum in place": (lambda x: operator.iadd(torch.tanh(x), x), 144),
    "difference": (lambda x: torch.tanh(x) - x, 144),
    "torch.add": (lambda x: torch.add(x, torch.tanh(x)), 144),
    "constant added": (lambda x: torch.relu(x) + 0.5, 144),
    "constant less": (lambda x: 1 - torch.relu(x), 144),
    "negated": (lambda x: -x, 144),
    "scaled": (lambda x: 2.5 * x / 3, 144),
    "concatenation": (lambda x: torch.cat([x, torch.relu(x)], dim=1), 288),
    "stack": (lambda x: torch.stack([x, torch.relu(x)], 1), 288),
    "chunk": (lambda x: torch.chunk(x, 2, dim=1)[0], 72),
    "split": (lambda x: x.split(2, dim=1)[1], 72),
    "index": (lambda x: x[:, 1:3], 72),
    "roll": (lambda x: torch.roll(x, 1, dims=2), 144),
}  # fmt: skip


#: Where a bias or a constant takes a part of the score by its nature.
_TAKES_A_PART = {"constant added", "constant less", "layer norm", "group norm", "instance norm"}


@pytest.mark.parametrize("name", PIECES)
def test_each_piece_gives_the_same_outputs_and_conserves(name: str) -> None:
    torch.manual_seed(0)
    piece, after = PIECES[name]
    network = Pieces(piece, after).double().eval()
    if name == "batch norm apart":
        norm = network.piece[1]  # type: ignore[index]
        norm.running_var.uniform_(0.5, 2)
        norm.running_mean.zero_()
    for parameter in (network.conv.bias, network.head.bias):
        parameter.data.zero_()
    if isinstance(piece, nn.Module):
        piece.eval()
    x = torch.randn(2, 2, 6, 6, generator=torch.Generator().manual_seed(1)).double()
    expected = network(x.clone()).detach()
    canonised = canonise(network)
    torch.testing.assert_close(canonised(x), expected, rtol=1e-9, atol=1e-12)
    if name in _TAKES_A_PART:
        return
    plan = make_plan(canonised, parse_composite("epsilon:1e-12"))
    found = relevance(canonised, plan, x, torch.eye(3).double()[[0, 2]])
    score = expected[[0, 1], [0, 2]]
    torch.testing.assert_close(found.sum((1, 2, 3)), score, rtol=1e-3, atol=1e-9)


def test_a_subclass_is_known_while_it_keeps_the_forward_of_torch() -> None:
    class Named(nn.Linear): ...

    class Halved(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 2

    assert is_known(Named(2, 2))
    assert not is_known(Halved(2, 2))
