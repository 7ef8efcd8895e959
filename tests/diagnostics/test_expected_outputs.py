"""Outputs that were recorded elsewhere are held against the network's own, and causes are named."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import lrpdyn
from lrpdyn.errors import LrpdynError, ObservationError, UsageError
from lrpdyn.observations.recording import Recording
from lrpdyn.run.trust import trust_lines


def outputs_at(folder: Path, step: int, observations: NDArray[Any]) -> NDArray[np.float32]:
    """Return the logits of a network that is built here."""
    network = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    network.load_state_dict(torch.load(folder / f"net_{step}.pt", weights_only=True))
    with torch.no_grad():
        found: NDArray[np.float32] = network(torch.from_numpy(observations)).numpy()
    return found


def expected(
    folder: Path, observations: Any, outputs: NDArray[Any] | None = None, **options: Any
) -> Any:
    if outputs is not None:
        np.save(folder.parent / "outputs.npy", outputs)
        options["expect"] = folder.parent / "outputs.npy"
    options = {"arch_args": {"activation": "tanh"}, "out": folder.parent / "run", **options}
    run = lrpdyn.compute(folder, observations, baseline="none", quiet=True, workers=1, **options)
    return run.manifest["checks"]["expected"]


def test_equal_outputs_are_kept_as_a_figure(mlp_folder: Path, vectors: NDArray[np.float32]) -> None:
    outputs = outputs_at(mlp_folder, 20, vectors)
    found = expected(mlp_folder, vectors, outputs, expect_step=20, samples="0,3")
    assert found["largest_difference"] < 1e-6
    assert found["largest_output"] == np.abs(outputs[[0, 3]]).max()
    assert (found["step"], found["samples"], found["head"]) == (20, 2, "logits")
    assert "up_to_constant" not in found
    verdict, said = trust_lines(lrpdyn.open_run(mlp_folder.parent / "run"))[0]
    assert verdict == "ok"
    assert said.startswith(
        "The network is yours: outputs as recorded at step 20 (2 of 2 samples; largest"
    )


def test_without_a_recording_nobody_checked(mlp_folder: Path, vectors: NDArray[np.float32]) -> None:
    assert expected(mlp_folder, vectors) is None
    run = lrpdyn.open_run(mlp_folder.parent / "run")
    assert trust_lines(run)[0][1].startswith("Nobody checked that this is your network: ")


@pytest.mark.parametrize(("share", "fits"), [(0.0009, True), (0.0011, False)])
def test_the_limit(
    mlp_folder: Path, vectors: NDArray[np.float32], share: float, fits: bool
) -> None:
    outputs = outputs_at(mlp_folder, 20, vectors)
    largest = np.abs(outputs).max()
    outputs[2, np.abs(outputs[2]).argmin()] += share * largest
    if fits:
        assert expected(mlp_folder, vectors, outputs, expect_step=20) is not None
    else:
        with pytest.raises(
            ObservationError, match=r"first for sample 2: .* recorded .*usual causes"
        ):
            expected(mlp_folder, vectors, outputs, expect_step=20)
        assert not (mlp_folder.parent / "run" / "manifest.json").exists()


def test_log_probabilities_are_logits_up_to_a_constant(
    mlp_folder: Path, vectors: NDArray[np.float32]
) -> None:
    logits = torch.from_numpy(outputs_at(mlp_folder, 20, vectors))
    found = expected(mlp_folder, vectors, logits.log_softmax(1).numpy(), expect_step=20)
    assert found["up_to_constant"] is True
    with pytest.raises(ObservationError, match="look like probabilities: record logits"):
        expected(mlp_folder, vectors, logits.softmax(1).numpy(), expect_step=20)


def test_causes_that_are_found(mlp_folder: Path, vectors: NDArray[np.float32]) -> None:
    outputs = outputs_at(mlp_folder, 20, vectors)
    with pytest.raises(ObservationError, match="with --arch-arg activation=tanh they are equal"):
        expected(mlp_folder, vectors, outputs, expect_step=20, arch_args={"activation": "relu"})
    with pytest.raises(ObservationError, match="with --scale 255 they are equal"):
        expected(mlp_folder, 255 * vectors, outputs, expect_step=20)
    with pytest.raises(ObservationError, match=r"they are those of step 20 \(--expect-step 20\)"):
        expected(mlp_folder, vectors, outputs, expect_step=30)


def test_a_step_that_is_not_explained_is_compared_all_the_same(
    mlp_folder: Path, vectors: NDArray[np.float32]
) -> None:
    outputs = outputs_at(mlp_folder, 30, vectors)
    assert expected(mlp_folder, vectors, outputs, expect_step=30, until=10)["step"] == 30
    with pytest.raises(ObservationError, match="those of step 4"):
        expected(
            mlp_folder, vectors, outputs_at(mlp_folder, 4, vectors), expect_step=30, until=10,
            overwrite=True,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "options", "kind", "says"),
    [
        (lambda o: o, {}, UsageError, "at which step .* give --expect-step, one of 2, 4, 10"),
        (lambda o: o, {"expect_step": 5}, ObservationError, "at step 5, which is not among"),
        (lambda o: o[:3], {"expect_step": 20}, ObservationError, "of 3 samples, and there are 5"),
        (lambda o: o[:, :2], {"expect_step": 20}, ObservationError, "recorded 2 outputs .* has 3"),
        (lambda o: o * np.nan, {"expect_step": 20}, ObservationError, "NaN or infinity, first in"),
    ],
)
def test_bad_input(
    mlp_folder: Path, vectors: NDArray[np.float32], change: Any, options: dict[str, Any],
    kind: type[LrpdynError], says: str,
) -> None:  # fmt: skip
    outputs = change(outputs_at(mlp_folder, 20, vectors))
    with pytest.raises(kind, match=says):
        expected(mlp_folder, vectors, outputs, **options)


def test_a_step_without_outputs(mlp_folder: Path, vectors: NDArray[np.float32]) -> None:
    with pytest.raises(UsageError, match="--expect-step: no outputs were recorded"):
        expected(mlp_folder, vectors, expect_step=20)


def recording(folder: Path, observations: NDArray[Any], path: Path, **about: Any) -> Path:
    count = len(observations)
    outputs = outputs_at(folder, 20, observations).astype(np.float64)
    Recording(
        observations=observations, outputs=outputs, actions=np.zeros(count),
        episode=np.zeros(count, int), time=np.arange(count), reward=np.zeros(count), about=about,
    ).save(path)  # fmt: skip
    return path


def test_recordings_of_other_steps_heads_and_weights(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    path = tmp_path / "obs.npz"
    sha256 = lrpdyn.compute(
        mlp_folder, vectors, arch_args={"activation": "tanh"}, baseline="none", quiet=True,
        out=tmp_path / "first", digest="sha256",
    ).manifest["checkpoints"][3]["sha256"]  # fmt: skip
    # Under another number of steps its weights are found by their hash.
    recording(mlp_folder, vectors, path, step=20_000, sha256=sha256)
    assert expected(mlp_folder, path)["step"] == 20
    recording(mlp_folder, vectors, path, step=20, head="value")
    with pytest.raises(ObservationError, match=r"recorded head value, .* heads are logits; .*obs"):
        expected(mlp_folder, path)
    recording(mlp_folder, vectors, path, step=30, sha256="ab" * 32)
    # Nothing that is tried makes them equal: their weights are another run's.
    for step in (2, 4, 10, 20, 30):
        (mlp_folder / f"net_{step}.pt").unlink()
        torch.manual_seed(step)
        other = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
        torch.save(other.state_dict(), mlp_folder / f"net_{step}.pt")
    with pytest.raises(
        ObservationError, match=r"not those that were recorded .*SHA-256.*another run"
    ):
        expected(mlp_folder, path)
    assert expected(mlp_folder, f"{path}:observations", overwrite=True) is None


def test_two_recordings_one_after_the_other(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    first = recording(mlp_folder, vectors[:2], tmp_path / "a.npz", step=20)
    second = recording(mlp_folder, vectors[2:], tmp_path / "b.npz", step=20)
    assert expected(mlp_folder, [first, second])["samples"] in (2, 3)
    arrays = dict(np.load(second))
    arrays["outputs"][1] += 1
    np.savez(second, **arrays)
    with pytest.raises(ObservationError, match=r"b\.npz: at step 20 .* first for sample 3"):
        expected(mlp_folder, [first, second])


def test_a_finished_run_is_checked_again_and_keeps_what_was_found(
    mlp_folder: Path, vectors: NDArray[np.float32]
) -> None:
    outputs = outputs_at(mlp_folder, 20, vectors)
    assert expected(mlp_folder, vectors) is None
    found = expected(mlp_folder, vectors, outputs, expect_step=20)
    assert found["step"] == 20
    assert expected(mlp_folder, vectors) == found  # what was checked stays checked
    assert lrpdyn.open_run(mlp_folder.parent / "run").manifest["checks"]["expected"] == found
    with pytest.raises(ObservationError, match="other outputs than were recorded"):
        expected(mlp_folder, vectors, 2 * outputs, expect_step=20)
    steps = lrpdyn.compute(
        mlp_folder, vectors, arch_args={"activation": "tanh"}, baseline="none", quiet=True,
        out=mlp_folder.parent / "run", recompute=[4],
    )  # fmt: skip
    assert steps.manifest["checks"]["expected"] == found


@pytest.mark.parametrize(("actions", "fits"), [("1,2", True), ("binary", False), ("box", False)])
def test_a_constant_of_a_group_counts_where_units_do_not_compete(
    mlp_folder: Path, vectors: NDArray[np.float32], actions: str, fits: bool
) -> None:
    outputs = outputs_at(mlp_folder, 20, vectors)
    outputs[:, 1:] += 0.5
    if fits:
        found = expected(mlp_folder, vectors, outputs, expect_step=20, actions=actions)
        assert found["up_to_constant"] is True
    else:
        with pytest.raises(ObservationError, match="gives other outputs than were recorded"):
            expected(mlp_folder, vectors, outputs, expect_step=20, actions=actions)


@pytest.mark.slow
@pytest.mark.parametrize("right", [True, False])
def test_a_followed_run_is_compared_once_its_step_is_there(
    mlp_folder: Path, vectors: NDArray[np.float32], right: bool
) -> None:
    outputs = outputs_at(mlp_folder, 30, vectors) + (0 if right else vectors[:, :3])
    away = (mlp_folder / "net_30.pt").rename(mlp_folder.parent / "net_30.pt")
    coming = threading.Timer(1, lambda: away.rename(mlp_folder / "net_30.pt"))
    coming.start()
    given = {"expect_step": 30, "follow": True, "poll": 0.1, "idle": 2}
    try:
        if right:
            assert expected(mlp_folder, vectors, outputs, **given)["step"] == 30
        else:
            with pytest.raises(ObservationError, match="at step 30 the network gives other"):
                expected(mlp_folder, vectors, outputs, **given)
    finally:
        coming.join()
