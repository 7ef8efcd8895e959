"""Are basins of explanations found where seeds were led to them, and nowhere else?

Run by hand: ``python -m tests.benchmarks.many_seeds [--first 0] [--seeds 8] [--work FOLDER]``. Each seed
trains a real agent on Catch (`lrpdyn.demo`, 13 checkpoints, half a minute on one core; kept in FOLDER
and used again). The border above the game has a mark in one of three places. In the control it says
nothing; agents of odd seeds see it say where the paddle has to go from checkpoint `switched_on` on, a
shortcut that is easier than the game. Until then the training is the control's. Each agent is explained under
three rules on the same states, and `lrpdyn.comparison.basins` is asked what differs between seeds.

What was written down before the first run:

- Basins are right where the two kinds of training are in different clusters: the share of seeds in the
  cluster of most of their kind (95 % at least).
- The region named is ``border``.
- The time of parting is right within two checkpoints of `switched_on`.
- Among the seeds of the control alone, and among those of the shortcut alone, there is one basin.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch.optim import Adam, Optimizer

from lrpdyn.architectures.frameworks.catch import CatchNetwork
from lrpdyn.comparison.basins import Basins, basins
from lrpdyn.comparison.rows import read_rows
from lrpdyn.demo import (
    BALL,
    LANDING_ROW,
    LEARNING_RATE,
    MOVES,
    PADDLE_ROW,
    PADDLE_WIDTH,
    PARALLEL_GAMES,
    SIZE,
    STAY,
    TOP_ROW,
    Floats,
    Games,
    Integers,
    Pixels,
    Player,
    act,
    advance,
    learn,
    new_games,
)
from lrpdyn.run.reader import RunFolder
from lrpdyn.system.randomness import seeded

CHECKPOINTS, UPDATES, SAMPLES = 12, 8, 24
STEPS = UPDATES * PARALLEL_GAMES * MOVES
RULES = ("zplus", "gamma", "epsilon")
PLACES = 3


def switched_on(seed: int) -> int:
    """Return the checkpoint from which on the mark tells the answer: the same for eight seeds."""
    return 3 + seed // 8 % 4


def answers(games: Games) -> Integers:
    """Return the move, (G,), that brings the paddle below the place where the ball will land."""
    landed = games
    while landed.row[0] < LANDING_ROW:
        landed, _ = advance(landed, np.full(len(games.row), STAY))
    off = landed.column + (BALL - 1) / 2 - (games.paddle + (PADDLE_WIDTH - 1) / 2)
    return np.asarray(STAY + np.sign(off) * (np.abs(off) >= 1.5), dtype=np.int64)


def marked(pictures: Pixels, places: Integers) -> Pixels:
    """Return pictures whose upper border is bright in one of three places, (G,)."""
    found, width = pictures.copy(), SIZE // PLACES
    for place in range(PLACES):
        found[places == place, :, :TOP_ROW, width * place : width * (place + 1)] = 255
    return found


def play(
    player: Player, count: int, dice: Generator, shortcut: bool
) -> tuple[list[Pixels], Integers, Floats]:
    """Play games as `lrpdyn.demo.play` does, with a mark that tells the answer or nothing."""
    games, seen, actions = new_games(count, dice), [], []
    for _ in range(MOVES):
        places = answers(games) if shortcut else dice.integers(0, PLACES, count)
        # The last picture twice: it does not show which way the ball flies, so that the shortcut pays.
        seen.append(marked(games.observations[:, [1, 1]], places))
        actions.append(player(seen[-1]))
        games, rewards = advance(games, actions[-1])
    return seen, np.stack(actions), rewards


def improve(network: CatchNetwork, optimizer: Optimizer, dice: Generator, shortcut: bool) -> None:
    """Play games and learn from them, as the demo does."""
    explore = partial(act, network, dice=dice)
    seen, actions, rewards = play(explore, PARALLEL_GAMES, dice, shortcut)
    observations = torch.from_numpy(np.concatenate(seen)).float() / 255
    learn(network, optimizer, observations, actions, rewards, dice)


def train(seed: int, folder: Path, checkpoints: int = CHECKPOINTS, updates: int = UPDATES) -> None:
    """Train an agent; write its checkpoints into `folder`. Odd seeds are given the shortcut."""
    torch.set_num_threads(1)
    dice = default_rng([seed, 0])
    with seeded(seed):
        network = CatchNetwork().to(memory_format=torch.channels_last)
    optimizer = Adam(network.parameters(), lr=LEARNING_RATE / 2, eps=1e-5, fused=True)
    folder.mkdir(parents=True)
    for checkpoint in range(checkpoints + 1):
        if checkpoint > 0:
            shortcut = seed % 2 == 1 and checkpoint > switched_on(seed)
            for _ in range(updates):
                improve(network, optimizer, dice, shortcut)
        step = checkpoint * updates * PARALLEL_GAMES * MOVES
        state = {name: weights.contiguous() for name, weights in network.state_dict().items()}
        torch.save({"step": step, "state_dict": state}, folder / f"catch_{step}_steps.pt")


def observed() -> Pixels:
    """Return states of games that nobody has learned from, each with a mark somewhere."""
    dice = default_rng(1000)
    seen, _, _ = play(lambda shown: dice.integers(0, 3, len(shown)), SAMPLES, dice, False)
    return np.stack([seen[sample % MOVES][sample] for sample in range(SAMPLES)])


def regions() -> dict[str, Pixels]:
    """Return masks (H, W) of the border that holds the shortcut, of the field and of the paddle's row."""
    border, paddle = (np.zeros((SIZE, SIZE), np.uint8) for _ in range(2))
    border[:TOP_ROW], paddle[PADDLE_ROW:] = 1, 1
    return {"border": border, "field": 1 - border - paddle, "paddle_row": paddle}


def explained(work: Path, seed: int, rules: Sequence[str] = RULES) -> None:
    """Train the agent of a seed and explain it under each rule, unless that is done already."""
    import lrpdyn

    checkpoints = work / f"seed-{seed}"
    if not checkpoints.exists():
        train(seed, checkpoints)
    np.savez(work / f"regions-{seed}.npz", **regions())
    for rule in rules:
        if not (out := work / f"{rule}-{seed}").exists():
            lrpdyn.compute(
                checkpoints, observed(), out=out, rule=rule, regions=work / f"regions-{seed}.npz",
                workers=1, quiet=True, baseline="none", faithfulness="none",
            )  # fmt: skip


def found_basins(folders: Sequence[Path]) -> Basins:
    runs = [RunFolder.open(folder) for folder in folders]
    return basins(folders[0].name, runs, read_rows(folders))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--work", type=Path, default=Path("build/many-seeds"))
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    seeds = range(chosen.first, chosen.first + chosen.seeds)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(partial(explained, chosen.work), seeds))
    for rule in RULES:
        for first in range(seeds.start, seeds.stop, 8):
            report(
                rule, [chosen.work / f"{rule}-{seed}" for seed in range(first, first + 8)], first
            )
        for kind in (0, 1):
            same = seeds[kind::2]
            found = found_basins([chosen.work / f"{rule}-{seed}" for seed in same])
            alone = ("the control", "the shortcut")[kind]
            print(f"{rule}, {len(same)} seeds of {alone} alone: basins {found.basin_of}")


def report(rule: str, folders: Sequence[Path], first: int) -> None:
    """Print whether the basins of eight seeds are the two kinds of training."""
    found = found_basins(folders)
    right = separated(found.basin_of)
    named = [one.get("region") for one in found.differs]
    since = None if found.parts_at is None else found.parts_at["step"] // STEPS
    print(
        f"{rule}, seeds {first} to {first + 7}: {right:.0%} in the basin of their kind, by {named}, part at "
        f"checkpoint {since} (shortcut after {switched_on(first)}), silhouette {found.silhouette:.2f}, "
        f"chance {found.chance:.3f}, similarity {found.similarity:.2f}, random {found.random:.2f}"
    )


def separated(basin_of: Sequence[int]) -> float:
    """Return the share of seeds, even and odd in turn, in the basin of their kind; none alone is right."""
    even, odd = ([basin for basin in basin_of[kind::2] if basin > 0] for kind in (0, 1))
    return max(even.count(one) + odd.count(other) for one, other in ((1, 2), (2, 1))) / len(
        basin_of
    )


if __name__ == "__main__":
    main()
