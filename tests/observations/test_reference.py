"""What `--reference` says, in units of the observation files, is what the network takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import UsageError
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.normalisation import Statistics
from lrpdyn.observations.reference import make_reference, parse_reference

PIXELS = np.random.default_rng(0).integers(0, 255, (5, 2, 3, 3)).astype(np.float32)
TAKEN = Observations(values=PIXELS / np.float32(255), files=(), layout="", scale=255.0)
MEAN = np.array([0.2, 0.5])[:, None, None]
NORMALISED = Observations(
    values=((PIXELS / 255 - MEAN) / 0.25).astype(np.float32), files=(), layout="", scale=255.0,
    normalisation=Statistics(mean=MEAN, deviation=np.full((), 0.25)),
)  # fmt: skip


def test_what_a_reference_may_be() -> None:
    given = ("none", "modal", "mean", "-2", 0.5, "a.npy", Path("b.npy"))
    assert [parse_reference(t) for t in given] == [
        "none", "modal", "mean", -2.0, 0.5, "a.npy", "b.npy",
    ]  # fmt: skip
    for text in ("median", "nan", "", "a.txt"):
        with pytest.raises(UsageError, match=r"a number, a \.npy file, none, modal or mean"):
            parse_reference(text)


def test_values_are_scaled_as_the_observations_are(tmp_path: Path) -> None:
    path = tmp_path / "one.npy"
    np.save(path, PIXELS[3].astype(np.uint8))
    for observations in (TAKEN, NORMALISED):
        said, found = make_reference(str(path), observations, 0.0)
        assert said.startswith("one.npy ")
        assert found is not None
        np.testing.assert_allclose(found[0], observations.values[3], rtol=1e-5, atol=1e-6)
        said, found = make_reference(51.0, observations, 0.0)
        assert (said, found is not None and found.shape) == ("51", (1, 2, 3, 3))
        said, found = make_reference("mean", observations, 0.0)
        np.testing.assert_allclose(found, observations.values.mean(0, keepdims=True), rtol=1e-4)
    _, found = make_reference(51.0, NORMALISED, 0.0)
    assert found is not None
    np.testing.assert_allclose(found[0, :, 0, 0], [0.0, -1.2], atol=1e-6)


def test_the_modal_value_is_said_in_units_of_the_files() -> None:
    said, found = make_reference("modal", TAKEN, 87 / 255)
    assert said == "modal 87"
    assert found is not None
    assert np.unique(found).tolist() == [np.float32(87 / 255)]
    assert make_reference("modal", NORMALISED, 0.5)[0] == "modal 0.5"
    assert make_reference("none", TAKEN, 0.5) == ("none", None)


@pytest.mark.parametrize(
    "wrong", [np.zeros((3, 3)), np.full((2, 3, 3), np.nan), np.full((2, 3, 3), "a")]
)
def test_files_that_hold_no_observation_are_refused(tmp_path: Path, wrong: object) -> None:
    np.save(tmp_path / "wrong.npy", wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"expected finite numbers of shape \(2, 3, 3\)"):
        make_reference(str(tmp_path / "wrong.npy"), TAKEN, 0.0)
    with pytest.raises(UsageError, match="cannot be read"):
        make_reference(str(tmp_path / "none.npy"), TAKEN, 0.0)
