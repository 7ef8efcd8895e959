"""Fold the last linear operations of a network into one Linear layer.

Dueling heads (value + advantage - mean advantage), the mean over quantiles and the expectation over
atoms are linear in what the last layers give. As one layer they are exact under every rule, and a
contrast of outputs is exact in it too: the value, which is the same for all actions, drops out. So is a
head on tokens whose outputs are averaged or selected: one layer over all entries of all tokens.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from lrpdyn.lrp.canonical.graphs import copied_graph, without_dead_code
from lrpdyn.lrp.canonical.layers import (
    AveragePooling,
    Concatenation,
    FlatLinear,
    Rearrangement,
    Scaling,
    Sum,
    Weighted,
    Weights,
)

HEAD = "folded_head"
_AFFINE = (Scaling, Rearrangement, AveragePooling, Sum, Concatenation)


def fold_head(network: fx.GraphModule) -> tuple[fx.GraphModule, tuple[str, ...]]:
    """Return the network with its last linear operations as one layer, and a note on it.

    Nothing is folded where the outputs come from one Linear layer as they are, or from something
    else than Linear layers.
    """
    (output,) = (node for node in network.graph.nodes if node.op == "output")
    tail = _tail(network, output.args[0])
    if tail is None or len(tail) == 1:
        return network, ()
    linears = [node for node in network.graph.nodes if node in tail and _is_linear(network, node)]
    sources = list(dict.fromkeys(_source(node) for node in linears))
    head = _head(network, tail, linears, sources, output.args[0])
    graph, copied, root = copied_graph(network)
    inputs = [copied[node] for node in sources]
    joined = inputs[0]
    if len(inputs) > 1:

        def join_parts(*parts: Tensor) -> Tensor:
            head.adapt(*parts)
            return torch.cat([part.flatten(1) for part in parts], dim=1)

        join = Concatenation(join_parts)
        join.called = "cat"
        root["folded_inputs"] = join
        joined = graph.call_module("folded_inputs", tuple(inputs))
    root[HEAD] = head
    graph.output(graph.call_module(HEAD, (joined,)))
    folded = without_dead_code(fx.GraphModule(root, graph))
    names = ", ".join(str(node.target) for node in linears)
    return folded, (f"{HEAD}: {names} and the linear operations after them, as one layer",)


def _is_linear(network: fx.GraphModule, node: fx.Node) -> bool:
    if node.op != "call_module":
        return False
    layer = network.get_submodule(str(node.target))
    return isinstance(layer, Weighted) and isinstance(layer.module, nn.Linear)


def _source(node: fx.Node) -> fx.Node:
    source = node.args[0]
    assert isinstance(source, fx.Node)
    return source


def _tail(network: fx.GraphModule, output: Any) -> set[fx.Node] | None:
    """Return the nodes between the last Linear layers and the outputs, or None if there are others."""
    tail: set[fx.Node] = set()
    waiting = [output]
    while waiting:
        node = waiting.pop()
        if node in tail:
            continue
        if _is_linear(network, node):
            tail.add(node)
            continue
        if node.op == "placeholder":
            return None
        if node.op == "call_module":
            if not isinstance(network.get_submodule(str(node.target)), _AFFINE):
                return None
            tail.add(node)
            # Sizes are no branches: `x.size(0)` is the number of samples.
            waiting.extend(
                n for n in node.all_input_nodes if n.op in ("call_module", "placeholder")
            )
    return tail


def _head(
    network: fx.GraphModule,
    tail: set[fx.Node],
    linears: list[fx.Node],
    sources: list[fx.Node],
    output: fx.Node,
) -> Weighted:
    """Return the layer over all entries of its inputs; how many these are is known once it is called."""
    layers: list[Weighted] = [network.get_submodule(str(node.target)) for node in linears]  # type: ignore[misc]

    def outputs(inputs: Sequence[Tensor]) -> Tensor:
        return _run(network, tail, dict(zip(sources, inputs, strict=True)), output)

    def zeros(count: int) -> list[Tensor]:
        return [torch.zeros(count, *shape, dtype=torch.float64) for shape in head.shapes]

    def derive() -> Weights:
        """Return weight (K, D) and bias: the gradients of the outputs, and the outputs of zeros."""
        with torch.no_grad():
            (bias,) = outputs(zeros(1))
        leaves = [x.requires_grad_() for x in zeros(len(bias))]
        with torch.enable_grad():
            total = outputs(leaves).diagonal().sum()
        gradients = torch.autograd.grad(total, leaves)
        like, _ = layers[0].weights()
        return torch.cat([g.flatten(1) for g in gradients], dim=1).to(like), bias.to(like)

    def tensors() -> list[Tensor]:
        return [tensor for layer in layers for tensor in layer.sources()]

    shell = FlatLinear(1, 1, device="meta")
    head = Weighted(shell, tensors, derive, by_shape=len(sources) == 1)
    sizes = {_source(n): layer.module.in_features for n, layer in zip(linears, layers, strict=True)}
    head.shapes = tuple((int(sizes[node]),) for node in sources)  # type: ignore[arg-type]  # until it is called
    return head


def _run(
    network: fx.GraphModule, tail: set[fx.Node], inputs: dict[fx.Node, Tensor], output: fx.Node
) -> Tensor:
    """Return the outputs (M, K) of the last operations for inputs (M, ...) in float64, by source."""
    known: dict[fx.Node, Any] = dict(inputs)
    samples = next(iter(inputs.values())).flatten(1)[:, :1]

    def value(node: fx.Node) -> Any:
        if node not in known:
            known[node] = computed(node)
        return known[node]

    def computed(node: fx.Node) -> Any:
        if node.op == "get_attr":
            constant = operator.attrgetter(str(node.target))(network)
            floating = isinstance(constant, Tensor) and constant.is_floating_point()
            return constant.detach().cpu().double() if floating else constant
        if node.op == "placeholder" or (node.op == "call_module" and node not in tail):
            return samples  # only its number counts
        args = fx.node.map_arg(node.args, value)
        kwargs = fx.node.map_arg(node.kwargs, value)
        if node.op == "call_module":
            layer = network.get_submodule(str(node.target))
            if isinstance(layer, Weighted):
                if layer.by_shape:
                    layer.adapt(args[0])  # type: ignore[index, arg-type]
                weight, bias = layer.weights()
                exact = weight.cpu().double(), None if bias is None else bias.cpu().double()
                return layer.apply_with(args[0], exact)  # type: ignore[index, arg-type]
            return layer(*args)  # type: ignore[misc]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)  # type: ignore[index, misc, arg-type]
        assert callable(node.target)
        return node.target(*args, **kwargs)  # type: ignore[misc]

    found: Tensor = value(output)
    return found
