"""Short real runs of Stable-Baselines3, each saved at step 0 and once more with other weights."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch


@contextmanager
def quietly() -> Iterator[None]:
    """Let gymnasium and Stable-Baselines3 warn about each other."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def save_series(model: Any, folder: Path, *, step: int = 128) -> None:
    """Save a model as it is, and with weights that have moved far, as training would move them."""
    with quietly():
        model.save(folder / "rl_model_0_steps.zip")
        generator = torch.Generator().manual_seed(5)
        with torch.no_grad():
            for weights in model.policy.parameters():
                size = 0.5 * weights.abs().mean() + 0.02
                weights += size * torch.randn(weights.shape, generator=generator)
        model.num_timesteps = step
        model.save(folder / f"rl_model_{step}_steps.zip")


def cart_pole(folder: Path, algorithm: str = "PPO", **options: Any) -> Any:
    """Save a series that plays CartPole."""
    return saved("CartPole-v1", folder, algorithm, **options)


def saved(environment: str, folder: Path, algorithm: str, **options: Any) -> Any:
    """Save a series of vectors and return its last model."""
    with quietly():
        import sb3_contrib
        import stable_baselines3

        kinds = {**vars(sb3_contrib), **vars(stable_baselines3)}
        policy = "MlpLstmPolicy" if algorithm == "RecurrentPPO" else "MlpPolicy"
        model = kinds[algorithm](policy, environment, seed=0, device="cpu", **options)
    save_series(model, folder)
    return model


def equals(first: Any, second: Any) -> bool:
    """Tell whether outputs agree to float32."""
    return bool(np.allclose(first, second, rtol=1e-5, atol=1e-6))
