"""How far layers moved, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.diagnostics.weight_change import (
    Sketches,
    layers_with_weights,
    measured,
    not_finite,
)
from lrpdyn.dynamics.step_table import SKETCHED
from lrpdyn.explain.model import Model


def test_weights_of_the_path_by_the_names_of_the_checkpoint(model: Model) -> None:
    weights = layers_with_weights(model.network, model.path)
    assert set(weights) == {"body.0", "hidden.0", "policy"}
    assert set(layer_names(model).values()) >= {"body.0", "hidden.0", "policy"}
    before, (_, unknown) = measured(weights, (None,))
    assert all(math.isnan(length) for length in unknown.values())
    weight, bias = (tensor.clone() for tensor in weights["policy"])
    with torch.no_grad():
        model.network.policy.weight.mul_(3)
        model.network.value.weight.mul_(3)
    copies, (norm, moved) = measured(weights, (before,))
    assert moved == {
        "body.0": 0, "hidden.0": 0, "policy": pytest.approx(2 * float(weight.norm()), rel=1e-6)
    }  # fmt: skip
    assert norm["policy"] == pytest.approx(float(torch.cat([3 * weight.flatten(), bias]).norm()))
    assert torch.equal(torch.cat(copies["policy"]), torch.cat([3 * weight.flatten(), bias]))
    with torch.no_grad():
        model.network.hidden[0].bias[2] = 1e30  # its square is beyond float32
    assert measured(weights, ())[1][0]["hidden.0"] == pytest.approx(1e30)
    with torch.no_grad():
        model.network.hidden[0].bias[2] = torch.inf
    assert not_finite(measured(weights, ())[1][0]) == ["hidden.0"]


def test_distances_of_sketches_are_those_of_all_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = ((64, 32, 3, 3), (64,), (10, 700), (1,), (300,))
    kinds = [torch.randn(shape, generator=generator) for shape in shapes]
    sketches = Sketches({"layer": tuple(kinds)})

    def drawn() -> tuple[torch.Tensor, ...]:
        # Tensors differ in size of entries, as layers do.
        return tuple(
            kind + 0.1 * (n + 1) * torch.randn(kind.shape, generator=generator)
            for n, kind in enumerate(kinds)
        )

    for _ in range(20):
        one, other = drawn(), drawn()
        true = math.hypot(*(float((a - b).norm()) for a, b in zip(one, other, strict=True)))
        of_one, of_other = sketches.of({"layer": one}), sketches.of({"layer": other})
        assert of_one is not None
        assert of_other is not None
        assert len(of_one) == SKETCHED
        assert math.dist(of_one, of_other) == pytest.approx(true, rel=0.4)
        assert Sketches({"layer": one}).of({"layer": one}) == of_one  # the same in every process
    one[0][0, 0, 0, 0] = torch.nan  # the first entry of a tensor is one of those
    assert sketches.of({"layer": one}) is None
