"""Operations that are short for others give what torch gives, as tensors and as layers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lrpdyn.lrp.canonical.canonise import canonise

X = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0))
CONSTANT = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Applied(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x).flatten(1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.addcmul(CONSTANT, CONSTANT, x, value=0.5),
        lambda x: x.addcmul(CONSTANT, CONSTANT),
        lambda x: torch.addcdiv(x, x, CONSTANT),
        lambda x: torch.baddbmm(x, x[..., :4], x, beta=2, alpha=3),
        lambda x: x[:, :1].expand_as(x) + x,
        lambda x: (x.transpose(1, 2).reshape_as(x) + x).view_as(x),
        lambda x: torch.square(x) + x.square(),
        lambda x: F.glu(x) + F.glu(x, dim=1).mean(1, keepdim=True)[..., :3],
        lambda x: torch.rsub(x, CONSTANT, alpha=2),
        lambda x: F.softmin(x, dim=-1) @ x.mT,
        lambda x: x.max(dim=1)[0] + torch.max(x, 1).values,
        lambda x: (
            (x - torch.var_mean(x, -1, keepdim=True)[1])
            / (torch.var_mean(x, dim=-1, keepdim=True)[0] + 1e-3).sqrt()
        ),
        lambda x: torch.where(CONSTANT > 0, x, 0.0) + x.where(CONSTANT > 1, CONSTANT),
        lambda x: torch.where(CONSTANT > 0, 1.5, x) + torch.pow(x, 3.0),
        lambda x: x / (torch.std_mean(x, dim=(1, 2), keepdim=True)[0] + 1),
    ],
)
def test_what_is_spelled_out_gives_what_torch_gives(function: Callable[[Tensor], Tensor]) -> None:
    network = Applied(function)
    found = canonise(network, example=X[:1])
    for samples in (X, X[:1]):
        torch.testing.assert_close(found(samples), network(samples))
