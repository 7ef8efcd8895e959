"""Real training runs: kinds of clean ones, and ones in which something happens on the way.

``python -m tests.benchmarks.outlier_causes.training FOLDER --seeds 0 1`` trains all of them.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.benchmarks.outlier_causes import nets

SAMPLES, BATCH = 24, 64
State = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Data:
    """Inputs and labels to train on, and the observations, which are held out."""

    inputs: Tensor
    labels: Tensor
    observations: NDArray[np.float32]


def data(name: str, seed: int) -> Data:
    """Return digits, cancer, wine or shapes, divided by the seed."""
    generator = np.random.default_rng([seed, 1])
    if name == "shapes":
        inputs, labels = shapes(1500, generator)
    else:
        from sklearn import datasets

        load = {
            "digits": datasets.load_digits,
            "flat digits": datasets.load_digits,
            "cancer": datasets.load_breast_cancer,
            "wine": datasets.load_wine,
        }[name]
        inputs, labels = load(return_X_y=True)
        inputs = inputs / 16 if "digits" in name else (inputs - inputs.mean(0)) / inputs.std(0)
        if name == "digits":
            inputs = inputs.reshape(-1, 1, 8, 8)
    order = generator.permutation(len(labels))
    inputs, labels = inputs[order].astype(np.float32), labels[order]
    return Data(
        inputs=torch.from_numpy(inputs[SAMPLES:]),
        labels=torch.from_numpy(labels[SAMPLES:]).long(),
        observations=inputs[:SAMPLES],
    )


def shapes(
    count: int, generator: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return pictures (count, 3, 12, 12) of squares, rings, crosses and bars, and which it is."""
    pictures = generator.uniform(0, 0.15, (count, 3, 12, 12)).astype(np.float32)
    labels = generator.integers(0, 4, count)
    for picture, label in zip(pictures, labels, strict=True):
        size = int(generator.integers(5, 8))
        stencil = np.zeros((size, size), dtype=bool)
        if label == 0:
            stencil[:] = True
        elif label == 1:
            stencil[:] = True
            stencil[1:-1, 1:-1] = False
        elif label == 2:
            stencil[size // 2] = stencil[:, size // 2] = True
        else:
            stencil[:, : size // 2] = True
        row, column = generator.integers(0, 12 - size, 2)
        colour = generator.uniform(0.35, 1, (3, 1))
        picture[:, row : row + size, column : column + size][:, stencil] = colour
    return pictures, labels


@dataclass
class Training:
    """A network in training: what a kind of run says, and what an event may change on the way."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    data: Data
    generator: np.random.Generator
    factor: float = 1.0

    def update(self, rate: float, batch: int) -> None:
        """Take one step of the optimiser at this learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.factor
        count = len(self.data.labels)
        chosen = self.generator.choice(count, min(batch, count), replace=False)
        outputs = self.network(self.data.inputs[chosen])
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(outputs, self.data.labels[chosen]).backward()
        self.optimizer.step()


Optimizer = Callable[[Any], torch.optim.Optimizer]


def adam(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters)


def momentum(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, momentum=0.9)


def plain(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters)


def decayed(parameters: Any) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, weight_decay=0.05)


def constant(_done: float) -> float:
    return 1.0


def cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def warm_cosine(done: float) -> float:
    return done / 0.1 if done < 0.1 else cosine((done - 0.1) / 0.9)


def falling_steps(done: float) -> float:
    return 1.0 if done < 0.5 else 0.1 if done < 0.75 else 0.01


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of clean run.

    `rate` is the learning rate, times `schedule` of the share of the run that is done. Checkpoints
    are `every` so many updates, or spaced by a constant factor. `average` is the decay of the running
    mean of the weights that is saved in place of them.
    """

    data: str
    network: Callable[[], nn.Module]
    optimizer: Optimizer
    rate: float
    schedule: Callable[[float], float] = constant
    checkpoints: int = 60
    every: int = 20
    batch: int = BATCH
    logarithmic: bool = False
    average: float | None = None
    pretrained: bool = False

    @property
    def steps(self) -> list[int]:
        """The updates after which a checkpoint is saved."""
        last = (self.checkpoints - 1) * self.every
        if not self.logarithmic:
            return list(range(0, last + 1, self.every))
        return [0, *np.unique(np.geomspace(2, last, self.checkpoints).round().astype(int)).tolist()]


KINDS = {
    "cnn-adam": Kind(data="digits", network=nets.DigitsCNN, optimizer=adam, rate=1e-3),
    "cnn-momentum": Kind(data="digits", network=nets.DigitsCNN, optimizer=momentum, rate=0.03),
    "mlp-cosine": Kind(
        data="flat digits", network=nets.MLP, optimizer=adam, rate=2e-3, schedule=cosine
    ),
    "mlp-steps": Kind(
        data="cancer",
        network=nets.CancerMLP,
        optimizer=momentum,
        rate=0.02,
        schedule=falling_steps,
        checkpoints=80,
        every=10,
    ),
    "residual": Kind(data="digits", network=nets.ResidualCNN, optimizer=decayed, rate=2e-3),
    "warm-cosine": Kind(
        data="shapes",
        network=nets.ShapesCNN,
        optimizer=decayed,
        rate=3e-3,
        schedule=warm_cosine,
        checkpoints=50,
        every=30,
    ),
    "logarithmic": Kind(
        data="digits", network=nets.DigitsCNN, optimizer=adam, rate=1e-3, logarithmic=True, every=40
    ),
    "long": Kind(
        data="flat digits", network=nets.MLP, optimizer=momentum, rate=0.02, checkpoints=160
    ),
    "noisy": Kind(
        data="digits", network=nets.DigitsCNN, optimizer=plain, rate=0.3, checkpoints=100, every=10
    ),
    "fine-tuned": Kind(
        data="digits",
        network=nets.DigitsCNN,
        optimizer=decayed,
        rate=5e-4,
        checkpoints=45,
        average=0.95,
        pretrained=True,
    ),
    "whole-batch": Kind(
        data="wine",
        network=nets.WineMLP,
        optimizer=adam,
        rate=3e-3,
        checkpoints=70,
        every=8,
        batch=10_000,
    ),
}


def train(
    kind: Kind, seed: int, event: Callable[[Training, int, float], None] | None = None
) -> Iterator[tuple[int, State]]:
    """Train; yield updates done and weights at each checkpoint.

    `event` is called before each update with the updates done and the learning rate: it may change
    the training.
    """
    torch.manual_seed(seed)
    generator = np.random.default_rng([seed, 2])
    found = data(kind.data, seed)
    network = kind.network()
    training = Training(network, kind.optimizer(network.parameters()), found, generator)
    if kind.pretrained:
        few = found.labels < 5
        only = Data(
            inputs=found.inputs[few], labels=found.labels[few], observations=found.observations
        )
        before = Training(network, adam(network.parameters()), only, generator)
        for _ in range(200):
            before.update(1e-3, BATCH)
    saved, last = set(kind.steps), kind.steps[-1]
    mean = copy.deepcopy(network.state_dict())
    for update in range(last + 1):
        if update in saved:
            state = network.state_dict() if kind.average is None else mean
            yield update, {name: values.clone() for name, values in state.items()}
        rate = kind.rate * kind.schedule(update / last)
        if event is not None:
            event(training, update, rate)
        training.update(rate, kind.batch)
        for name, values in network.state_dict().items():
            if kind.average is None or not values.is_floating_point():
                mean[name] = values
            else:
                mean[name] = kind.average * mean[name] + (1 - kind.average) * values


# --- What may happen in a training run. Each returns what is called before an update. ------------


def rate_spike(at: int, _seed: int) -> Callable[[Training, int, float], None]:
    """Twenty times the learning rate for five updates."""

    def event(training: Training, update: int, _rate: float) -> None:
        training.factor = 20.0 if at <= update < at + 5 else 1.0

    return event


def label_shift(at: int, seed: int) -> Callable[[Training, int, float], None]:
    """The labels mean other classes from an update on."""

    def event(training: Training, update: int, _rate: float) -> None:
        if update == at:
            count = int(training.data.labels.max()) + 1
            shift = int(np.random.default_rng([seed, 4]).integers(1, count))
            training.data = Data(
                inputs=training.data.inputs,
                labels=(training.data.labels + shift) % count,
                observations=training.data.observations,
            )

    return event


def fresh_start(at: int, seed: int) -> Callable[[Training, int, float], None]:
    """The network begins anew, with a fresh optimiser."""

    def event(training: Training, update: int, _rate: float) -> None:
        if update == at:
            torch.manual_seed(1000 + seed)
            training.network.load_state_dict(type(training.network)().state_dict())
            training.optimizer.state.clear()

    return event


def earlier_start(at: int, _seed: int) -> Callable[[Training, int, float], None]:
    """Training goes on from the weights of a third of the way."""
    kept: State = {}

    def event(training: Training, update: int, _rate: float) -> None:
        if update == at // 3:
            kept.update(copy.deepcopy(training.network.state_dict()))
        if update == at:
            training.network.load_state_dict(kept)
            training.optimizer.state.clear()

    return event


def lost_state(at: int, _seed: int) -> Callable[[Training, int, float], None]:
    """The optimiser's state is lost and its learning rate is the first one again, for ten updates."""

    def event(training: Training, update: int, rate: float) -> None:
        if update == at:
            training.optimizer.state.clear()
        training.factor = 6.0 if at <= update < at + 10 else 1.0

    return event


def unfrozen(layer: str) -> Callable[[int, int], Callable[[Training, int, float], None]]:
    """A layer learns only from an update on."""

    def made(at: int, _seed: int) -> Callable[[Training, int, float], None]:
        def event(training: Training, update: int, _rate: float) -> None:
            if update in (0, at):
                for name, values in training.network.named_parameters():
                    if name.startswith(layer):
                        values.requires_grad_(update == at)

        return event

    return made


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happens in training, and in which kind of run, at which share of it."""

    kind: Kind
    at: float
    make: Callable[[int, int], Callable[[Training, int, float], None]]


CONVOLUTIONS = Kind(
    data="digits", network=nets.DigitsCNN, optimizer=adam, rate=1e-3, checkpoints=50
)
LINEAR = Kind(
    data="flat digits", network=nets.MLP, optimizer=adam, rate=1e-3, checkpoints=50, schedule=cosine
)
EVENTS = {
    "rate-spike": Event(kind=CONVOLUTIONS, at=0.5, make=rate_spike),
    "rate-spike-mlp": Event(kind=LINEAR, at=0.6, make=rate_spike),
    "late-spike": Event(kind=LINEAR, at=0.9, make=rate_spike),
    "label-shift": Event(kind=CONVOLUTIONS, at=0.55, make=label_shift),
    "fresh-start": Event(kind=CONVOLUTIONS, at=0.6, make=fresh_start),
    "earlier-start": Event(kind=CONVOLUTIONS, at=0.6, make=earlier_start),
    "lost-state": Event(kind=CONVOLUTIONS, at=0.5, make=lost_state),
    "unfrozen": Event(kind=CONVOLUTIONS, at=0.5, make=unfrozen("conv2")),
}


def write(folder: Path, states: Iterator[tuple[int, State]], about: dict[str, Any]) -> None:
    """Write checkpoints ``ckpts/net_STEP.pt`` and what the run is."""
    (folder / "ckpts").mkdir(parents=True)
    for step, state in states:
        torch.save(state, folder / "ckpts" / f"net_{step}.pt")
    (folder / "run.json").write_text(json.dumps(about))


def cartpole(folder: Path, seed: int) -> None:
    """Train Stable-Baselines3's DQN on CartPole; keep the Q network, and states of its play."""
    import gymnasium
    from stable_baselines3 import DQN

    environment = gymnasium.make("CartPole-v1")
    agent = DQN(
        "MlpPolicy",
        environment,
        seed=seed,
        learning_rate=1e-3,
        learning_starts=200,
        train_freq=8,
        target_update_interval=200,
        exploration_fraction=0.3,
        device="cpu",
    )

    def states() -> Iterator[tuple[int, State]]:
        for step in range(0, 10_001, 200):
            if step:
                agent.learn(200, reset_num_timesteps=step == 200)
            yield step, copy.deepcopy(agent.q_net.q_net.state_dict())

    write(folder, states(), {"kind": "cartpole", "seed": seed, "arch": "CartPoleMLP"})
    observation, seen = environment.reset(seed=seed)[0], []
    dice = np.random.default_rng(seed)
    for _ in range(5 * SAMPLES):
        seen.append(observation)
        observation, _, ended, cut, _ = environment.step(int(dice.integers(2)))
        if ended or cut:
            observation = environment.reset()[0]
    np.save(folder / "obs.npy", np.stack(seen[::5]).astype(np.float32))


def catch(folder: Path, seed: int) -> None:
    """Train the agent of ``lrpdyn demo``; keep states of its play."""
    from functools import partial

    from lrpdyn.architectures.frameworks.catch import CatchNetwork
    from lrpdyn.demo import act, play
    from lrpdyn.demo import train as train_agent

    with tempfile.TemporaryDirectory() as name:
        found = train_agent(Path(name, "run"), seed, checkpoints=40)
        states = [
            (step, torch.load(path, weights_only=True)["state_dict"])
            for step, path in sorted(
                (int(path.stem.split("_")[1]), path) for path in found.checkpoints.iterdir()
            )
        ]
    write(folder, iter(states), {"kind": "catch", "seed": seed, "arch": None})
    network = CatchNetwork()
    network.load_state_dict(states[-1][1])
    games, _, _ = play(partial(act, network), SAMPLES, np.random.default_rng([seed, 5]))
    np.save(folder / "obs.npy", np.stack([games[n % 8].observations[n] for n in range(SAMPLES)]))


AGENTS = {"cartpole": cartpole, "catch": catch}


def trained(work: Path, name: str, seed: int) -> Path:
    """Return the folder of a run, which is trained where it is not there yet."""
    folder = work / f"{name}-{seed}"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    if name in AGENTS:
        AGENTS[name](partial, seed)
    else:
        kind = KINDS[name] if name in KINDS else EVENTS[name].kind
        about: dict[str, Any] = {"kind": name, "seed": seed, "arch": kind.network.__name__}
        event = None
        if name in EVENTS:
            wanted = EVENTS[name].at * kind.steps[-1]
            before = max(step for step in kind.steps if step <= wanted)
            after = min(step for step in kind.steps if step > before)
            about |= {"event": {"from_step": before, "to_step": after}}
            event = EVENTS[name].make(before, seed)
        write(partial, train(kind, seed, event), about)
        np.save(partial / "obs.npy", data(kind.data, seed).observations)
    partial.rename(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", default=[*KINDS, *EVENTS, *AGENTS])
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.only:
        for seed in asked.seeds:
            print(trained(asked.work, name, seed), flush=True)


if __name__ == "__main__":
    main()
