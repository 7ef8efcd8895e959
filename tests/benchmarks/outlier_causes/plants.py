"""Faults that are planted in copies of clean runs, and what a report has to say of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]


@dataclass
class Host:
    """A run that a fault is planted in: its weights by step, and those of another seed's run.

    `at` is the number of the checkpoint where the fault is, or begins. A plant leaves in `places` the
    steps that are at fault, and in `pair` the transition instead where it is one.
    """

    states: dict[int, State]
    other: dict[int, State]
    at: int
    generator: np.random.Generator

    def __post_init__(self) -> None:
        self.steps = sorted(self.states)
        self.step = self.steps[self.at]
        self.places: set[int] = {self.step}
        self.pair: tuple[int, int] | None = None

    @property
    def state(self) -> State:
        """The weights at the step of the fault, which a plant may change."""
        return self.states[self.step]

    @property
    def layers(self) -> list[str]:
        """Convolutions and linear layers, in the network's order."""
        found = [name for name, values in self.state.items() if values.ndim >= 2]
        return [name.removesuffix(".weight") for name in found if "value." not in name]

    def layer(self, *, hidden: bool = False) -> str:
        """Return a layer by chance."""
        return str(self.generator.choice(self.layers[:-1] if hidden else self.layers))

    def own(self, layer: str) -> list[str]:
        """Return the names of a layer's tensors."""
        return [name for name in (f"{layer}.weight", f"{layer}.bias") if name in self.state]

    def noise(self, like: Tensor) -> Tensor:
        """Return noise that is as long as a tensor."""
        values: Tensor = torch.from_numpy(self.generator.normal(size=tuple(like.shape))).float()
        return values * (float(like.norm()) / float(values.norm()))

    def onward(self, begin: int, end: int | None = None) -> list[int]:
        """Return the steps of checkpoints from one on, and call them all at fault."""
        steps = self.steps[begin:end]
        self.places = set(steps)
        return steps


def layer_drawn_anew(host: Host) -> None:
    layer = host.layer()
    for name in host.own(layer):
        values = host.state[name]
        bound = float(host.state[f"{layer}.weight"][0].numel()) ** -0.5
        drawn = torch.from_numpy(host.generator.uniform(-bound, bound, tuple(values.shape)))
        host.state[name] = drawn.float()


def channels_permuted(host: Host) -> None:
    permute(host, host.layer(hidden=True))


def head_permuted(host: Host) -> None:
    permute(host, host.layers[-1])


def permute(host: Host, layer: str) -> None:
    """Shift a layer's units, in an order by chance, by one: none stays where it is."""
    count = len(host.state[f"{layer}.weight"])
    order = torch.from_numpy(host.generator.permutation(count))
    for name in host.own(layer):
        changed = host.state[name].clone()
        changed[order] = host.state[name][order.roll(1)]
        host.state[name] = changed


def other_seed(host: Host) -> None:
    host.states[host.step] = dict(host.other[host.step])


def bias_and_one(host: Host) -> None:
    biased = [layer for layer in host.layers if f"{layer}.bias" in host.state]
    name = f"{host.generator.choice(biased)}.bias"
    host.state[name] = host.state[name] + 1


def bits_flipped(host: Host) -> None:
    """Flip a bit of the exponents of four weights, such that one grows at least to 1."""
    name = f"{host.layer()}.weight"
    while True:
        values = host.state[name].numpy().copy()
        chosen = host.generator.choice(values.size, 4, replace=False)
        bits = host.generator.integers(23, 31, 4)
        values.view(np.int32).reshape(-1)[chosen] ^= (1 << bits).astype(np.int32)
        if np.isfinite(values).all() and np.abs(values.reshape(-1)[chosen]).max() >= 1:
            host.state[name] = torch.from_numpy(values)
            return


def averaged(host: Host) -> None:
    early = host.states[host.steps[len(host.steps) // 10]]
    host.states[host.step] = {
        name: (values + early[name]) / 2 if values.is_floating_point() else values
        for name, values in host.state.items()
    }


def swap(host: Host, distance: int) -> None:
    other = host.steps[host.at + distance]
    host.states[host.step], host.states[other] = host.states[other], host.states[host.step]
    host.places = {host.step, other}


def neighbours_swapped(host: Host) -> None:
    swap(host, 1)


def distant_swapped(host: Host) -> None:
    swap(host, int(host.generator.integers(3, 6)))


def near_copy(host: Host) -> None:
    before = host.states[host.steps[host.at - 1]]
    host.states[host.step] = {
        name: values + 1e-4 * host.noise(values) if values.is_floating_point() else values
        for name, values in before.items()
    }


def duplicate(host: Host) -> None:
    host.states[host.step] = dict(host.states[host.steps[host.at - 1]])


def change_layer(host: Host, change: Callable[[Tensor], Tensor]) -> None:
    for name in host.own(host.layer()):
        host.state[name] = change(host.state[name])


def layer_trebled(host: Host) -> None:
    change_layer(host, lambda values: 3 * values)


def layer_noisy(host: Host) -> None:
    change_layer(host, lambda values: values + 0.5 * host.noise(values))


def sign_flipped(host: Host) -> None:
    change_layer(host, lambda values: -values)


def layer_zero(host: Host) -> None:
    change_layer(host, torch.zeros_like)


def rounded(host: Host) -> None:
    """Leave every tensor eight levels."""
    for name, values in host.state.items():
        if values.ndim >= 2:
            level = 2 * float(values.abs().max()) / 7
            host.state[name] = (values / level).round() * level


def from_half_way(host: Host) -> None:
    host.states[host.step] = dict(host.states[host.steps[host.at // 2]])


def statistics_reset(host: Host) -> None:
    for name, values in host.state.items():
        if "running_mean" in name:
            host.state[name] = torch.zeros_like(values)
        if "running_var" in name:
            host.state[name] = torch.ones_like(values)


def steps_missing(host: Host) -> None:
    for step in host.steps[host.at : host.at + 6]:
        del host.states[step]
    host.places, host.pair = set(), (host.steps[host.at - 1], host.steps[host.at + 6])


def not_a_number(host: Host) -> None:
    name = f"{host.layer()}.weight"
    values = host.state[name].clone()
    values.view(-1)[int(host.generator.integers(values.numel()))] = float("nan")
    host.state[name] = values


def layer_for_good(host: Host) -> None:
    """Take a layer from another seed's run from here on."""
    layer = host.layer()
    for step in host.steps[host.at :]:
        for name in host.own(layer):
            host.states[step][name] = host.other[step][name]
    host.places, host.pair = set(), (host.steps[host.at - 1], host.step)


def corruption(host: Host) -> None:
    """Add noise to a layer over eight steps, .15 of its norm each; it stays."""
    names = host.own(host.layer())
    added = {name: torch.zeros_like(host.state[name]) for name in names}
    steps = host.steps[host.at :]
    for number, step in enumerate(steps):
        for name in names:
            if number < 8:
                added[name] = added[name] + 0.15 * host.noise(host.states[step][name])
            host.states[step][name] = host.states[step][name] + added[name]
    host.onward(host.at - 1, host.at + 8)


def dormancy(host: Host) -> None:
    """Let the incoming weights of 70 % of a layer's units decay by a fifth at each step."""
    layer = host.layer(hidden=True)
    count = len(host.state[f"{layer}.weight"])
    chosen = torch.from_numpy(host.generator.permutation(count)[: round(0.7 * count)])
    for number, step in enumerate(host.onward(host.at)):
        for name in host.own(layer):
            values = host.states[step][name].clone()
            values[chosen] *= 0.8 ** (number + 1)
            host.states[step][name] = values


def exploding(host: Host) -> None:
    """Let the last layer grow by 15 % at each step."""
    layer = host.layers[-1]
    for number, step in enumerate(host.onward(host.at)):
        for name in host.own(layer):
            host.states[step][name] = host.states[step][name] * 1.15 ** (number + 1)


def dead_for_long(host: Host) -> None:
    """Push 90 % of a hidden layer's units below zero, from 30 % of the run to its end."""
    layer = host.layer(hidden=True)
    count = len(host.state[f"{layer}.bias"])
    chosen = torch.from_numpy(host.generator.permutation(count)[: round(0.9 * count)])
    for step in host.onward(round(0.3 * len(host.steps))):
        bias = host.states[step][f"{layer}.bias"].clone()
        bias[chosen] -= 100
        host.states[step][f"{layer}.bias"] = bias


@dataclass(frozen=True, kw_only=True)
class Plant:
    """A fault, and the causes that are right of it.

    `gradual`: it builds up or lasts, and counts as found where a right cause is named in its stretch.
    `norm` tells whether it needs BatchNorm (True), or none (False).
    """

    plant: Callable[[Host], None]
    causes: frozenset[str]
    gradual: bool = False
    norm: bool | None = None


MOVED = ("weight_jump", "off_path")
PLANTS = {
    plant.plant.__name__.replace("_", "-"): plant
    for plant in (
        Plant(plant=layer_drawn_anew, causes=frozenset(MOVED)),
        Plant(plant=channels_permuted, causes=frozenset(MOVED)),
        Plant(plant=head_permuted, causes=frozenset(MOVED)),
        Plant(plant=other_seed, causes=frozenset(MOVED)),
        Plant(plant=bias_and_one, causes=frozenset(MOVED)),
        Plant(plant=bits_flipped, causes=frozenset((*MOVED, "not_finite"))),
        Plant(plant=averaged, causes=frozenset(MOVED)),
        Plant(plant=neighbours_swapped, causes=frozenset(("swapped_order", *MOVED))),
        Plant(plant=distant_swapped, causes=frozenset(("swapped_order", *MOVED))),
        Plant(plant=near_copy, causes=frozenset(("near_copy",))),
        Plant(plant=duplicate, causes=frozenset(("duplicate_checkpoint",))),
        Plant(plant=layer_trebled, causes=frozenset((*MOVED, "score_growth"))),
        Plant(plant=layer_noisy, causes=frozenset(MOVED)),
        Plant(plant=sign_flipped, causes=frozenset(MOVED)),
        Plant(
            plant=layer_zero,
            causes=frozenset((*MOVED, "vanished_relevance", "dead_layer")),
        ),
        Plant(plant=rounded, causes=frozenset(MOVED)),
        Plant(
            plant=from_half_way,
            causes=frozenset((*MOVED, "near_copy", "duplicate_checkpoint", "swapped_order")),
        ),
        Plant(plant=statistics_reset, causes=frozenset(("statistics_reset",)), norm=True),
        Plant(plant=steps_missing, causes=frozenset(("step_gap",))),
        Plant(plant=not_a_number, causes=frozenset(("not_finite",))),
        Plant(plant=layer_for_good, causes=frozenset(("weight_jump", "restart", "lasting_change"))),
        Plant(
            plant=corruption,
            causes=frozenset((*MOVED, "lasting_change")),
            gradual=True,
        ),
        Plant(
            plant=dormancy,
            causes=frozenset(("dormant_units", "dead_layer")),
            gradual=True,
            norm=False,
        ),
        Plant(plant=exploding, causes=frozenset(("score_growth",)), gradual=True),
        Plant(
            plant=dead_for_long,
            causes=frozenset(("dead_layer", "dormant_units")),
            gradual=True,
            norm=False,
        ),
    )
}
