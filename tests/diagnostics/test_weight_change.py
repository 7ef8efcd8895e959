"""How far layers moved, by hand."""

from __future__ import annotations

import pytest
import torch

from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.diagnostics.weight_change import (
    advance,
    copied,
    layers_with_weights,
    lengths,
    not_finite,
)
from lrpdyn.explain.model import Model


def test_weights_of_the_path_by_the_names_of_the_checkpoint(model: Model) -> None:
    weights = layers_with_weights(model.network, model.path)
    assert set(weights) == {"body.0", "hidden.0", "policy"}
    assert set(layer_names(model).values()) >= {"body.0", "hidden.0", "policy"}
    before = {name: tuple(t.clone() for t in own) for name, own in weights.items()}
    assert advance(copied(before), weights, lengths(before)) == {
        "body.0": 0,
        "hidden.0": 0,
        "policy": 0,
    }
    with torch.no_grad():
        model.network.policy.weight.mul_(3)
        model.network.value.weight.mul_(3)
    change = advance(copied(before), weights, lengths(before))
    weight, bias = before["policy"]
    expected = 2 * weight.norm() / torch.cat([weight.flatten(), bias]).norm()
    assert change["policy"] == pytest.approx(float(expected), rel=1e-6)
    assert change["body.0"] == 0
    assert not_finite(lengths(weights)) == []
    with torch.no_grad():
        model.network.hidden[0].bias[2] = 1e30  # its square is beyond float32
    assert not_finite(lengths(weights)) == []
    assert lengths(weights)["hidden.0"] == pytest.approx(1e30)
    with torch.no_grad():
        model.network.hidden[0].bias[2] = torch.inf
    assert not_finite(lengths(weights)) == ["hidden.0"]
    assert advance(copied(before), weights, lengths(before))["hidden.0"] is None
    zero = {name: tuple(torch.zeros_like(t) for t in own) for name, own in before.items()}
    assert advance(copied(zero), before, lengths(zero))["policy"] is None
