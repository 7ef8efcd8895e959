"""Policies of the real Stable-Baselines3 for any observation space, and their own outputs."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.explain.explanation import outputs_of
from lrpdyn.explain.loaded import load
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import listed, prepare

ACTIONS = 3


class Env(gymnasium.Env[Any, Any]):
    """Gives samples of an observation space, whatever is done."""

    action_space = gymnasium.spaces.Discrete(ACTIONS)

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self.observation_space = space

    def reset(self, **options: Any) -> Any:
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), 0.0, False, False, {}


def save(
    folder: Path,
    env: gymnasium.Space[Any] | Any,
    policy: str = "MlpPolicy",
    algorithm: str = "PPO",
    **options: Any,
) -> list[Any]:
    """Save two policies as checkpoints of a run and return them; `options` are the policy's."""
    env = Env(env) if isinstance(env, gymnasium.Space) else env
    models = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import stable_baselines3

        small = {"features_extractor_kwargs": {"features_dim": 16}} if policy == "CnnPolicy" else {}
        extra = {"buffer_size": 10} if algorithm == "DQN" else {"n_steps": 8, "batch_size": 8}
        for seed in (0, 1):
            model = getattr(stable_baselines3, algorithm)(
                policy, env, seed=seed, device="cpu", policy_kwargs={**small, **options}, **extra
            )
            if algorithm == "PPO":  # which begins with outputs near zero
                model.policy.action_net.weight.data.mul_(100)
            model.save(folder / f"model_{seed}_steps.zip")
            models.append(model)
    return models


def outputs(model: Any, raw: Any) -> NDArray[Any]:
    """Return the framework's own outputs for raw observations, less their mean."""
    with torch.no_grad():
        given, _ = model.policy.obs_to_tensor(raw)
        if hasattr(model.policy, "q_net"):
            found = model.policy.q_net(given)
        else:
            found = model.policy.get_distribution(given).distribution.logits
    return (found - found.mean(1, keepdim=True)).double().numpy()  # type: ignore[no-any-return]


def explained(folder: Path, given: Any, **options: Any) -> tuple[Job, NDArray[Any]]:
    """Return the job on observations, and the outputs that it explains, (steps, N), of the first action."""
    asked = Options(**{"out": folder / "run", "quiet": True, "baseline": "none", **options})
    listing = listed(folder, asked)
    job, _ = prepare(asked, listing, given)
    found = [
        outputs_of(load(job.model, checkpoint, trust=False), job.observations.values)
        for checkpoint in listing.checkpoints
    ]
    return job, np.stack([(values - values.mean(1, keepdims=True))[:, 0] for values in found])


def assert_as_the_framework(
    folder: Path, models: list[Any], raw: Any, given: Any, **options: Any
) -> Job:
    """Compare what is explained with the framework's outputs for `raw`, and return the job."""
    job, found = explained(folder, given, **options)
    compare(found, models, raw)
    return job


def compare(found: NDArray[Any], models: list[Any], raw: Any) -> None:
    """Compare scores (steps, N) with the framework's outputs for `raw`."""
    expected = np.stack([outputs(model, raw)[:, 0] for model in models])
    assert np.abs(expected).max() > 1e-3, "outputs that are all zero show nothing"
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def scores(run: lrpdyn.Run) -> NDArray[Any]:
    """Return the scores of a run, (steps, N)."""
    return np.asarray(run.metrics["score"], dtype=np.float64).reshape(len(run.steps), -1)
