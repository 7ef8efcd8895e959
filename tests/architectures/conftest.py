"""What the tests of all architectures do: recognise, load, compare with the framework's outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lrpdyn.architectures.registry import Resolved, load_weights, path_of, resolve
from lrpdyn.checkpoints.model import Header

Load = Callable[..., tuple[Resolved, nn.Module]]
Compare = Callable[..., None]


def header(weights: Mapping[str, Tensor], **hints: Any) -> Header:
    return Header({key: tuple(value.shape) for key, value in weights.items()}, hints=hints)


@pytest.fixture
def load() -> Load:
    """Return a function that recognises weights and gives the network with them."""

    def loaded(
        weights: Mapping[str, Tensor], arch: str | None = None, **given: Any
    ) -> tuple[Resolved, nn.Module]:
        resolved = resolve(arch, given, header(weights), "here")
        network = resolved.build()
        load_weights(network, weights, resolved, "here")
        return resolved, network

    return loaded


@pytest.fixture
def compare() -> Compare:
    """Return a function that compares the outputs of a head, to 1e-6 of the largest."""

    def compared(network: nn.Module, x: Tensor, wanted: Tensor, head: str | None = None) -> None:
        with torch.no_grad():
            found = path_of(network, head)[1](x)
        assert found.shape == wanted.shape
        assert wanted.abs().max() > 1e-3, "outputs that are all zero show nothing"
        assert float((found - wanted).abs().max()) <= 1e-6 * max(1.0, float(wanted.abs().max()))

    return compared
