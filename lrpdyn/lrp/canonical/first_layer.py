"""Which layer sees the observation first: it says what observations a network takes."""

from __future__ import annotations

from typing import Any

from torch import nn

from lrpdyn.lrp.canonical.layers import LINEAR_LAYERS
from lrpdyn.lrp.canonical.operations import LINEAR_FUNCTIONS
from lrpdyn.lrp.canonical.tracing.tracer import Claims, ExampleTracer
from lrpdyn.lrp.canonical.weights import own_weights, use_mean_weights, weighted_function

RECURRENT = (nn.RNNBase, nn.RNNCellBase)


class _Found(Exception):  # noqa: N818 - it ends a search and is no error
    """Ends the trace at the layer that it was made for."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class _Search(ExampleTracer):
    """Trace until there is a layer with weights, which needs no shapes in most networks."""

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        if isinstance(m, (*LINEAR_LAYERS, *RECURRENT)):
            raise _Found(m)
        if "noisy_mean" in vars(m):
            with self.in_a_run():
                raise _Found(own_weights(m).module)
        return super().call_module(m, forward, args, kwargs)

    def create_node(self, kind: str, target: Any, *args: Any, **kwargs: Any) -> Any:
        node = super().create_node(kind, target, *args, **kwargs)
        if kind == "call_function" and target in LINEAR_FUNCTIONS:
            with self.in_a_run():
                made = weighted_function(node, self.root)  # type: ignore[arg-type]
            if not isinstance(made, str):
                raise _Found(made.module)
        return node


def first_with_weights(network: nn.Module, claims: Claims) -> nn.Module | None:
    """Return the Linear, convolutional or recurrent layer that an observation comes to first.

    Where the network cannot be followed without an example, the first that it registers; None where it has
    none.
    """
    use_mean_weights(network)
    try:
        _Search(claims).trace(network if _is_traced(network) else nn.Sequential(network))
    except _Found as found:
        return found.module
    except Exception:  # tracing runs the user's forward, which may raise anything
        pass
    kinds = (*LINEAR_LAYERS, *RECURRENT)
    return next((module for module in network.modules() if isinstance(module, kinds)), None)


def _is_traced(network: nn.Module) -> bool:
    return not type(network).__module__.startswith("torch.nn")
