"""Explain at the logits: leave out the softmax, or what squashes each output on its own."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from lrpdyn.lrp.canonical.graphs import copied_graph, without_dead_code
from lrpdyn.lrp.canonical.layers import (
    AveragePooling,
    Concatenation,
    Elementwise,
    HiddenSoftmax,
    Rearrangement,
    Scaling,
    Softmax,
    Sum,
)
from lrpdyn.lrp.canonical.refusals import refused

#: Output activations that are left out, by the names of their modules and functions: each grows with its
#: logit and has one sign, so that passing relevance through it would turn the map of a negative logit round.
SQUASHING = frozenset({"sigmoid", "logsigmoid", "softplus"})


def without_squashing(reference: fx.GraphModule) -> tuple[fx.GraphModule, tuple[str, ...]]:
    """Return the network without the activations of `SQUASHING` that give its outputs, and a note on each.

    They give them where each output is made of one of theirs, scaled and shifted by constants at most.
    A constant that is added behind them moves no decision of theirs to another logit: 1 - sigmoid(z) is
    explained as -z, whose zero is where both are one half.
    """
    (output,) = (node for node in reference.graph.nodes if node.op == "output")
    found = [
        node
        for node in reference.graph.nodes
        if node.op == "call_module"
        and _squashes(_layer_of(reference, node))
        and all(_keeps_outputs_apart(reference, n) for n in _followers(node))
    ]
    if not found:
        return reference, ()
    graph, copied, root = copied_graph(reference)
    graph.output(copied[output.args[0]])
    notes = []
    for original in found:
        node, layer = copied[original], _layer_of(reference, original)
        assert isinstance(layer, Elementwise)
        notes.append(f"{layer.called} '{node.name}' is skipped: the logits before it are explained")
        node.replace_all_uses_with(node.args[0])  # type: ignore[arg-type]
        graph.erase_node(node)
        for follower in _followers(original):
            if follower.op == "call_module" and isinstance(_layer_of(reference, follower), Sum):
                copied[follower].args = tuple(
                    arg if _is_branch(arg) else 0.0 for arg in copied[follower].args
                )
    return without_dead_code(fx.GraphModule(root, graph)), tuple(notes)


def _squashes(layer: nn.Module) -> bool:
    if not isinstance(layer, Elementwise) or isinstance(layer, Scaling):
        return False
    return layer.called.lower().replace("_", "") in SQUASHING


def _keeps_outputs_apart(network: fx.GraphModule, follower: fx.Node) -> bool:
    """Return whether an operation moves, scales and shifts each entry on its own."""
    if follower.op == "output":
        return True
    if follower.op != "call_module":
        return False
    layer = _layer_of(network, follower)
    branches = [n for n in follower.all_input_nodes if _is_branch(n)]
    return isinstance(layer, Rearrangement | Scaling | Concatenation) or (
        isinstance(layer, Sum) and len(branches) == 1
    )


def _is_branch(argument: Any) -> bool:
    """Tell whether an argument of a layer is computed from the observation, and is no constant."""
    return isinstance(argument, fx.Node) and argument.op in ("call_module", "placeholder")


def without_softmax(
    reference: fx.GraphModule, network: str
) -> tuple[fx.GraphModule, tuple[str, ...]]:
    """Return the network without the softmax before its outputs, and a note on each.

    A softmax that gives the outputs becomes nothing: the logits are explained. Where sums follow it,
    as in the expectation of a distribution over atoms, the logits less their mean take its place, in
    which the same constant added to all of them is nothing either. A softmax that other layers follow, as
    in attention, becomes a layer with a rule.

    Raises
    ------
    ArchitectureError
        Other layers follow a logarithm of a softmax.
    """
    (output,) = (node for node in reference.graph.nodes if node.op == "output")
    softmaxes = [
        node
        for node in reference.graph.nodes
        if node.op == "call_module" and isinstance(_layer_of(reference, node), Softmax)
    ]
    if not softmaxes:
        return reference, ()
    graph, copied, root = copied_graph(reference)
    graph.output(copied[output.args[0]])
    notes = []
    for original in softmaxes:
        node = copied[original]
        layer = _layer_of(reference, original)
        assert isinstance(layer, Softmax)
        followers = _followers(node)
        kinds = [type(root[str(n.target)]) for n in followers if n.op == "call_module"]
        if any(kind not in (Rearrangement, Scaling, AveragePooling, Sum) for kind in kinds):
            if "log" in layer.called.lower():
                raise refused(network, original, layer.called, "other layers follow it")
            hidden = HiddenSoftmax(layer.compute, layer.dim)
            hidden.called = layer.called
            root[str(node.target)] = hidden
            continue
        if all(kind is Rearrangement for kind in kinds):
            notes.append(f"{layer.called} '{node.name}' is skipped: the logits are explained")
            logits = node.args[0]
            assert isinstance(logits, fx.Node)
            node.replace_all_uses_with(logits)
            graph.erase_node(node)
        else:
            notes.append(
                f"{layer.called} '{node.name}' replaced by the logits less their mean: the score is "
                "the logits weighted as the probabilities are"
            )
            root[str(node.target)] = _centring(layer)
            node.args = (node.args[0],)
    return without_dead_code(fx.GraphModule(root, graph)), tuple(notes)


def _centring(softmax: Softmax) -> AveragePooling:
    dim = softmax.dim
    centring = AveragePooling(lambda x: x - x.mean(dim=dim, keepdim=True))
    centring.called = softmax.called
    return centring


def _followers(node: fx.Node) -> list[fx.Node]:
    found: dict[fx.Node, None] = {}
    waiting = list(node.users)
    while waiting:
        follower = waiting.pop()
        if follower not in found:
            found[follower] = None
            waiting.extend(follower.users)
    return list(found)


def _layer_of(network: fx.GraphModule, node: fx.Node) -> nn.Module:
    return network.get_submodule(str(node.target))
