"""Relevance of one batch: which score is asked for, and Captum's LRP on a canonised network."""

from __future__ import annotations

from typing import Any

import torch
from captum.attr import LRP
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.rules import AttachedRule, Rule, rule_of_layer


class _Explained(nn.Module):
    """The network as Captum sees it.

    Captum saves and restores all weights around each call, since its own rules change them. Ours
    do not, so there is nothing to save and the copies would only cost time.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.network(x)
        return output

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return {}

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return None


def layers_of(network: nn.Module) -> dict[str, nn.Module]:
    """Return the leaf modules of a canonised network by name, in order of their call."""
    modules = dict(network.named_modules())
    if isinstance(network, fx.GraphModule):
        return {
            str(node.target): modules[str(node.target)]
            for node in network.graph.nodes
            if node.op == "call_module"
        }
    return {name: module for name, module in modules.items() if not list(module.children())}


def layer_rules(network: fx.GraphModule, rule: Rule) -> dict[str, str]:
    """Return the name of the rule that each layer gets."""
    return {name: rule_of_layer(layer, rule)[0] for name, layer in layers_of(network).items()}


def output_layer(network: fx.GraphModule) -> str | None:
    """Return the name of the Linear layer that gives the outputs, or None if something else does."""
    (output,) = (node for node in network.graph.nodes if node.op == "output")
    last = output.args[0]
    if isinstance(last, fx.Node) and last.op == "call_module":
        name = str(last.target)
        if isinstance(network.get_submodule(name), nn.Linear):
            return name
    return None


def contrast_rows(
    outputs: Tensor, target: Tensor, contrast: str, runner_up: Tensor | None = None
) -> Tensor:
    """Return the weights of the outputs in each sample's score.

    Parameters
    ----------
    outputs
        (N, K), the plain outputs of a head.
    target
        (N,), the unit that is explained.
    contrast
        ``mean`` subtracts the mean of the K outputs, ``runner-up`` the best of the others,
        ``none`` nothing. With K = 1 there is nothing to subtract.
    runner_up
        (N,), the unit to subtract where it is held fixed.

    Returns
    -------
    Tensor
        (N, K): score_n = sum over k of rows[n, k] * outputs[n, k].
    """
    samples, units = outputs.shape
    index = torch.arange(samples, device=outputs.device)
    rows = torch.zeros_like(outputs)
    rows[index, target] = 1
    if units == 1 or contrast == "none":
        return rows
    if contrast == "mean":
        return rows - 1 / units
    if runner_up is None:
        others = outputs.clone()
        others[index, target] = -torch.inf
        runner_up = others.argmax(dim=1)
    rows[index, runner_up] -= 1
    return rows


def relevance(network: fx.GraphModule, rule: Rule, x: Tensor, rows: Tensor) -> Tensor:
    """Return the relevance of each entry of `x` for each sample's score.

    The contrast is folded into the last linear layer (rows @ W, rows @ b), so that the score is a
    unit of a network like any other and every rule stays what it is.

    Parameters
    ----------
    network
        A canonised network (`lrpdyn.lrp.canonise.canonise`), whose outputs are (N, K).
    rule
        The rule of its linear layers.
    x
        (N, ...), the observations, in the dtype and on the device of the network.
    rows
        (N, K), from `contrast_rows`.

    Returns
    -------
    Tensor
        The shape of `x`, in units of the score: it sums to the score up to what biases and
        stabilisers absorb.

    Raises
    ------
    ArchitectureError
        The outputs do not come from a Linear layer and the rows ask for more than one of them.
    """
    units = _single_units(rows)
    if units is not None:
        return _relevance_of_units(network, rule, x, units)
    name = output_layer(network)
    if name is None:
        raise ArchitectureError(
            "a contrast is folded into the last Linear layer, but this network's outputs come from "
            "another kind of layer; explain the plain output with --contrast none"
        )
    head = network.get_submodule(name)
    assert isinstance(head, nn.Linear)
    scores, unit = torch.unique(rows, dim=0, return_inverse=True)
    network.set_submodule(name, _folded(head, scores))
    try:
        return _relevance_of_units(network, rule, x, unit)
    finally:
        network.set_submodule(name, head)


def _folded(head: nn.Linear, rows: Tensor) -> nn.Linear:
    # On "meta" nothing is allocated or initialised, and no random number is drawn.
    folded = nn.Linear(head.in_features, len(rows), bias=head.bias is not None, device="meta")
    folded.weight = nn.Parameter(rows @ head.weight.detach(), requires_grad=False)
    if head.bias is not None:
        folded.bias = nn.Parameter(rows @ head.bias.detach(), requires_grad=False)
    return folded


def _single_units(rows: Tensor) -> Tensor | None:
    """Return the unit of each row, where every row is one plain output, else None."""
    largest, units = rows.max(dim=1)
    plain = (largest == 1) & ((rows != 0).sum(dim=1) == 1)
    return units if bool(plain.all()) else None


def _relevance_of_units(network: nn.Module, rule: Rule, x: Tensor, unit: Tensor) -> Tensor:
    # Captum deletes the rules after each call, and toggles requires_grad on what it is given.
    for layer in layers_of(network).values():
        layer.rule = AttachedRule(rule_of_layer(layer, rule)[1])  # type: ignore[assignment]
    explained: Tensor = LRP(_Explained(network)).attribute(
        x.detach().clone().requires_grad_(), target=unit
    )
    return explained.detach()
