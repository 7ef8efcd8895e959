"""Which of the things in a file are the weights."""

from __future__ import annotations

from typing import Any

import pytest

from lrpdyn.checkpoints.payload import OptimizerStateError, epoch_of, follow, locate, step_of
from lrpdyn.errors import CheckpointError
from tests.checkpoints.layouts import adam
from tests.checkpoints.networks import states

A, B = states((1,))[1], states((2,))[2]


@pytest.mark.parametrize(
    ("found", "weights", "where"),
    [
        (A, "model", ""),
        ({"state_dict": A, "model": B}, "model", "state_dict"),
        ({"model": {"state_dict": A}, "epoch": 1}, "model", "model/state_dict"),
        ({"policy": A, "optimizer": adam(A)}, "model", "policy"),
        ({"policy": A, "ema": B}, "model", "policy"),
        ((A, B), "model", "0"),
        ({"model": A, "model_ema": B}, "ema", "model_ema"),
        ({"state_dict": A, "ema": {"shadow": B}}, "ema", "ema/shadow"),
        ({"actor": A, "critic": B}, "critic", "critic"),
        ({"nets": {"actor": A, "critic": B}}, "nets/actor", "nets/actor"),
        ((A, B), "1", "1"),
    ],
)
def test_where_the_weights_are(found: Any, weights: str, where: str) -> None:
    path, chosen = locate(found, weights, "here")
    assert path == where
    assert chosen is follow(found, path)


@pytest.mark.parametrize(
    ("found", "weights", "says"),
    [
        ({"actor": A, "critic": B}, "model", r"several sets of weights, actor, critic.*--weights"),
        ({"state_dict": A}, "ema", "no averaged weights.*found state_dict"),
        ({"state_dict": A}, "critic", "none called|no weights called critic.*state_dict"),
        ({"epoch": 1}, "model", "found keys 'epoch'"),
        ([1, 2], "model", "found a list"),
    ],
)
def test_what_is_not_there(found: Any, weights: str, says: str) -> None:
    with pytest.raises(CheckpointError, match=says):
        locate(found, weights, "here")


def test_an_optimizer_is_no_network() -> None:
    with pytest.raises(OptimizerStateError):
        locate(adam(A), "model", "here")


@pytest.mark.parametrize(
    ("found", "step", "epoch"),
    [
        ({"global_step": 5, "epoch": 2}, 5, 2),
        ({"meta": {"iter": 7, "epoch": 1}}, 7, 1),
        ({"optimizer_history": [{"num_updates": 1}, {"num_updates": 9}]}, 9, None),
        ({"env_steps": 4000, "train_step": 3}, 4000, None),
        ({"step": True, "epoch": -1}, None, None),
        ({"step": 1 << 70}, None, None),
    ],
)
def test_steps_and_epochs(found: Any, step: int | None, epoch: int | None) -> None:
    found_step, found_epoch = step_of(found), epoch_of(found)
    assert (found_step and found_step.value) == step
    assert (found_epoch and found_epoch.value) == epoch
