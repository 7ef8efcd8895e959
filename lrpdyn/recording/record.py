"""Records what a policy's network was given in play, and the outputs that it gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import RecordingError, UsageError
from lrpdyn.files.npy import is_npy
from lrpdyn.observations.recording import Recording, is_recording
from lrpdyn.observations.regions import Regions, write_masks
from lrpdyn.recording.atari_objects import regions_of, tracked
from lrpdyn.recording.play import Stage, failing, play
from lrpdyn.recording.players import Outputs, player_of
from lrpdyn.system.randomness import seeded
from lrpdyn.system.threads import one_thread
from lrpdyn.version import __version__


def record(
    policy: Any,
    env: Any,
    *,
    n: int = 64,
    every: int | None = None,
    seed: int = 0,
    deterministic: bool = True,
    out: str | Path | None = None,
    head: str | None = None,
    step: int | None = None,
    outputs: Outputs | None = None,
    objects: bool = False,
    about: Mapping[str, Any] | None = None,
    quiet: bool = True,
) -> Recording:
    """Play a policy and return what its network was given, and the outputs that it gave.

    Parameters
    ----------
    policy
        A model or policy of Stable-Baselines3 or sb3-contrib; whatever else has ``predict``, with
        `outputs`; or a module or function from observations (1, ...), a float32 tensor, to outputs
        (1, K): the largest is the action, or they are the action where that is continuous.
    env
        An environment of gymnasium, or a vectorised one of Stable-Baselines3 that holds one.
    n
        How many observations.
    every
        Each so many-th step; where not given, spread over four episodes, or fewer long ones.
    seed
        Of the environment, and of what the policy draws.
    deterministic
        Whether the policy acts as it prefers; it draws otherwise.
    out
        Where the recording is written, a .npz for ``lrpdyn compute CHECKPOINTS OUT``.
    head
        Which outputs: ``policy`` or ``value``, ``q``; the policy's own where not given.
    step
        Of the checkpoint that has these weights; a model's ``num_timesteps`` where not given.
    outputs
        A function as above, where `policy` alone does not tell how it has its outputs.
    objects
        Keep the objects that OCAtari finds in the memory of an Atari game, as regions. With `out` they are
        written next to it (`objects_path`), for ``--regions``.
    about
        Further plain data for the recording.
    quiet
        No progress bar.

    Raises
    ------
    UsageError
        How the policy acts, or has its outputs, is not known; or where the objects are.
    RecordingError
        The environment or the policy fails, or outputs are not finite or not (1, K); OCAtari is not
        installed, or fails.
    """
    if n < 1 or (every is not None and every < 1):
        raise UsageError(f"--n {n}, --every {every}: expected 1 or more")
    if out is not None:
        _check_free(Path(out))
    with tracked(env) if objects else nullcontext() as tracker, seeded(seed), one_thread():
        stage = Stage(env, tracker)
        player = player_of(
            policy, action_space=env.action_space, batched=stage.batched,
            deterministic=deterministic, head=head, outputs=outputs,
        )  # fmt: skip
        played = play(stage, player.act, n=n, every=every, seed=seed, quiet=quiet)
    moments = played.moments
    with failing("policy"):
        found = np.concatenate([player.outputs(one.observation, one.state) for one in moments])
        given = _joined([player.given(one.observation, one.state) for one in moments])
    if not np.isfinite(found).all():
        raise RecordingError("the outputs hold NaN or infinity: these weights cannot be recorded")
    regions = None
    if tracker is not None:
        pictures = given["observation"] if isinstance(given, Mapping) else given
        regions = regions_of([one.frames for one in moments], pictures.shape, tracker.view)
    recording = Recording(
        observations=given,
        outputs=found,
        actions=np.concatenate([_batch(moment.action, stage.batched) for moment in moments]),
        episode=np.array([moment.episode for moment in moments]),
        time=np.array([moment.time for moment in moments]),
        reward=np.array([moment.reward for moment in moments]),
        about={
            "lrpdyn": __version__, **stage.about(), **player.about,
            **({} if step is None else {"step": step}), "deterministic": deterministic, "seed": seed,
            "every": every, "steps": played.steps, "episodes": played.episodes, **(about or {}),
        },
        objects=regions,
    )  # fmt: skip
    if out is not None:
        recording.save(out)
        if objects:
            _write_objects(objects_path(out), regions)
    return recording


def objects_path(recording: str | Path) -> Path:
    """Return where the objects of a recording are written: ``obs-objects.npz`` for ``obs.npz``."""
    path = Path(recording)
    return path.with_name(f"{path.stem}-objects.npz")


def _write_objects(path: Path, regions: Regions | None) -> None:
    """Write the objects as masks; where there are none, no file of an earlier recording stays."""
    if regions is None:
        path.unlink(missing_ok=True)
    else:
        write_masks(path, regions)


def _check_free(path: Path) -> None:
    """Refuse to write over what is no recording."""
    if path.suffix != ".npz":
        raise UsageError(f"{path}: a recording is a .npz file")
    with suppress(FileNotFoundError):
        if is_npy(path) or not is_recording(path):
            raise UsageError(f"{path}: is there already, and no recording; choose another with -o")


def _batch(action: Any, batched: bool) -> NDArray[Any]:
    return np.asarray(action) if batched else np.asarray(action)[None]


def _joined(given: Sequence[Any]) -> Any:
    if isinstance(given[0], Mapping):
        return {name: np.concatenate([one[name] for one in given]) for name in given[0]}
    return np.concatenate(given)
