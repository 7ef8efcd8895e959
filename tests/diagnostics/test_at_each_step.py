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
        for place, now in enumerate(history):
            evidence.set_before(history[:place][:-3:-1])
            found = evidence.gather(load(model, now, trust=False))
        return found

    through = gather(series)
    # A run that goes on at the third step loads the two before it once more, and tells the same.
    evidence = StepEvidence(model, pictures, None, trust=False)
    evidence.set_before(series[1::-1])
    assert evidence.gather(load(model, series[2], trust=False)) == through
    assert through["weights"]["from_step"] == 2
    assert through["weights"]["from_digest"] == digest(series[1].path, series[1].format)
    assert through["weights"]["back_step"] == 1
    assert through["key"] == [2, 1, None]
    skipped = gather([series[0], series[2]])
    assert (skipped["weights"]["from_step"], skipped["weights"]["back_step"]) == (1, None)
    assert skipped["weights"]["back"] is None
    assert skipped["key"] == [1, None, None]
    series[1].path.unlink()
    evidence = StepEvidence(model, pictures, None, trust=False)
    evidence.set_before(series[1::-1])
    gone = evidence.gather(load(model, series[2], trust=False))["weights"]
    assert gone == {**through["weights"], "from_digest": None, "change": None}
