"""Orthogonal initialisation, as Stable-Baselines3 and CleanRL begin their actor-critics with."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from torch import nn

_HIDDEN = 2**0.5


def orthogonal(
    network: nn.Module, gains: Mapping[str, float], without: Collection[str] = ()
) -> None:
    """Give every Linear and convolution orthogonal weights and no bias, in place.

    `gains` are those of children of `network` by name; the square root of 2 elsewhere. Children
    called as in `without` stay as they are.
    """
    for name, child in network.named_children():
        if name in without:
            continue
        gain = gains.get(name, _HIDDEN)
        for module in child.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.orthogonal_(module.weight, gain)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
