"""Where the weights of a canonised network's layers come from.

Some are a module's own, some are made of several parameters: a convolution with its BatchNorm, a
parametrised or noisy layer, a functional call with computed weights. They are made anew when a
checkpoint is loaded, so that one canonised network serves them all.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from lrpdyn.lrp.canonical.graphs import writes
from lrpdyn.lrp.canonical.layers import Normalisation, Weighted, Weights
from lrpdyn.lrp.canonical.operations import INSTANCE_NORMS, LINEAR_FUNCTIONS

#: What gives a part of a tensor, or all of it in another shape, that shares its entries.
_PARTS = (operator.getitem, "select", "narrow", "view", "view_as", "transpose", "permute", "squeeze",
          "unsqueeze", "flatten", "unflatten", "t", "chunk", "split", "unbind")  # fmt: skip
#: The mean weights of noisy layers: CleanRL and torchrl; Tianshou; then PFRL's pair of layers.
_NOISY_NAMES = (("weight_mu", "bias_mu"), ("mu_W", "mu_bias"), ("mu_weight", "mu_bias"))


def own_weights(module: nn.Module) -> Weighted:
    """Return the layer of a torch module with its own weights, as its forward would use them."""
    if "noisy_mean" in vars(module):
        return _noisy_layer(module)
    derive = None
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm | SpectralNorm):
            derive = _through_hook(module, hook)
    return Weighted(module, derive=derive)


def _through_hook(module: nn.Module, hook: Any) -> Callable[[], Weights]:
    """Return what torch's older weight_norm and spectral_norm set just before each call."""

    def derive() -> Weights:
        if isinstance(hook, SpectralNorm):
            weight = hook.compute_weight(module, do_power_iteration=False)
        else:
            weight = hook.compute_weight(module)
        return weight, module.bias  # type: ignore[return-value]

    return derive


def use_mean_weights(network: nn.Module) -> list[str]:
    """Let noisy layers (Fortunato et al. 2018) use their mean weights; return their names.

    Some draw noise at evaluation too, which would make every map another one.
    """
    found = []
    for name, module in network.named_modules():
        if "noisy" not in type(module).__name__.lower():
            continue
        mean = _mean_of(module)
        if mean is None:
            continue
        module.noisy_mean = mean  # type: ignore[assignment]
        module.forward = _NoisyForward(mean)  # type: ignore[method-assign]
        found.append(name)
    return found


class _NoisyForward:
    def __init__(self, mean: Callable[[], Weights]) -> None:
        self.mean = mean

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, *self.mean())


def _mean_of(module: nn.Module) -> Callable[[], Weights] | None:
    inner = getattr(module, "mu", None)
    if isinstance(inner, nn.Linear):
        return lambda: (inner.weight, inner.bias)
    for weight, bias in _NOISY_NAMES:
        if isinstance(getattr(module, weight, None), Tensor):
            return lambda: (getattr(module, weight), getattr(module, bias, None))
    return None


def _noisy_layer(module: nn.Module) -> Weighted:
    mean: Callable[[], Weights] = module.noisy_mean  # type: ignore[assignment]
    return Weighted(_shell(nn.Linear, mean()), lambda: _given(mean()), mean)


def _given(tensors: Iterable[Tensor | None]) -> list[Tensor]:
    return [tensor for tensor in tensors if tensor is not None]


def _shell(kind: type[nn.Module], weights: Weights, **settings: Any) -> nn.Module:
    """Return a module that has a layer's settings and no weights."""
    weight, bias = weights
    if kind is nn.Linear:
        return nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    groups = settings.get("groups", 1)
    return kind(
        weight.shape[1] * groups, weight.shape[0], tuple(weight.shape[2:]), bias=bias is not None,
        device="meta", **settings,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class BatchNorm:
    """A BatchNorm at evaluation: what gives mean, variance, weight and bias, and the tensors of these."""

    values: Callable[[], tuple[Tensor, Tensor, Tensor | None, Tensor | None]]
    sources: Callable[[], list[Tensor]]
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the normalised input."""
        mean, variance, weight, bias = self.values()
        return F.batch_norm(x, mean, variance, weight, bias, eps=self.eps)


def batch_norm_of_module(module: Any) -> BatchNorm:
    """Return what a module with statistics does."""
    return BatchNorm(
        values=lambda: (module.running_mean, module.running_var, module.weight, module.bias),
        sources=lambda: [*module.parameters(), *module.buffers()],
        eps=module.eps,
    )


def batch_norm_of_function(node: fx.Node, network: nn.Module) -> BatchNorm | None:
    """Return what ``F.batch_norm`` with given statistics does; None where it takes those of the batch."""
    given = _by_name(node, "input running_mean running_var weight bias training momentum eps")
    statistics = ("running_mean", "running_var", "weight", "bias")
    parts = [_Expression(given.get(name), network) for name in statistics]
    if given.get("running_mean") is None or given.get("training", False) is not False:
        return None
    if any(not part.constant for part in parts):
        return None

    def values() -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        mean, variance, weight, bias = (part.value() for part in parts)
        return mean, variance, weight, bias

    return BatchNorm(
        values=values,
        sources=lambda: [tensor for part in parts for tensor in part.sources()],
        eps=float(given.get("eps", 1e-5)),  # type: ignore[arg-type]
    )


def merged_batch_norm(layer: Weighted, norm: BatchNorm) -> Weighted:
    """Return a linear layer with the BatchNorm that follows it taken in, at evaluation.

    With s = gamma / sqrt(variance + eps): weight s w, bias s (b - mean) + beta. BatchNorm normalises
    dim 1: behind a Linear layer its units for inputs (N, C), and for inputs (N, L, C) the tokens, each
    of which then has its own weights.
    """
    transposed = isinstance(
        layer.module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d
    )

    def derive() -> Weights:
        weight, bias = layer.weights()
        mean, variance, factor, addition = norm.values()
        scale = 1 / (variance + norm.eps).sqrt()
        if factor is not None:
            scale = scale * factor
        if merged.by_shape and len(merged.shapes[0]) > 1:
            scale, mean = scale[:, None], mean[:, None]
            weight = weight.expand(len(scale), *weight.shape[-2:])
            bias = weight.new_zeros(weight.shape[-2]) if bias is None else bias
        shift = -mean * scale if bias is None else (bias - mean) * scale
        if addition is not None:
            shift = shift + addition.reshape(scale.shape)
        if not transposed:
            return weight * scale.reshape(*scale.shape, *[1] * (weight.ndim - scale.ndim)), shift
        # Channels that come out lie on the second dimension, within each group.
        groups: int = layer.module.groups  # type: ignore[assignment]
        grouped = weight.reshape(groups, -1, *weight.shape[1:])
        scaled = grouped * scale.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))
        return scaled.reshape(weight.shape), shift

    def sources() -> list[Tensor]:
        return [*layer.sources(), *norm.sources()]

    merged = Weighted(layer.module, sources, derive, by_shape=isinstance(layer.module, nn.Linear))
    merged.shapes = ((0,),)  # until it is called
    return merged


def weighted_function(node: fx.Node, network: nn.Module) -> Weighted | str:
    """Return the layer of ``F.linear(x, W, b)``, ``F.conv2d`` and ``x @ W``, or why there is none.

    Weight and bias may be computed from parameters in any way that does not depend on the data.
    """
    kind = LINEAR_FUNCTIONS.get(node.target)  # type: ignore[arg-type]
    if kind is None:
        return _matrix_product(node, network)
    given = _by_name(node, "input weight bias stride padding dilation groups")
    of_weights = ("input", "weight", "bias")
    settings = {key: value for key, value in given.items() if key not in of_weights}
    expressions = (given.get("weight"), given.get("bias"))
    found = [_Expression(value, network) for value in expressions]
    if any(not expression.constant for expression in found):
        return "its weights are computed from the observation or drawn at random"

    def derive() -> Weights:
        weight, bias = (expression.value() for expression in found)
        return weight, bias

    return Weighted(
        _shell(kind, derive(), **settings),
        lambda: [tensor for expression in found for tensor in expression.sources()],
        derive,
    )


def _matrix_product(node: fx.Node, network: nn.Module) -> Weighted | str:
    expression = _Expression(node.args[1], network)
    if not expression.constant or expression.value().ndim > 2:
        return "it multiplies two branches that both depend on the observation"

    def derive() -> Weights:
        matrix = expression.value()
        return (matrix.T if matrix.ndim == 2 else matrix[None]), None

    if expression.value().ndim == 1:
        return "a product with a vector drops a dimension; write it as a Linear layer"
    return Weighted(_shell(nn.Linear, derive()), expression.sources, derive)


class _Expression:
    """A value that a traced graph computes from parameters and constants alone."""

    _RANDOM = ("normal", "bernoulli", "exponential", "uniform")

    def __init__(self, value: Any, network: nn.Module) -> None:
        self._value, self._network = value, network
        nodes = list(_above(value)) if isinstance(value, fx.Node) else []
        # Nodes that the rewritten graph no longer needs lose their arguments.
        self._steps = [
            _Step(node=n, op=n.op, target=n.target, args=n.args, kwargs=n.kwargs) for n in nodes
        ]

    @property
    def constant(self) -> bool:
        names = [str(getattr(step.target, "__name__", step.target)) for step in self._steps]
        drawn = any(name.startswith("rand") or name.rstrip("_") in self._RANDOM for name in names)
        return not drawn and all(s.op not in ("placeholder", "call_module") for s in self._steps)

    def sources(self) -> list[Tensor]:
        """Return the parameters and buffers that the value is made of."""
        found = (self._attribute(step) for step in self._steps if step.op == "get_attr")
        return [tensor for tensor in found if isinstance(tensor, Tensor)]

    def value(self) -> Any:
        """Return the value for the parameters as they are now."""
        computed: dict[fx.Node, Any] = {}
        with torch.no_grad():
            for step in self._steps:
                computed[step.node] = self._computed(step, computed)
        return fx.node.map_arg(self._value, lambda node: computed[node])

    def _attribute(self, step: _Step) -> Any:
        return operator.attrgetter(str(step.target))(self._network)

    def _computed(self, step: _Step, computed: dict[fx.Node, Any]) -> Any:
        if step.op == "get_attr":
            return self._attribute(step)
        args = fx.node.map_arg(step.args, lambda n: computed[n])
        kwargs = fx.node.map_arg(step.kwargs, lambda n: computed[n])
        if step.op == "call_method":
            return getattr(args[0], str(step.target))(*args[1:], **kwargs)
        return step.target(*args, **kwargs)


@dataclass(frozen=True)
class _Step:
    """A node of the traced graph as it was."""

    node: fx.Node
    op: str
    target: Any
    args: Any
    kwargs: Any


def _above(node: fx.Node) -> Iterator[fx.Node]:
    """Yield the nodes that a value depends on in their order, changes in place among them."""
    needed: set[fx.Node] = set()

    def visit(current: fx.Node) -> None:
        if current in needed:
            return
        needed.add(current)
        for earlier in (*current.all_input_nodes, *_changes(current)):
            visit(earlier)

    visit(node)
    yield from (step for step in node.graph.nodes if step in needed)


def _changes(node: fx.Node) -> Iterator[fx.Node]:
    """Yield what writes into a value, or into a part of it."""
    for user in node.users:
        if user.all_input_nodes[0] is not node:
            continue
        if writes(user):
            yield user
        elif user.target in _PARTS:
            yield from _changes(user)


def normalisation_layer(of: nn.Module | fx.Node, network: nn.Module) -> Normalisation | None:
    """Return the layer of a LayerNorm, GroupNorm or InstanceNorm, module or functional."""
    if isinstance(of, fx.Node):
        return _functional_normalisation(of, network)
    weight, bias = of.weight, of.bias
    assert weight is None or isinstance(weight, Tensor)
    assert bias is None or isinstance(bias, Tensor)
    eps = float(of.eps)  # type: ignore[arg-type]
    if isinstance(of, nn.LayerNorm):
        count = len(of.normalized_shape)
        return Normalisation(of.forward, lambda x: (x, count), lambda x: (weight, bias), eps)
    if isinstance(of, nn.GroupNorm):
        grouping = _grouping(of.num_groups)
        return Normalisation(of.forward, grouping, _by_channel(weight, bias), eps)
    if isinstance(of, INSTANCE_NORMS) and not of.track_running_stats:
        return Normalisation(of.forward, lambda x: (x, x.ndim - 2), _by_channel(weight, bias), eps)
    return None


def _by_name(node: fx.Node, names: str) -> dict[str, Any]:
    """Return the arguments of a call by the names that they have in order."""
    return {**dict(zip(names.split(), node.args, strict=False)), **node.kwargs}


def _functional_normalisation(node: fx.Node, network: nn.Module) -> Normalisation | None:
    if node.target is F.instance_norm:
        return _functional_instance_norm(node, network)
    given = _by_name(node, "input shape weight bias eps")
    shape = given.get("shape", given.get("normalized_shape", given.get("num_groups")))
    eps = float(given.get("eps", 1e-5))  # type: ignore[arg-type]
    weight, bias = (_Expression(given.get(key), network) for key in ("weight", "bias"))
    if isinstance(shape, fx.Node) or not weight.constant or not bias.constant:
        return None
    function = node.target
    assert callable(function)

    def forward(x: Tensor) -> Tensor:
        normalised: Tensor = function(x, shape, weight.value(), bias.value(), eps)
        return normalised

    if function is F.layer_norm:
        count = len(shape)  # type: ignore[arg-type]
        return Normalisation(
            forward, lambda x: (x, count), lambda x: (weight.value(), bias.value()), eps
        )

    def affine(x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return _by_channel(weight.value(), bias.value())(x)

    return Normalisation(forward, _grouping(shape), affine, eps)  # type: ignore[arg-type]


def _functional_instance_norm(node: fx.Node, network: nn.Module) -> Normalisation | None:
    given = _by_name(
        node, "input running_mean running_var weight bias use_input_stats momentum eps"
    )
    weight, bias = (_Expression(given.get(key), network) for key in ("weight", "bias"))
    own = given.get("running_mean") is None or given.get("use_input_stats", True) is True
    if not (own and weight.constant and bias.constant):
        return None
    eps = float(given.get("eps", 1e-5))  # type: ignore[arg-type]

    def forward(x: Tensor) -> Tensor:
        return F.instance_norm(x, weight=weight.value(), bias=bias.value(), eps=eps)

    def affine(x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        return _by_channel(weight.value(), bias.value())(x)

    return Normalisation(forward, lambda x: (x, x.ndim - 2), affine, eps)


def _grouping(groups: int) -> Callable[[Tensor], tuple[Tensor, int]]:
    return lambda x: (x.reshape(len(x), groups, -1), 1)


def _by_channel(
    weight: Tensor | None, bias: Tensor | None
) -> Callable[[Tensor], tuple[Tensor | None, Tensor | None]]:
    def affine(x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        shape = (1, -1, *[1] * (x.ndim - 2))
        return tuple(None if t is None else t.reshape(shape) for t in (weight, bias))  # type: ignore[return-value]

    return affine
