"""Propagation rules: how a layer's relevance is shared among its inputs.

A rule is a function ``(call, relevance, **parameters) -> relevance of the call's input``; a layer
that joins several branches gives a tuple, one for each. Weights are never changed in place.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError
from lrpdyn.lrp.adjoint import input_gradient
from lrpdyn.lrp.canonical.layers import (
    FlatLinear,
    HiddenSoftmax,
    Layer,
    MatrixProduct,
    Normalisation,
    Product,
    Sum,
    Weighted,
    Weights,
)
from lrpdyn.lrp.stabiliser import STABILISER

#: Denominators are stabilised by so much of the layer's outputs, and at most by `STABILISER`.
OF_OUTPUTS = 1e-5
#: A Linear layer of more weights than `LARGE` is worked on in blocks of so many outputs.
LARGE, BLOCK = 1 << 18, 64
Shared = Tensor | tuple[Tensor, ...]
RuleFunction = Callable[..., Shared]


@dataclass(frozen=True)
class Call:
    """One call of a layer: its inputs (tensors and constants) and its output, all detached."""

    layer: Layer
    inputs: tuple[Any, ...]
    output: Tensor

    @property
    def x(self) -> Tensor:
        """The first input, the only one of most layers."""
        x: Tensor = self.inputs[0]
        return x

    @property
    def linear(self) -> Weighted:
        """The layer as a linear one."""
        assert isinstance(self.layer, Weighted)
        return self.layer


def stabilise(z: Tensor, epsilon: float | Tensor = STABILISER) -> Tensor:
    """Return z + epsilon sign(z) with sign(0) = +1, so that nothing is divided by zero."""
    # -0 + 0 is +0: the sign of both zeros is plus. A choice of two sums took three times as long.
    size = torch.as_tensor(epsilon, dtype=z.dtype, device=z.device)
    return torch.copysign(size, z + 0.0).add_(z)


def stabiliser(call: Call, relevance: Tensor, z: Tensor | None = None) -> Tensor:
    """Return what denominators z are stabilised by, one number for each sample.

    `OF_OUTPUTS` of the largest |z| of the sample's outputs that have relevance, and at most
    `STABILISER`: that alone would erase the relevance of a network whose activations are small.
    Infinity where all of them are zero, so that nothing is passed on. z is the call's output where it is
    not given; the result has its dimensions, all of length 1 but that along which samples lie.
    """
    z = call.output if z is None else z
    others = [n for n in range(z.ndim) if n != call.layer.samples_along]
    # Where half of the entries are zero, a choice between two takes several times as long as arithmetic.
    # Nothing is multiplied by z, which is infinite where a mask hides it.
    size = torch.minimum(z.abs(), relevance.abs().mul_(torch.finfo(z.dtype).max))
    size = size.amax(others, keepdim=True) if others else size
    return torch.where(size > 0, (OF_OUTPUTS * size).clamp(max=STABILISER), torch.inf)


def quotient(
    call: Call, relevance: Tensor, z: Tensor, epsilon: float | Tensor | None = None
) -> Tensor:
    """Return relevance over z, which `epsilon` stabilises; `stabiliser` where there is none given.

    With an epsilon of 0 there is no stabiliser, and zero outputs pass nothing on.
    """
    if isinstance(epsilon, float) and epsilon == 0:
        zero = z == 0
        return torch.where(zero, 0.0, relevance / torch.where(zero, 1.0, z))
    return relevance / stabilise(z, stabiliser(call, relevance, z) if epsilon is None else epsilon)


class _Term:
    """One modified forward pass of a layer, kept for its gradient with respect to its inputs."""

    def __init__(self, function: Callable[..., Tensor], *inputs: Any) -> None:
        self._inputs = [
            x.detach().requires_grad_() if isinstance(x, Tensor) and x.is_floating_point() else x
            for x in inputs
        ]
        self._leaves = [x for x in self._inputs if isinstance(x, Tensor) and x.requires_grad]
        with torch.enable_grad():
            self._output = function(*self._inputs)
        self.output = self._output.detach()

    def gradients(self, cotangent: Tensor) -> tuple[Tensor, ...]:
        # Of a number: for a vector's, torch imports its symbolic shapes, for half a second.
        with torch.enable_grad():
            weighted = (self._output * cotangent).sum()
        return torch.autograd.grad(weighted, self._leaves)

    def contributions(self, cotangent: Tensor) -> tuple[Tensor, ...]:
        """Return inputs times gradients: the share of each when outputs weigh `cotangent`."""
        pairs = zip(self._leaves, self.gradients(cotangent), strict=True)
        return tuple(leaf.detach() * gradient for leaf, gradient in pairs)


class _LinearTerm:
    """A `_Term` of a linear layer with weights of a rule; its gradient needs no graph.

    `output` is given where the layer has made it already.
    """

    def __init__(
        self, call: Call, x: Tensor, weights: Weights, output: Tensor | None = None
    ) -> None:
        self._module, self._x, self._weight = call.linear.module, x.detach(), weights[0]
        with torch.no_grad():
            self.output = call.linear.apply_with(self._x, weights) if output is None else output

    def gradient(self, cotangent: Tensor) -> Tensor:
        return input_gradient(self._module, self._weight, self._x, cotangent)

    def contribution(self, cotangent: Tensor) -> Tensor:
        """Return the input times the gradient: its share when outputs weigh `cotangent`."""
        return self.gradient(cotangent).mul_(self._x)


def _one_or_all(shares: tuple[Tensor, ...]) -> Shared:
    return shares[0] if len(shares) == 1 else shares


def _own_term(call: Call) -> _LinearTerm:
    """Return the pass with the layer's own weights, which was made to get here."""
    return _LinearTerm(call, call.x, call.linear.weights(), call.output)


def _total(tensors: Iterable[Tensor]) -> Tensor:
    # Not the built-in sum, which begins with one addition more.
    return functools.reduce(operator.add, tensors)


def _positive(tensor: Tensor) -> Tensor:
    return tensor.clamp(min=0)


def _negative(tensor: Tensor) -> Tensor:
    return tensor.clamp(max=0)


def _changed(call: Call, name: str, change: Callable[[Tensor], Tensor]) -> Weights:
    """Return weight and bias, each as `change` makes it; kept under `name`."""

    def of_both(weights: Weights) -> Weights:
        weight, bias = weights
        return change(weight), None if bias is None else change(bias)

    return call.linear.weights(name, of_both)


def _clamped(call: Call, *, positive: bool) -> Weights:
    """Return the positive or the negative parts of weight and bias."""
    if positive:
        return _changed(call, "positive", _positive)
    return _changed(call, "negative", _negative)


def _clamped_parts(call: Call) -> tuple[Callable[[], Weights], Callable[[], Weights]]:
    """Return what gives the positive, and what gives the negative parts."""
    positive, negative = (functools.partial(_clamped, call, positive=p) for p in (True, False))
    return positive, negative


def _signed_terms(
    call: Call, of_positive: Callable[[], Weights], of_negative: Callable[[], Weights]
) -> list[_LinearTerm]:
    """Return the passes of x+ and of x- with their weights; the bias is that of the first.

    Where x has no negative entry the second pass is exactly zero and is skipped, its weights too.
    """
    if not float(call.x.amin()) < 0:
        return [_LinearTerm(call, call.x, of_positive())]
    return [
        _LinearTerm(call, call.x.clamp(min=0), of_positive()),
        _LinearTerm(call, call.x.clamp(max=0), (of_negative()[0], None)),
    ]


def _share(terms: list[_LinearTerm], relevance: Tensor, epsilon: Tensor) -> Tensor:
    """Share in proportion to the contributions of the terms, which `epsilon` stabilises."""
    cotangent = relevance / stabilise(_total(term.output for term in terms), epsilon)
    return _total(term.contribution(cotangent) for term in terms)


def lrp0(call: Call, relevance: Tensor) -> Tensor:
    """Share in proportion to the contributions, with no stabiliser: R_i = sum_j x_i w_ij R_j / z_j.

    Bach et al. 2015, "On pixel-wise explanations for non-linear classifier decisions by layer-wise
    relevance propagation", eq. 56; z_j includes the bias. Where z_j is zero nothing is passed on.
    """
    own = _own_term(call)
    return own.contribution(quotient(call, relevance, own.output, 0.0))


def epsilon(call: Call, relevance: Tensor, *, epsilon: float = STABILISER) -> Shared:
    """Share in proportion to the contributions: R_i = sum_j x_i w_ij R_j / (z_j + eps sign z_j).

    Bach et al. 2015, eq. 58; z_j includes the bias, and eps is the same for all layers.
    """
    if isinstance(call.layer, Weighted):
        own = _own_term(call)
        return own.contribution(quotient(call, relevance, own.output, epsilon))
    return norm(call, relevance, epsilon=epsilon)


def zplus(call: Call, relevance: Tensor) -> Shared:
    """Share among positive contributions alone: R_i = sum_j (x_i w_ij)+ R_j / (z_j+ + b_j+).

    Bach et al. 2015, eq. 60 with alpha = 1, beta = 0; Montavon et al. 2017, "Explaining nonlinear
    classification decisions with deep Taylor decomposition", eq. 15, for inputs of both signs.
    The positive part of the bias stays in the denominator. Of a matrix product the terms a_ik b_kj
    are the contributions; gates and halves are those of `cp_lrp`.
    """
    if isinstance(call.layer, Weighted):
        if _pays_in_blocks(call):
            return _share_in_blocks(call, relevance, stabiliser(call, relevance), _positive)
        return _share(_positive_terms(call), relevance, stabiliser(call, relevance))
    epsilon = stabiliser(call, relevance)
    if isinstance(call.layer, MatrixProduct):
        positive = _positive_products(call.layer)
        return _by_terms(call, relevance, call.layer.gates, positive, epsilon)
    term = _Term(_positive_contributions(call.layer), *call.inputs)
    return _one_or_all(term.contributions(quotient(call, relevance, term.output, epsilon)))


def _pays_in_blocks(call: Call) -> bool:
    """Return whether a layer has too many weights to make those of a rule all at once."""
    weight, bias = call.linear.weights()
    return (
        isinstance(call.linear.module, nn.Linear)
        and weight.ndim == 2
        and (bias is None or bias.ndim == 1)  # a map where there is a reference
        and call.x.device.type == "cpu"
        and weight.numel() > LARGE
        and not float(call.x.amin()) < 0
    )


def _share_in_blocks(
    call: Call, relevance: Tensor, epsilon: Tensor, change: Callable[[Tensor], Tensor]
) -> Tensor:
    """Do what `_share` does of a Linear layer whose input has no negative entry.

    Some outputs at a time: their weights, which `change` makes of the layer's own, are made, used for
    both passes and let go while they are in the core's cache. Of millions of weights the way to memory
    takes longer than the arithmetic, and the more so for several processes at once.
    """
    weight, bias = call.linear.weights()
    x = call.x.reshape(-1, weight.shape[1])
    upper = relevance.reshape(-1, weight.shape[0])
    epsilon = epsilon.expand(*relevance.shape[:-1], 1).reshape(-1, 1)
    shared = torch.zeros_like(x)
    for start in range(0, len(weight), BLOCK):
        block = slice(start, start + BLOCK)
        changed = change(weight[block])
        output = F.linear(x, changed, None if bias is None else change(bias[block]))
        shared.addmm_(upper[:, block] / stabilise(output, epsilon), changed)
    return shared.mul_(x).reshape(call.x.shape)


def positive_part(call: Call, **parameters: float) -> Tensor:
    """Return the positive contributions to each output of a linear layer: sum_i (x_i w_ij)+ + b_j+."""
    return _total(term.output for term in _positive_terms(call))


def whole_output(call: Call, **parameters: float) -> Tensor:
    """Return the outputs, which epsilon and lrp0 divide by."""
    return call.output


def favoured_output(call: Call, *, gamma: float) -> Tensor:
    """Return the outputs with contributions of their own sign raised by `gamma`."""
    positive = positive_part(call)
    favoured = torch.where(call.output > 0, positive, call.output - positive)
    return call.output + gamma * favoured


def _positive_terms(call: Call) -> list[_LinearTerm]:
    return _signed_terms(call, *_clamped_parts(call))


def _positive_contributions(layer: Layer) -> Callable[..., Tensor]:
    """Return the forward pass of the positive contributions of a layer without weights."""
    if isinstance(layer, Sum):
        return lambda *inputs: _total(
            torch.as_tensor(c).clamp(min=0) for c in layer.contributions(*inputs)
        )
    return lambda x: layer.compute(x.clamp(min=0))


def _positive_products(layer: MatrixProduct) -> Callable[..., Tensor]:
    """Return the sum of the positive ones of the terms that a matrix product adds up."""

    def positive(a: Tensor, b: Tensor) -> Tensor:
        both_positive = layer.compute(a.clamp(min=0), b.clamp(min=0))
        return both_positive + layer.compute(a.clamp(max=0), b.clamp(max=0))

    return positive


def alphabeta(call: Call, relevance: Tensor, *, alpha: float = 2.0, beta: float = 1.0) -> Tensor:
    """Weigh positive contributions by alpha and negative ones by -beta, alpha - beta = 1.

    R_i = sum_j (alpha (x_i w_ij)+ / z_j+  -  beta (x_i w_ij)- / z_j-) R_j, the bias in z by its
    sign. Bach et al. 2015, eq. 60.
    """
    positive, negative = _clamped_parts(call)
    epsilon = stabiliser(call, relevance)
    shared = alpha * _share(_signed_terms(call, positive, negative), relevance, epsilon)
    if beta == 0:
        return shared
    crossed = _signed_terms(call, negative, positive)
    return shared - beta * _share(crossed, relevance, epsilon)


def gamma(call: Call, relevance: Tensor, *, gamma: float = 0.25) -> Tensor:
    """Favour contributions of the output's own sign, by a factor 1 + gamma.

    Montavon et al. 2019, "Layer-wise relevance propagation: an overview", sec. 10.2.3, generalised
    to inputs and outputs of both signs by Andeol et al. 2021, "Learning domain invariant
    representations by joint Wasserstein distance minimization".
    """

    def favoured(part: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        return lambda tensor: torch.add(tensor, part(tensor), alpha=gamma)

    def kept(part: Callable[[Tensor], Tensor]) -> Callable[[], Weights]:
        return functools.partial(_changed, call, f"gamma {gamma} {part.__name__}", favoured(part))

    epsilon, in_blocks = stabiliser(call, relevance), _pays_in_blocks(call)
    shares: list[Tensor] = []
    for chosen, own, other in (
        (call.output > 0, _positive, _negative),
        (call.output < 0, _negative, _positive),
    ):
        # Behind a ReLU the relevance of negative outputs is zero, and so is their whole share.
        of_sign = relevance * chosen
        if not bool(of_sign.any()):
            continue
        if in_blocks:
            shares.append(_share_in_blocks(call, of_sign, epsilon, favoured(own)))
        else:
            shares.append(_share(_signed_terms(call, kept(own), kept(other)), of_sign, epsilon))
    return _total(shares) if shares else torch.zeros_like(call.x)


def zbox(call: Call, relevance: Tensor, *, low: Tensor, high: Tensor) -> Tensor:
    """Share by the room that each entry has within its bounds [low, high] (z^B).

    R_i = sum_j (x_i w_ij - l_i w_ij+ - h_i w_ij-) R_j / sum_i' (the same). Montavon et al. 2017,
    eq. 14; bias terms as Zennit has them. For the layer that sees the observation.
    """
    low, high = (bound.to(call.x).expand_as(call.x) for bound in (low, high))
    terms = [
        _own_term(call),
        _LinearTerm(call, low, _clamped(call, positive=True)),
        _LinearTerm(call, high, _clamped(call, positive=False)),
    ]
    room = terms[0].output - terms[1].output - terms[2].output
    cotangent = quotient(call, relevance, room)
    whole, of_low, of_high = (term.contribution(cotangent) for term in terms)
    return whole - of_low - of_high


def wsquare(call: Call, relevance: Tensor) -> Tensor:
    """Share by the squared weights, whatever the input is (w^2).

    R_i = sum_j w_ij^2 R_j / (sum_i' w_i'j^2 + b_j^2). Montavon et al. 2017, eq. 12; with the
    squared bias in the denominator, as Zennit has it.
    """

    def squared(weights: Weights) -> Weights:
        return weights[0] ** 2, None if weights[1] is None else weights[1] ** 2

    return _by_weights(call, relevance, call.linear.weights("squared", squared))


def flat(call: Call, relevance: Tensor) -> Tensor:
    """Share equally among all inputs of a unit, whatever they and the weights are.

    Lapuschkin et al. 2019, "Unmasking Clever Hans predictors", supplement: w^2 with all weights 1
    and no bias.
    """

    def ones_of(weights: Weights) -> Weights:
        # Over all tokens, those that a unit does not see have a weight of zero.
        over_parts = isinstance(call.linear.module, FlatLinear)
        return (weights[0] != 0).to(weights[0]) if over_parts else torch.ones_like(weights[0]), None

    ones = call.linear.weights("ones", ones_of)
    return _by_weights(call, relevance, ones)


def _by_weights(call: Call, relevance: Tensor, weights: Weights) -> Tensor:
    term = _LinearTerm(call, torch.ones_like(call.x), weights)
    return term.gradient(quotient(call, relevance, term.output))


def pass_through(call: Call, relevance: Tensor) -> Tensor:
    """Give every entry the relevance of its own output (activations, scaling of the input).

    Bach et al. 2015, sec. "Pixel-wise decomposition for multilayer networks".
    """
    if relevance.shape != call.x.shape:
        raise ArchitectureError(
            "rule pass gives each entry the relevance of its own output, but a layer that it was "
            f"given to takes {tuple(call.x.shape)} and gives {tuple(call.output.shape)}; choose "
            "another rule for that layer"
        )
    return relevance


def pass_to_active(call: Call, relevance: Tensor) -> Tensor:
    """Do as `pass_through`, but for entries that are zero, which contribute nothing (lrp0)."""
    return torch.where(call.x == 0, 0.0, pass_through(call, relevance))


def gradient(call: Call, relevance: Tensor) -> Shared:
    """Bring relevance back along the gradient of a layer that only moves or selects entries.

    Exact for flatten, view, permute and concatenation; for max-pooling it is "winner takes all".
    """
    if _is_reshaped(call):
        return relevance.reshape(call.x.shape)
    return _one_or_all(_Term(call.layer.compute, *call.inputs).gradients(relevance))


def _is_reshaped(call: Call) -> bool:
    """Return whether a layer gave the very entries that it took, in their order."""
    same = call.output.data_ptr() == call.x.data_ptr() and call.output.numel() == call.x.numel()
    return same and call.output.is_contiguous() and call.x.is_contiguous()


def norm(call: Call, relevance: Tensor, *, epsilon: float | None = None) -> Shared:
    """Share in proportion to x times the gradient, in any layer: sums, averages, normalisation.

    With epsilon's formula, Bach et al. 2015, eq. 58; a sum of branches shares by what each branch
    adds.
    """
    term = _Term(call.layer.compute, *call.inputs)
    return _one_or_all(term.contributions(quotient(call, relevance, term.output, epsilon)))


def fixed_scale(call: Call, relevance: Tensor, *, epsilon: float | None = None) -> Tensor:
    """Share in a LayerNorm or GroupNorm whose scale is fixed, which makes it linear.

    Ali et al. 2022, "XAI for Transformers: better explanations through conservative propagation",
    eq. 14, with the epsilon rule on the resulting linear map.
    """
    assert isinstance(call.layer, Normalisation)
    term = _Term(call.layer.with_fixed_scale, call.x)
    return term.contributions(quotient(call, relevance, term.output, epsilon))[0]


def cp_lrp(call: Call, relevance: Tensor, *, epsilon: float | None = None) -> Shared:
    """Give a product's relevance to its signals: attention to its values, none to gates and weights.

    Entry by entry the signal takes all (Arras et al. 2017, "Explaining recurrent neural network
    predictions in sentiment analysis"; Arras et al. 2019, "Explaining and interpreting LSTMs"). A
    matrix product O = A V with weights A from a softmax is linear in V: R_V = V * (A^T (R / O)) (Ali
    et al. 2022, "XAI for Transformers: better explanations through conservative propagation").
    Without a gate each of two signals has one half, and a softmax that is no gate shares, as under
    `attnlrp`. `epsilon` as of `quotient`, by which O is stabilised.
    """
    if isinstance(call.layer, HiddenSoftmax):
        return _softmax(call, relevance)
    assert isinstance(call.layer, Product)
    return _product(call, relevance, call.layer.gates, epsilon)


def attnlrp(call: Call, relevance: Tensor, *, epsilon: float | None = None) -> Shared:
    """Give one half of a product's relevance to each factor, weights of attention included.

    Achtibat et al. 2024, "AttnLRP: attention-aware layer-wise relevance propagation for
    transformers", prop. 3.2 (entry by entry) and 3.3 (O = A V: R_A = A * ((R / 2 O) V^T), R_V = V *
    (A^T (R / 2 O))); a softmax s of x by prop. 3.1, R_x = x * (R - s * sum R), which does not conserve
    relevance. Gates that do not come from a softmax (sigmoid, scales, constants) get nothing, as
    under `cp_lrp`. `epsilon` as of `quotient`, by which O is stabilised.
    """
    if isinstance(call.layer, HiddenSoftmax):
        return _softmax(call, relevance)
    assert isinstance(call.layer, Product)
    return _product(call, relevance, call.layer.gates - call.layer.softmax, epsilon)


def _product(
    call: Call, relevance: Tensor, gates: frozenset[int], epsilon: float | None
) -> tuple[Tensor, ...]:
    """Share relevance equally among the factors of a product that are none of `gates`."""
    if isinstance(call.layer, MatrixProduct):
        return _by_terms(call, relevance, gates, call.layer.compute, epsilon)
    part = relevance / (2 - len(gates))
    if epsilon == 0:  # what is zero contributes nothing
        part = torch.where(call.output == 0, 0.0, part)
    return _of_factors(call, {i: part.sum_to_size(call.inputs[i].shape) for i in {0, 1} - gates})


def _by_terms(
    call: Call,
    relevance: Tensor,
    gates: frozenset[int],
    function: Callable[..., Tensor],
    epsilon: float | Tensor | None,
) -> tuple[Tensor, ...]:
    """Share in proportion to what the entries of each factor add to `function`, which is bilinear."""
    signals = sorted({0, 1} - gates)

    def of_signals(*values: Tensor) -> Tensor:
        return function(
            *({**dict(enumerate(call.inputs)), **dict(zip(signals, values, strict=True))}.values())
        )

    term = _Term(of_signals, *(call.inputs[i] for i in signals))
    cotangent = quotient(call, relevance / len(signals), term.output, epsilon)
    return _of_factors(call, dict(zip(signals, term.contributions(cotangent), strict=True)))


def _of_factors(call: Call, shares: dict[int, Tensor]) -> tuple[Tensor, ...]:
    """Return the shares of the factors that are tensors, with zeros for gates."""
    return tuple(
        shares[i] if i in shares else torch.zeros_like(factor)
        for i, factor in enumerate(call.inputs)
        if isinstance(factor, Tensor) and factor.is_floating_point()
    )


def _softmax(call: Call, relevance: Tensor) -> Tensor:
    """Share x * (R - s * sum R), nothing for what a mask of minus infinity hides."""
    assert isinstance(call.layer, HiddenSoftmax)
    total = relevance.sum(call.layer.dim, keepdim=True)
    return torch.where(call.x.isneginf(), 0.0, call.x * (relevance - call.output * total))


def nothing(call: Call, relevance: Tensor) -> tuple[Tensor, ...]:
    """Give no relevance to what a scale is made of."""
    return _of_factors(call, {})
