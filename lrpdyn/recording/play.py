"""Plays an environment and keeps observations that are spread over what was played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from lrpdyn.errors import LrpdynError, RecordingError, UsageError
from lrpdyn.observations.checked_samples import evenly_spaced
from lrpdyn.recording.atari_objects import Frames, ObjectTracker
from lrpdyn.recording.environments import layers
from lrpdyn.recording.players import each
from lrpdyn.system.progress import progress_bar

#: Without a spacing, it is played until so many episodes have ended and so many steps for each
#: observation are done, or until many more are.
_EPISODES, _STEPS, _MOST_STEPS = 4, 4, 50


@dataclass(frozen=True, kw_only=True)
class Moment:
    """An observation, the hidden state before it, what was done, and where in the play that was.

    `frames` are the objects in each frame of the observation, where they are tracked.
    """

    observation: Any
    state: Any
    action: Any
    episode: int
    time: int
    reward: float
    frames: Frames


@dataclass(frozen=True, kw_only=True)
class Played:
    """Moments that were kept, and the steps and episodes that were played."""

    moments: list[Moment]
    steps: int
    episodes: int


class Stage:
    """An environment of gymnasium, or a vectorised one of Stable-Baselines3 that holds one.

    Parameters
    ----------
    tracker
        Notes for each observation which objects it shows.
    """

    def __init__(self, env: Any, tracker: ObjectTracker | None = None) -> None:
        self.batched = hasattr(env, "step_wait")
        count = getattr(env, "num_envs", 1)
        if count != 1 or (hasattr(env, "num_envs") and not self.batched):
            raise UsageError(
                f"{type(env).__name__}: holds {count} environments side by side; expected one"
            )
        self.env, self._tracker = env, tracker

    def reset(self, seed: int) -> Any:
        """Return the first observation."""
        with failing("environment"):
            if self.batched:
                self.env.seed(seed)
                observation = self.env.reset()
            else:
                observation, _ = self.env.reset(seed=seed)
        self._note(first=True)
        return observation

    def step(self, action: Any) -> tuple[Any, float, bool]:
        """Return the next observation, the reward, and whether an episode ended before it."""
        with failing("environment"):
            found = self.env.step(action)
        if self.batched:
            observation, reward, ended = found[0], float(found[1][0]), bool(found[2][0])
        else:
            observation, reward, terminated, truncated, _ = found
            ended = bool(terminated or truncated)
            if ended:
                with failing("environment"):
                    observation, _ = self.env.reset()
        self._note(first=ended)
        return observation, float(reward), ended

    @property
    def frames(self) -> Frames:
        """The objects in each frame of the newest observation; empty where they are not tracked."""
        return () if self._tracker is None else self._tracker.frames

    def _note(self, *, first: bool) -> None:
        if self._tracker is not None:
            self._tracker.observation(first=first)

    def about(self) -> dict[str, Any]:
        """Return the environment's name and its wrappers, the outermost first."""
        *wrappers, env = layers(self.env)
        names = [type(wrapper).__name__ for wrapper in wrappers]
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
            frames = stage.frames
            with failing("policy"):
                action, following = act(observation, state)
            observation, reward, ended = stage.step(action)
            if steps % spacing == 0:
                kept.append(
                    Moment(
                        observation=seen, state=state, action=action, episode=episodes, time=time,
                        reward=reward, frames=frames,
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
