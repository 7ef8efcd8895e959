"""A traced graph and its layers, copied and cleaned."""

from __future__ import annotations

import operator
from typing import Any

from torch import fx


def copied_graph(
    network: fx.GraphModule,
) -> tuple[fx.Graph, dict[fx.Node, fx.Node], dict[str, Any]]:
    """Return a copy of a network's graph without its output, each node's copy, and its layers.

    Layers and constants are shared, by name, as ``fx.GraphModule`` takes them.
    """
    graph, copied = fx.Graph(), dict[fx.Node, fx.Node]()
    graph.graph_copy(network.graph, copied)
    named = (str(n.target) for n in network.graph.nodes if n.op in ("call_module", "get_attr"))
    return graph, copied, {name: operator.attrgetter(name)(network) for name in named}


def without_dead_code(network: fx.GraphModule) -> fx.GraphModule:
    """Drop what the outputs do not depend on: Captum asks every layer that is there for a rule."""
    network.graph.eliminate_dead_code(_is_needed)
    network.delete_all_unused_submodules()
    network.recompile()
    return network


def writes(node: fx.Node) -> bool:
    """Return whether an operation writes into its first input."""
    if node.op == "call_method":
        return str(node.target).endswith("_") and not str(node.target).endswith("__")
    return node.op == "call_function" and node.target is operator.setitem


def _is_needed(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output") or writes(node)
