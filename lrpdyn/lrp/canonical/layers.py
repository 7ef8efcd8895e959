"""The layers that a canonised network is made of.

Each is a leaf with one call, so that Captum finds it and a rule can be attached to it. They wrap
torch's own layers and functions and are not subclasses of ``nn.ReLU`` and the like: Captum
replaces the rule of those by its own.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.errors import ArchitectureError

Weights = tuple[Tensor, Tensor | None]

CONVOLUTIONS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d,
    nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
#: The layers that mix their inputs with weights; the chosen rule is theirs.
LINEAR_LAYERS = (nn.Linear, *CONVOLUTIONS)


class Layer(nn.Module):
    """A layer of a canonised network.

    Within `remembering` its output is computed once: Captum runs the network twice for each
    explanation, and the target is chosen by a run before these.
    """

    #: What a rules file calls this kind of layer.
    kind = "layer"

    def __init__(self) -> None:
        super().__init__()
        self.memory: list[Tensor] | None = None
        #: What the remembered output was made of.
        self.taken: tuple[Any, ...] = ()
        #: The class or function that it stands for, and whether its input is the observation,
        #: moved and scaled at most.
        self.called = ""
        self.sees_observation = False
        #: The dimension of the output along which samples lie, and of each tensor that it takes; None of
        #: one that is the same for all samples.
        self.samples_along = 0
        self.inputs_along: tuple[int | None, ...] = ()

    def compute(self, *inputs: Any) -> Tensor:
        """Return the layer's output."""
        raise NotImplementedError

    def forward(self, *inputs: Any) -> Tensor:
        """Return the layer's output, remembered or computed."""
        if self.memory is None:
            return self.compute(*inputs)
        if not self.memory:
            self.memory.append(self.compute(*inputs).detach())
            self.taken = inputs
        return self.memory[0]


@contextmanager
def remembering(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Compute each layer once; every later call until the end gives the same output."""
    chosen = [layer for layer in layers if isinstance(layer, Layer)]
    for layer in chosen:
        layer.memory = []
    try:
        yield
    finally:
        for layer in chosen:
            layer.memory, layer.taken = None, ()


class Weighted(Layer):
    """A linear layer: one of `LINEAR_LAYERS`, with its own weights or with derived ones.

    Parameters
    ----------
    module
        Gives the kind of layer and its settings (stride, padding, ...).
    sources
        Gives the tensors that the weights are made of; they are made anew only when one of these
        has changed, as it does when a checkpoint is loaded.
    derive
        Gives weight and bias. The module's own where not given.
    by_shape
        Whether the weights depend on the shape of the input.
    """

    def __init__(
        self,
        module: nn.Module,
        sources: Callable[[], Iterable[Tensor]] | None = None,
        derive: Callable[[], Weights] | None = None,
        *,
        by_shape: bool = False,
    ) -> None:
        super().__init__()
        # A tuple keeps nn.Module from registering a wrapped module as a child.
        self._module = (module,)
        # Once: for a layer of two tensors torch's own search took as long as a small product.
        own = [*module.parameters(), *module.buffers()]
        self.sources: Callable[[], Iterable[Tensor]] = sources or (lambda: own)
        self._derive: Callable[[], Weights] = derive or (lambda: (module.weight, module.bias))  # type: ignore[assignment, return-value]
        self._made: dict[str, Weights] = {}
        self._state: tuple[tuple[int, int], ...] = ()
        self.by_shape = by_shape
        #: Of one sample of each input, where the weights depend on it.
        self.shapes: tuple[tuple[int, ...], ...] = ()

    @property
    def module(self) -> nn.Module:
        """The layer of torch that this one stands for."""
        return self._module[0]

    @property
    def kind(self) -> str:  # type: ignore[override]
        """``linear`` or ``convolution``."""
        return "convolution" if isinstance(self.module, CONVOLUTIONS) else "linear"

    def weights(
        self, name: str = "", change: Callable[[Weights], Weights] | None = None
    ) -> Weights:
        """Return weight and bias, detached, changed by `change`; kept under `name`."""
        # A tensor's version counts the changes in place, such as load_state_dict's.
        state = tuple((tensor.data_ptr(), tensor._version) for tensor in self.sources())
        if state != self._state:
            self._made, self._state = {}, state
        if name not in self._made:
            weight, bias = self._derive() if change is None else change(self.weights())
            self._made[name] = (weight.detach(), None if bias is None else bias.detach())
        return self._made[name]

    def adapt(self, *inputs: Tensor) -> None:
        """Have the weights for inputs of these shapes."""
        shapes = tuple(tuple(x.shape[1:]) for x in inputs)
        if shapes != self.shapes:
            self.shapes, self._made = shapes, {}

    def apply_with(self, x: Tensor, weights: Weights) -> Tensor:
        """Return what the layer would give for `x` with other weights."""
        return apply_linear(self.module, x, *weights)

    def compute(self, *inputs: Any) -> Tensor:
        """Return the layer's output."""
        (x,) = inputs
        if self.by_shape:
            self.adapt(x)
        return self.apply_with(x, self.weights())


class _Call(Layer):
    """A layer that calls a function; the function's own modules stay hidden from Captum."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self._function = (function,)

    def compute(self, *inputs: Any) -> Tensor:
        """Return what the function gives."""
        output: Tensor = self._function[0](*inputs)
        return output


class FlatLinear(nn.Linear):
    """A Linear layer over all entries of a sample, whose weights are put in once it is made."""

    def reset_parameters(self) -> None:
        """Draw nothing."""


class Elementwise(_Call):
    """An activation, or the observation shifted by constants: relevance passes through."""

    kind = "activation"


class Scaling(Elementwise):
    """Entries scaled and shifted by constants, such as a BatchNorm that no layer can take in."""

    kind = "scaling"


class Rearrangement(_Call):
    """Entries in another order or shape (flatten, view, padding): relevance goes to its place."""

    kind = "rearrangement"


class MaximumPooling(_Call):
    """The largest entry of a window: relevance goes to the winner, which torch's gradient names."""

    kind = "max-pooling"


class AveragePooling(_Call):
    """A weighted mean or sum of entries (pooling, upsampling), with no negative weight."""

    kind = "average-pooling"


class Sum(Layer):
    """Branches added or subtracted, constants among them.

    `signs` has +1 or -1 for each branch.
    """

    kind = "sum"

    def __init__(self, signs: tuple[int, ...]) -> None:
        super().__init__()
        self.signs = signs

    def compute(self, *inputs: Any) -> Tensor:
        """Return the signed sum."""
        summed: Tensor = functools.reduce(operator.add, self.contributions(*inputs))
        return summed

    def contributions(self, *inputs: Any) -> list[Any]:
        """Return each branch with its sign."""
        return [x if s > 0 else -x for s, x in zip(self.signs, inputs, strict=True)]


class Concatenation(_Call):
    """Branches side by side: relevance goes back to where each entry came from."""

    kind = "concatenation"


class Normalisation(_Call):
    """LayerNorm, GroupNorm or InstanceNorm: a division by a scale that depends on the input.

    Parameters
    ----------
    function
        The layer's own forward pass.
    grouped
        Brings the input to a shape whose trailing dimensions are normalised together, and says how
        many these are.
    affine
        Gives weight and bias in a shape that multiplies the input.
    eps
        What is added to the variance.
    """

    kind = "normalisation"

    def __init__(
        self,
        function: Callable[..., Tensor],
        grouped: Callable[[Tensor], tuple[Tensor, int]],
        affine: Callable[[Tensor], tuple[Tensor | None, Tensor | None]],
        eps: float,
    ) -> None:
        super().__init__(function)
        self.grouped, self.affine, self.eps = grouped, affine, eps

    def with_fixed_scale(self, x: Tensor) -> Tensor:
        """Return the output with the scale fixed, which makes the layer linear in `x`."""
        groups, count = self.grouped(x)
        dims = tuple(range(groups.ndim - count, groups.ndim))
        variance = groups.detach().var(dim=dims, correction=0, keepdim=True)
        centred = groups - groups.mean(dim=dims, keepdim=True)
        scaled = (centred / (variance + self.eps).sqrt()).reshape(x.shape)
        weight, bias = self.affine(x)
        scaled = scaled if weight is None else scaled * weight.detach()
        return scaled if bias is None else scaled + bias.detach()


class Product(_Call):
    """Two factors multiplied entry by entry, of which at least one depends on the observation.

    Parameters
    ----------
    function
        Takes both factors, and is linear in each of them.
    gates
        Which of the factors, 0 or 1, only weigh the other one and get no relevance: what comes from a
        sigmoid or a softmax, a scale that is made of the observation, a constant. Not both.
    softmax
        Which of the gates come from a softmax; AttnLRP gives relevance to these.
    """

    kind = "product"

    def __init__(
        self,
        function: Callable[..., Tensor],
        gates: frozenset[int] = frozenset(),
        softmax: frozenset[int] = frozenset(),
    ) -> None:
        super().__init__(function)
        self.gates, self.softmax = gates, softmax


class MatrixProduct(Product):
    """Two factors multiplied as matrices, in any batch or order of axes (matmul, bmm, einsum).

    A factor that comes from a softmax, such as the weights of attention, is one of `gates` and of
    `softmax`.
    """

    kind = "matrix-product"


class HiddenSoftmax(_Call):
    """A softmax that other layers follow, as in attention."""

    kind = "softmax"

    def __init__(self, function: Callable[..., Tensor], dim: int) -> None:
        super().__init__(function)
        self.dim = dim


class Scale(_Call):
    """What divides or multiplies other entries and is made of them (a norm, a deviation): held fixed.

    No relevance comes here.
    """

    kind = "scale"


class Softmax(_Call):
    """A softmax before the outputs; the network is explained without it, at the logits."""

    kind = "output-softmax"

    def __init__(self, function: Callable[..., Tensor], dim: int) -> None:
        super().__init__(function)
        self.dim = dim


class Constant(_Call):
    """A module of fixed values: no relevance comes here."""

    kind = "constant"


class Opaque(_Call):
    """A module that the user gave a rule to by name or type; nothing is known of its inside."""

    kind = "opaque"

    def compute(self, *inputs: Any) -> Tensor:
        """Return what the module gives, which must be one tensor."""
        output = super().compute(*inputs)
        if not isinstance(output, Tensor):
            raise ArchitectureError(
                f"{self.called}: gives a {type(output).__name__}, expected one tensor; wrap it in a "
                "module that returns the tensor alone, and give that one the rule"
            )
        return output


def per_place(values: Tensor, x: Tensor) -> Tensor:
    """Return values (L, C) for each place of dim 1 in a shape that goes with `x` (N, L, ..., C)."""
    return values.reshape(len(values), *[1] * (x.ndim - 3), -1)


def apply_linear(module: nn.Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return what `module` would give for `x` with another weight and bias."""
    if isinstance(module, FlatLinear):
        return F.linear(x.flatten(1), weight, bias)
    if isinstance(module, nn.Linear):
        if weight.ndim == 2:
            return F.linear(x, weight, bias)
        # Weights for each place of dim 1, such as a token.
        product = torch.einsum("nl...i,lji->nl...j", x, weight)
        return product if bias is None else product + per_place(bias, product)
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        convolved: Tensor = module._conv_forward(x, weight, bias)
        return convolved
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        functions = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
        return functions[len(module.kernel_size)](
            x,
            weight,
            bias,
            module.stride,
            module.padding,  # type: ignore[arg-type]  # text is refused by the constructor
            module.output_padding,
            module.groups,
            module.dilation,
        )
    raise TypeError(f"{type(module).__name__} is not a linear layer")
