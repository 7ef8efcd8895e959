"""Bring a network into the form in which every rule is exact: one module for each call.

torch.fx traces the network; functional operations become modules, a module that is called twice
becomes two that share their parameters, dropout goes, constant scaling of the input becomes a
layer that relevance passes through. What has no such form is refused by the name of its node: a
functional operation that no rule sees would be silently wrong.
"""

from __future__ import annotations

import copy
import functools
import operator
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.layers import (
    LINEAR_LAYERS,
    AveragePooling,
    Elementwise,
    MaximumPooling,
    Rearrangement,
)

_ACTIVATION_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid,
    nn.Softplus, nn.Softsign, nn.Hardswish,
)  # fmt: skip
_KINDS: tuple[tuple[tuple[type[nn.Module], ...], type[nn.Module]], ...] = (
    (_ACTIVATION_MODULES, Elementwise),
    ((nn.Flatten, nn.Unflatten), Rearrangement),
    ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), MaximumPooling),
    ((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), MaximumPooling),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), AveragePooling),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), AveragePooling),
)
_DROPPED_MODULES = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
)  # fmt: skip
_KNOWN_MODULES = (
    *LINEAR_LAYERS, *_DROPPED_MODULES, *(kind for kinds, _ in _KINDS for kind in kinds),
)  # fmt: skip

_ACTIVATIONS = (
    F.relu, F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.hardtanh,
    F.hardsigmoid, F.hardswish, F.softplus, F.softsign, F.logsigmoid, F.tanh, F.sigmoid,
    torch.relu, torch.tanh, torch.sigmoid,
)  # fmt: skip
_FUNCTIONS: dict[Callable[..., Any], type[nn.Module]] = {
    **dict.fromkeys(_ACTIVATIONS, Elementwise),
    **dict.fromkeys(
        (torch.flatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze,
         torch.unsqueeze, torch.movedim, operator.getitem),
        Rearrangement,
    ),
    **dict.fromkeys((F.max_pool1d, F.max_pool2d, F.max_pool3d), MaximumPooling),
    **dict.fromkeys(
        (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
         F.adaptive_avg_pool3d),
        AveragePooling,
    ),
}  # fmt: skip
_METHODS: dict[str, type[nn.Module]] = {
    **dict.fromkeys(("relu", "tanh", "sigmoid"), Elementwise),
    **dict.fromkeys(
        ("view", "reshape", "flatten", "permute", "transpose", "squeeze", "unsqueeze", "movedim"),
        Rearrangement,
    ),
}
_SCALINGS = (operator.mul, operator.truediv, torch.mul, torch.div)
_SHIFTS = (operator.add, operator.sub, torch.add, torch.sub)
_DROPPED_FUNCTIONS = (F.dropout, F.dropout2d, F.dropout3d, F.alpha_dropout)
_DROPPED_METHODS = ("contiguous", "float", "double", "to", "type", "clone")
_SHAPE_METHODS = ("size", "dim", "numel")


class _Tracer(fx.Tracer):
    """Stop at the layers we know, also where a user's subclass keeps torch's own forward."""

    record_stack_traces = True

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if super().is_leaf_module(m, module_qualified_name):
            return True
        forward = getattr(type(m), "forward", None)
        return any(
            isinstance(m, kind) and forward is getattr(kind, "forward", None)
            for kind in _KNOWN_MODULES
        )


def canonise(network: nn.Module) -> fx.GraphModule:
    """Return a network of one module for each call, which gives the same outputs.

    Parameters of `network` are shared, so weights that are loaded into it in place, as
    ``load_state_dict`` does, are at once those of the result.

    Raises
    ------
    ArchitectureError
        The network branches on data, takes other than one tensor, or has an operation that no
        rule is defined for; the message names the node and the line of its source.
    """
    network.eval()
    if _Tracer().is_leaf_module(network, ""):
        network = nn.Sequential(network)
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # tracing runs the user's forward, which may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ArchitectureError(
            f"{type(network).__name__} cannot be traced ({reason}): a network "
            "that branches on data, or is scripted, has no fixed sequence of layers to explain"
        ) from error
    return _Rewriting(network, graph).result()


class _Rewriting:
    """One pass over a traced graph that gives every operation on tensors a module of its own."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        self.network, self.graph = network, graph
        self.modules = dict(network.named_modules(remove_duplicate=False))
        self.root: dict[str, Any] = {}
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        if len(inputs) != 1:
            names = ", ".join(node.name for node in inputs)
            raise ArchitectureError(
                f"{type(network).__name__}.forward takes {len(inputs)} inputs ({names}), expected "
                "one tensor of observations"
            )
        self.tensors = set(inputs)
        self.raw = set(inputs)  # nodes whose entries are still entries of the observation

    def result(self) -> fx.GraphModule:
        for node in list(self.graph.nodes):
            if node.op == "get_attr":
                self.root[str(node.target)] = operator.attrgetter(str(node.target))(self.network)
            elif node.op == "output":
                self._check_output(node)
            elif node.op != "placeholder" and self._takes_tensor(node):
                self._rewrite(node)
        canonised = fx.GraphModule(self.root, self.graph)
        canonised.graph.eliminate_dead_code()
        canonised.recompile()
        return canonised

    def _takes_tensor(self, node: fx.Node) -> bool:
        """Tell operations on activations from arithmetic on shapes, which stays as it is."""
        shape = node.op == "call_method" and node.target in _SHAPE_METHODS
        attribute = node.op == "call_function" and node.target is getattr
        return not shape and not attribute and any(n in self.tensors for n in node.all_input_nodes)

    def _rewrite(self, node: fx.Node) -> None:
        source = node.args[0] if node.args else None
        if not (isinstance(source, fx.Node) and source in self.tensors):
            raise self._refusal(node)
        others = [n for n in node.all_input_nodes if n is not source]
        if any(n in self.tensors for n in others):
            raise self._refusal(node, "it joins two branches")
        if self._is_dropped(node):
            node.replace_all_uses_with(source)
            self.graph.erase_node(node)
            return
        layer = self._layer(node, source)
        with self.graph.inserting_before(node):
            call = self.graph.call_module(self._add(node, layer), (source, *node.args[1:]))
        self.tensors.add(call)
        if source in self.raw and isinstance(layer, Elementwise | Rearrangement):
            self.raw.add(call)
        node.replace_all_uses_with(call)
        self.graph.erase_node(node)

    def _is_dropped(self, node: fx.Node) -> bool:
        if node.op == "call_module":
            return isinstance(self.modules[str(node.target)], _DROPPED_MODULES)
        return node.target in (
            _DROPPED_FUNCTIONS if node.op == "call_function" else _DROPPED_METHODS
        )

    def _layer(self, node: fx.Node, source: fx.Node) -> nn.Module:
        if node.op == "call_module":
            module = self.modules[str(node.target)]
            if isinstance(module, LINEAR_LAYERS):
                return _own_copy(module)
            for kinds, layer in _KINDS:
                if isinstance(module, kinds):
                    return layer(_without_side_effects(module).forward)
            raise self._refusal(node)
        options = {key: value for key, value in node.kwargs.items() if key != "inplace"}
        if any(isinstance(value, fx.Node) for value in options.values()):
            raise self._refusal(node, "an option of it is computed from the data")
        if node.op == "call_method":
            kind = _METHODS.get(str(node.target))
            function: Callable[..., Any] = functools.partial(_method, str(node.target))
        else:
            kind = self._kind_of_function(node, source)
            function = node.target  # type: ignore[assignment]
        if kind is None:
            raise self._refusal(node)
        return kind(functools.partial(function, **options))

    def _kind_of_function(self, node: fx.Node, source: fx.Node) -> type[nn.Module] | None:
        """Return the kind of layer; scaling is one anywhere, a shift only on the observation."""
        assert callable(node.target)
        if node.target in _SCALINGS or (node.target in _SHIFTS and source in self.raw):
            return Elementwise
        return _FUNCTIONS.get(node.target)

    def _add(self, node: fx.Node, layer: nn.Module) -> str:
        """Store `layer` under the name that it has in the network, or its node's; return it."""
        stem = str(node.target) if node.op == "call_module" else node.name
        name, calls = stem, 1
        while name in self.root:
            calls += 1
            name = f"{stem}__{calls}"
        self.root[name] = layer
        return name

    def _check_output(self, node: fx.Node) -> None:
        if not (isinstance(node.args[0], fx.Node) and node.args[0] in self.tensors):
            raise ArchitectureError(
                f"{type(self.network).__name__}.forward must return one tensor of outputs, "
                f"(N, units); found {node.args[0]!r}. Give the network a method path(head) that "
                "returns the module of one head"
            )

    def _refusal(self, node: fx.Node, why: str = "no rule is defined for it") -> ArchitectureError:
        target = node.target
        if node.op == "call_module":
            what = type(self.modules[str(target)]).__name__
        else:
            what = str(getattr(target, "__name__", target))
        where = _source_line(node)
        return ArchitectureError(
            f"{type(self.network).__name__}: '{node.name}' ({what}){where} cannot be explained: "
            f"{why}; give --arch a network without it"
        )


def _method(name: str, x: Tensor, *arguments: Any, **options: Any) -> Any:
    return getattr(x, name)(*arguments, **options)


def _own_copy(module: nn.Module) -> nn.Module:
    """Return a module with the same parameters and no hooks of the user's.

    A copy for each call: Captum allows one call of a module, and tells layers apart by identity.
    """
    own = copy.copy(module)
    for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"):
        setattr(own, name, OrderedDict())
    return own


def _without_side_effects(module: nn.Module) -> nn.Module:
    if getattr(module, "inplace", False):
        module = copy.copy(module)
        module.inplace = False  # type: ignore[assignment]
    return module


def _source_line(node: fx.Node) -> str:
    lines = [line.strip() for line in (node.stack_trace or "").splitlines()]
    places = [line for line in lines if line.startswith("File ")]
    return f" at {places[-1].removeprefix('File ').partition(', in ')[0]}" if places else ""
