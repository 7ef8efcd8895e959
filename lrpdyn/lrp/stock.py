"""Captum's own rules as they are, for those who must reproduce earlier numbers.

They clamp or raise the weights inside the layers, ignore the sign of the input, and keep negative
biases in the denominator: right for ReLU networks with inputs of 0 and more and no biases, and
otherwise silently wrong. The network is run as it was loaded, not canonised.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.files.text import first_line
from lrpdyn.lrp.attribution import as_linear, output_layer
from lrpdyn.lrp.canonical.layers import (
    LINEAR_LAYERS,
    Concatenation,
    Product,
    Sum,
    Weighted,
    remembering,
)
from lrpdyn.lrp.captum_lrp import (
    LRP,
    Alpha1_Beta0_Rule,
    EpsilonRule,
    GammaRule,
    PropagationRule,
)
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
    weight, bias = head.weight.detach(), head.bias
    folded = as_linear(scores @ weight, None if bias is None else scores @ bias.detach())
    path.set_submodule(name, folded)
    try:
        _attach(wrapped, rule)
        found: Tensor = LRP(wrapped).attribute(x.detach().clone().requires_grad_(), target=unit)
    except (TypeError, RuntimeError, AttributeError, AssertionError) as error:
        raise ArchitectureError(
            f"--rule {rule}: Captum cannot explain this network ({first_line(error)}); "
            f"use --rule {STOCK[rule]}, which is exact"
        ) from error
    finally:
        path.set_submodule(name, head)
        _detach(wrapped)
    return outputs, found.detach()


def _submodule(path: nn.Module, name: str) -> nn.Module | None:
    try:
        return path.get_submodule(name)
    except AttributeError:
        return None


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
    layers = layers_of(canonised)
    weighted = {name: layer for name, layer in layers.items() if isinstance(layer, Weighted)}
    with remembering(weighted.values()), torch.no_grad():
        canonised(x)
        negative = [name for name, layer in weighted.items() if bool((layer.taken[0] < 0).any())]
    biases = {name: layer.weights()[1] for name, layer in weighted.items()}
    biased = [name for name, bias in biases.items() if bias is not None and bool(bias.any())]
    joined = [
        name for name, layer in layers.items() if isinstance(layer, Sum | Concatenation | Product)
    ]
    found = []
    for names, what in (
        (negative, "take negative inputs, whose sign is ignored"),
        (biased, "have biases, which stay in the denominator with their sign"),
        (joined, "join branches, which Captum does not see"),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            found.append(f"{', '.join(names[:3])}{more} {what}")
    return found
