"""Which steps and samples are measured, and what a run keeps of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import lrpdyn
from lrpdyn.errors import UsageError
from lrpdyn.pipeline.results.faithful_steps import Faithfulness, OfStep, extent
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.run.trust import trust_lines
from lrpdyn.run.verify import verify
from tests.pipeline.linear import STEPS as STEPS_OF_LINEAR
from tests.pipeline.linear import faithfulness, linear_folder
from tests.pipeline.test_compute import contents

STEPS = tuple(range(0, 80, 10))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of a small classifier of where a bright square is, and its observations."""
    found = tmp_path_factory.mktemp("squares")
    (found / "ckpts").mkdir()
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 16), nn.ReLU(), nn.Linear(16, 4)
    )  # fmt: skip
    (found / "nets.py").write_text(
        "from torch import nn\n\ndef small():\n    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), "
        "nn.Flatten(), nn.Linear(144, 16), nn.ReLU(), nn.Linear(16, 4))\n"
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    generator = np.random.default_rng(0)

    def squares(count: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.full((count, 1, 8, 8), 0.2, dtype=np.float32), generator.integers(0, 4, count)
        for one, (row, column) in zip(x[:, 0], np.stack([y // 2, y % 2], axis=1) * 4, strict=True):
            one[row + 1 : row + 3, column + 1 : column + 3] = generator.random((2, 2)) / 2 + 0.5
        return x, y

    for step in STEPS:
        torch.save(network.state_dict(), found / "ckpts" / f"net_{step}.pt")
        for _ in range(10):
            x, y = squares(32)
            optimizer.zero_grad()
            nn.functional.cross_entropy(
                network(torch.from_numpy(x)), torch.from_numpy(y)
            ).backward()
            optimizer.step()
    np.save(found / "obs.npy", squares(10)[0])
    return found


def compute(folder: Path, out: Path, **options: object) -> lrpdyn.Run:
    return lrpdyn.compute(
        folder / "ckpts", folder / "obs.npy", out=out, arch=f"{folder / 'nets.py'}:small", layout="NCHW",
        quiet=True, baseline="none", **options,
    )  # fmt: skip


def test_how_much_is_measured() -> None:
    assert extent(None, 3, 2, 49) == (3, 2)
    assert extent(None, 12, 64, 49) == (5, 8)
    assert extent(3, 12, 64, 49) == (3, 8)
    assert extent("all", 12, 4, 49) == (12, 4)
    assert extent(None, 12, 64, 49, 32) == (5, 32)
    assert extent("all", 12, 4, 49, 32) == (12, 4)
    assert extent(None, 10, 500, 4) == (10, 32)  # so few patches that all steps take less
    steps, samples = extent(None, 5000, 64, 49)
    assert samples == 8
    assert 4 * 5000 * 64 * 0.95 < steps * samples * (2 + 20 * 48) <= 4 * 5000 * 64
    for wrong in ("0", "some", "-1", 0):
        with pytest.raises(UsageError, match="expected a number of steps from 1, all or none"):
            Options(faithfulness=wrong)


def test_a_run_has_it_the_same_for_any_number_of_workers_and_shards(
    folder: Path, tmp_path: Path
) -> None:
    run = compute(folder, tmp_path / "one", workers=1, faithfulness=3)
    other = compute(folder, tmp_path / "two", workers=2, faithfulness=3)
    assert contents(run.path) == contents(other.path)
    for k in (1, 2):
        compute(folder, tmp_path / f"shard{k}", shard=f"{k}/2")
    merged = lrpdyn.merge(
        [tmp_path / "shard1", tmp_path / "shard2"], out=tmp_path / "merged", faithfulness=3,
        arch=f"{folder / 'nets.py'}:small", quiet=True,
    )  # fmt: skip
    assert contents(merged.path) == contents(run.path)
    assert verify(run.path).is_good
    table, check = run.faithfulness, run.manifest["checks"]["faithfulness"]
    measured = [entry["step"] for entry in check["steps"]]
    assert set(measured) >= {0, 40, 70}
    assert np.unique(table["step"]).tolist() == measured
    assert set(table["map"]) == {
        "rule", "rule_absolute", "gradient_x_input", "edges", "difference", "random"
    }  # fmt: skip
    assert len(table) == len(measured) * len(check["samples"]) * 6
    last = table[(table["step"] == 70) & (table["map"] == "rule")]
    np.testing.assert_allclose(last["lerf"] - last["morf"], last["abpc"], atol=1e-12)
    assert np.median(last["abpc"]) == check["steps"][-1]["abpc"]["rule"]
    assert np.median(last["abpc"]) > check["steps"][-1]["random_band"]["high"] > 0
    metrics = run.metrics[run.metrics["step"] == 70]
    np.testing.assert_array_equal(metrics["faithfulness"][check["samples"]], last["abpc"])
    assert np.isnan(run.metrics["faithfulness"][~np.isin(run.metrics["step"], measured)]).all()
    said = trust_lines(run)[-1][1]
    assert f"faithfulness {np.median(last['abpc']):.2f} at the last step (gradient x input " in said
    assert f"measured at {len(measured)} of 8 steps, 8 samples" in said


def test_what_was_asked_decides_whether_a_run_is_finished(folder: Path, tmp_path: Path) -> None:
    run = compute(folder, tmp_path / "run", faithfulness="none")
    assert len(run.faithfulness) == 0
    assert run.manifest["checks"]["faithfulness"] is None
    assert np.isnan(run.metrics["faithfulness"]).all()
    assert "Nobody measured" in trust_lines(run)[-1][1]
    before = json.loads((run.path / "manifest.json").read_text())
    run = compute(folder, tmp_path / "run", faithfulness=1)
    assert len(run.faithfulness) > 0
    assert run.manifest["checks"]["faithfulness"]["fill"] == pytest.approx(0.2)
    run = compute(folder, tmp_path / "run", faithfulness=1, fill="blurred")
    assert run.manifest["checks"]["faithfulness"]["fill"] == "blurred"
    hashes = [[c["relevance_sha256"] for c in m["checkpoints"]] for m in (before, run.manifest)]
    assert hashes[0] == hashes[1]


def test_regions_are_what_is_taken_away(folder: Path, tmp_path: Path) -> None:
    corners = {f"corner{k}": np.zeros((8, 8), dtype=bool) for k in range(4)}
    for k, mask in enumerate(corners.values()):
        mask[k // 2 * 4 :, k % 2 * 4 :][:4, :4] = True
    np.savez(tmp_path / "regions.npz", **corners)
    run = compute(
        folder, tmp_path / "run", regions=tmp_path / "regions.npz", fill="mean", faithfulness="all"
    )
    check = run.manifest["checks"]["faithfulness"]
    assert (check["patches"], check["fill"], len(check["steps"])) == (4, "mean", len(STEPS))
    assert run.manifest["regions"]["fill"] == "mean"
    assert np.isfinite(run.metrics["effect_corner0"]).all()


def test_a_flat_score_has_no_faithfulness() -> None:
    def of(step: int, score_range: float) -> OfStep:
        values = {"rule": np.ones((3, 2))}
        return OfStep(step=step, score_range=score_range, score=values, policy=values, band=(0, 1),
                      forwards=1)  # fmt: skip

    found = Faithfulness(
        steps=[of(0, 0.0009), of(1, 1.0), of(2, np.nan)], samples=[0, 2], patches=4, fill=0.0
    )
    assert [found.is_flat(one) for one in found.steps] == [True, False, True]
    rows = list(found.rows())
    assert rows[0][:3] == [0, 0, "rule"]
    assert np.isnan(rows[0][3:6]).all()
    assert rows[0][6:] == [1, 1, 1]
    assert rows[3] == [1, 2, "rule", 1, 1, 1, 1, 1, 1]
    assert found.of_rule(3)[1].tolist()[::2] == [1, 1]
    assert found.as_check()["steps"][0]["abpc"] == {"rule": None}
    constant = Faithfulness(steps=[of(0, 0.0)], samples=[0, 2], patches=4, fill=0.0)
    assert constant.is_flat(constant.steps[0])


def planted(folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    """Return the manifest of a run of a linear network, at whose last step faithfulness is measured."""
    run = lrpdyn.compute(
        folder / "ckpts", folder / "obs.npy", out=out, arch=f"{folder / 'nets.py'}:linear",
        scale="none", quiet=True, baseline="none", interventions=0, rule="lrp0", faithfulness="all",
        **options,
    )  # fmt: skip
    assert verify(run.path).is_good
    manifest: dict[str, Any] = run.manifest
    return manifest


@pytest.mark.parametrize(("background", "helps"), [(5.0, True), (0.0, False)])
def test_a_reference_helps_where_there_is_a_background(
    tmp_path: Path, background: float, helps: bool
) -> None:
    folder = linear_folder(tmp_path, background)
    manifest = planted(folder, tmp_path / "one", workers=1)
    check = manifest["checks"]["faithfulness"]
    found = check["reference"]
    assert (found["reference"], found["step"], found["helps"]) == (
        "mean",
        STEPS_OF_LINEAR[-1],
        helps,
    )
    assert [one["fill"] for one in found["fills"]] == [background, "mean"]
    for one, fill in zip(found["fills"], ("modal", "mean"), strict=True):
        for name, reference in (("without", False), ("with", True)):
            expected = faithfulness(
                folder, found["step"], check["samples"], fill=fill, reference=reference
            )
            assert one[name] == pytest.approx(expected, abs=1e-4)
    assert found["fills"][0]["without"] == pytest.approx(check["steps"][-1]["abpc"]["rule"])
    said = trust_lines(lrpdyn.open_run(tmp_path / "one"))[-1][1]
    assert ("With --reference mean it would be" in said) is helps
    two = planted(folder, tmp_path / "two", workers=2)
    assert two["checks"] == manifest["checks"]


def test_so_many_samples_are_measured_as_are_asked_for(tmp_path: Path) -> None:
    folder = linear_folder(tmp_path, 5.0)
    for count, samples in ((3, [0, 6, 11]), (99, list(range(12)))):
        manifest = planted(folder, tmp_path / "run", faithfulness_samples=count, reference="mean")
        assert manifest["faithfulness_samples"] == count
        assert manifest["checks"]["faithfulness"]["samples"] == samples
        # With a reference none is advised.
        assert manifest["checks"]["faithfulness"]["reference"] is None
    with pytest.raises(UsageError, match="faithfulness_samples 0: expected 1 or more"):
        Options(faithfulness_samples=0)
