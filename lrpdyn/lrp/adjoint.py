"""The gradient of a linear layer with respect to its input, without autograd.

A rule needs it for its own weights. Autograd would keep a graph, and turn the product of output
and cotangent round, for what is one call.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import grad

from lrpdyn.lrp.canonical.layers import apply_linear

#: Up to so many input channels a strided convolution goes back in blocks: the kernels of CPU
#: libraries are laid out for many channels, and took two to five times as long for four.
FEW_CHANNELS = 4


def input_gradient(module: nn.Module, weight: Tensor, x: Tensor, cotangent: Tensor) -> Tensor:
    """Return d (sum of output x cotangent) / d x of a linear layer with another weight.

    Parameters
    ----------
    module
        One of `lrpdyn.lrp.canonical.layers.LINEAR_LAYERS`: gives stride, padding and the like.
    weight
        Of the shape of the module's own.
    x
        The input; its values do not count.
    cotangent
        Of the shape of the output.
    """
    if isinstance(module, nn.Linear):
        if weight.ndim == 2:
            return (cotangent @ weight).reshape(x.shape)
        return torch.einsum("nl...j,lji->nl...i", cotangent, weight)
    if (
        isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    ):
        return _of_convolution(module, weight, x, cotangent)
    return _by_autograd(module, weight, x, cotangent)


def _of_convolution(
    module: nn.Conv1d | nn.Conv2d | nn.Conv3d, weight: Tensor, x: Tensor, cotangent: Tensor
) -> Tensor:
    if isinstance(module, nn.Conv2d) and x.ndim == 4 and _pays_in_blocks(module, x):
        return _in_blocks(module, weight, x, cotangent)
    dimensions = len(module.kernel_size)
    if x.ndim < dimensions + 2:
        return _by_autograd(module, weight, x, cotangent)
    backward = (grad.conv1d_input, grad.conv2d_input, grad.conv3d_input)[dimensions - 1]
    found: Tensor = backward(  # type: ignore[no-untyped-call]
        x.shape, weight, cotangent, module.stride, module.padding, module.dilation, module.groups
    )
    return found


def _pays_in_blocks(module: nn.Conv2d, x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and module.in_channels <= FEW_CHANNELS
        and module.groups == 1
        and module.stride[0] == module.stride[1] > 1
        and module.dilation == (1, 1)
    )


def _in_blocks(module: nn.Conv2d, weight: Tensor, x: Tensor, cotangent: Tensor) -> Tensor:
    """Go back through a strided convolution as through one of stride 1 on blocks of pixels.

    With stride s, pixels that are s apart meet the same weights: each s x s block of them is one
    place with s x s times as many channels, which is taken apart again at the end.
    """
    stride = module.stride[0]
    units, channels, height, width = weight.shape
    down, right = -(-height // stride), -(-width // stride)
    whole = F.pad(weight, (0, right * stride - width, 0, down * stride - height))
    blocks = whole.reshape(units, channels, down, stride, right, stride)
    # (channels x place in the block, units, rows, columns), turned round as a gradient sees it.
    turned = blocks.permute(1, 3, 5, 0, 2, 4).reshape(-1, units, down, right).flip(2, 3)
    # Channels last, in which pixels are put in their places three times as fast.
    last = {"memory_format": torch.channels_last}
    found = F.conv2d(cotangent.contiguous(**last), turned.contiguous(**last),
                     padding=(down - 1, right - 1))  # fmt: skip
    found = F.pixel_shuffle(found, stride).contiguous()
    top, left = (int(padding) for padding in module.padding)
    rows, columns = x.shape[2:]
    found = found[:, :, top : top + rows, left : left + columns]
    below, right = rows - found.shape[2], columns - found.shape[3]
    # Pixels at the end that no window reached.
    return F.pad(found, (0, right, 0, below)) if below or right else found


def _by_autograd(module: nn.Module, weight: Tensor, x: Tensor, cotangent: Tensor) -> Tensor:
    leaf = x.detach().requires_grad_()
    with torch.enable_grad():
        # Of a number: for a vector's, torch imports its symbolic shapes, for half a second.
        weighted = (apply_linear(module, leaf, weight, None) * cotangent).sum()
    (found,) = torch.autograd.grad(weighted, leaf)
    return found
