"""The weights of a small network over real training, and a made-up run that has them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from lrpdyn.diagnostics.weight_change import Sketches, layers_with_weights
from lrpdyn.outliers.facts import RunFacts
from tests.outliers.made_up import calm_run, with_steps

State = dict[str, Tensor]
#: Checkpoints of a run, and the updates between two of them.
CHECKPOINTS, EVERY = 40, 8


class Network(nn.Module):
    """Three linear layers with a BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(10, 24)
        self.norm = nn.BatchNorm1d(24)
        self.second = nn.Linear(24, 24)
        self.last = nn.Linear(24, 4)

    def forward(self, features: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.first(features)))
        return self.last(torch.relu(self.second(hidden)))


def training(
    seed: int, checkpoints: int = CHECKPOINTS, begin: State | None = None, frozen_until: int = 0
) -> list[State]:
    """Return the weights at every checkpoint; `first` and `norm` are frozen until one of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # of so small a network, more of them wait for each other
    torch.manual_seed(seed)
    network = Network()
    if begin is not None:
        network.load_state_dict(begin)
    features = torch.randn(512, 10)
    classes = (features[:, :4] * features[:, 4:8]).argmax(dim=1)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    frozen = [*network.first.parameters(), *network.norm.parameters()]
    states = []
    for checkpoint in range(checkpoints):
        states.append({name: values.clone() for name, values in network.state_dict().items()})
        network.norm.train(checkpoint >= frozen_until)
        for parameter in frozen:
            parameter.requires_grad_(checkpoint >= frozen_until)
        for _ in range(EVERY):
            chosen = torch.randint(512, (64,))
            loss = nn.functional.cross_entropy(network(features[chosen]), classes[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.set_num_threads(threads)
    return states


def run_of(states: Sequence[State]) -> RunFacts:
    """Return a run, calm otherwise, with the weights of these checkpoints."""
    network = Network()
    vectors, sketches = [], []
    layers = layers_with_weights(network, network)
    sketch = Sketches(layers)
    for state in states:
        network.load_state_dict(state)
        vectors.append([torch.cat([t.flatten() for t in own]).double() for own in layers.values()])
        sketches.append(sketch.of(layers) or [np.nan] * 64)

    def away(back: int) -> np.ndarray:
        found = np.full((len(states), len(layers)), np.nan)
        for step in range(back, len(states)):
            pairs = zip(vectors[step], vectors[step - back], strict=True)
            found[step] = [float((now - then).norm()) for now, then in pairs]
        return found

    norm = np.array([[float(vector.norm()) for vector in own] for own in vectors])
    return with_steps(
        calm_run(len(states)),
        weight_layers=tuple(layers),
        weight_norm=norm,
        weight_change=away(1) / np.vstack([np.full(len(layers), np.nan), norm[:-1]]),
        weight_back=away(2),
        weight_sketch=np.array(sketches),
    )
