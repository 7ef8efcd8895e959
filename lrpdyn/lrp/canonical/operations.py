"""Which operation of torch becomes which layer of a canonised network."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import handle_torch_function, has_torch_function

from lrpdyn.lrp.canonical.layers import (
    LINEAR_LAYERS,
    AveragePooling,
    Elementwise,
    Layer,
    MaximumPooling,
    Rearrangement,
)

#: Modules of torch that act on each entry alone.
ACTIVATION_MODULES = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Tanh, nn.Hardtanh, nn.Sigmoid, nn.Hardsigmoid, nn.LogSigmoid,
    nn.Softplus, nn.Softsign, nn.Hardswish, nn.Softshrink, nn.Hardshrink, nn.Tanhshrink,
    nn.Threshold,
)  # fmt: skip
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
NORMALISATIONS = (nn.LayerNorm, nn.GroupNorm, *INSTANCE_NORMS)
SOFTMAX_MODULES = (nn.Softmax, nn.LogSoftmax, nn.Softmax2d)
#: Modules that become a layer around their own forward pass.
MODULES: tuple[tuple[tuple[type[nn.Module], ...], type[Layer]], ...] = (
    (ACTIVATION_MODULES, Elementwise),
    ((nn.Flatten, nn.Unflatten, nn.PixelShuffle, nn.PixelUnshuffle, nn.ChannelShuffle),
     Rearrangement),
    ((nn.ZeroPad1d, nn.ZeroPad2d, nn.ZeroPad3d, nn.ConstantPad1d, nn.ConstantPad2d,
      nn.ConstantPad3d, nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d,
      nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d), Rearrangement),
    ((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), MaximumPooling),
    ((nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d), MaximumPooling),
    ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), AveragePooling),
    ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), AveragePooling),
    ((nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d), AveragePooling),
)  # fmt: skip
DROPPED_MODULES = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)  # fmt: skip
KNOWN_MODULES = (
    nn.RMSNorm, nn.Embedding, nn.EmbeddingBag, *LINEAR_LAYERS, *DROPPED_MODULES, *BATCH_NORMS,
    *NORMALISATIONS, *SOFTMAX_MODULES,
    *(kind for kinds, _ in MODULES for kind in kinds),
)  # fmt: skip

_ACTIVATIONS = (
    F.relu, F.relu6, F.leaky_relu, F.elu, F.celu, F.selu, F.gelu, F.silu, F.mish, F.hardtanh,
    F.hardsigmoid, F.hardswish, F.softplus, F.softsign, F.logsigmoid, F.tanh, F.sigmoid,
    F.softshrink, F.hardshrink, F.tanhshrink, F.threshold,
    torch.relu, torch.tanh, torch.sigmoid, torch.clamp, torch.clamp_min, torch.clamp_max,
    torch.prelu, F.prelu,
)  # fmt: skip
_REARRANGING = ("view", "reshape", "flatten", "unflatten", "permute", "transpose", "squeeze",
                "unsqueeze", "movedim", "expand", "repeat", "t", "roll", "flip", "narrow",
                "select", "swapaxes", "swapdims", "moveaxis", "masked_fill", "masked_fill_", "index_select",
                "repeat_interleave", "tile", "broadcast_to", "unfold", "diagonal", "gather", "tril", "triu",
                "rot90")  # fmt: skip
#: Functions of one tensor that become a layer.
FUNCTIONS: dict[Callable[..., Any], type[Layer]] = {
    **dict.fromkeys(_ACTIVATIONS, Elementwise),
    **dict.fromkeys(
        (torch.flatten, torch.unflatten, torch.reshape, torch.permute, torch.transpose, torch.squeeze,
         torch.unsqueeze, torch.movedim, torch.roll, torch.flip, torch.narrow, torch.select,
         operator.getitem, torch.swapaxes, torch.moveaxis, torch.masked_fill, torch.index_select,
         torch.repeat_interleave, torch.tile, torch.broadcast_to, torch.tril, torch.triu,
         F.unfold, F.pad, F.pixel_shuffle, F.pixel_unshuffle, torch.channel_shuffle),
        Rearrangement,
    ),
    **dict.fromkeys(
        (F.max_pool1d, F.max_pool2d, F.max_pool3d, F.adaptive_max_pool1d, F.adaptive_max_pool2d,
         F.adaptive_max_pool3d, torch.amax), MaximumPooling,
    ),
    **dict.fromkeys(
        (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d,
         F.adaptive_avg_pool3d, F.interpolate, F.upsample, torch.mean, torch.sum),
        AveragePooling,
    ),
}  # fmt: skip
#: Methods of a tensor that become a layer.
METHODS: dict[str, type[Layer]] = {
    **dict.fromkeys(
        ("relu", "relu_", "tanh", "tanh_", "sigmoid", "sigmoid_", "clamp", "clamp_", "clamp_min",
         "clamp_max"), Elementwise,
    ),
    **dict.fromkeys(_REARRANGING, Rearrangement),
    **dict.fromkeys(("mean", "sum"), AveragePooling),
    "amax": MaximumPooling,
}  # fmt: skip
#: Activations whose outputs are bounded and not negative: what they multiply, they weigh.
GATES = (nn.Sigmoid, nn.Hardsigmoid, F.sigmoid, torch.sigmoid, F.hardsigmoid, "sigmoid", "sigmoid_")
CLIPPED = (nn.ReLU6, F.relu6)
#: What makes a tensor of the shape and dtype of another.
FACTORIES = ("new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like",
             "empty_like")  # fmt: skip
#: Functions that change their first input, and those that do where they are told to.
IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow)
TAKING_INPLACE = (F.relu, F.relu6, F.leaky_relu, F.elu, F.silu, F.hardswish, F.hardsigmoid, F.mish, F.celu,
                  F.selu, F.hardtanh)  # fmt: skip
#: Activations with bounds of their own, which are gates where the lower one is 0.
CLAMPS = (nn.Hardtanh, F.hardtanh, torch.clamp, "clamp", "clamp_")
#: What only scales other entries: norms, deviations, reciprocals.
SCALES = (torch.norm, torch.linalg.norm, torch.linalg.vector_norm, torch.rsqrt, torch.sqrt, torch.std,
          torch.var, torch.reciprocal, "norm", "rsqrt", "sqrt", "std", "var", "reciprocal")  # fmt: skip
POWERS = (operator.pow, operator.ipow, torch.pow, "pow", "pow_")
#: Operations that join branches: concatenation, addition and subtraction.
JOINING = (torch.cat, torch.concat, torch.concatenate, torch.stack, torch.hstack)
ADDING = (operator.add, operator.iadd, torch.add, "add", "add_")
SUBTRACTING = (operator.sub, operator.isub, torch.sub, torch.subtract, "sub", "sub_")
MULTIPLYING = (operator.mul, operator.imul, operator.truediv, operator.itruediv, torch.mul, torch.div,
               torch.multiply, torch.divide, "mul", "mul_", "div", "div_")  # fmt: skip
NEGATING = (operator.neg, torch.neg, "neg")
SOFTMAX = (F.softmax, F.log_softmax, torch.softmax, torch.log_softmax, "softmax", "log_softmax")
SPLITTING = (torch.split, torch.chunk, torch.unbind, "split", "chunk", "unbind")
#: Linear layers as functions: the function, and the layer that it is.
LINEAR_FUNCTIONS: dict[Callable[..., Any], type[nn.Module]] = {
    F.linear: nn.Linear, F.conv1d: nn.Conv1d, F.conv2d: nn.Conv2d, F.conv3d: nn.Conv3d,
}  # fmt: skip
MATRIX_PRODUCTS = (torch.matmul, operator.matmul, torch.mm, torch.bmm, "matmul", "mm", "bmm")
#: Modules and functions that divide by the root of the mean square, or by a norm: relevance passes.
ROOT_MEAN_SQUARE_MODULES = (nn.RMSNorm,)
ROOT_MEAN_SQUARE = (F.rms_norm, torch.rms_norm, F.normalize)
#: What looks up entries by numbers, which have no relevance.
LOOKING_UP = (nn.Embedding, nn.EmbeddingBag, F.embedding, F.embedding_bag)
DROPPED_FUNCTIONS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, torch.clone,
                     torch.detach)  # fmt: skip
#: By name: functions of packages that are not needed here, which do nothing at evaluation.
DROPPED_NAMES = ("stochastic_depth", "drop_path")
DROPPED_METHODS = ("contiguous", "float", "double", "to", "type", "clone", "type_as", "detach", "cpu",
                   "cuda")  # fmt: skip
SHAPE_METHODS = ("size", "dim", "numel", "__len__")
#: Properties of a tensor that are the tensor with its axes in another order, and those that are itself.
TRANSPOSED, ITSELF = ("T", "mT", "H", "mH"), ("data", "real")
#: Modules whose outputs have the shape of their inputs.
SAME_SHAPE = (
    *ACTIVATION_MODULES,
    *DROPPED_MODULES,
    *BATCH_NORMS,
    *NORMALISATIONS,
    *SOFTMAX_MODULES,
    nn.RMSNorm,
)


def weighed(gate: Tensor, signal: Tensor) -> Tensor:
    """Return gate x signal, in which the gate gets no relevance though the signal be a constant.

    The first state of a recurrent layer is one (Arras et al. 2017: a gate gets nothing).
    """
    if has_torch_function((gate, signal)):
        found: Tensor = handle_torch_function(weighed, (gate, signal), gate, signal)
        return found
    return gate * signal


def is_known(module: nn.Module) -> bool:
    """Return whether a module is one of torch's that become layers, and keeps torch's own forward."""
    forward = getattr(type(module), "forward", None)
    return any(
        isinstance(module, kind) and forward is getattr(kind, "forward", None)
        for kind in KNOWN_MODULES
    )
