"""A traced graph and its layers, copied and cleaned."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import Tensor, fx


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


def share_memory(one: Any, other: Any) -> bool:
    """Return whether two values are tensors that have an entry in common, as a tensor and its view."""
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return False
    if one.untyped_storage().data_ptr() != other.untyped_storage().data_ptr():
        return False
    places = torch.arange(one.untyped_storage().nbytes() // one.element_size())
    first, second = (
        places.as_strided(x.shape, x.stride(), x.storage_offset()).flatten() for x in (one, other)
    )
    return bool(torch.isin(first, second).any())


def _is_needed(node: fx.Node) -> bool:
    return node.op in ("placeholder", "output") or writes(node)
