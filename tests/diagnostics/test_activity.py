"""Units that nothing moves, planted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from lrpdyn.diagnostics.activity import Activity, activation_layers, activity_of
from lrpdyn.diagnostics.at_each_step import layer_names
from lrpdyn.explain.explanation import Question, explain
from lrpdyn.explain.loaded import LoadedNetwork
from tests.diagnostics.networks import loaded_of


def test_dead_units_are_channels_and_neurons_that_nothing_moves(
    loaded: LoadedNetwork, pictures: np.ndarray
) -> None:
    model, x = replace(loaded.model, batch_size=2), torch.from_numpy(pictures)
    loaded, names = replace(loaded, model=model), layer_names(model)

    def dead() -> dict[str, float]:
        return {names[k]: v for k, v in activity_of(loaded, pictures).dead().items()}

    def watched() -> dict[str, float]:
        activity = Activity(model.explained, len(pictures))
        with activity.watching():
            for part in (slice(0, 2), slice(2, None)):
                explain(loaded, pictures[part], Question(contrast="mean"))
                activity.add(len(pictures[part]))
        return {names[k]: v for k, v in activity.dead().items()}

    assert dead() == {"body.0": 0, "hidden.0": 0}
    with torch.no_grad():
        model.network.body[0].bias[1] = -100  # below zero at every place
        model.network.hidden[0].bias[:3] = 50  # a tanh that is saturated
    assert dead() == watched() == {"body.0": 0.25, "hidden.0": 0.5}
    with torch.no_grad():
        model.network.body[0].weight[2] = 0
        model.network.body[0].weight[2, 0, 1, 1] = 1
        model.network.body[0].bias[2] = -float(x[:, 0, 1:5, 1:5].max()) + 1e-4
    # One place of one sample is enough to be alive.
    assert dead()["body.0"] == watched()["body.0"] == 0.25


def test_scaling_of_the_observation_is_no_activation() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x / 255)

    observations = np.full((2, 4), 100, dtype=np.float32)
    scaled = loaded_of(Scaled, observations)
    assert len(activation_layers(scaled.explained)) == 1
    assert max(activity_of(scaled, observations).dead().values()) <= 1
