"""The gradient of a linear layer for its input, beside autograd's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.lrp.adjoint import input_gradient
from lrpdyn.lrp.canonical.layers import apply_linear

CASES = {
    "linear": (nn.Linear(7, 5), (3, 7)),
    "linear over rows": (nn.Linear(7, 5), (3, 4, 7)),
    "1d": (nn.Conv1d(3, 4, 3, stride=2, padding=1), (2, 3, 11)),
    "2d, many channels": (nn.Conv2d(6, 4, (3, 2), stride=(2, 1), dilation=2), (2, 6, 13, 9)),
    "2d, groups": (nn.Conv2d(4, 8, 3, stride=2, groups=2), (2, 4, 9, 9)),
    "3d": (nn.Conv3d(2, 3, 2, stride=2, padding=1), (2, 2, 5, 6, 7)),
    "no batch": (nn.Conv2d(2, 3, 3, stride=2), (2, 9, 9)),
    "circular": (nn.Conv2d(2, 3, 3, stride=2, padding=1, padding_mode="circular"), (2, 2, 9, 9)),
    "same": (nn.Conv2d(2, 3, 3, padding="same"), (2, 2, 6, 7)),
    "transposed": (nn.ConvTranspose2d(3, 2, 3, stride=2, output_padding=1), (2, 3, 5, 4)),
    "blocks, as NatureCNN": (nn.Conv2d(4, 8, 8, stride=4), (2, 4, 20, 28)),
    "blocks, as ResNet": (nn.Conv2d(3, 8, 7, stride=2, padding=3), (2, 3, 20, 17)),
    "blocks, pixels without a window": (nn.Conv2d(1, 2, 3, stride=3), (2, 1, 11, 8)),
    "blocks, stride over kernel": (nn.Conv2d(2, 3, 2, stride=3, padding=1), (2, 2, 10, 9)),
}


@pytest.mark.parametrize("name", CASES)
def test_is_the_gradient_of_autograd(name: str) -> None:
    module, shape = CASES[name]
    generator = torch.Generator().manual_seed(0)

    def drawn(*sizes: int) -> Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64)

    weight = drawn(*module.weight.shape)
    x = drawn(*shape).requires_grad_()
    output = apply_linear(module, x, weight, None)
    cotangent = drawn(*output.shape)
    (expected,) = torch.autograd.grad(output, x, cotangent)
    found = input_gradient(module, weight, x.detach(), cotangent)
    assert found.shape == x.shape
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
