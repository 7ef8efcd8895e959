"""Small random networks of all operations, each from a seed, and what is true of each.

As a program it explains many of them and counts: ``python -m tests.lrp.drawn_networks --seed 0
--count 1000``. One that is explained must give the outputs of the network as it is and the relevance of
`tests.lrp.gradient_reference`; all others must be refused. `--only NAME` draws one operation alone.
"""

from __future__ import annotations

import argparse
import math
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies
from torch import Tensor, nn

from lrpdyn.errors import LrpdynError
from lrpdyn.lrp.attribution import contrast_rows, explain
from lrpdyn.lrp.canonical.canonise import canonise
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import make_plan
from tests.lrp.gradient_reference import lrp0_reference
from tests.lrp.token_networks import Network

Random = random.Random
Shape = tuple[int, ...]
Make = Callable[[Random, Shape], nn.Module]
TOLERANCE = 1e-8
FLAT, TOKENS, IMAGE = 1, 2, 3
ANY = (FLAT, TOKENS, IMAGE)
#: The rule, and the attention of the reference.
RULES = {"lrp0": "cp-lrp", "lrp0+attnlrp": "attnlrp"}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """An operation: which ranks of a sample it takes, and what is true of it.

    `conserves` says that without biases relevance neither comes nor goes in it, `attends` that it has
    attention, which does not conserve under ``attnlrp``, `explicable` that it is no branch on data.
    """

    name: str
    ranks: tuple[int, ...]
    make: Make
    conserves: bool
    attends: bool
    explicable: bool


OPERATIONS: dict[str, Operation] = {}


def operation(
    name: str,
    *ranks: int,
    conserves: bool = True,
    attends: bool = False,
    explicable: bool = True,
) -> Callable[[Make], Make]:
    """Register what makes an operation for samples of these ranks."""

    def register(make: Make) -> Make:
        OPERATIONS[name] = Operation(
            name=name, ranks=ranks, make=make, conserves=conserves, attends=attends, explicable=explicable
        )  # fmt: skip
        return make

    return register


class Values(nn.Module):
    """A module of one parameter, or of one buffer."""

    def __init__(self, *shape: int, fixed: Tensor | None = None) -> None:
        super().__init__()
        if fixed is None:
            self.v = nn.Parameter(torch.randn(shape))
        else:
            self.register_buffer("v", fixed)


def _call(function: Callable[[Tensor], Tensor]) -> Make:
    return lambda r, s: Network({}, lambda m, x: function(x))


def _width(r: Random) -> int:
    return r.choice([4, 6, 8])


# Functions of each entry alone.
_VANISHING: dict[str, Make] = {
    **{
        kind.__name__: lambda r, s, kind=kind: kind()
        for kind in (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU,
                     nn.Mish, nn.Tanh, nn.Hardtanh, nn.Hardswish, nn.Softsign, nn.Softshrink,
                     nn.Hardshrink, nn.Tanhshrink, nn.PReLU)
    },
    "GELU tanh": lambda r, s: nn.GELU("tanh"),
    "ReLU in place": lambda r, s: nn.ReLU(inplace=True),
    "F.relu in place": _call(lambda x: F.relu(x, True)),
    "F.silu in place": _call(lambda x: F.silu(x, inplace=True)),
    "F.gelu": _call(lambda x: F.gelu(x, approximate="tanh")),
    "F.leaky_relu": _call(lambda x: F.leaky_relu(x, 0.2)),
    "F.elu": _call(lambda x: F.elu(x, 0.7)),
    "torch.relu": _call(torch.relu),
    "tanh method": _call(lambda x: x.tanh()),
    "clamp": _call(lambda x: x.clamp(-0.5, 0.7)),
    "clamp_min": _call(lambda x: torch.clamp(x, min=0)),
    "pow": _call(lambda x: x.pow(2)),
    "power operator": _call(lambda x: x**3),
    "square": _call(lambda x: torch.square(x)),
}  # fmt: skip
_SHIFTING: dict[str, Make] = {
    **{
        kind.__name__: lambda r, s, kind=kind: kind()
        for kind in (nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid, nn.Softplus)
    },
    "F.softplus": _call(lambda x: F.softplus(x, beta=2)),
    "sigmoid method": _call(lambda x: x.sigmoid()),
}
for _name, _make in _VANISHING.items():
    operation(_name, *ANY)(_make)
for _name, _make in _SHIFTING.items():
    operation(_name, *ANY, conserves=False)(_make)


# Linear layers.
operation("Linear", FLAT, TOKENS)(lambda r, s: nn.Linear(s[-1], _width(r)))
operation("Linear without bias", FLAT, TOKENS)(lambda r, s: nn.Linear(s[-1], _width(r), bias=False))


@operation("F.linear", FLAT, TOKENS)
def _functional_linear(r: Random, s: Shape) -> nn.Module:
    return Network({"w": Values(6, s[-1])}, lambda m, x: F.linear(x, m["w"].v * 0.5))


@operation("matmul with a parameter", FLAT, TOKENS)
def _matmul_parameter(r: Random, s: Shape) -> nn.Module:
    return Network({"w": Values(s[-1], _width(r))}, lambda m, x: x @ m["w"].v)


@operation("einsum with a parameter", TOKENS)
def _einsum_parameter(r: Random, s: Shape) -> nn.Module:
    return Network(
        {"w": Values(s[1], _width(r))}, lambda m, x: torch.einsum("nlc,cd->nld", x, m["w"].v)
    )


@operation("mixer over tokens", TOKENS)
def _mixer(r: Random, s: Shape) -> nn.Module:
    layers = {"a": nn.Linear(s[0], 6), "b": nn.Linear(6, s[0])}
    return Network(
        layers, lambda m, x: x + m["b"](F.gelu(m["a"](x.transpose(1, 2)))).transpose(1, 2)
    )


@operation("Conv1d", TOKENS)
def _conv1d(r: Random, s: Shape) -> nn.Module:
    layers = {"conv": nn.Conv1d(s[1], _width(r), 3, padding=1)}
    return Network(layers, lambda m, x: m["conv"](x.permute(0, 2, 1)).permute(0, 2, 1))


operation("Conv2d", IMAGE)(
    lambda r, s: nn.Conv2d(s[0], _width(r), r.choice([1, 3]), padding="same")
)
operation("Conv2d circular", IMAGE)(
    lambda r, s: nn.Conv2d(s[0], 4, 3, padding=1, padding_mode="circular")
)
operation("depthwise", IMAGE)(lambda r, s: nn.Conv2d(s[0], s[0], 3, padding=1, groups=s[0]))
operation("ConvTranspose2d", IMAGE)(
    lambda r, s: nn.ConvTranspose2d(s[0], _width(r), 3, padding=1, groups=2)
)


@operation("standardised convolution", IMAGE)
def _standardised(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        weight = m["w"].v
        weight = F.batch_norm(
            weight.reshape(1, len(weight), -1), None, None, m["g"].v, None, True, 0.0, 1e-6
        ).reshape_as(weight)
        return F.conv2d(x, weight, None, padding=1)

    return Network({"w": Values(4, s[0], 3, 3), "g": Values(4)}, call)


# Normalisations.
operation("LayerNorm", FLAT, TOKENS)(lambda r, s: nn.LayerNorm(s[-1]))
operation("LayerNorm over all", TOKENS, IMAGE)(lambda r, s: nn.LayerNorm(s))
operation("F.layer_norm", FLAT, TOKENS)(_call(lambda x: F.layer_norm(x, (x.shape[-1],))))
operation("GroupNorm", IMAGE)(lambda r, s: nn.GroupNorm(2, s[0]))
operation("InstanceNorm2d", IMAGE)(lambda r, s: nn.InstanceNorm2d(s[0], affine=r.random() < 0.5))
operation("F.instance_norm", IMAGE)(_call(lambda x: F.instance_norm(x, eps=1e-3)))
operation("RMSNorm", FLAT, TOKENS)(lambda r, s: nn.RMSNorm(s[-1]))
operation("F.rms_norm", FLAT, TOKENS)(_call(lambda x: F.rms_norm(x, (x.size(-1),), eps=1e-4)))
operation("F.normalize", FLAT, TOKENS)(_call(lambda x: F.normalize(x, dim=-1)))
operation("F.normalize dim 1", IMAGE)(_call(lambda x: F.normalize(x)))
operation("divided by its norm", *ANY)(_call(lambda x: x / (x.norm(dim=1, keepdim=True) + 1e-3)))
operation("divided by its deviation", FLAT, TOKENS)(
    _call(lambda x: (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-3))
)
operation("divided by the root of its variance", FLAT, TOKENS)(
    _call(
        lambda x: (
            (x - x.mean(-1, keepdim=True))
            / torch.sqrt(x.var(-1, keepdim=True, unbiased=False) + 1e-3)
        )
    )
)
operation("BatchNorm1d", FLAT, conserves=False)(lambda r, s: nn.BatchNorm1d(s[0]))
operation("BatchNorm1d over tokens", TOKENS, conserves=False)(lambda r, s: nn.BatchNorm1d(s[0]))
operation("BatchNorm2d", IMAGE, conserves=False)(lambda r, s: nn.BatchNorm2d(s[0]))


@operation("root mean square", FLAT, TOKENS)
def _rms(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        return m["g"].v * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))

    return Network({"g": Values(s[-1])}, call)


@operation("Linear and BatchNorm1d", FLAT, conserves=False)
def _linear_norm(r: Random, s: Shape) -> nn.Module:
    return nn.Sequential(nn.Linear(s[0], 6), nn.Dropout(0.3), nn.BatchNorm1d(6))


@operation("Conv2d and BatchNorm2d", IMAGE, conserves=False)
def _conv_norm(r: Random, s: Shape) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(s[0], 6, 3, padding=1, bias=False), nn.BatchNorm2d(6), nn.ReLU(True)
    )


@operation("functional batch norm", IMAGE, conserves=False)
def _functional_norm(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        n = m["n"]
        x = m["conv"](x)
        by_batch = n.training or not n.track_running_stats
        return F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, by_batch, 0.1, 1e-3)

    return Network({"conv": nn.Conv2d(s[0], 4, 1), "n": nn.BatchNorm2d(4)}, call)


@operation("layer norm of channels", IMAGE)
def _channel_norm(r: Random, s: Shape) -> nn.Module:
    layers = {"n": nn.LayerNorm(s[0], eps=1e-3)}
    return Network(
        layers, lambda m, x: m["n"](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()
    )


@operation("global response norm", TOKENS, IMAGE)
def _response_norm(r: Random, s: Shape) -> nn.Module:
    space, channel = ((1,), -1) if len(s) == 2 else ((2, 3), 1)
    shape = (1, 1, s[1]) if len(s) == 2 else (1, s[0], 1, 1)

    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        size = x.norm(p=2, dim=space, keepdim=True)
        share = size / (size.mean(dim=channel, keepdim=True) + 1e-6)
        return x + torch.addcmul(m["bias"].v, m["g"].v, x * share)

    return Network({"g": Values(*shape), "bias": Values(*shape)}, call)


# Gates and products of two signals.
@operation("gate of a Linear", FLAT, TOKENS)
def _gate(r: Random, s: Shape) -> nn.Module:
    gate = r.choice([nn.Sigmoid(), nn.Hardsigmoid(), nn.Softmax(-1)])
    layers = {"a": nn.Linear(s[-1], s[-1]), "gate": gate}
    if r.random() < 0.5:
        return Network(layers, lambda m, x: x * m["gate"](m["a"](x)))
    return Network(layers, lambda m, x: (1 - m["gate"](m["a"](x))) * x)


@operation("highway", FLAT, TOKENS)
def _highway(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        z = m["z"](x).sigmoid()
        return (1 - z) * torch.tanh(m["n"](x)) + z * x

    return Network({"z": nn.Linear(s[-1], s[-1]), "n": nn.Linear(s[-1], s[-1])}, call)


@operation("squeeze and excitation", IMAGE)
def _excitation(r: Random, s: Shape) -> nn.Module:
    gate = r.choice([torch.sigmoid, F.hardsigmoid])
    pool = r.choice([
        lambda x: x.mean((2, 3), keepdim=True), lambda x: F.adaptive_avg_pool2d(x, 1),
    ])  # fmt: skip
    join = r.choice([
        lambda x, g: x * g, lambda x, g: g.expand_as(x) * x, lambda x, g: x.mul(g.expand(x.size())),
        lambda x, g: x.mul_(g),
    ])  # fmt: skip
    layers = {"down": nn.Conv2d(s[0], 2, 1), "up": nn.Conv2d(2, s[0], 1)}
    return Network(layers, lambda m, x: join(x * 1, gate(m["up"](F.relu(m["down"](pool(x)))))))


@operation("efficient channel attention", IMAGE)
def _channel_gate(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = m["conv"](x.mean((2, 3)).view(x.shape[0], 1, -1))
        return x * y.sigmoid().view(x.shape[0], -1, 1, 1).expand_as(x)

    return Network({"conv": nn.Conv1d(1, 1, 3, padding=1)}, call)


@operation("gate by places", IMAGE)
def _place_gate(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        found = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(m["conv"](found))

    return Network({"conv": nn.Conv2d(2, 1, 3, padding=1)}, call)


@operation("selective kernels", IMAGE)
def _selective(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        both = torch.stack([m["a"](x), m["b"](x)], dim=1)
        scores = m["scores"](both.sum(1).mean((2, 3))).view(-1, 2, 4, 1, 1)
        return (both * torch.softmax(scores, dim=1)).sum(dim=1)

    layers = {
        "a": nn.Conv2d(s[0], 4, 1),
        "b": nn.Conv2d(s[0], 4, 3, padding=1),
        "scores": nn.Linear(4, 8),
    }
    return Network(layers, call)


@operation("pooled gate, interpolated", IMAGE)
def _interpolated_gate(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        gate = F.avg_pool2d(torch.sigmoid(m["conv"](x)), 2)
        return x * F.interpolate(gate, size=x.shape[-2:], mode="nearest")

    return Network({"conv": nn.Conv2d(s[0], s[0], 1)}, call)


@operation("product of two", *ANY)
def _halves(r: Random, s: Shape) -> nn.Module:
    make = nn.Linear if len(s) < 3 else lambda a, b: nn.Conv2d(a, b, 1)
    size = s[0] if len(s) == 3 else s[-1]
    return Network({"a": make(size, 4), "b": make(size, 4)}, lambda m, x: m["a"](x) * m["b"](x))


@operation("product with a broadcast", TOKENS, IMAGE)
def _broadcast(r: Random, s: Shape) -> nn.Module:
    return Network({}, lambda m, x: x * x.mean(-1, keepdim=True))


@operation("quotient of two", FLAT, TOKENS)
def _quotient(r: Random, s: Shape) -> nn.Module:
    return Network({"b": nn.Linear(s[-1], s[-1])}, lambda m, x: x / (1 + m["b"](x) ** 2))


@operation("GLU", FLAT, TOKENS)
def _glu(r: Random, s: Shape) -> nn.Module:
    split = r.random() < 0.5

    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        if not split:
            return F.glu(m["a"](x), dim=-1)
        values, gate = m["a"](x).chunk(2, dim=-1)
        return values * gate.sigmoid()

    return Network({"a": nn.Linear(s[-1], 8)}, call)


operation("nn.GLU", FLAT, TOKENS)(lambda r, s: nn.Sequential(nn.Linear(s[-1], 8), nn.GLU()))


@operation("SwiGLU", FLAT, TOKENS)
def _swiglu(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        one, two = m["up"](x).split(6, dim=-1)
        return x + m["down"](F.silu(one) * two)

    return Network({"up": nn.Linear(s[-1], 12), "down": nn.Linear(6, s[-1])}, call)


@operation("gate over tokens", TOKENS)
def _spatial_gate(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        u, v = m["up"](x).chunk(2, -1)
        return u * m["mix"](m["n"](v).transpose(-1, -2)).transpose(-1, -2)

    return Network(
        {"up": nn.Linear(s[1], 8), "n": nn.LayerNorm(4), "mix": nn.Linear(s[0], s[0])}, call
    )


# Scales, sums and rearrangements.
@operation("layer scale", *ANY)
def _layer_scale(r: Random, s: Shape) -> nn.Module:
    shape = (s[0], 1, 1) if len(s) == 3 else (s[-1],)
    in_place = r.random() < 0.5
    return Network(
        {"g": Values(*shape)}, lambda m, x: (x * 1).mul_(m["g"].v) if in_place else m["g"].v * x
    )


operation("scaled and divided", *ANY)(_call(lambda x: -x * 0.5 / math.sqrt(3)))


@operation("shift", *ANY, conserves=False)
def _shift(r: Random, s: Shape) -> nn.Module:
    # Not of the observation itself, of which a shift is no part of the network.
    return Network({"b": Values(s[-1])}, lambda m, x: torch.tanh(x) + m["b"].v)


@operation("addcmul", FLAT, TOKENS, conserves=False)
def _addcmul(r: Random, s: Shape) -> nn.Module:
    layers = {"b": Values(s[-1]), "g": Values(s[-1])}
    return Network(layers, lambda m, x: torch.addcmul(m["b"].v, m["g"].v, torch.tanh(x), value=0.5))


@operation("residual", *ANY)
def _residual(r: Random, s: Shape) -> nn.Module:
    size = s[0] if len(s) == 3 else s[-1]
    layer = nn.Conv2d(size, size, 3, padding=1) if len(s) == 3 else nn.Linear(size, size)
    if r.random() < 0.5:
        return Network({"a": layer}, lambda m, x: x + F.gelu(m["a"](x)))

    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        y = m["a"](x)
        y += x
        return F.relu(y)

    return Network({"a": layer}, call)


@operation("difference to its pool", IMAGE)
def _pool_mixer(r: Random, s: Shape) -> nn.Module:
    return Network(
        {"p": nn.AvgPool2d(3, 1, 1, count_include_pad=False)}, lambda m, x: m["p"](x) - x
    )


@operation("concatenation", *ANY)
def _concatenation(r: Random, s: Shape) -> nn.Module:
    size, dim = (s[0], 1) if len(s) == 3 else (s[-1], -1)
    layer = nn.Conv2d(size, 4, 1) if len(s) == 3 else nn.Linear(size, 4)
    return Network({"a": layer}, lambda m, x: torch.cat([F.relu(m["a"](x)), x], dim=dim))


@operation("split and joined", FLAT, TOKENS)
def _split(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        first, *others = x.split([2, x.shape[-1] - 2], dim=-1)
        return torch.cat([*others, m["a"](first)], -1)

    return Network({"a": nn.Linear(2, 2)}, call)


@operation("shuffled channels", IMAGE)
def _shuffle(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)

    return Network({}, call)


operation("rolled and flipped", TOKENS)(_call(lambda x: torch.roll(x, 1, dims=1).flip(2)))
operation("padded", IMAGE)(_call(lambda x: F.pad(x, (1, 0, 0, 1))))
operation("reflected", IMAGE)(lambda r, s: nn.ReflectionPad2d(1))
operation("pixels unshuffled", IMAGE)(
    lambda r, s: nn.PixelUnshuffle(2) if s[1] % 2 == s[2] % 2 == 0 else nn.Identity()
)
operation("reshape_as", TOKENS)(_call(lambda x: F.relu(x.flatten(1)).reshape_as(x)))
operation("repeated", FLAT)(_call(lambda x: x.unsqueeze(1).repeat(1, 2, 1).flatten(1)))


# Pools.
operation("MaxPool2d", IMAGE)(lambda r, s: nn.MaxPool2d(3, 1, 1))
operation("F.max_pool2d", IMAGE)(_call(lambda x: F.max_pool2d(x, 2, stride=1, padding=1)))
operation("AvgPool2d", IMAGE)(lambda r, s: nn.AvgPool2d(2, ceil_mode=True))
operation("adaptive pool", IMAGE)(lambda r, s: nn.AdaptiveAvgPool2d((3, 2)))
operation("upsampled", IMAGE)(
    _call(lambda x: F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False))
)
operation("blurred", IMAGE)(
    lambda r, s: Network(
        {"k": Values(fixed=torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16)},
        lambda m, x: F.conv2d(
            x, m["k"].v.expand(x.shape[1], -1, -1, -1), groups=x.shape[1], padding=1
        ),
    )
)


# Other shapes.
operation("flattened image", IMAGE)(lambda r, s: nn.Flatten())
operation("mean over places", IMAGE)(_call(lambda x: x.mean([-2, -1])))
operation("pooled and squeezed", IMAGE)(_call(lambda x: F.adaptive_avg_pool2d(x, 1)[:, :, 0, 0]))
operation("to tokens", IMAGE)(_call(lambda x: x.flatten(2).transpose(1, 2)))
operation("mean over tokens", TOKENS)(_call(lambda x: x.mean(dim=1)))
operation("last token", TOKENS)(_call(lambda x: x[:, -1]))
operation("flattened tokens", TOKENS)(_call(lambda x: x.reshape(x.shape[0], -1)))
operation("largest over tokens", TOKENS)(_call(lambda x: x.amax(dim=1)))
operation("unflattened", FLAT)(_call(lambda x: x.reshape(x.size(0), 2, -1)))


@operation("class token and places", TOKENS, conserves=False)
def _class_token(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        first = m["t"].v.expand(x.shape[0], -1, -1)
        return torch.cat((first, x), dim=1) + m["place"].v[:, : x.shape[1] + 1]

    return Network({"t": Values(1, 1, s[1]), "place": Values(1, s[0] + 3, s[1])}, call)


# Attention.
class _Heads(nn.Module):
    """Self-attention as people write it, in several ways."""

    def __init__(self, r: Random, s: Shape) -> None:
        super().__init__()
        tokens, size = s
        self.heads, self.way = 2, r.choice(["torch", "matmul", "einsum", "bmm"])
        self.mask, self.place, self.rotary = (r.random() < 0.4 for _ in range(3))
        self.norms = r.random() < 0.3
        self.qkv, self.out = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.bias = nn.Parameter(torch.randn(1, 2, tokens, tokens))
        width = size // 2
        self.q_norm, self.k_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        angle = torch.randn(tokens, width)
        self.register_buffer("sin", angle.sin())
        self.register_buffer("cos", angle.cos())
        self.register_buffer("seen", torch.ones(tokens, tokens).tril().bool())

    def turned(self, x: Tensor) -> Tensor:
        one, two = x.chunk(2, dim=-1) if x.shape[-1] % 2 == 0 else (x, x[..., :0])
        return x * self.cos + torch.cat([-two, one], dim=-1) * self.sin

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        B, L, C = x.shape
        qkv = self.qkv(x).reshape(B, L, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.norms:
            q, k = self.q_norm(q), self.k_norm(k)
        if self.rotary:
            q, k = self.turned(q), self.turned(k)
        if self.mask:
            mask = self.seen
        scale = q.shape[-1] ** -0.5
        if self.way == "torch":
            given = self.bias if self.place else mask
            x = F.scaled_dot_product_attention(q, k, v, attn_mask=given)
            return self.out(x.transpose(1, 2).reshape(B, L, C))
        if self.way == "einsum":
            scores = torch.einsum("bhld,bhmd->bhlm", q * scale, k)
        elif self.way == "bmm":
            scores = torch.bmm((q * scale).flatten(0, 1), k.flatten(0, 1).transpose(1, 2))
            scores = scores.view(B, self.heads, L, L)
        else:
            scores = q @ k.transpose(-2, -1) * scale
        if self.place:
            scores = scores + self.bias
        if mask is not None:
            scores = scores.masked_fill(~mask, float("-inf"))
        weights = scores.softmax(dim=-1)
        if self.way == "einsum":
            x = torch.einsum("bhlm,bhmd->blhd", weights, v)
        elif self.way == "bmm":
            x = torch.bmm(weights.flatten(0, 1), v.flatten(0, 1)).view(B, self.heads, L, -1)
            x = x.transpose(1, 2)
        else:
            x = torch.matmul(weights, v).transpose(1, 2)
        return self.out(x.reshape(B, L, C))


operation("attention by hand", TOKENS, attends=True)(
    lambda r, s: nn.Sequential(nn.Linear(s[1], 8), _Heads(r, (s[0], 8)))
)


@operation("MultiheadAttention", TOKENS, attends=True)
def _multi_head(r: Random, s: Shape) -> nn.Module:
    first, masked, weights = r.random() < 0.7, r.random() < 0.3, r.random() < 0.5
    seen = torch.ones(s[0], s[0]).triu(1).bool()
    layers = {"a": nn.Linear(s[1], 8), "h": nn.MultiheadAttention(8, 2, batch_first=first),
              "mask": Values(fixed=seen)}  # fmt: skip

    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = m["a"](x) if first else m["a"](x).transpose(0, 1)
        found = m["h"](x, x, x, need_weights=weights, attn_mask=m["mask"].v if masked else None)[0]
        return found if first else found.transpose(0, 1)

    return Network(layers, call)


@operation("attention between two", TOKENS, attends=True)
def _cross(r: Random, s: Shape) -> nn.Module:
    layers = {
        "h": nn.MultiheadAttention(4, 1, kdim=s[1], vdim=s[1], batch_first=True),
        "q": Values(1, 2, 4),
    }

    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        found, _ = m["h"](m["q"].v.expand(x.shape[0], -1, -1), x, x)
        return found

    return Network(layers, call)


@operation("TransformerEncoderLayer", TOKENS, attends=True)
def _encoder(r: Random, s: Shape) -> nn.Module:
    activation = r.choice(["relu", "gelu", F.silu])
    layer = nn.TransformerEncoderLayer(
        8, 2, 6, activation=activation, batch_first=True, norm_first=r.random() < 0.5
    )
    if r.random() < 0.3:
        return nn.Sequential(
            nn.Linear(s[1], 8), nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        )
    return nn.Sequential(nn.Linear(s[1], 8), layer)


# Recurrence.
@operation("recurrence", TOKENS)
def _recurrence(r: Random, s: Shape) -> nn.Module:
    kind = r.choice([nn.LSTM, nn.GRU, nn.RNN])
    given: dict[str, Any] = {"nonlinearity": r.choice(["tanh", "relu"])} if kind is nn.RNN else {}
    if kind is nn.LSTM and r.random() < 0.3:
        given["proj_size"] = 2
    layers, first = r.choice([1, 2]), r.random() < 0.7
    both, state = r.random() < 0.4, r.random() < 0.3
    size = given.get("proj_size", 4)
    made = kind(s[1], 4, layers, batch_first=first, bidirectional=both, **given)
    count = layers * (2 if both else 1)

    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        x = x if first else x.transpose(0, 1)
        n = x.shape[0 if first else 1]
        if state:
            h = torch.zeros(count, n, size, dtype=x.dtype, device=x.device)
            c = torch.zeros(count, n, 4, dtype=x.dtype, device=x.device)
            found, _ = m["r"](x, (h, c) if kind is nn.LSTM else h)
        else:
            found, _ = m["r"](x)
        return found if first else found.transpose(0, 1)

    return Network({"r": made}, call)


@operation("last state", TOKENS)
def _last_state(r: Random, s: Shape) -> nn.Module:
    if r.random() < 0.5:
        return Network({"r": nn.LSTM(s[1], 4, batch_first=True)}, lambda m, x: m["r"](x)[1][0][-1])
    return Network({"r": nn.GRU(s[1], 4, batch_first=True)}, lambda m, x: m["r"](x)[1].squeeze(0))


@operation("cell", FLAT)
def _cell(r: Random, s: Shape) -> nn.Module:
    kind = r.choice([nn.LSTMCell, nn.GRUCell, nn.RNNCell])
    if kind is nn.LSTMCell:
        return Network({"c": kind(s[0], 4)}, lambda m, x: m["c"](x)[0])
    return Network({"c": kind(s[0], 4)}, lambda m, x: m["c"](x))


@operation("cell over a sequence", TOKENS)
def _unrolled(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        h = x.new_zeros(x.size(0), 4)
        c = x.new_zeros(x.size(0), 4)
        outputs = []
        for t in range(x.size(1)):
            h, c = m["c"](x[:, t], (h, c))
            outputs.append(h)
        return torch.stack(outputs, dim=1)

    return Network({"c": nn.LSTMCell(s[1], 4)}, call)


# What a forward may do beside its operations.
class _Optional(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.a = nn.Linear(size, size)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        scale: float = 0.5,
        *others: Tensor,
        add: bool = True,
    ) -> Tensor:
        assert x.ndim >= 2, f"expected rank 2 or more, found {x.shape}"
        torch._assert(x.shape[-1] > 1, "too small")
        y = self.a(x) * scale
        if mask is not None:
            y = y * mask
        if add and y.shape == x.shape and len(x.shape) < 5 and not self.training:
            y = y + x
        return y


operation("optional arguments and asserts", FLAT, TOKENS)(lambda r, s: _Optional(s[-1]))


@operation("branches on shape", *ANY)
def _branches(r: Random, s: Shape) -> nn.Module:
    def call(m: nn.ModuleDict, x: Tensor) -> Tensor:
        n, *rest = x.size()
        if len(rest) == 3 and rest[1] % 2:
            x = F.pad(x, (0, 0, 0, 1))
        if math.prod(rest) > 1000:
            return x * 0
        for _ in range(min(2, len(x.shape) - 1)):
            x = F.elu(x)
        return x.view(n, *x.shape[1:])

    return Network({}, call)


@operation("branch on data", *ANY, explicable=False)
def _data(r: Random, s: Shape) -> nn.Module:
    call = r.choice([
        lambda x: x if x.sum() > 0 else -x,
        lambda x: x * 2 if float(x.abs().max()) > 1 else x,
        lambda x: x * (1 + int(x[0].flatten().argmax())),
    ])  # fmt: skip
    return Network({}, lambda m, x: call(x))


class _Head(nn.Module):
    """Gives three outputs, in one of the ways of heads."""

    def __init__(self, r: Random, s: Shape) -> None:
        super().__init__()
        self.dueling, self.over = r.random() < 0.2, r.choice(["mean", "first", "before"])
        size = s[0] if len(s) == 3 else s[-1]
        self.a, self.v = nn.Linear(size, 3), nn.Linear(size, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 4:
            x = x.mean((2, 3))
        if x.ndim == 3 and self.over == "before":
            x = x.mean(1)
        outputs = self.a(x)
        if self.dueling:
            outputs = self.v(x) + outputs - outputs.mean(-1, keepdim=True)
        if outputs.ndim == 3:
            return outputs.mean(1) if self.over == "mean" else outputs[:, 0]
        return outputs


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A network in float64, observations that it takes, and what is true of it."""

    seed: int
    network: nn.Module
    x: Tensor
    names: tuple[str, ...]
    conserves: bool
    attends: bool
    explicable: bool


def _sample(r: Random, rank: int) -> Shape:
    sizes = {
        FLAT: (_width(r),),
        TOKENS: (r.choice([3, 4, 5]), _width(r)),
        IMAGE: (4, 4, r.choice([4, 6])),
    }
    return sizes[rank]


def _with_random_values(network: nn.Module, *, biases: bool) -> None:
    """Have nothing the identity, and no shift zero where there are `biases`."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        for name, parameter in module.named_parameters(recurse=False):
            if "bias" in name:
                parameter.data.normal_(0, 0.3).mul_(1 if biases else 0)
            elif parameter.ndim == 1:
                parameter.data.uniform_(0.5, 1.5)
    if not biases:
        for name, parameter in network.named_parameters():
            if ".bias." in name:
                parameter.data.zero_()


def draw(seed: int, only: Sequence[str] = ()) -> Drawn:
    """Draw a network: up to five operations, or those that are named, with layers between them."""
    r = Random(seed)
    torch.manual_seed(seed)
    without_biases = r.random() < 0.3
    chosen = [OPERATIONS[name] for name in only]
    rank = r.choice(chosen[0].ranks if chosen else ANY)
    shape = _sample(r, rank)
    x = torch.randn(2, *shape)
    layers, names, shape = nn.Sequential(), [], tuple(x.shape[1:])
    wanted = chosen or [None] * r.randint(1, 5)
    if r.random() < 0.7:
        size = shape[0] if rank == IMAGE else shape[-1]
        layers.append(
            nn.Conv2d(size, 4, 3, padding=1) if rank == IMAGE else nn.Linear(size, _width(r))
        )
    for given in wanted:
        shape = tuple(layers(x).shape[1:])
        fitting = [
            o
            for o in OPERATIONS.values()
            if len(shape) in o.ranks
            and (o.conserves or not without_biases)
            and (o.explicable or r.random() < 0.2)
        ]
        found = given or r.choice(fitting)
        layers.append(found.make(r, shape))
        layers.eval()
        names.append(found.name)
    shape = tuple(layers(x).shape[1:])
    layers.append(_Head(r, shape))
    operations = [OPERATIONS[name] for name in names]
    _with_random_values(layers, biases=not without_biases)
    return Drawn(
        seed=seed,
        network=layers.double().eval(),
        x=torch.randn(3, *x.shape[1:], dtype=torch.float64),
        names=tuple(names),
        conserves=without_biases and all(o.conserves for o in operations),
        attends=any(o.attends for o in operations),
        explicable=all(o.explicable for o in operations),
    )


def drawn_networks() -> strategies.SearchStrategy[Drawn]:
    """Return the strategy that draws networks."""
    return strategies.integers(min_value=0, max_value=2**31).map(draw)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What became of a network: ``equal``, ``refused`` or ``wrong``, and why."""

    status: str
    why: str


def verdict(drawn: Drawn) -> Verdict:
    """Explain a network and hold it against the reference."""
    network, x = drawn.network, drawn.x
    with torch.no_grad():
        outputs = network(x.clone())
    try:
        canonised = canonise(network, example=x[:2])
        plans = {rule: make_plan(canonised, parse_composite(rule), x[:1]) for rule in RULES}
    except LrpdynError as error:
        return Verdict(status="refused", why=str(error))
    if not drawn.explicable:
        return Verdict(status="wrong", why="it branches on data, and is explained")
    with torch.no_grad():
        found = canonised(x)
    if not _close(found, outputs):
        return Verdict(status="wrong", why=f"outputs differ by {_largest(found - outputs):.1e}")
    rows = contrast_rows(outputs, outputs.argmax(1), "mean" if drawn.seed % 2 else "none")
    for rule, attention in RULES.items():
        expected = lrp0_reference(network, x, rows, attention)
        done = explain(canonised, plans[rule], x, lambda outputs: rows, keep=drawn.conserves)
        if not _close(done.relevance, expected):
            off = _largest(done.relevance - expected) / _largest(expected)
            return Verdict(
                status="wrong", why=f"{rule}: relevance differs by {off:.1e} of the largest"
            )
        if drawn.conserves and not (drawn.attends and attention == "attnlrp"):
            score = (outputs * rows).sum(1)
            if not _close(done.relevance.flatten(1).sum(1), score, _largest(expected)):
                return Verdict(status="wrong", why=f"{rule}: relevance does not sum to the score")
            for name, layer in done.layers.items():
                given, taken = layer.relevance_output, layer.relevance_inputs
                if taken and not _close(
                    sum(t.sum() for t in taken), given.sum(), float(score.abs().max())
                ):
                    return Verdict(status="wrong", why=f"{rule}: layer {name} does not conserve")
    return Verdict(status="equal", why="")


def _largest(x: Any) -> float:
    return float(x.abs().max())


def _close(found: Any, expected: Tensor, size: float = 0.0) -> bool:
    """Return whether all entries are near, by the largest; none is, if one is not a number.

    Outputs that cancel to rounding are of no size: those of usual ones are near 1.
    """
    return _largest(found - expected) <= TOLERANCE * max(_largest(expected), size, 1e-6)


def _grouped(why: str) -> str:
    return re.sub(r"'[^']*'|\d[\d.e+-]*", "_", why.split("line")[0])[:110]


def main() -> None:
    """Explain networks from `--seed` on, and say what became of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument(
        "--only", action="append", default=[], choices=sorted(OPERATIONS), metavar="NAME"
    )
    parser.add_argument("--each", action="store_true", help="each operation alone, --count times")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cases = [
        (seed, only)
        for only in ([[name] for name in OPERATIONS] if given.each else [given.only])
        for seed in range(given.seed, given.seed + given.count)
    ]
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    wrong = 0
    for seed, only in cases:
        drawn = draw(seed, only)
        try:
            found = verdict(drawn)
        except Exception as error:  # what is not refused in a line counts as wrong
            line = (str(error).splitlines() or [""])[0]
            found = Verdict(status="wrong", why=f"{type(error).__name__}: {line}")
        kind = found.status if drawn.explicable or found.status == "wrong" else "rightly refused"
        counts[kind] += 1
        wrong += kind == "wrong"
        if kind == "refused":
            reasons[
                f"{drawn.names[0]}: {_grouped(found.why)}" if only else _grouped(found.why)
            ] += 1
        if kind == "wrong":
            print(f"wrong: seed {seed}, {' > '.join(drawn.names)}: {found.why}", flush=True)
    for reason, count in reasons.most_common():
        print(f"refused {count}: {reason}")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
