"""Captum's own rules as they are, for those who must reproduce earlier numbers.

They clamp or raise the weights inside the layers, ignore the sign of the input, and keep negative
biases in the denominator: right for ReLU networks with inputs of 0 and more and no biases, and
otherwise silently wrong. The network is run as it was loaded, not canonised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import (
    Alpha1_Beta0_Rule,
    EpsilonRule,
    GammaRule,
    PropagationRule,
)
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.attribution import output_layer
from lrpdyn.lrp.canonical.layers import LINEAR_LAYERS, Concatenation, Sum, Weighted
from lrpdyn.lrp.plan import layers_of
from lrpdyn.lrp.registry import STOCK

_RULES: dict[str, Callable[[], PropagationRule]] = {
    "captum:alpha1beta0": Alpha1_Beta0_Rule,
    "captum:epsilon": EpsilonRule,
    "captum:gamma": GammaRule,
}
_MOVING = (nn.Flatten, nn.Unflatten, nn.Identity)


class _Untouched(PropagationRule):  # type: ignore[misc]  # Captum is not typed here
    """Let the gradient through: for layers that only move entries, which Captum has no rule for."""

    def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """Change nothing."""

    def forward_hook(self, module: nn.Module, inputs: Any, outputs: Tensor) -> Tensor:
        """Change nothing."""
        return outputs


def explain_with_stock_rule(
    path: nn.Module,
    canonised: fx.GraphModule,
    rule: str,
    x: Tensor,
    choose: Callable[[Tensor], Tensor],
) -> tuple[Tensor, Tensor]:
    """Return outputs (N, K) and the relevance that Captum's own rule gives.

    See `lrpdyn.lrp.attribution.explain`; a contrast is folded into the last Linear layer.

    Raises
    ------
    ArchitectureError
        Captum cannot explain the network, or it has no last Linear layer for a contrast.
    """
    with torch.no_grad():
        outputs: Tensor = path(x)
    scores, unit = torch.unique(choose(outputs), dim=0, return_inverse=True)
    name = output_layer(canonised)
    head = None if name is None else _submodule(path, name)
    if not isinstance(head, nn.Linear) or name is None:
        raise ArchitectureError(
            f"--rule {rule}: this network's outputs do not come from one Linear layer, which "
            f"Captum's own rules need here; use --rule {STOCK[rule]}"
        )
    wrapped = nn.Sequential(path)
    _replace(path, name, _folded(head, scores))
    try:
        _attach(wrapped, rule)
        found: Tensor = LRP(wrapped).attribute(x.detach().clone().requires_grad_(), target=unit)
    except (TypeError, RuntimeError, AttributeError, AssertionError) as error:
        raise ArchitectureError(
            f"--rule {rule}: Captum cannot explain this network ({str(error).splitlines()[0][:200]}); "
            f"use --rule {STOCK[rule]}, which is exact"
        ) from error
    finally:
        _replace(path, name, head)
        _detach(wrapped)
    return outputs, found.detach()


def _submodule(path: nn.Module, name: str) -> nn.Module | None:
    try:
        return path.get_submodule(name)
    except AttributeError:
        return None


def _replace(path: nn.Module, name: str, module: nn.Module) -> None:
    path.set_submodule(name, module)


def _folded(head: nn.Linear, rows: Tensor) -> nn.Linear:
    folded = nn.Linear(head.in_features, len(rows), bias=head.bias is not None, device="meta")
    folded.weight = nn.Parameter(rows @ head.weight.detach())
    if head.bias is not None:
        folded.bias = nn.Parameter(rows @ head.bias.detach())
    return folded


def _attach(network: nn.Module, rule: str) -> None:
    for module in network.modules():
        if isinstance(module, LINEAR_LAYERS):
            module.rule = _RULES[rule]()  # type: ignore[assignment]
        elif isinstance(module, _MOVING):
            module.rule = _Untouched()  # type: ignore[assignment]


def _detach(network: nn.Module) -> None:
    """Remove what a failed call of Captum leaves behind."""
    for module in network.modules():
        for name in ("rule", "activations", "activation"):
            if name in vars(module):
                delattr(module, name)


def reasons(canonised: fx.GraphModule, x: Tensor) -> list[str]:
    """Return why Captum's own rules are known to be wrong for a network and its observations."""
    found = []
    inputs: dict[str, Tensor] = {}
    handles = [
        layer.register_forward_pre_hook(
            lambda module, given, name=name: inputs.update({name: given[0]})
        )
        for name, layer in layers_of(canonised).items()
        if isinstance(layer, Weighted)
    ]
    try:
        with torch.no_grad():
            canonised(x)
    finally:
        for handle in handles:
            handle.remove()
    layers = layers_of(canonised)
    negative = [name for name, given in inputs.items() if bool((given < 0).any())]
    biased = [
        name for name in inputs if (bias := _bias(layers[name])) is not None and bool(bias.any())
    ]
    joined = [name for name, layer in layers.items() if isinstance(layer, Sum | Concatenation)]
    for names, what in (
        (negative, "take negative inputs, whose sign is ignored"),
        (biased, "have biases, which stay in the denominator with their sign"),
        (joined, "join branches, which Captum does not see"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            found.append(f"{', '.join(names[:3])}{more} {what}")
    return found


def _bias(layer: nn.Module) -> Tensor | None:
    assert isinstance(layer, Weighted)
    return layer.weights()[1]
