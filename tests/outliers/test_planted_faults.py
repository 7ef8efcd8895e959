"""Faults planted in a real training run are reported at their place, and nothing without them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.benchmarks.outlier_causes.__main__ import entries, explained, judged
from tests.benchmarks.outlier_causes.plants import PLANTS, Host
from tests.benchmarks.outlier_causes.training import KINDS, State, data, train, write

KIND = replace(KINDS["warm-cosine"], checkpoints=40, every=15)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, dict[int, State]]]:
    """Two seeds of a small network that learns shapes: their folders, and their weights by step."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    found = []
    for seed in (0, 1):
        folder = tmp_path_factory.mktemp(f"seed{seed}")
        states = dict(train(KIND, seed))
        about = {"kind": "warm-cosine", "seed": seed, "arch": "ShapesCNN"}
        write(folder, iter(states.items()), about)
        np.save(folder / "obs.npy", data(KIND.data, seed).observations)
        found.append((folder, states))
    torch.set_num_threads(threads)
    return found


def test_nothing_is_far_in_a_clean_run(
    runs: list[tuple[Path, dict[int, State]]], tmp_path: Path
) -> None:
    report = explained(runs[0][0], tmp_path / "run")
    assert not [one for one in entries(report) if one["severity"] == "far"]


@pytest.mark.parametrize("name", ["other-seed", "neighbours-swapped"])
def test_a_planted_fault_is_found_with_its_cause(
    name: str, runs: list[tuple[Path, dict[int, State]]], tmp_path: Path
) -> None:
    (run, states), (_, other) = runs
    copy = {step: dict(state) for step, state in states.items()}
    host = Host(copy, other, 20, np.random.default_rng(0))
    PLANTS[name].plant(host)
    (tmp_path / "ckpts").mkdir()
    for step, state in host.states.items():
        torch.save(state, tmp_path / "ckpts" / f"net_{step}.pt")
    report = explained(run, tmp_path / "run", tmp_path / "ckpts")
    assert judged(report, host, PLANTS[name]) == (True, True)
