"""What follows the last linear layers of value-based networks: dueling, quantiles, atoms."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dueling(nn.Module):
    """Value + advantage - mean advantage (Wang et al. 2016, equation 9).

    Parameters
    ----------
    value, advantage
        Modules from the shared features to (N, atoms) and (N, actions * atoms).
    actions
        The number of actions.
    atoms
        The number of atoms of a distribution; None for plain Q values.
    """

    def __init__(
        self, value: nn.Module, advantage: nn.Module, actions: int, atoms: int | None = None
    ) -> None:
        super().__init__()
        self.value, self.advantage = value, advantage
        self.actions, self.atoms = actions, atoms

    def forward(self, features: Tensor) -> Tensor:
        """Return (N, actions), or (N, actions, atoms)."""
        value, advantage = self.value(features), self.advantage(features)
        if self.atoms is not None:
            value = value.view(-1, 1, self.atoms)
            advantage = advantage.view(-1, self.actions, self.atoms)
        return value + advantage - advantage.mean(dim=1, keepdim=True)  # type: ignore[no-any-return]


class QuantileMean(nn.Module):
    """The Q value as the mean over quantiles (Dabney et al. 2018).

    `shape` is how one sample's outputs are laid out, `dim` where among (N, *shape) the quantiles
    are.
    """

    def __init__(self, shape: tuple[int, int], dim: int) -> None:
        super().__init__()
        self.shape, self.dim = shape, dim

    def forward(self, quantiles: Tensor) -> Tensor:
        """Return (N, actions)."""
        return quantiles.view(-1, *self.shape).mean(dim=self.dim)


class AtomMean(nn.Module):
    """The Q value as the mean of a distribution over the atoms of `support` (Bellemare et al. 2017).

    `support` is shared with the network, so that weights which are loaded there count here.
    """

    support: Tensor

    def __init__(self, actions: int, support: Tensor) -> None:
        super().__init__()
        self.actions, self.atoms = actions, len(support)
        self.register_buffer("support", support, persistent=False)

    def forward(self, logits: Tensor) -> Tensor:
        """Return (N, actions) for logits (N, actions * atoms) or (N, actions, atoms)."""
        logits = logits.view(-1, self.actions, self.atoms)
        return (torch.softmax(logits, dim=-1) * self.support).sum(dim=-1)
