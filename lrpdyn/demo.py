"""Trains a small convolutional agent on Catch, a pixel game, which gives real checkpoints to explain.

A ball falls obliquely and bounces off the walls; a paddle at the bottom moves left, stays or moves
right. A game ends where the ball lands: +1 caught, -1 missed. The ball may be faster than the
paddle, so that the agent has to see from two successive pictures where it will land.

The agent learns by proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) from whole
games: the return of a move is how its game ended, its advantage the return less the value.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.random import Generator, default_rng
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from lrpdyn.architectures.frameworks.catch import CatchNetwork
from lrpdyn.errors import RunError, UsageError
from lrpdyn.files.reasons import reason_of
from lrpdyn.run.lock import HOLDER, LOCK, locked
from lrpdyn.system.randomness import seeded

# Lengths in pixels, speeds in pixels a step; a ball or a paddle is where its left upper corner is.
SIZE, WALL, BALL, PADDLE_WIDTH, PADDLE_HEIGHT = 24, 1, 2, 5, 2
FALL_SPEED, PADDLE_SPEED, BALL_SPEEDS = 2, 2, (-3, -2, -1, 1, 2, 3)
WALL_GREY, BRIGHT = 96, 255
LEFT, STAY, RIGHT = 0, 1, 2
PADDLE_ROW = SIZE - PADDLE_HEIGHT
TOP_ROW, LANDING_ROW = 2, PADDLE_ROW - BALL
MOVES = (LANDING_ROW - TOP_ROW) // FALL_SPEED  # in a game
LAST_BALL, LAST_PADDLE = SIZE - WALL - BALL, SIZE - WALL - PADDLE_WIDTH

PARALLEL_GAMES, EVALUATION_GAMES, UPDATES_PER_CHECKPOINT, EPOCHS, MINIBATCHES = 96, 1000, 4, 3, 7
LEARNING_RATE, CLIP, GRADIENT_NORM, VALUE_WEIGHT, ENTROPY_WEIGHT = 3e-3, 0.2, 0.5, 0.5, 0.01

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Player = Callable[[Pixels], Integers]
Progress = Callable[[int, int, float], None]
Weights = dict[int, dict[str, Tensor]]


@dataclass(frozen=True, kw_only=True)
class Games:
    """G games, (G,) each, and their last two pictures, older first: (G, 2, 24, 24) in 0..255."""

    row: Integers
    column: Integers
    velocity: Integers
    paddle: Integers
    observations: Pixels


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Files and environment steps of a training run, its catch rates (0..1) and its seconds."""

    checkpoints: Path
    observations: Path
    steps: tuple[int, ...]
    random_catch_rate: float
    final_catch_rate: float
    seconds: float


def draw(row: Integers, column: Integers, paddle: Integers) -> Pixels:
    """Return the pictures (G, 24, 24) of balls at `row`, `column` and of paddles, each (G,)."""
    pictures = np.zeros((len(row), SIZE, SIZE), dtype=np.uint8)
    pictures[:, :WALL] = pictures[:, :, :WALL] = pictures[:, :, -WALL:] = WALL_GREY
    game = np.arange(len(row))
    for down, right in np.ndindex(BALL, BALL):
        pictures[game, row + down, column + right] = BRIGHT
    for right in range(PADDLE_WIDTH):
        pictures[game, PADDLE_ROW:, paddle + right] = BRIGHT
    return pictures


def new_games(count: int, generator: Generator) -> Games:
    """Return `count` games, ball at the top, paddle in the middle, the one picture shown twice."""
    row = np.full(count, TOP_ROW, dtype=np.int64)
    column = generator.integers(WALL, LAST_BALL + 1, count)
    velocity = generator.choice(np.array(BALL_SPEEDS, dtype=np.int64), count)
    paddle = np.full(count, (WALL + LAST_PADDLE) // 2, dtype=np.int64)
    observations = np.stack([draw(row, column, paddle)] * 2, axis=1)
    return Games(
        row=row, column=column, velocity=velocity, paddle=paddle, observations=observations
    )


def advance(games: Games, actions: Integers) -> tuple[Games, Floats]:
    """Move paddles by `actions` (G,) and balls once; return games and rewards (G,).

    The reward is 0 while the ball falls; where it lands, 1 if any of it is on the paddle, else -1.
    """
    paddle = np.clip(games.paddle + PADDLE_SPEED * (actions - STAY), WALL, LAST_PADDLE)
    straight = games.column + games.velocity
    column = np.where(straight < WALL, 2 * WALL - straight, straight)
    column = np.where(straight > LAST_BALL, 2 * LAST_BALL - straight, column)
    velocity = np.where(column == straight, games.velocity, -games.velocity)
    row = games.row + FALL_SPEED
    caught = (column + BALL > paddle) & (column < paddle + PADDLE_WIDTH)
    rewards = np.where(row == LANDING_ROW, np.where(caught, 1, -1), 0).astype(np.float32)
    pictures = np.stack([games.observations[:, 1], draw(row, column, paddle)], axis=1)
    moved = Games(row=row, column=column, velocity=velocity, paddle=paddle, observations=pictures)
    return moved, rewards


def play(player: Player, count: int, generator: Generator) -> tuple[list[Games], Integers, Floats]:
    """Play `count` games to their end.

    Returns the games before each of T moves, the actions (T, G) and the final rewards (G,).
    """
    games = new_games(count, generator)
    states, actions = [], []
    for _ in range(MOVES):
        states.append(games)
        actions.append(player(games.observations))
        games, rewards = advance(games, actions[-1])
    return states, np.stack(actions), rewards


def act(network: CatchNetwork, observations: Pixels, dice: Generator | None = None) -> Integers:
    """Return the actions (G,) of the largest logits, or with `dice` draw them from the policy."""
    with torch.no_grad():
        logits = network(_as_input(observations))[0].numpy()
    # The largest of logits with Gumbel noise is a draw from their softmax.
    noise = 0 if dice is None else dice.gumbel(size=logits.shape)
    return np.asarray(np.argmax(logits + noise, axis=1), dtype=np.int64)


def catch_rate(player: Player, seed: int) -> float:
    """Return the share of 1,000 games, the same for every player, in which `player` catches."""
    return float((play(player, EVALUATION_GAMES, default_rng([seed, 1]))[2] > 0).mean())


def train(
    directory: Path, seed: int = 0, progress: Progress | None = None, *, checkpoints: int = 20
) -> Demo:
    """Train on one core; write checkpoints and four observations once training has ended.

    Parameters
    ----------
    directory
        Empty or new. Receives ``checkpoints/catch_<step>_steps.pt`` (``step``, ``state_dict``) and
        ``observations.npy``, uint8 (4, 2, 24, 24): real game states.
    seed
        The same seed gives the same bytes on the same machine.
    progress
        Called with environment steps done, their total, and the share of balls caught lately.
    checkpoints
        How many, the one before training included; each is 3,456 steps from the next.

    Raises
    ------
    RunError
        The directory holds anything, or cannot be written.
    UsageError
        `seed` is negative or `checkpoints` below 2.
    """
    if seed < 0 or checkpoints < 2:
        found = f"found seed {seed} and {checkpoints} checkpoints"
        raise UsageError(f"demo: {found}: choose a seed from 0 on, and 2 or more checkpoints")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{directory}: cannot be made: {error.strerror}: choose another") from error
    with locked(directory, advice="choose another"):
        _check_empty(directory)
        return _train(directory, seed, progress, checkpoints)


def _train(directory: Path, seed: int, progress: Progress | None, checkpoints: int) -> Demo:
    """Do what `train` promises, in a folder that is this process's own."""
    updates = (checkpoints - 1) * UPDATES_PER_CHECKPOINT
    threads = torch.get_num_threads()
    # One thread: the sums' order, and so the weights, then do not depend on the number of cores.
    torch.set_num_threads(1)
    try:
        started = time.perf_counter()
        network, weights = _learn(seed, updates, progress)
        seconds = time.perf_counter() - started
        dice = default_rng([seed, 2])
        chance = catch_rate(lambda seen: dice.integers(LEFT, RIGHT + 1, len(seen)), seed)
        final = catch_rate(partial(act, network), seed)
        _write(directory, weights, _examples(network, default_rng([seed, 3])))
    finally:
        torch.set_num_threads(threads)
    return Demo(
        checkpoints=directory / "checkpoints",
        observations=directory / "observations.npy",
        steps=tuple(weights),
        random_catch_rate=chance,
        final_catch_rate=final,
        seconds=seconds,
    )


def _check_empty(directory: Path) -> None:
    """Refuse a folder that is in use; a process that was killed may have left the names of its lock."""
    if any(path.name not in (LOCK, HOLDER) for path in directory.iterdir()):
        raise RunError(f"{directory}: expected an empty folder, found files: choose another")


def _learn(seed: int, updates: int, progress: Progress | None) -> tuple[CatchNetwork, Weights]:
    """Return the trained network, and its weights by environment step."""
    generator = default_rng([seed, 0])
    with seeded(seed):
        # Channels last in memory: the same network, a fifth faster.
        network = CatchNetwork().to(memory_format=torch.channels_last)
    optimizer = Adam(network.parameters(), eps=1e-5, fused=True)
    weights = {0: _copy_weights(network)}
    steps = PARALLEL_GAMES * MOVES
    for update in range(updates):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - update / updates)
        caught = _improve(network, optimizer, generator)
        if (update + 1) % UPDATES_PER_CHECKPOINT == 0:
            weights[(update + 1) * steps] = _copy_weights(network)
        if progress is not None:
            progress((update + 1) * steps, updates * steps, caught)
    return network, weights


def _improve(network: CatchNetwork, optimizer: Optimizer, generator: Generator) -> float:
    """Play games, learn from them, return the share of balls caught."""
    explore = partial(act, network, dice=generator)
    states, actions, rewards = play(explore, PARALLEL_GAMES, generator)
    observations = _as_input(np.concatenate([games.observations for games in states]))
    learn(network, optimizer, observations, actions, rewards, generator)
    return float((rewards > 0).mean())


def learn(
    network: CatchNetwork,
    optimizer: Optimizer,
    observations: Tensor,
    actions: Integers,
    rewards: Floats,
    generator: Generator,
) -> None:
    """Learn from games by clipped policy gradients (PPO, Schulman et al. 2017).

    `observations` (MOVES x games, ...) are those of all games at the first move, then at the second, ...;
    `actions` are (MOVES, games), and `rewards` (games,).
    """
    chosen = torch.from_numpy(actions.reshape(-1, 1))
    returns = torch.from_numpy(np.tile(rewards, MOVES))
    with torch.no_grad():
        logits, values = network(observations)
        old = logits.log_softmax(1).gather(1, chosen)[:, 0]
        advantages = returns - values[:, 0]
    for _ in range(EPOCHS):
        for batch in torch.from_numpy(generator.permutation(len(returns))).chunk(MINIBATCHES):
            logits, values = network(observations[batch])
            logarithms = logits.log_softmax(1)
            ratio = (logarithms.gather(1, chosen[batch])[:, 0] - old[batch]).exp()
            gain = (advantages[batch] - advantages[batch].mean()) / (advantages[batch].std() + 1e-8)
            clipped = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain).mean()
            error = (values[:, 0] - returns[batch]).square().mean()
            entropy = -(logarithms.exp() * logarithms).sum(1).mean()
            optimizer.zero_grad()
            (VALUE_WEIGHT * error - clipped - ENTROPY_WEIGHT * entropy).backward()
            nn.utils.clip_grad_norm_(network.parameters(), GRADIENT_NORM)
            optimizer.step()


def _examples(network: CatchNetwork, generator: Generator) -> Pixels:
    """Return four observations of the trained agent's play: four heights, both sides, both directions."""
    states, _, _ = play(partial(act, network), EVALUATION_GAMES, generator)
    chosen = []
    # Between these columns no ball has bounced since the picture before.
    for moves, left, right, way in ((2, 5, 9, 1), (4, 12, 16, -1), (6, 5, 9, -1), (8, 12, 16, 1)):
        games = states[moves]
        fits = (games.column >= left) & (games.column <= right) & (games.velocity * way > 0)
        chosen.append(games.observations[np.flatnonzero(fits)[0]])
    return np.stack(chosen)


def _write(directory: Path, weights: Weights, observations: Pixels) -> None:
    try:
        with TemporaryDirectory(prefix=".writing-", dir=directory) as name:
            (folder := Path(name, "checkpoints")).mkdir()
            for step, state in weights.items():
                torch.save({"step": step, "state_dict": state}, folder / f"catch_{step}_steps.pt")
            np.save(Path(name, "observations.npy"), observations)
            for part in ("observations.npy", "checkpoints"):
                Path(name, part).replace(directory / part)
    # torch.save raises RuntimeError where the disk is full.
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{directory}: cannot be written: {reason_of(error)}: choose another folder"
        ) from error


def _copy_weights(network: CatchNetwork) -> dict[str, Tensor]:
    weights = network.state_dict().items()
    return {name: weight.clone(memory_format=torch.contiguous_format) for name, weight in weights}


def _as_input(observations: Pixels) -> Tensor:
    return torch.from_numpy(observations).float() / 255
