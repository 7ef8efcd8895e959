"""What is stored of each step never changes a number of the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.errors import RunError, UsageError
from lrpdyn.run.layout import WORKING
from lrpdyn.run.stored_maps import Storage

#: What is the same whatever is stored.
RESULTS = ("dynamics.npy", "net_change.npy", "metrics.csv", "transitions.csv", "outliers.json")


@pytest.mark.slow
def test_results_are_the_same_whatever_is_kept(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    np.save(tmp_path / "obs.npy", images)

    def run(name: str, workers: int = 2, **kept: str) -> lrpdyn.Run:
        return lrpdyn.compute(ppo_folder, tmp_path / "obs.npy", out=tmp_path / name,
                              workers=workers, **kept)  # fmt: skip

    whole = run("whole", workers=1)
    maps = [whole.relevance[step] for step in whole.steps]
    for keep, dtype in (("pixels", "float32"), ("relevance", "float16"), ("none", "float32")):
        kept = run(f"{keep} {dtype}", keep=keep, dtype=dtype)
        for name in RESULTS:
            if name != "metrics.csv":
                assert (kept.path / name).read_bytes() == (whole.path / name).read_bytes()
        for column in set(whole.metrics.dtype.names) - {"cosine_to_last"}:
            np.testing.assert_array_equal(kept.metrics[column], whole.metrics[column])
        # The last map is known when those before are gone.
        assert np.isnan(kept.metrics["cosine_to_last"]).all()
        assert not (kept.path / WORKING).exists()
        again = run(f"{keep} {dtype}", keep=keep, dtype=dtype)
        assert again.manifest == kept.manifest  # finished: nothing to do
        if keep == "none":
            with pytest.raises(RunError, match="keeps no relevance"):
                kept.relevance[kept.steps[0]]
            continue
        for step, expected in zip(whole.steps, maps, strict=True):
            found = kept.relevance[step]
            exact = expected.astype(float).sum(axis=1) if keep == "pixels" else expected
            assert found.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(found, exact.astype(dtype))


def test_what_float16_cannot_hold_is_an_error_with_its_step(tmp_path: Path) -> None:
    maps = np.array([[[[70000.0]]]], dtype=np.float32)
    with pytest.raises(RunError, match=r"step 12: relevance of 7e\+04 is more than float16"):
        Storage("relevance", "float16").save(tmp_path, 12, maps.shape, [maps])
    Storage("relevance", "float16").save(tmp_path, 12, maps.shape, [np.full_like(maps, np.nan)])


def test_what_can_be_kept() -> None:
    with pytest.raises(UsageError, match="expected one of relevance, pixels, none"):
        Storage("all")
    with pytest.raises(UsageError, match="expected one of float32, float16"):
        Storage("none", "float64")
