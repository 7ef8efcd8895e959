from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.pipeline.rule_trial import try_rules
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.system.threads import one_thread
from tests.small_runs import UNCHECKED

#: Says with how many threads it was made.
NET = """
from pathlib import Path
from torch import get_num_threads, nn
def made():
    with open(Path(__file__).parent / "threads.txt", "a") as file:
        print(get_num_threads(), file=file)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
"""


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_one_thread_is_given_back_after_an_error() -> None:
    def fail() -> None:
        with one_thread():
            raise KeyError(torch.get_num_threads())

    with pytest.raises(KeyError, match="1"):
        fail()
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_runs_merges_and_trials_use_one_thread(
    mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    (tmp_path / "net.py").write_text(NET)
    arch, shard = f"{tmp_path / 'net.py'}:made", tmp_path / "shard"

    def threads() -> set[str]:
        found = set((tmp_path / "threads.txt").read_text().split())
        (tmp_path / "threads.txt").unlink()
        return found

    lrpdyn.compute(mlp_folder, vectors, out=shard, arch=arch, shard="1/1", quiet=True)
    assert threads() == {"1"}
    lrpdyn.merge([shard], out=tmp_path / "merged", arch=arch, quiet=True)
    assert threads() == {"1"}
    try_rules(mlp_folder, vectors, Options(arch=arch, **UNCHECKED))
    assert threads() == {"1"}
    assert torch.get_num_threads() == 2
