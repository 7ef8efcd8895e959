"""Recurrent policies are recorded with the hidden states that they played with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lrpdyn
from lrpdyn.architectures.registry import load_weights, path_of, resolve
from lrpdyn.checkpoints.readers import read_header, read_weights
from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.observations.fixed_inputs import split_inputs
from tests.recording.test_checkpoint import LAST, computed, recorded
from tests.recording.training import equals, quietly, saved


@pytest.mark.parametrize(
    ("environment", "head", "options", "states"),
    [
        ("CartPole-v1", "policy", {}, ["lstm_h", "lstm_c"]),
        ("Pendulum-v1", "policy", {"n_lstm_layers": 2}, ["lstm_h", "lstm_c"]),
        ("CartPole-v1", "value", {}, ["critic_lstm_h", "critic_lstm_c"]),
        (
            "CartPole-v1", "value", {"enable_critic_lstm": False, "shared_lstm": True},
            ["lstm_h", "lstm_c"],
        ),
        ("CartPole-v1", "value", {"enable_critic_lstm": False}, []),
    ],
)  # fmt: skip
def test_outputs_follow_from_what_was_recorded(
    tmp_path: Path, environment: str, head: str, options: dict[str, Any], states: list[str]
) -> None:
    folder = tmp_path / "run"
    options = {"lstm_hidden_size": 8, **options}
    model = saved(environment, folder, "RecurrentPPO", policy_kwargs=options)
    out, _ = recorded(environment, folder, head=head, n=12, every=1)
    arrays = dict(np.load(out))
    resolved = resolve(None, {}, read_header(folder / LAST, "sb3-zip"), "here")
    network = resolved.build()
    load_weights(network, read_weights(folder / LAST, "sb3-zip")[0], resolved, "here")
    path = path_of(network, head)[1]
    sources, held = split_inputs([out], path)
    assert list(held) == states
    name = "observations.observation" if states else "observations"
    assert sources == [f"{out}:{name}" if states else out]
    for state, values in held.items():
        path.get_buffer(f"held_{state}").data = torch.from_numpy(values)
    with torch.no_grad():
        assert equals(arrays["outputs"], path(torch.from_numpy(arrays[name])).numpy())
    # By the framework's own play: the whole episode as one sequence, from a state of zeros.
    steps = int((arrays["episode"] == 0).sum())
    seen = torch.from_numpy(arrays[name][:steps])
    zeros = torch.zeros(2, options.get("n_lstm_layers", 1), 1, 8)
    with quietly(), torch.no_grad():
        given = (seen, (zeros[0], zeros[1]), torch.zeros(steps))
        if head == "value":
            wanted = model.policy.predict_values(*given)
        else:
            distribution = model.policy.get_distribution(*given)[0].distribution
            wanted = getattr(distribution, "logits", distribution.mean)
    found = arrays["outputs"][:steps]
    if environment == "CartPole-v1" and head == "policy":
        found, wanted = (v - v.mean(1, keepdims=True) for v in (found, wanted.numpy()))
    assert equals(found, wanted)
    explained = computed(folder, out, head=head)
    assert explained is not None
    assert (explained["head"], explained["samples"]) == (head, 12)
    if states:
        hidden = held[states[0]]
        assert not hidden[0].any()
        assert np.abs(hidden[1:steps]).max() > 0.01


def test_frames_are_not_stacked_where_each_has_a_state(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    saved("CartPole-v1", folder, "RecurrentPPO", policy_kwargs={"lstm_hidden_size": 8})
    out, _ = recorded("CartPole-v1", folder)
    with pytest.raises(UsageError, match="--stack 2: there are values of lstm_h, lstm_c for each"):
        lrpdyn.compute(folder, out, out=tmp_path / "out", stack=2, quiet=True)


def test_a_sequence_ends_where_its_last_observation_was_recorded(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    saved("CartPole-v1", folder, "RecurrentPPO", policy_kwargs={"lstm_hidden_size": 8})
    out, _ = recorded("CartPole-v1", folder, n=5, every=1)
    arrays = np.load(out)
    np.save(tmp_path / "sequence.npy", arrays["observations.observation"][None])
    np.save(tmp_path / "outputs.npy", arrays["outputs"][-1:])
    expected = {"expect": tmp_path / "outputs.npy", "expect_step": 128}
    assert computed(folder, tmp_path / "sequence.npy", **expected) is not None


def test_a_recording_of_another_head_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    saved("CartPole-v1", folder, "RecurrentPPO", policy_kwargs={"lstm_hidden_size": 8})
    out, _ = recorded("CartPole-v1", folder, head="value", n=5, every=1)
    with pytest.raises(ObservationError, match=r"explain that head with --head value$"):
        lrpdyn.compute(folder, out, out=tmp_path / "policy", quiet=True)
    run = lrpdyn.compute(folder, out, out=tmp_path / "value", quiet=True, head="value")
    usual = run.manifest["about_rule"]["usual_sum"]
    assert usual.endswith("; part of the score comes from the hidden state")
