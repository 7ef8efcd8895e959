"""Train a small convolutional agent on Catch, a pixel game, to have real checkpoints at hand.

A ball falls obliquely and bounces off the walls; a paddle at the bottom moves left, stays or moves
right. A game ends where the ball lands: +1 caught, -1 missed. The ball may be faster than the
paddle, so that the agent has to see from two successive pictures where it will land.

The agent learns by proximal policy optimisation (Schulman et al. 2017, arXiv:1707.06347) from whole
games: the return of each of its moves is how the game ended, the advantage what that is above the
value.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lrpdyn.errors import RunError, UsageError

# Lengths in pixels, speeds in pixels a step; a ball or a paddle is where its left upper corner is.
SIZE, WALL, BALL, PADDLE_WIDTH, PADDLE_HEIGHT = 24, 1, 2, 5, 2
FALL_SPEED, PADDLE_SPEED, BALL_SPEEDS = 2, 2, (-3, -2, -1, 1, 2, 3)
WALL_GREY, BRIGHT = 96, 255
LEFT, STAY, RIGHT = 0, 1, 2
PADDLE_ROW = SIZE - PADDLE_HEIGHT
TOP_ROW, LANDING_ROW = 2, PADDLE_ROW - BALL
MOVES = (LANDING_ROW - TOP_ROW) // FALL_SPEED
LAST_BALL, LAST_PADDLE = SIZE - WALL - BALL, SIZE - WALL - PADDLE_WIDTH

PARALLEL_GAMES, UPDATES_PER_CHECKPOINT, EPOCHS, MINIBATCHES = 96, 4, 3, 7
LEARNING_RATE, CLIP = 2.5e-3, 0.2
VALUE_WEIGHT, ENTROPY_WEIGHT, GRADIENT_NORM = 0.5, 0.01, 0.5
EVALUATION_GAMES = 1000

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
Player = Callable[[Pixels], Integers]
Progress = Callable[[int, int, float], None]


class CatchNetwork(nn.Module):
    """Policy and value on shared features of `channels` stacked pictures of 24 x 24 pixels."""

    heads = ("policy", "value")

    def __init__(self, channels: int = 2, actions: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 16, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 5 * 5, 64),
            nn.ReLU(),
        )
        self.policy = nn.Linear(64, actions)
        self.value = nn.Linear(64, 1)

    def path(self, head: str) -> nn.Sequential:
        """Return the module from observations to the outputs (N, units) of `head`."""
        return nn.Sequential(self.features, self.get_submodule(head))

    def forward(self, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (N, actions) and values (N, 1) for (N, channels, 24, 24) in 0..1."""
        features = self.features(observations)
        return self.policy(features), self.value(features)


@dataclass(frozen=True)
class Games:
    """G games, (G,) each, and their last two pictures, older first: (G, 2, 24, 24) in 0..255."""

    row: Integers
    column: Integers
    velocity: Integers
    paddle: Integers
    observations: Pixels


@dataclass(frozen=True)
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
    for down in range(BALL):
        for right in range(BALL):
            pictures[game, row + down, column + right] = BRIGHT
    for right in range(PADDLE_WIDTH):
        pictures[game, PADDLE_ROW:, paddle + right] = BRIGHT
    return pictures


def new_games(count: int, generator: np.random.Generator) -> Games:
    """Return `count` games with the ball at the top, all else drawn evenly, one picture twice."""
    row = np.full(count, TOP_ROW, dtype=np.int64)
    column = generator.integers(WALL, LAST_BALL + 1, count)
    velocity = generator.choice(np.array(BALL_SPEEDS, dtype=np.int64), count)
    paddle = np.full(count, (WALL + LAST_PADDLE) // 2, dtype=np.int64)
    pictures = draw(row, column, paddle)
    return Games(row, column, velocity, paddle, np.stack([pictures, pictures], axis=1))


def advance(games: Games, actions: Integers) -> tuple[Games, Floats]:
    """Move paddles by `actions` (G,) and balls once; return games and rewards (G,).

    The reward is 0 while the ball falls; where it has landed, 1 if any of it is on the paddle,
    else -1.
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
    return Games(row, column, velocity, paddle, pictures), rewards


def play(
    player: Player, count: int, generator: np.random.Generator
) -> tuple[list[Games], Integers, Floats]:
    """Play `count` games to their end.

    `player` gives actions (G,) for observations (G, 2, 24, 24). Returns the games before each of T
    moves, the actions (T, G) and the final rewards (G,).
    """
    games = new_games(count, generator)
    states, actions = [], []
    for _ in range(MOVES):
        states.append(games)
        actions.append(player(games.observations))
        games, rewards = advance(games, actions[-1])
    return states, np.stack(actions), rewards


def random_player(generator: np.random.Generator) -> Player:
    """Return a player that draws each action evenly."""
    return lambda observations: generator.integers(LEFT, RIGHT + 1, len(observations))


def greedy_player(network: CatchNetwork) -> Player:
    """Return a player that takes the action of the largest logit."""

    def choose(observations: Pixels) -> Integers:
        with torch.no_grad():
            logits, _ = network(_as_input(observations))
        return np.asarray(logits.argmax(dim=1).numpy(), dtype=np.int64)

    return choose


def catch_rate(player: Player, seed: int) -> float:
    """Return the share of 1,000 games, the same for every player, in which `player` catches."""
    _, _, rewards = play(player, EVALUATION_GAMES, np.random.default_rng([seed, 1]))
    return float((rewards > 0).mean())


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
        raise UsageError(
            "demo: expected a seed of 0 or more and 2 checkpoints or more, "
            f"found seed {seed} and {checkpoints} checkpoints: change them"
        )
    _claim(directory)
    threads = torch.get_num_threads()
    # One thread: the sums' order, and so the weights, then do not depend on the number of cores.
    torch.set_num_threads(1)
    try:
        started = time.perf_counter()
        network, weights = _learn(seed, checkpoints, progress)
        seconds = time.perf_counter() - started
        chance = catch_rate(random_player(np.random.default_rng([seed, 2])), seed)
        final = catch_rate(greedy_player(network), seed)
        _write(directory, weights, _examples(network, np.random.default_rng([seed, 3])))
    finally:
        torch.set_num_threads(threads)
    paths = directory / "checkpoints", directory / "observations.npy"
    return Demo(*paths, tuple(weights), chance, final, seconds)


def _claim(directory: Path) -> None:
    """Make `directory`, or refuse one that is in use."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        used = any(directory.iterdir())
    except OSError as error:
        raise RunError(
            f"{directory}: cannot be made ({error.strerror}): choose another folder"
        ) from error
    if used:
        raise RunError(
            f"{directory}: expected an empty folder, found files in it: choose another, or empty it"
        )


def _learn(
    seed: int, checkpoints: int, progress: Progress | None
) -> tuple[CatchNetwork, dict[int, dict[str, Tensor]]]:
    """Return the trained network, and its weights by environment step."""
    generator = np.random.default_rng([seed, 0])
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed graphics cards too, whose state is not given back.
        torch.default_generator.manual_seed(seed)
        network = CatchNetwork().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), eps=1e-5, fused=True)
    updates = (checkpoints - 1) * UPDATES_PER_CHECKPOINT
    recent: deque[float] = deque(maxlen=UPDATES_PER_CHECKPOINT)
    weights = {0: _copy_weights(network)}
    for update in range(1, updates + 1):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * (1 - (update - 1) / updates)
        recent.append(_improve(network, optimizer, generator))
        done = update * PARALLEL_GAMES * MOVES
        if update % UPDATES_PER_CHECKPOINT == 0:
            weights[done] = _copy_weights(network)
        if progress is not None:
            progress(done, updates * PARALLEL_GAMES * MOVES, sum(recent) / len(recent))
    return network, weights


def _improve(
    network: CatchNetwork, optimizer: torch.optim.Optimizer, generator: np.random.Generator
) -> float:
    """Play games, learn from them, return the share of balls caught."""

    def explore(observations: Pixels) -> Integers:
        with torch.no_grad():
            logits = network(_as_input(observations))[0].numpy()
        # The largest of logits with Gumbel noise is a draw from their softmax.
        return np.argmax(logits + generator.gumbel(size=logits.shape), axis=1)

    states, actions, rewards = play(explore, PARALLEL_GAMES, generator)
    observations = _as_input(np.concatenate([games.observations for games in states]))
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
    return float((rewards > 0).mean())


def _examples(network: CatchNetwork, generator: np.random.Generator) -> Pixels:
    """Return four observations of the trained agent's play: two heights on each side, each way."""
    states, _, _ = play(greedy_player(network), EVALUATION_GAMES, generator)
    chosen = []
    for moves, columns, direction in (
        (2, (5, 9), 1),
        (4, (12, 16), -1),
        (6, (5, 9), -1),
        (8, (12, 16), 1),
    ):
        games = states[moves]
        # Between these columns no ball has bounced since the picture before.
        inside = (games.column >= columns[0]) & (games.column <= columns[1])
        first = np.flatnonzero(inside & (np.sign(games.velocity) == direction))[0]
        chosen.append(games.observations[first])
    return np.stack(chosen)


def _write(directory: Path, weights: dict[int, dict[str, Tensor]], observations: Pixels) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=directory) as name:
            beside = Path(name)
            (beside / "checkpoints").mkdir()
            for step, state in weights.items():
                file = beside / "checkpoints" / f"catch_{step}_steps.pt"
                torch.save({"step": step, "state_dict": state}, file)
            np.save(beside / "observations.npy", observations)
            for part in ("observations.npy", "checkpoints"):
                os.replace(beside / part, directory / part)
    # torch.save raises RuntimeError where the disk is full.
    except (OSError, RuntimeError) as error:
        raise RunError(
            f"{directory}: cannot be written ({error}): choose another folder"
        ) from error


def _copy_weights(network: CatchNetwork) -> dict[str, Tensor]:
    return {name: weight.detach().clone(memory_format=torch.contiguous_format) for name, weight in network.state_dict().items()}


def _as_input(observations: Pixels) -> Tensor:
    return torch.from_numpy(observations).float() / 255
