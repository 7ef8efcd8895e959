"""Noisy linear layers (Fortunato et al. 2018) by their mean weights, in the layouts of frameworks.

The noise is for exploration: at evaluation the layer is its mean. What it was drawn from stays in
the state dict and is loaded, but takes no part.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class NoisyLinear(nn.Module):
    """``weight_mu``, ``weight_sigma``, ``weight_epsilon`` and the same of the bias (CleanRL)."""

    weight_epsilon: Tensor
    bias_epsilon: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight_mu, self.bias_mu = _mean(inputs, outputs)
        self.weight_sigma = nn.Parameter(torch.full((outputs, inputs), 0.5 / math.sqrt(inputs)))
        self.bias_sigma = nn.Parameter(torch.full((outputs,), 0.5 / math.sqrt(outputs)))
        self.register_buffer("weight_epsilon", torch.zeros(outputs, inputs))
        self.register_buffer("bias_epsilon", torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the linear map by the mean weights."""
        return F.linear(x, self.weight_mu, self.bias_mu)


class FactorisedNoisyLinear(nn.Module):
    """``mu_W``, ``sigma_W``, ``mu_bias``, ``sigma_bias``, ``eps_p``, ``eps_q`` (Tianshou)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mu_W, self.mu_bias = _mean(inputs, outputs)
        scale = 0.5 / math.sqrt(inputs)
        self.sigma_W = nn.Parameter(torch.full((outputs, inputs), scale))
        self.sigma_bias = nn.Parameter(torch.full((outputs,), scale))
        self.eps_p = nn.Parameter(torch.zeros(inputs), requires_grad=False)
        self.eps_q = nn.Parameter(torch.zeros(outputs), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the linear map by the mean weights."""
        return F.linear(x, self.mu_W, self.mu_bias)


class NoisyPair(nn.Module):
    """Two linear layers, ``mu`` and ``sigma`` (PFRL)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.mu = nn.Linear(inputs, outputs)
        self.sigma = nn.Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the linear map by the mean weights."""
        return self.mu(x)  # type: ignore[no-any-return]


def _mean(inputs: int, outputs: int) -> tuple[nn.Parameter, nn.Parameter]:
    bound = 1 / math.sqrt(inputs)
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound)
    return nn.Parameter(weight), nn.Parameter(torch.empty(outputs).uniform_(-bound, bound))
