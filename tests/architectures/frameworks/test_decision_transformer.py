"""The decision transformer of transformers: the same actions, from what is held fixed too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import DecisionTransformerConfig, DecisionTransformerModel

import lrpdyn
from lrpdyn.errors import ArchitectureError, ObservationError

SAMPLES, STEPS, STATE, ACTION, LONGEST = 3, 4, 5, 2, 12


def saved(folder: Path, **settings: Any) -> Any:
    """Save two checkpoints as the Trainer does, and return the last network."""
    torch.manual_seed(0)
    config = DecisionTransformerConfig(
        state_dim=STATE, act_dim=ACTION, hidden_size=8, max_ep_len=LONGEST, n_layer=2, n_head=2,
        bos_token_id=None, eos_token_id=None, **settings,
    )  # fmt: skip
    network = DecisionTransformerModel(config).eval()
    for step in (1, 2):
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.3)
        network.save_pretrained(folder / f"checkpoint-{step}")
        state = folder / f"checkpoint-{step}" / "trainer_state.json"
        state.write_text(f'{{"global_step": {step}}}')
    return network


def given() -> dict[str, np.ndarray[Any, Any]]:
    draw = np.random.default_rng(0).normal
    return {
        "states": draw(size=(SAMPLES, STEPS, STATE)).astype(np.float32),
        "actions": draw(size=(SAMPLES, STEPS, ACTION)).astype(np.float32),
        "returns_to_go": draw(size=(SAMPLES, STEPS, 1)).astype(np.float32),
        "timesteps": np.arange(STEPS)[None] + np.arange(SAMPLES)[:, None] * 3,
    }


def theirs(network: Any, arrays: dict[str, Any]) -> np.ndarray[Any, Any]:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    with torch.no_grad():
        found: np.ndarray[Any, Any] = network(**tensors).action_preds[:, -1].numpy()
    return found


def computed(folder: Path, observations: Any, **options: Any) -> Any:
    return lrpdyn.compute(folder, observations, out=folder / "out", quiet=True, **options)


@pytest.mark.parametrize(
    ("settings", "held"),
    [({}, True), ({"action_tanh": False, "activation_function": "gelu"}, True), ({}, False)],
)
def test_actions_are_those_of_transformers(
    tmp_path: Path, settings: dict[str, Any], held: bool
) -> None:
    network, arrays = saved(tmp_path, **settings), given()
    observations: Any = arrays
    if not held:
        arrays = {name: np.zeros_like(values) for name, values in arrays.items()} | {
            "states": arrays["states"]
        }
        arrays["timesteps"][:] = np.arange(STEPS)
        observations = arrays["states"]
    np.save(tmp_path / "outputs.npy", theirs(network, arrays))
    found = computed(tmp_path, observations, expect=tmp_path / "outputs.npy", expect_step=2)
    manifest = found.manifest
    assert manifest["architecture"]["name"] == "hf:DecisionTransformerModel"
    assert manifest["checks"]["expected"]["largest_difference"] < 1e-5
    assert manifest["checks"]["expected"].get("squashed", False) == (not settings)
    assert manifest["observations"]["shape"] == [SAMPLES, STEPS, STATE]
    said = "inputs actions" if held else "assumed: actions and returns_to_go zero"
    assert sum(note.startswith(said) for note in manifest["rule"]["notes"]) == 1


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("timesteps", np.full((SAMPLES, STEPS), LONGEST), "whole numbers 0 to 11, found 12"),
        ("returns_to_go", np.zeros((SAMPLES, STEPS + 1, 1)), r"expected shape \(3, 4, 1\)"),
    ],
)
def test_what_is_held_must_fit(tmp_path: Path, name: str, values: Any, message: str) -> None:
    saved(tmp_path)
    with pytest.raises(ObservationError, match=message):
        computed(tmp_path, {**given(), name: values})


def test_a_sequence_that_is_too_long_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    with pytest.raises(ArchitectureError, match="13 states, and it takes 12"):
        computed(tmp_path, np.zeros((SAMPLES, LONGEST + 1, STATE), np.float32))
