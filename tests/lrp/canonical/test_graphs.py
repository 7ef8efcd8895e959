"""A copy of a graph shares its layers, and what no output needs is dropped."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from lrpdyn.lrp.canonical.graphs import copied_graph, without_dead_code


class Shifted(nn.Module):
    """Two layers, a constant, and a layer whose output nobody takes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.shift = nn.Parameter(torch.arange(4.0))
        self.head, self.forgotten = nn.Linear(4, 2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x) + self.shift
        self.forgotten(hidden)
        return self.head(hidden)


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


def test_a_copy_has_the_nodes_but_the_output_and_the_same_layers() -> None:
    network = fx.symbolic_trace(Shifted())
    graph, copied, layers = copied_graph(network)
    assert [node.op for node in graph.nodes] == [n.op for n in network.graph.nodes][:-1]
    assert set(layers) == {"body.0", "body.1", "shift", "head", "forgotten"}
    assert layers["body.0"] is network.get_submodule("body.0")
    assert layers["shift"] is network.shift
    (output,) = network.graph.find_nodes(op="output")
    graph.output(copied[output.args[0]])
    torch.testing.assert_close(fx.GraphModule(layers, graph)(X), network(X))


def test_a_copy_is_changed_apart_from_the_original() -> None:
    network = fx.symbolic_trace(Shifted())
    expected = network(X)
    graph, copied, layers = copied_graph(network)
    (activation,) = (n for n in network.graph.nodes if n.target == "body.1")
    graph.output(copied[activation])
    shorter = without_dead_code(fx.GraphModule(layers, graph))
    torch.testing.assert_close(shorter(X), torch.relu(network.get_submodule("body.0")(X)))
    torch.testing.assert_close(network(X), expected)


def test_what_the_outputs_do_not_depend_on_is_dropped() -> None:
    torch.manual_seed(0)
    network = fx.symbolic_trace(Shifted())
    expected = network(X)
    found = without_dead_code(network)
    assert set(dict(found.named_modules())) == {"", "body", "body.0", "body.1", "head"}
    assert "forgotten" not in {node.target for node in found.graph.nodes}
    torch.testing.assert_close(found(X), expected)
