"""Relevance of one batch: its scores, and Captum's LRP on a canonised network."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.canonical.layers import FlatLinear, Layer, Weighted, remembering
from lrpdyn.lrp.captum_lrp import LRP, PropagationRule
from lrpdyn.lrp.composites import called
from lrpdyn.lrp.plan import LayerRule, Plan, layer_rule, layers_of
from lrpdyn.lrp.registry import make_rule
from lrpdyn.lrp.rules import Call, Shared

#: The layer that makes scores of outputs where these do not come from a Linear layer.
CONTRAST = "contrast"


@dataclass(frozen=True, kw_only=True)
class Explained:
    """What a batch of N samples gives.

    Parameters
    ----------
    outputs
        (N, K), the plain outputs.
    relevance
        The shape of the observations.
    support
        (N,), what speaks for the score in the last layer, sum over j of max(0, a_j w_j); NaN where
        the last layer is not linear.
    layers
        What each layer did, by name, where it was requested.
    """

    outputs: Tensor
    relevance: Tensor
    support: Tensor
    layers: Mapping[str, Propagated]


@dataclass(frozen=True, kw_only=True)
class Propagated:
    """What one layer did: its call, and the relevance of its output and of its inputs."""

    rule: LayerRule
    call: Call
    relevance_output: Tensor
    relevance_inputs: tuple[Tensor, ...]


def contrast_rows(
    outputs: Tensor,
    target: Tensor,
    contrast: str,
    runner_up: Tensor | None = None,
    groups: Sequence[int] = (),
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
        (N,), the unit to subtract where it is fixed.
    groups
        The sizes of groups of outputs, where these are of several actions: the mean and the others
        are those of the target's group.

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
    group = torch.arange(len(groups), device=outputs.device).repeat_interleave(
        torch.tensor(groups, dtype=torch.long, device=outputs.device)
    )
    peers = group == group[target][:, None] if groups else torch.ones_like(rows, dtype=torch.bool)
    if contrast == "mean":
        return rows - peers.to(rows.dtype) / peers.sum(dim=1, keepdim=True)
    if runner_up is None:
        others = outputs.masked_fill(~peers, -torch.inf)
        others[index, target] = torch.finfo(outputs.dtype).min  # where there is no other
        runner_up = others.argmax(dim=1)
    rows[index, runner_up] -= 1
    return rows


def output_layer(network: fx.GraphModule) -> str | None:
    """Return the name of the Linear layer that gives the outputs, or None if something else does."""
    (output,) = (node for node in network.graph.nodes if node.op == "output")
    last = output.args[0]
    if isinstance(last, fx.Node) and last.op == "call_module":
        name = str(last.target)
        layer = network.get_submodule(name)
        if isinstance(layer, Weighted) and isinstance(layer.module, nn.Linear):
            return name
    return None


def relevance(network: fx.GraphModule, plan: Plan, x: Tensor, rows: Tensor) -> Tensor:
    """Return the relevance of each entry of `x` for each sample's score.

    The contrast is folded into the last linear layer (rows @ W, rows @ b), so that the score is a
    unit of a network like any other and every rule stays what it is. Where the outputs do not come
    from a Linear layer, the contrast is one more layer, in which each output gets what it adds.

    Parameters
    ----------
    network
        A canonised network (`lrpdyn.lrp.canonical.canonise.canonise`), whose outputs are (N, K).
    plan
        The rule of each of its layers (`lrpdyn.lrp.plan.make_plan`).
    x
        (N, ...), the observations, in the dtype and on the device of the network.
    rows
        (N, K), from `contrast_rows`.

    Returns
    -------
    Tensor
        The shape of `x`, in units of the score: it sums to the score up to what biases and
        stabilisers absorb.
    """
    return explain(network, plan, x, lambda outputs: rows).relevance


def explain(
    network: fx.GraphModule,
    plan: Plan,
    x: Tensor,
    choose: Callable[[Tensor], Tensor],
    *,
    keep: bool = False,
) -> Explained:
    """Explain the scores that `choose` makes of the outputs (N, K), as rows (N, K).

    See `relevance`. One forward pass serves the outputs and the explanation. With `keep` the
    result has what every layer did.
    """
    with remembering(layers_of(network).values()):
        with torch.no_grad():
            outputs: Tensor = network(x)
        rows = choose(outputs)
        name = output_layer(network)
        if name is None and not _are_single_units(rows):
            return _with_added_layer(network, plan, x, outputs, rows, keep=keep)
        if name is None:
            found, done = _run(_Scores(network, outputs), layers_of(network), plan, x, rows, keep)
            unknown = torch.full_like(outputs[:, 0], torch.nan)
            return Explained(outputs=outputs, relevance=found, support=unknown, layers=done)
        return _through_head(network, plan, x, outputs, rows, name, keep=keep)


def _through_head(
    network: fx.GraphModule,
    plan: Plan,
    x: Tensor,
    outputs: Tensor,
    rows: Tensor,
    name: str,
    *,
    keep: bool,
) -> Explained:
    """Explain with the last Linear layer made to give each different score."""
    head = network.get_submodule(name)
    assert isinstance(head, Weighted)
    (hidden,) = head.taken
    scores, unit = torch.unique(rows, dim=0, return_inverse=True)
    folded = _folded(head, scores, of_parts=hidden.ndim > 2)
    network.set_submodule(name, folded)
    seeds = torch.eye(len(scores), dtype=rows.dtype, device=rows.device)[unit]
    try:
        with torch.no_grad():
            scored = _Scores(network, folded(hidden))
        found, done = _run(scored, layers_of(network), plan, x, seeds, keep)
    finally:
        network.set_submodule(name, head)
    support = _support(plan[name].taken(hidden), folded.weights()[0][unit])
    return Explained(outputs=outputs, relevance=found, support=support, layers=done)


def _with_added_layer(
    network: fx.GraphModule, plan: Plan, x: Tensor, outputs: Tensor, rows: Tensor, *, keep: bool
) -> Explained:
    """Explain with one more layer that makes the scores of the outputs."""
    scores, unit = torch.unique(rows, dim=0, return_inverse=True)
    contrast = Weighted(as_linear(scores, None))
    layers = {**layers_of(network), CONTRAST: contrast}
    whole = {**plan, CONTRAST: layer_rule(make_rule("lrp0", {}))}
    seeds = torch.eye(len(scores), dtype=rows.dtype, device=rows.device)[unit]
    with torch.no_grad():
        scored = _Scores(network, contrast(outputs), contrast)
    found, done = _run(scored, layers, whole, x, seeds, keep)
    support = _support(outputs, rows)
    return Explained(outputs=outputs, relevance=found, support=support, layers=done)


def _support(hidden: Tensor, weight: Tensor) -> Tensor:
    """Return what speaks for each score in the last layer: sum over j of max(0, a_j w_j)."""
    return (hidden.flatten(1) * weight).clamp(min=0).sum(dim=1)


def _folded(head: Weighted, rows: Tensor, *, of_parts: bool) -> Weighted:
    weight, bias = head.weights()
    kind = FlatLinear if of_parts else _Linear
    folded = Weighted(as_linear(rows @ weight, None if bias is None else rows @ bias, kind))
    folded.sees_observation = head.sees_observation
    return folded


class _Linear(nn.Linear):
    """torch's own, whose weights are put in once it is made."""

    def reset_parameters(self) -> None:
        """Draw nothing."""


def as_linear(weight: Tensor, bias: Tensor | None, kind: type[nn.Linear] = _Linear) -> nn.Linear:
    """Return the Linear layer of a weight (units, inputs) and a bias."""
    # On "meta" nothing is allocated.
    linear = kind(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def _are_single_units(rows: Tensor) -> bool:
    """Return whether every row is one plain output."""
    plain = (rows.max(dim=1).values == 1) & ((rows != 0).sum(dim=1) == 1)
    return bool(plain.all())


def _run(
    network: _Scores,
    layers: Mapping[str, Layer],
    plan: Plan,
    x: Tensor,
    rows: Tensor,
    keep: bool,
) -> tuple[Tensor, dict[str, Propagated]]:
    """Run Captum's LRP for one unit of each sample, which `rows` names."""
    # Captum deletes the rules after each call, and toggles requires_grad on what it is given.
    attached = {name: AttachedRule(plan[name], keep) for name in layers}
    for name, layer in layers.items():
        layer.rule = attached[name]  # type: ignore[assignment]
    given = x.detach().requires_grad_()
    unit = rows.argmax(dim=1)
    found: Tensor = LRP(network).attribute(given, target=unit)
    if not keep:
        return found.detach(), {}
    return found.detach(), {name: r.done for name, r in attached.items() if r.done is not None}


class _InUnitsOfScore(torch.autograd.Function):
    """Forward: the scores as they are. Backward: relevance begins with the score, where Captum gives 1.

    Samples lie along the first dimension here, and need not in the layers below.
    """

    @staticmethod
    def forward(ctx: Any, scores: Tensor) -> Tensor:
        ctx.save_for_backward(scores)
        return scores.detach()

    @staticmethod
    def backward(ctx: Any, *one: Tensor) -> Tensor:
        (scores,) = ctx.saved_tensors
        begun: Tensor = one[0] * scores
        return begun


class _Scores(nn.Module):
    """The network as Captum sees it, with a contrast of its outputs where one is added.

    Captum saves and restores all weights around each call, since its own rules change them. Ours
    do not, so there is nothing to save and the copies would only cost time. Nor do they need its first
    pass, in which they would: it gets ones, which Captum multiplies by, for the second pass has begun with
    the scores.
    """

    def __init__(
        self, network: nn.Module, scores: Tensor, contrast: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.network, self.contrast = network, contrast
        self._first: Tensor | None = scores

    def forward(self, x: Tensor) -> Tensor:
        if self._first is not None:
            scores, self._first = self._first, None
            return torch.ones_like(scores)
        output: Tensor = self.network(x)
        scored: Tensor = _InUnitsOfScore.apply(  # type: ignore[no-untyped-call]
            output if self.contrast is None else self.contrast(output)
        )
        return scored

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        return {}

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        return None


class _Propagate(torch.autograd.Function):
    """Forward: a layer's output as it is. Backward: the rule, on relevance in place of gradients."""

    @staticmethod
    def forward(ctx: Any, attached: AttachedRule, call: Call, *inputs: Tensor) -> Tensor:
        ctx.attached, ctx.call = attached, call
        return call.output.detach()  # the same entries: rules write to nothing that they are given

    @staticmethod
    def backward(ctx: Any, *relevance: Tensor) -> tuple[Tensor | None, ...]:
        shared = ctx.attached.share(ctx.call, relevance[0])
        constants = len(ctx.needs_input_grad) - 2 - len(shared)
        return (None, None, *shared, *[None] * constants)


class AttachedRule(PropagationRule):  # type: ignore[misc]  # Captum is not typed here
    """A rule on one layer, in the form that Captum's ``LRP`` calls.

    Captum makes one forward pass with `forward_hook_weights` and a second with the other two hooks.
    """

    def __init__(self, rule: LayerRule, keep: bool = False) -> None:
        self.rule, self.keep = rule, keep
        self.done: Propagated | None = None

    def share(self, call: Call, relevance: Tensor) -> tuple[Tensor, ...]:
        """Return the relevance of each tensor that the layer takes."""
        found: Shared = self.rule.function(call, relevance)
        shared = found if isinstance(found, tuple) else (found,)
        taken = [x.shape for x in call.inputs if isinstance(x, Tensor)]
        if any(share.shape != shape for share, shape in zip(shared, taken, strict=False)):
            raise ArchitectureError(
                f"rule {self.rule.text}: gave relevance of shape {tuple(shared[0].shape)} for the input "
                f"of {called(call.layer)}, expected {tuple(taken[0])}"
            )
        if self.keep:
            self.done = Propagated(
                rule=self.rule, call=call, relevance_output=relevance, relevance_inputs=shared
            )
        return shared

    def _manipulate_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """Leave the weights alone: a rule works on copies."""

    def forward_hook_weights(self, module: nn.Module, inputs: Any, outputs: Any) -> None:
        """Keep nothing: the second pass sees the same activations as the first."""

    def forward_pre_hook_activations(self, module: nn.Module, inputs: Any) -> Any:
        """Leave the inputs alone, for the same reason."""
        return inputs

    def forward_hook(self, module: Layer, inputs: Any, outputs: Tensor) -> Tensor:
        """Put the rule between this layer's output and what comes next."""
        detached = tuple(x.detach() if isinstance(x, Tensor) else x for x in inputs)
        tensors = [x for x in inputs if isinstance(x, Tensor) and x.is_floating_point()]
        call = Call(layer=module, inputs=detached, output=outputs.detach())
        propagated: Tensor = _Propagate.apply(self, call, *tensors)  # type: ignore[no-untyped-call]
        return propagated
