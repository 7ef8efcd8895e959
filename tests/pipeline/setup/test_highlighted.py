"""``--select highlights:K``: by the last checkpoint's own outputs, the same for any workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import lrpdyn
from lrpdyn.errors import UsageError
from lrpdyn.explain.units import Units
from lrpdyn.observations.choice import highlights
from lrpdyn.pipeline.setup.highlighted import importance_of
from tests.pipeline.linear import linear_folder


def test_the_last_checkpoint_chooses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = linear_folder(tmp_path, 1.0)
    monkeypatch.chdir(folder)
    asked = {"arch": "nets.py:linear", "select": "highlights:4", "quiet": True, "layout": "NF"}
    run = lrpdyn.compute("ckpts", "obs.npy", out="one", workers=1, **asked)
    values = np.load("obs.npy").astype(np.float32)
    weights = torch.load(sorted(Path("ckpts").iterdir())[-1], weights_only=True)
    weights = weights.get("state_dict", weights)
    outputs = values @ weights["0.weight"].numpy().T + weights["0.bias"].numpy()
    expected = highlights(values, np.ptp(outputs, axis=1), 4)
    observations = run.manifest["observations"]
    assert (observations["samples"], observations["select"]) == (expected, "highlights:4")
    assert (np.load("one/observations.npy") == values[expected]).all()
    lrpdyn.compute("ckpts", "obs.npy", out="two", workers=2, **asked)
    assert Path("one/metrics.csv").read_bytes() == Path("two/metrics.csv").read_bytes()


def test_gaps_of_several_actions_add_up() -> None:
    outputs = np.array([[1.0, 5.0, 2.0, 7.0, 4.0], [0.0, 0.0, 0.0, 0.0, 9.0]])
    found = importance_of(outputs, Units(kind="groups", groups=(2, 3)))
    np.testing.assert_array_equal(found, [4 + 5, 0 + 9])
    np.testing.assert_array_equal(importance_of(outputs, Units()), [6, 9])


@pytest.mark.parametrize(("columns", "kind"), [(1, "values"), (3, "gaussian")])
def test_outputs_that_do_not_compete_are_refused(columns: int, kind: str) -> None:
    with pytest.raises(UsageError, match="expected outputs that compete"):
        importance_of(np.zeros((4, columns)), Units(kind=kind))
