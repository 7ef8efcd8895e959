"""Relevance against a reference f: of x - f, where the first layer's bias takes up the share of f.

A linear layer of x with bias b gives what it gives of x - f with the bias b + (its share of f), so the
network stays the same function and a rule of that layer is exact on x - f. Around a padded picture that
bias differs by place: it is a map. What moves or scales the observation before the layer does so to f.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from lrpdyn.errors import UsageError
from lrpdyn.lrp.canonical.layers import (
    Layer,
    Rearrangement,
    Scaling,
    Weighted,
    Weights,
    apply_linear,
)
from lrpdyn.lrp.composites import called
from lrpdyn.lrp.plan import Plan
from lrpdyn.lrp.rules import Call

#: The rules that bring relevance of x - f back to it unchanged, as a plan calls them.
_PASSING = ("pass", "rearrange")


class Shifted(Weighted):
    """A linear layer of x - f, which gives what the layer gives of x.

    Its bias is what the layer gives of f, (1, ...) in the shape of the output.
    """

    def __init__(self, layer: Weighted, reference: Tensor) -> None:
        weight, bias = layer.weights()[0], layer.compute(reference)
        super().__init__(layer.module, lambda: (), lambda: (weight, bias))
        self.called, self.sees_observation = layer.called, layer.sees_observation
        self.samples_along, self.inputs_along = layer.samples_along, layer.inputs_along

    def apply_with(self, x: Tensor, weights: Weights) -> Tensor:
        """Return what the layer would give for `x` with other weights."""
        weight, bias = weights
        output = apply_linear(self.module, x, weight, None)
        return output if bias is None else output + bias


def against(network: fx.GraphModule, plan: Plan, reference: Tensor) -> Plan:
    """Return a plan whose relevance is that of x - f.

    Parameters
    ----------
    network
        The canonised network.
    plan
        The rule of each of its layers (`lrpdyn.lrp.plan.make_plan`).
    reference
        f, (1, ...), as the network takes observations.

    Raises
    ------
    UsageError
        The observation does not come to one linear layer alone, moved and scaled at most.
    """
    first = _first_linear(network, plan)
    name = str(first.target)
    rule = plan[name]

    def shift(x: Tensor) -> Tensor:
        # Anew each time: what scales the observation may be weights of the checkpoint.
        return _arriving(network, first, reference.to(x))

    def shifted(function: Callable[..., Any], call: Call, *relevance: Tensor) -> Any:
        f = shift(call.x)
        given = getattr(function, "keywords", {})
        x = call.x - f
        # A box around all that can be seen knows no f; by the one between f and x, f itself gets nothing.
        boxed = isinstance(given.get("low"), Tensor)
        bounds = {"low": x.clamp(max=0), "high": x.clamp(min=0)} if boxed else {}
        with torch.no_grad():
            layer = Shifted(call.linear, f)
        moved_call = Call(layer=layer, inputs=(x,), output=call.output)
        return function(moved_call, *relevance, **bounds)

    divides = rule.denominator
    return {**plan, name: replace(
        rule,
        function=partial(shifted, rule.function),
        denominator=None if divides is None else partial(shifted, divides),
        taken=lambda x: x - shift(x),
    )}  # fmt: skip


def _first_linear(network: fx.GraphModule, plan: Plan) -> fx.Node:
    """Return the call of the linear layer that alone takes the observation."""
    node: fx.Node
    (node,) = (node for node in network.graph.nodes if node.op == "placeholder")
    while True:
        # Others ask for its size.
        users = [user for user in node.users if user.op == "call_module"]
        if len(users) != 1:
            raise _refusal(f"{len(users)} branches of this network take it")
        (node,) = users
        layer, rule = network.get_submodule(str(node.target)), plan[str(node.target)].text
        assert isinstance(layer, Layer)
        if isinstance(layer, Weighted):
            return node
        if not isinstance(layer, Scaling | Rearrangement):
            raise _refusal(f"{called(layer)} ('{node.target}', {layer.kind}) takes it first")
        if rule not in _PASSING:
            raise _refusal(f"'{node.target}' before that layer has the rule {rule}")


def _refusal(found: str) -> UsageError:
    return UsageError(
        "--reference: is exact where one Linear or convolutional layer alone takes the observation, moved "
        f"and scaled at most; {found}; give --reference none"
    )


class _Prefix(fx.Interpreter):
    """The network before a layer, without what its layers remember of other inputs."""

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        layer = self.fetch_attr(target)
        assert isinstance(layer, Layer)
        return layer.compute(*args)


def _arriving(network: fx.GraphModule, layer: fx.Node, reference: Tensor) -> Tensor:
    """Return what comes to a layer where the network takes the reference."""
    needed = {layer}
    for node in reversed(network.graph.nodes):
        if any(user in needed for user in node.users):
            needed.add(node)
    prefix = _Prefix(network, garbage_collect_values=False)
    prefix.args_iter = iter([reference])
    with torch.no_grad():
        for node in network.graph.nodes:
            if node is layer:
                break
            if node in needed:
                prefix.env[node] = prefix.run_node(node)
    arrived: Tensor = prefix.env[layer.args[0]]  # type: ignore[index]
    return arrived
