"""How far layers moved, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.diagnostics.weight_change import layers_with_weights, measured, not_finite
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
