"""An environment of gymnasium with the wrappers that a run of Stable-Baselines3 had."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from lrpdyn.errors import LrpdynError, RecordingError
from lrpdyn.files.reasons import as_text, reason_of
from lrpdyn.observations.normalisation import from_file

ATARI = "stable_baselines3.common.atari_wrappers.AtariWrapper"
#: Wrappers by their dotted names: those of the libraries that are used anyway.
_KNOWN = ("stable_baselines3.common.", "sb3_contrib.common.wrappers.", "gymnasium.wrappers.")


def make_environment(
    name: str,
    *,
    env_kwargs: Mapping[str, Any],
    wrappers: Sequence[tuple[str, Mapping[str, Any]]],
    statistics: Path | None,
    stack: int | None,
    trust: bool,
) -> Any:
    """Return the environment, vectorised, as the policy's own algorithm would wrap it.

    Parameters
    ----------
    name
        Of the environment, or ``MODULE:NAME``, whose module registers it.
    wrappers
        Their dotted names, with arguments, the innermost first.
    statistics
        A ``vecnormalize.pkl``: what observations are normalised with.
    stack
        So many frames are one observation.
    trust
        Unpickle the statistics, and import wrappers of any package.

    Raises
    ------
    RecordingError
        It is not installed, or cannot be made so.
    """
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

    env = _made(name, env_kwargs)
    try:
        for wrapper, arguments in wrappers:
            env = _wrapper(wrapper, trust=trust)(env, **arguments)
        venv: Any = DummyVecEnv([lambda: env])
        shape = venv.observation_space.shape
        stacked = None if stack is None else VecFrameStack(venv, stack)
        if statistics is None:
            venv = stacked or venv
        elif stacked is None or _shape_of(statistics) == shape:
            venv = _normalised(venv, statistics, trust=trust)
            venv = venv if stack is None else VecFrameStack(venv, stack)
        else:
            venv = _normalised(stacked, statistics, trust=trust)
        return BaseAlgorithm._wrap_env(venv, verbose=0, monitor_wrapper=False)
    except LrpdynError:
        raise
    except Exception as error:  # of wrappers, which may be anybody's
        raise RecordingError(
            f"{name}: its wrappers ({', '.join(one for one, _ in wrappers) or 'none'}, stack {stack}) do not "
            f"fit: {reason_of(error)[:160]}"
        ) from error


def layers(env: Any) -> Iterator[Any]:
    """Yield an environment's wrappers, the outermost first, and then the environment within."""
    while env is not None:
        yield env
        env = _inside(env)


def _inside(env: Any) -> Any:
    if hasattr(env, "venv"):
        return env.venv
    return env.envs[0] if hasattr(env, "envs") else env.__dict__.get("env")


def _made(name: str, env_kwargs: Mapping[str, Any]) -> Any:
    import gymnasium

    with suppress(ImportError):
        import ale_py

        gymnasium.register_envs(ale_py)
    try:
        return gymnasium.make(name, **env_kwargs)
    except (gymnasium.error.Error, ImportError) as error:
        said = reason_of(error)[:200]
        raise RecordingError(
            f"{name}: this environment is not installed here ({said}); Atari: pip install "
            "'lrpdyn[record]'; others: the package that has it, and MODULE:NAME where MODULE registers it"
        ) from error
    except Exception as error:  # of the environment
        raise RecordingError(
            f"{name}: cannot be made with {as_text(env_kwargs)}: {reason_of(error)[:160]}; "
            "give its arguments with --env-kwarg KEY=VALUE"
        ) from error


def _wrapper(name: str, *, trust: bool) -> Any:
    name = f"gymnasium.{name.removeprefix('gym.')}" if name.startswith("gym.wrappers.") else name
    module, _, kind = name.rpartition(".")
    if not trust and not name.startswith(_KNOWN):
        raise RecordingError(
            f"wrapper {name}: is none of Stable-Baselines3's, sb3-contrib's or gymnasium's own; give --trust "
            "to import it, or play the environment with lrpdyn.record(model, env) in Python"
        )
    try:
        return getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecordingError(
            f"wrapper {name}: is not installed here: {reason_of(error)}"
        ) from error


def _shape_of(statistics: Path) -> tuple[int, ...] | None:
    """Return the shape of one observation that the statistics are of, where they are read as such."""
    with suppress(LrpdynError):
        read = from_file(statistics, trust=True)
        return None if read is None else read.mean.shape
    return None


def _normalised(venv: Any, statistics: Path, *, trust: bool) -> Any:
    """Return the environment whose observations are normalised as at the end of training."""
    from stable_baselines3.common.vec_env import VecNormalize

    if trust:
        found = VecNormalize.load(str(statistics), venv)
        found.training = found.norm_reward = False
        return found
    # The pickle is followed and not run: the user named it, or it lies by the checkpoint.
    inputs: Mapping[str | None, Any] = getattr(venv.observation_space, "spaces", {})
    spaces = inputs or {None: venv.observation_space}
    read = {name: from_file(statistics, trust=True, name=name) for name in spaces}
    known = {name: found for name, found in read.items() if found is not None}
    for name, of in known.items():
        if of.mean.shape != spaces[name].shape:
            raise RecordingError(
                f"{statistics}: is of observations of shape {of.mean.shape}, and the environment's have "
                f"{spaces[name].shape}; --stack, --atari, or --vecnormalize FILE"
            )
    if not known:
        raise RecordingError(
            f"{statistics}: is of none of the inputs {', '.join(map(str, inputs))} of the environment"
        )
    clip = next(iter(known.values())).clip or float("inf")
    found = VecNormalize(
        venv, training=False, norm_reward=False, clip_obs=clip, epsilon=0.0,
        norm_obs_keys=[*known] if inputs else None,
    )  # fmt: skip
    for name, of in known.items():
        running = found.obs_rms[name] if inputs else found.obs_rms
        running.mean, running.var = of.mean, of.deviation**2
    return found
