"""What is kept of a step, against the checkpoint before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import digest
from lrpdyn.diagnostics.at_each_step import StepEvidence
from lrpdyn.explain.loaded import load
from lrpdyn.explain.model import Model
from tests.diagnostics.networks import TwoHeads, checkpoint


def test_evidence_of_a_step_is_against_the_checkpoint_before_it(
    model: Model, pictures: np.ndarray, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    series = [checkpoint(tmp_path, step, TwoHeads()) for step in (1, 2, 3)]

    def gather(history: list[Checkpoint]) -> dict[str, Any]:
        evidence = StepEvidence(model, pictures, None, trust=False)
        found: dict[str, Any] = {}
        for before, now in zip([None, *history], history, strict=False):
            evidence.set_before(before)
            found = evidence.gather(load(model, now, trust=False), before)
        return found

    through = gather(series)
    # A run that goes on at the third step loads the second once more, and tells the same.
    evidence = StepEvidence(model, pictures, None, trust=False)
    evidence.set_before(series[1])
    assert evidence.gather(load(model, series[2], trust=False), series[1]) == through
    assert through["weights"]["from_step"] == 2
    assert through["weights"]["from_sha256"] == digest(series[1].path, series[1].format)
    assert through["key"] == [2, None]
    assert gather([series[0], series[2]])["weights"]["from_step"] == 1
    series[1].path.unlink()
    evidence = StepEvidence(model, pictures, None, trust=False)
    evidence.set_before(series[1])
    assert evidence.gather(load(model, series[2], trust=False), series[1])["weights"] == {
        "from_step": 2,
        "from_sha256": None,
        "change": None,
    }
