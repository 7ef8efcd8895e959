"""Which layer of a network gets which rule, with all that it needs: the plan of an explanation."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lrpdyn.errors import UsageError
from lrpdyn.lrp import rules
from lrpdyn.lrp.canonical.layers import (
    AveragePooling,
    Concatenation,
    Constant,
    Elementwise,
    HiddenSoftmax,
    Layer,
    MatrixProduct,
    MaximumPooling,
    Normalisation,
    Product,
    Rearrangement,
    Scale,
    Sum,
    remembering,
)
from lrpdyn.lrp.composites import Assignment, Composite, called, is_file, split_attention
from lrpdyn.lrp.registry import RULES, Rule, first_line, make_rule
from lrpdyn.lrp.rules import Call, Shared


def _itself(x: Tensor) -> Tensor:
    return x


@dataclass(frozen=True, kw_only=True)
class LayerRule:
    """The rule of one layer: how the manifest names it, what it does, and what it divides by.

    `source` is a paper and its equation; empty where nothing is shared, such as by a view. `taken` makes of
    the layer's input what the rule takes, which differs where there is a reference.
    """

    text: str
    function: Callable[[Call, Tensor], Shared]
    denominator: Callable[[Call], Tensor] | None = None
    source: str = ""
    taken: Callable[[Tensor], Tensor] = _itself

    @property
    def summary(self) -> str:
        """The first line of the docstring of what it does."""
        return first_line(getattr(self.function, "func", self.function))


def layer_rule(rule: Rule, **values: Tensor | float) -> LayerRule:
    """Return a rule for a layer, with its parameters or with other values of them."""
    definition, parameters = rule.definition, {**rule.parameters, **values}
    divides = definition.denominator
    return LayerRule(
        text=str(rule),
        function=functools.partial(definition.function, **parameters),
        denominator=None if divides is None else functools.partial(divides, **parameters),
        source=definition.source,
    )


Plan = dict[str, LayerRule]
Bounds = tuple[float | tuple[float, ...], float | tuple[float, ...]]

_SCALE_FIXED = "Ali et al. 2022, eq. 14"
_DEFAULTS: tuple[tuple[type[nn.Module], str, Callable[..., Shared], str], ...] = (
    (Elementwise, "pass", rules.pass_through, RULES["pass"].source),
    (Rearrangement, "rearrange", rules.gradient, ""),
    (Concatenation, "rearrange", rules.gradient, ""),
    (MaximumPooling, "winner-takes-all", rules.gradient, "Montavon et al. 2019"),
    (AveragePooling, "norm", rules.norm, RULES["norm"].source),
    (Sum, "norm", rules.norm, RULES["norm"].source),
    (Normalisation, "fixed-scale", rules.fixed_scale, _SCALE_FIXED),
    (Constant, "kept fixed", rules.nothing, ""),
    (Scale, "kept fixed", rules.nothing, _SCALE_FIXED),
)
#: What takes their place under rules that have no stabiliser.
_UNSTABILISED: dict[Callable[..., Shared], Callable[..., Shared]] = {
    rules.norm: functools.partial(rules.norm, epsilon=0.0),
    rules.fixed_scale: functools.partial(rules.fixed_scale, epsilon=0.0),
    rules.pass_through: rules.pass_to_active,
}


def layers_of(network: fx.GraphModule) -> dict[str, Layer]:
    """Return the layers of a canonised network by name, in order of their call."""
    return {
        str(node.target): network.get_submodule(str(node.target))  # type: ignore[misc]
        for node in network.graph.nodes
        if node.op == "call_module"
    }


def make_plan(
    network: fx.GraphModule,
    composite: Composite,
    example: Tensor | None = None,
    bounds: Bounds | None = None,
) -> Plan:
    """Return the rule of each layer of a canonised network.

    Parameters
    ----------
    network
        The canonised network.
    composite
        Which rule is for which layers.
    example
        One observation, (1, ...), whose shape a rule with bounds needs.
    bounds
        The least and the largest value that observations can have, for all channels or for each;
        for a rule with bounds that has none of its own.

    Raises
    ------
    UsageError
        A linear layer is left without a rule, or a rule is given to a layer that it is not for.
    """
    layers = layers_of(network)
    places = {id(a): _places(a, layers) for a in composite.assignments}
    plan: Plan = {}
    for name, layer in layers.items():
        chosen = next((a for a in composite.assignments if name in places[id(a)]), None)
        plan[name] = (
            _default(name, layer, composite)
            if chosen is None
            else _given(network, name, layer, chosen, composite, example, bounds)
        )
    return plan


def unused(composite: Composite, network: fx.GraphModule) -> list[str]:
    """Return a sentence for each part of what ``--rule`` takes that no layer fits."""
    layers = layers_of(network)
    found = [
        f"[[layers]] {number} of {composite.name} ({a.rule}) fits no layer of this network"
        for number, a in enumerate(composite.assignments, start=1)
        if is_file(composite.name) and not _places(a, layers)
    ]
    _, attention = split_attention(composite.name)
    if attention and not any(
        isinstance(layer, Product | HiddenSoftmax) for layer in layers.values()
    ):
        found.append(
            f"{attention} changes nothing: this network has no attention, gates or products"
        )
    return found


def about(composite: Composite, network: fx.GraphModule, plan: Plan) -> dict[str, Any]:
    """Return what a reader of a run has to know of its rule, for this network."""
    known = composite.about()
    if _reaches_softmax(network, plan):
        return {
            "title": composite.name, **known, "conserves": False, "shows_support_only": False,
            "usual_sum": "none, for what a softmax shares is not conserved",
        }  # fmt: skip
    if not any(isinstance(layer, MatrixProduct) for layer in layers_of(network).values()):
        return known
    # Values of both signs cancel in a product of matrices.
    usual = known.get("usual_sum")
    more = {"usual_sum": f"{usual}; more where matrix products cancel"} if usual else {}
    return {**known, **more, **({"shows_support_only": False} if known else {})}


def gates_under(text: str, layer: Product) -> frozenset[int]:
    """Return which factors of a product get no relevance under the rule that a plan calls `text`."""
    return layer.gates - layer.softmax if text == "attnlrp" else layer.gates


def _reaches_softmax(network: fx.GraphModule, plan: Plan) -> bool:
    """Return whether relevance of the outputs gets to a softmax."""
    layers = layers_of(network)
    waiting = [node for node in network.graph.nodes if node.op == "output"]
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        sources = list(node.all_input_nodes)
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, HiddenSoftmax):
            return True
        if isinstance(layer, Product):
            gates = {node.args[i] for i in gates_under(plan[str(node.target)].text, layer)}
            sources = [source for source in sources if source not in gates]
        elif isinstance(layer, Scale):
            sources = []
        waiting += [source for source in sources if source not in seen]
        seen.update(sources)
    return False


def _places(assignment: Assignment, layers: Mapping[str, Layer]) -> Sequence[str]:
    fitting = [name for name, layer in layers.items() if assignment.fits(name, layer)]
    if assignment.first or assignment.last:
        ends = [fitting[0]] if assignment.first and fitting else []
        return [*ends, *([fitting[-1]] if assignment.last and fitting else [])]
    return fitting


def _default(name: str, layer: Layer, composite: Composite) -> LayerRule:
    if isinstance(layer, Product | HiddenSoftmax):
        return _attention_rule(make_rule(composite.attention, {}), composite)
    plain = _is_unstabilised(composite)
    for kind, text, function, source in _DEFAULTS:
        if isinstance(layer, kind):
            chosen = _UNSTABILISED.get(function, function) if plain else function
            if chosen is rules.pass_to_active and layer.sees_observation:
                chosen = function  # what is shifted and scaled before the network sees it
            return LayerRule(text=text, function=chosen, source=source)
    raise UsageError(
        f"--rule {composite.name}: no entry is for layer '{name}' ({called(layer)}); add one "
        'without name and type at the end, such as rule = "epsilon"'
    )


def _is_unstabilised(composite: Composite) -> bool:
    """Return whether no linear layer has a stabiliser; then the others have none either."""
    given = [a.rule.definition for a in composite.assignments]
    return all(one.unstabilised for one in given if one.linear is None)


def _attention_rule(rule: Rule, composite: Composite) -> LayerRule:
    return layer_rule(rule, epsilon=0.0) if _is_unstabilised(composite) else layer_rule(rule)


def _given(
    network: fx.GraphModule,
    name: str,
    layer: Layer,
    assignment: Assignment,
    composite: Composite,
    example: Tensor | None,
    bounds: Bounds | None,
) -> LayerRule:
    rule = assignment.rule
    definition = rule.definition
    if layer.kind not in definition.kinds:
        raise UsageError(
            f"rule {rule} is for {', '.join(definition.kinds)} layers; it was given to '{name}' "
            f"({called(layer)}, {layer.kind})"
        )
    if definition.linear is not None:
        return _attention_rule(rule, composite)
    if not definition.bounded:
        return layer_rule(rule)
    low, high = _bounds_at(network, name, layer, rule, example, bounds)
    return layer_rule(rule, low=low, high=high)


def _bounds_at(
    network: fx.GraphModule,
    name: str,
    layer: Layer,
    rule: Rule,
    example: Tensor | None,
    bounds: Bounds | None,
) -> tuple[Tensor, Tensor]:
    """Return the bounds of the layer's input: those of the observation, scaled as it is."""
    if not layer.sees_observation:
        raise UsageError(
            f"rule {rule.name} is for the layer that sees the observation; '{name}' sees what other "
            "layers made of it"
        )
    low, high = rule.parameters["low"], rule.parameters["high"]
    if low is None or high is None:
        if bounds is None:
            raise UsageError(
                f"rule {rule.name}: the range of this network's observations is not known; give it, in "
                f"the units that the network takes: {rule.name}:LOW,HIGH, such as {rule.name}:0,1"
            )
        low, high = bounds
    if example is None:
        raise ValueError(f"{rule.name} needs an example of the observations")
    taken = []
    for end in (_filled(example, low, rule.name), _filled(example, high, rule.name)):
        with remembering([layer]), torch.no_grad():
            network(end)
            taken.append(layer.taken[0])
    return torch.minimum(*taken), torch.maximum(*taken)


def _filled(example: Tensor, value: float | tuple[float, ...], rule: str) -> Tensor:
    """Return `value`, or one for each channel, in the shape of `example`."""
    if isinstance(value, tuple):
        if example.ndim < 3 or len(value) != example.shape[1]:
            raise UsageError(
                f"rule {rule}: found {len(value)} bounds, one for each channel, for observations of "
                f"shape {tuple(example.shape[1:])}"
            )
        shape = (1, len(value), *[1] * (example.ndim - 2))
        return torch.tensor(value).to(example).reshape(shape).expand_as(example)
    return torch.full_like(example, value)
