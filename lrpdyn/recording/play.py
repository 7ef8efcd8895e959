"""Plays an environment and keeps observations that are spread over what was played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpdyn.errors import LrpdynError, RecordingError, UsageError
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.recording.players import each
from lrpdyn.system.progress import progress_bar

#: Without a spacing, it is played until so many episodes have ended and so many steps for each
#: observation are done, or until many more are.
_EPISODES, _STEPS, _MOST_STEPS = 4, 4, 50


@dataclass(frozen=True, kw_only=True)
class Moment:
    """An observation, the hidden state before it, what was done, and where in the play that was."""

    observation: Any
    state: Any
    action: Any
    episode: int
    time: int
    reward: float


@dataclass(frozen=True, kw_only=True)
class Played:
    """Moments that were kept, and the steps and episodes that were played."""

    moments: list[Moment]
    steps: int
    episodes: int


class Stage:
    """An environment of gymnasium, or a vectorised one of Stable-Baselines3 that holds one."""

    def __init__(self, env: Any) -> None:
        self.batched = hasattr(env, "step_wait")
        count = getattr(env, "num_envs", 1)
        if count != 1 or (hasattr(env, "num_envs") and not self.batched):
            raise UsageError(
                f"{type(env).__name__}: holds {count} environments side by side; expected one"
            )
        self.env = env

    def reset(self, seed: int) -> Any:
        """Return the first observation."""
        if self.batched:
            self.env.seed(seed)
            with failing("environment"):
                return self.env.reset()
        with failing("environment"):
            return self.env.reset(seed=seed)[0]

    def step(self, action: Any) -> tuple[Any, float, bool]:
        """Return the next observation, the reward, and whether an episode ended before it."""
        with failing("environment"):
            found = self.env.step(action)
        if self.batched:
            observation, reward, done, _ = found
            return observation, float(reward[0]), bool(done[0])
        observation, reward, terminated, truncated, _ = found
        if terminated or truncated:
            with failing("environment"):
                observation, _ = self.env.reset()
        return observation, float(reward), bool(terminated or truncated)

    def about(self) -> dict[str, Any]:
        """Return the environment's name and its wrappers, the outermost first."""
        names, env = [], self.env
        while (inner := _inside(env)) is not None:
            names.append(type(env).__name__)
            env = inner
        spec = getattr(env, "spec", None)
        name = getattr(spec, "id", None) or type(env).__name__
        return {"environment": str(name), "wrappers": names, **_action_meanings(env)}


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise RecordingError where an environment or a policy fails, which may be anybody's."""
    try:
        yield
    except LrpdynError:
        raise
    except Exception as error:
        said = (str(error).splitlines() or [""])[0]
        raise RecordingError(
            f"the {what} failed while it was played: {type(error).__name__}: {said}"
        ) from error


def _action_meanings(env: Any) -> dict[str, list[str]]:
    """Return what an environment's actions mean, by number, where it says so, as those of Atari do."""
    meanings = getattr(env, "get_action_meanings", None)
    with suppress(Exception):  # of anybody's environment, and not needed
        return {} if meanings is None else {"action_meanings": [str(one) for one in meanings()]}
    return {}


def _inside(env: Any) -> Any:
    if hasattr(env, "venv"):
        return env.venv
    return env.envs[0] if hasattr(env, "envs") else env.__dict__.get("env")


def play(
    stage: Stage,
    act: Callable[[Any, Any], tuple[Any, Any]],
    *,
    n: int,
    every: int | None,
    seed: int,
    quiet: bool,
) -> Played:
    """Play and return `n` moments: each `every`-th step, or spread over what was played.

    `act` returns the action for an observation and a hidden state, and the next state; the state of an
    episode that begins is None. Without `every` it is unknown how long episodes are: moments are kept at a
    spacing that doubles whenever twice as many are kept as are wanted.
    """
    kept: list[Moment] = []
    spacing, steps, episodes, time = every or 1, 0, 0, 0
    observation, state = stage.reset(seed), None
    with progress_bar(quiet=quiet, desc="playing", unit="step",
                      total=None if every is None else (n - 1) * every + 1) as bar:  # fmt: skip
        while True:
            seen = each(observation, np.array)  # an environment may write into its own
            with failing("policy"):
                action, following = act(observation, state)
            observation, reward, ended = stage.step(action)
            if steps % spacing == 0:
                kept.append(
                    Moment(
                        observation=seen, state=state, action=action, episode=episodes, time=time,
                        reward=reward,
                    )
                )  # fmt: skip
            state = None if ended else following
            steps, time, episodes = steps + 1, 0 if ended else time + 1, episodes + ended
            bar.update()
            if every is not None:
                if len(kept) == n:
                    return Played(moments=kept, steps=steps, episodes=kept[-1].episode + 1)
                continue
            if len(kept) == 2 * n:
                kept, spacing = kept[::2], 2 * spacing
            enough = episodes >= _EPISODES and steps >= _STEPS * n
            if enough or steps >= _MOST_STEPS * n:
                chosen = [kept[place] for place in evenly_spaced(len(kept), n)]
                return Played(moments=chosen, steps=steps, episodes=chosen[-1].episode + 1)
