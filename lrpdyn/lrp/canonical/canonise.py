"""Bring a network into the form in which every rule is exact: one layer for each call.

torch.fx traces the network; functional operations become layers, a module that is called twice
becomes two that share their parameters, dropout goes, BatchNorm is merged into the layer before
it, branches that meet become a sum or a concatenation, constant scaling becomes a layer that
relevance passes through. What has no such form is refused by the name of its node: a functional
operation that no rule sees would be silently wrong.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.files.text import first_line
from lrpdyn.lrp.canonical.folding import fold_head
from lrpdyn.lrp.canonical.refusals import line_of
from lrpdyn.lrp.canonical.rewriting import Rewriting
from lrpdyn.lrp.canonical.softmax import without_softmax, without_squashing
from lrpdyn.lrp.canonical.tracing.tracer import Claims, ExampleTracer
from lrpdyn.lrp.canonical.weights import use_mean_weights


@dataclass(frozen=True)
class Canonised:
    """A canonised network.

    Parameters
    ----------
    explained
        The network that is explained.
    reference
        The same layers without omissions, whose outputs are those of the network as loaded: it
        has the softmax, or the activation of each output, that `explained` goes without.
    deciding
        The network whose largest output is what the network as loaded prefers, with its softmax.
    unfolded
        `explained` before its last linear operations became one layer; the same outputs.
    notes
        What a user should know, in a sentence each.
    """

    explained: fx.GraphModule
    reference: fx.GraphModule
    deciding: fx.GraphModule
    unfolded: fx.GraphModule
    notes: tuple[str, ...]


def _never(name: str, module: nn.Module) -> bool:
    return False


def canonise(
    network: nn.Module, claims: Claims = _never, example: Tensor | None = None
) -> fx.GraphModule:
    """Return the network that is explained; see `canonise_fully`."""
    return canonise_fully(network, claims, example).explained


def canonise_fully(
    network: nn.Module, claims: Claims = _never, example: Tensor | None = None
) -> Canonised:
    """Return networks of one layer for each call, which give the same outputs.

    Parameters of `network` are shared, so weights that are loaded into it in place, as
    ``load_state_dict`` does, are at once those of the result.

    Parameters
    ----------
    network
        Takes one tensor (N, ...) and gives (N, units).
    claims
        Tells which modules are given a rule as a whole, whatever is inside.
    example
        An observation, (1, ...), as the network takes it: sizes that it has are known while the network
        is traced. None where there is none; a network that branches on sizes then has no fixed layers.

    Raises
    ------
    ArchitectureError
        The network branches on data, takes other than one tensor, or has an operation that no
        rule is defined for; the message names the node and the line of its source.
    """
    network.eval()
    name = type(network).__name__
    _refuse_scripted(network)
    noisy = use_mean_weights(network)
    network = _copied(network)
    tracer = ExampleTracer(claims, example)
    if tracer.is_leaf_module(network, ""):
        network = nn.Sequential(network)
    try:
        graph = tracer.trace(network)
    except Exception as error:  # tracing runs the user's forward, which may raise anything
        reason = first_line(error)
        raise ArchitectureError(
            f"{name} cannot be traced ({reason}){line_of(error)}: a network whose forward depends on "
            "the data has no fixed sequence of layers to explain; give --arch one that does not branch, or "
            "whose path(head) leaves that part out"
        ) from error
    notes = [f"{', '.join(noisy)}: noisy layers by their mean weights"] if noisy else []
    reference = Rewriting(network, graph, name, claims, tracer.values).result()
    deciding, squashed = without_squashing(reference)
    unfolded, found = without_softmax(deciding, name)
    explained, folded = fold_head(unfolded)
    return Canonised(
        explained=explained, reference=reference, deciding=deciding, unfolded=unfolded,
        notes=(*notes, *squashed, *found, *folded),
    )  # fmt: skip


def _copied(network: nn.Module) -> nn.Module:
    """Return a copy that shares all tensors: some networks keep what they computed while they are traced."""
    tensors = [*network.parameters(), *network.buffers()]
    for module in network.modules():
        tensors += [value for value in vars(module).values() if isinstance(value, Tensor)]
    try:
        return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors})
    except Exception:  # what a user's module holds need not be something that can be copied
        return network


def _refuse_scripted(network: nn.Module) -> None:
    for name, module in network.named_modules():
        if isinstance(module, torch.jit.ScriptModule):
            raise ArchitectureError(
                f"{type(network).__name__}: '{name or 'the network'}' is a scripted module "
                "(TorchScript), whose layers no rule can reach; build it as plain PyTorch, from the "
                "class that it was scripted from"
            )
