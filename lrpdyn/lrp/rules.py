"""Propagation rules: how a layer's relevance is shared among its inputs.

A rule is a function ``(call, relevance, **parameters) -> relevance of the call's input``. Captum's
``LRP.attribute`` runs it: `AttachedRule` hands it to one ``torch.autograd.Function`` whose
backward pass is the rule. Weights are never changed in place. Captum's stock rules clamp the
weights inside the layers and ignore the sign of the input, which is silently wrong for negative
inputs and for biases; the rules here are exact for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr._utils.lrp_rules import PropagationRule
from torch import Tensor, nn

from lrpdyn.errors import UsageError
from lrpdyn.lrp.layers import (
    LINEAR_LAYERS,
    AveragePooling,
    Elementwise,
    MaximumPooling,
    Rearrangement,
    apply_linear,
)

STABILISER = 1e-6


@dataclass(frozen=True)
class Call:
    """One call of a layer: its input and output, and the arguments beside the input."""

    layer: nn.Module
    x: Tensor
    output: Tensor
    arguments: tuple[Any, ...] = ()

    @property
    def parameters(self) -> tuple[Tensor, Tensor | None]:
        """Weight and bias of a linear layer, detached."""
        weight, bias = self.layer.weight, self.layer.bias
        assert isinstance(weight, Tensor)
        return weight.detach(), bias.detach() if isinstance(bias, Tensor) else None


RuleFunction = Callable[..., Tensor]


def stabilise(z: Tensor, epsilon: float = STABILISER) -> Tensor:
    """Return z + epsilon sign(z) with sign(0) = +1, so that nothing is divided by zero."""
    return z + ((z == 0).to(z) + z.sign()) * epsilon


class _Term:
    """One modified forward pass of a layer, kept for its gradient with respect to its input."""

    def __init__(self, function: Callable[[Tensor], Tensor], x: Tensor) -> None:
        self._leaf = x.detach().requires_grad_()
        with torch.enable_grad():
            self._output = function(self._leaf)
        self.output = self._output.detach()

    def gradient(self, cotangent: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(self._output, self._leaf, cotangent)
        return gradient

    def contribution(self, cotangent: Tensor) -> Tensor:
        """Return x times the gradient: the share of each input when outputs weigh `cotangent`."""
        return self._leaf.detach() * self.gradient(cotangent)


def _linear_term(call: Call, x: Tensor, weight: Tensor, bias: Tensor | None) -> _Term:
    return _Term(lambda leaf: apply_linear(call.layer, leaf, weight, bias), x)


def _signed_terms(
    call: Call, positive: Tensor, negative: Tensor, bias: Tensor | None
) -> list[_Term]:
    """Return the passes of x+ with `positive` and of x- with `negative` weights.

    Where x has no negative entry the second pass is exactly zero and is left out.
    """
    terms = [_linear_term(call, call.x.clamp(min=0), positive, bias)]
    if bool((call.x < 0).any()):
        terms.append(_linear_term(call, call.x.clamp(max=0), negative, None))
    return terms


def _total(tensors: list[Tensor]) -> Tensor:
    total = tensors[0]
    for tensor in tensors[1:]:
        total = total + tensor
    return total


def epsilon(call: Call, relevance: Tensor, *, epsilon: float = STABILISER) -> Tensor:
    """Share in proportion to the contributions: R_i = sum_j x_i w_ij R_j / (z_j + eps sign z_j).

    Bach et al. 2015, "On pixel-wise explanations for non-linear classifier decisions", eq. 58;
    z_j includes the bias.
    """
    term = _linear_term(call, call.x, *call.parameters)
    return term.contribution(relevance / stabilise(term.output, epsilon))


def zplus(call: Call, relevance: Tensor) -> Tensor:
    """Share among positive contributions alone: R_i = sum_j (x_i w_ij)+ R_j / (z_j+ + b_j+).

    Bach et al. 2015, eq. 60 with alpha = 1, beta = 0; Montavon et al. 2017, "Explaining nonlinear
    classification decisions with deep Taylor decomposition", eq. 15, for inputs of both signs.
    The positive part of the bias stays in the denominator.
    """
    weight, bias = call.parameters
    bias = None if bias is None else bias.clamp(min=0)
    terms = _signed_terms(call, weight.clamp(min=0), weight.clamp(max=0), bias)
    cotangent = relevance / stabilise(_total([term.output for term in terms]))
    return _total([term.contribution(cotangent) for term in terms])


def gamma(call: Call, relevance: Tensor, *, gamma: float = 0.25) -> Tensor:
    """Favour contributions of the output's own sign, by a factor 1 + gamma.

    Montavon et al. 2019, "Layer-wise relevance propagation: an overview", sec. 10.2.3, generalised
    to inputs and outputs of both signs by Andeol et al. 2021, "Learning domain invariant
    representations by joint Wasserstein distance minimization".
    """
    weight, bias = call.parameters
    raised = weight + gamma * weight.clamp(min=0)
    lowered = weight + gamma * weight.clamp(max=0)
    raised_bias = None if bias is None else bias + gamma * bias.clamp(min=0)
    lowered_bias = None if bias is None else bias + gamma * bias.clamp(max=0)
    shares: list[Tensor] = []
    for chosen, terms in (
        (call.output > 0, _signed_terms(call, raised, lowered, raised_bias)),
        (call.output < 0, _signed_terms(call, lowered, raised, lowered_bias)),
    ):
        cotangent = chosen * relevance / stabilise(_total([term.output for term in terms]))
        shares.extend(term.contribution(cotangent) for term in terms)
    return _total(shares)


def pass_through(call: Call, relevance: Tensor) -> Tensor:
    """Give every entry the relevance of its own output (activations, scaling of the input)."""
    return relevance


def gradient(call: Call, relevance: Tensor) -> Tensor:
    """Bring relevance back along the gradient of a layer that only moves or selects entries.

    Exact for flatten, view and permute; for max-pooling it is "winner takes all".
    """
    return _Term(lambda leaf: call.layer.forward(leaf, *call.arguments), call.x).gradient(relevance)


def proportional(call: Call, relevance: Tensor) -> Tensor:
    """Share in proportion to the contributions in a layer without weights (average pooling)."""
    term = _Term(lambda leaf: call.layer.forward(leaf, *call.arguments), call.x)
    return term.contribution(relevance / stabilise(term.output))


@dataclass(frozen=True)
class RuleDefinition:
    """A registered rule of linear layers: its function and its parameters with their defaults."""

    function: RuleFunction
    parameters: Mapping[str, float]
    source: str


@dataclass(frozen=True)
class Rule:
    """A rule as the user asked for it, with every parameter filled in."""

    name: str
    parameters: Mapping[str, float]

    def __str__(self) -> str:
        """Return the form that ``--rule`` takes."""
        values = ",".join(f"{value:g}" for value in self.parameters.values())
        return f"{self.name}:{values}" if values else self.name


RULES: dict[str, RuleDefinition] = {
    "zplus": RuleDefinition(zplus, {}, "Bach et al. 2015, eq. 60; Montavon et al. 2017, eq. 15"),
    "epsilon": RuleDefinition(epsilon, {"epsilon": STABILISER}, "Bach et al. 2015, eq. 58"),
    "gamma": RuleDefinition(gamma, {"gamma": 0.25}, "Montavon et al. 2019; Andeol et al. 2021"),
}

_LAYER_RULES: tuple[tuple[type[nn.Module], str, RuleFunction], ...] = (
    (Elementwise, "pass", pass_through),
    (Rearrangement, "rearrange", gradient),
    (MaximumPooling, "winner-takes-all", gradient),
    (AveragePooling, "proportional", proportional),
)


def parse_rule(text: str) -> Rule:
    """Read ``NAME[:VALUE[,VALUE...]]``.

    Raises
    ------
    UsageError
        The name is not registered, or the values are not numbers above 0, one for each parameter.
    """
    name, _, values = text.partition(":")
    definition = RULES.get(name)
    if definition is None:
        raise UsageError(f"no rule is called '{name}'; the rules are: {', '.join(sorted(RULES))}")
    given = [value for value in values.split(",") if value.strip()]
    names = list(definition.parameters)
    if len(given) > len(names):
        takes = ", ".join(names) or "no parameter"
        raise UsageError(f"rule '{text}': {name} takes {takes}, found {len(given)} values")
    parameters = dict(definition.parameters)
    for key, value in zip(names, given, strict=False):
        try:
            number = float(value)
        except ValueError:
            number = float("nan")
        if not 0 <= number < float("inf"):
            raise UsageError(f"rule '{text}': {key} must be a number of 0 or more, found '{value}'")
        parameters[key] = number
    return Rule(name, parameters)


def rule_of_layer(layer: nn.Module, rule: Rule) -> tuple[str, Callable[[Call, Tensor], Tensor]]:
    """Return the name and the function of the rule that `layer` gets under `rule`."""
    if isinstance(layer, LINEAR_LAYERS):
        function = RULES[rule.name].function
        return str(rule), lambda call, relevance: function(call, relevance, **rule.parameters)
    for kind, name, function in _LAYER_RULES:
        if isinstance(layer, kind):
            return name, function
    raise TypeError(f"a canonised network has no {type(layer).__name__}")


class _Propagate(torch.autograd.Function):
    """Forward: a layer's output as it is. Backward: the rule, on relevance in place of gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, attached: AttachedRule, call: Call) -> Tensor:
        ctx.attached, ctx.call = attached, call
        return call.output.clone()

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor, None, None]:
        attached, call = ctx.attached, ctx.call
        shared = attached.function(call, relevance[0])
        attached.relevance_output[call.x.device] = relevance[0]
        attached.relevance_input[call.x.device] = shared
        return shared, None, None


class AttachedRule(PropagationRule):  # type: ignore[misc]  # Captum is not typed here
    """A rule on one layer, in the form that Captum's ``LRP`` calls.

    Captum makes one forward pass with `forward_hook_weights` and a second with the other two hooks;
    the relevance of a layer's input and output is left where its layer attribution looks.
    """

    def __init__(self, function: Callable[[Call, Tensor], Tensor]) -> None:
        self.function = function

    def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """Leave the weights alone: a rule works on copies."""

    def forward_hook_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """Keep nothing: the second pass sees the same activations as the first."""

    def forward_pre_hook_activations(self, module: nn.Module, inputs: Any) -> Any:
        """Leave the inputs alone, for the same reason."""
        return inputs

    def forward_hook(self, module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        """Put the rule between this layer's output and what comes next."""
        x, *arguments = inputs
        call = Call(module, x.detach(), outputs.detach(), tuple(arguments))
        propagated: Tensor = _Propagate.apply(x, self, call)  # type: ignore[no-untyped-call]
        return propagated
