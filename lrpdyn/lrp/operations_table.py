"""What is done to each operation of a network, in words and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import fx, nn

from lrpdyn.lrp.canonical.layers import (
    AveragePooling,
    Layer,
    Product,
    Rearrangement,
    Scaling,
    Weighted,
)
from lrpdyn.lrp.canonical.operations import BATCH_NORMS
from lrpdyn.lrp.canonical.tracing.expansions import EXPANDED_MODULES
from lrpdyn.lrp.composites import called
from lrpdyn.lrp.plan import Plan, gates_under, layers_of


def operations_table(
    network: fx.GraphModule, plan: Plan, original: nn.Module
) -> list[dict[str, Any]]:
    """Return a row for each operation of a canonised network, in order of their call.

    Parameters
    ----------
    network
        The canonised network.
    plan
        The rule of each of its layers.
    original
        The network that it was made of, whose modules have the names of their parts.

    Returns
    -------
    list
        Of each operation its ``name``, as a rules file takes it; ``operation``, the class or function;
        ``part_of``, the module that it was expanded from, or None; its ``kind``; its ``rule`` as the
        manifest has it, with ``summary`` and ``source``; ``gates``, what only weighs something else here
        and gets no relevance; ``merged``, the names of modules that it took in; ``halves``, whether its
        relevance is shared equally between two factors.
    """
    nodes = {str(node.target): node for node in network.graph.nodes if node.op == "call_module"}
    modules = dict(original.named_modules())
    layers = layers_of(network)
    rows = []
    for name, layer in layers.items():
        rule = plan[name]
        gates = gates_under(rule.text, layer) if isinstance(layer, Product) else frozenset()
        rows.append(
            {
                "name": name,
                "operation": called(layer),
                "part_of": _expanded(name, modules),
                "kind": layer.kind,
                "rule": rule.text,
                "summary": rule.summary,
                "source": rule.source,
                "gates": [_origin(nodes[name].args[factor], layers) for factor in sorted(gates)],
                "halves": isinstance(layer, Product) and not gates,
                "merged": list(_merged(layer, modules)),
            }
        )
    return rows


def _expanded(name: str, modules: dict[str, nn.Module]) -> str | None:
    """Return the class of the module that an operation is a part of."""
    kind = type(modules.get(name.rpartition(".")[0]))
    return kind.__name__ if kind in EXPANDED_MODULES else None


def _merged(layer: Layer, modules: dict[str, nn.Module]) -> Iterator[str]:
    """Yield the names of the BatchNorms that a linear layer took in."""
    if not isinstance(layer, Weighted):
        return
    sources = {id(tensor) for tensor in layer.sources()}
    for name, module in modules.items():
        if isinstance(module, BATCH_NORMS) and id(module.running_mean) in sources:
            yield name


def _origin(factor: Any, layers: dict[str, Layer]) -> str:
    """Return what made the values of a factor, which may have been moved, scaled or averaged since."""
    while isinstance(factor, fx.Node) and len(factor.all_input_nodes) == 1:
        layer = layers.get(str(factor.target))
        if not isinstance(layer, Rearrangement | Scaling | AveragePooling):
            break
        factor = factor.all_input_nodes[0]
    if not isinstance(factor, fx.Node) or factor.op == "get_attr":
        return "a constant"
    return "the observation" if factor.op == "placeholder" else str(factor.target)
