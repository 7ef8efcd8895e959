"""A step of a run as Quantus takes it: its own metrics give our curves, and a run gives no code."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from torch import nn

import lrpdyn
from lrpdyn.diagnostics.faithfulness import measure
from lrpdyn.diagnostics.occlusion import patch_masks
from lrpdyn.errors import CheckpointError, LrpdynError, RunError, UsageError
from lrpdyn.explain.explanation import Question
from lrpdyn.explain.loaded import load
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.pipeline.setup.prepare import listed, prepare
from lrpdyn.run.manifest import save_manifest
from lrpdyn.system.threads import one_thread
from tests.pipeline.test_compute import TANH, Vectors

DIGITS = """
from torch import nn

def network():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10){end}
    )
"""
FILL = 0.25


def of_digits(folder: Path, end: str = "") -> tuple[Path, NDArray[np.float32], dict[str, Any]]:
    """Return checkpoints of a network of the user's, pictures without equal pixels, and options."""
    (folder / "ckpts").mkdir()
    (folder / "net.py").write_text(DIGITS.format(end=end))
    names: dict[str, Any] = {}
    exec(DIGITS.format(end=end), names)
    torch.manual_seed(0)
    network = names["network"]()
    for step in (0, 1):
        pictures = torch.from_numpy(load_digits().images[:64, None] / 16).float()
        network.train()(pictures)  # statistics that are no longer those of a new network
        torch.save(network.state_dict(), folder / "ckpts" / f"net_{step}.pt")
    noise = np.random.default_rng(0).random((3, 1, 8, 8)) / 8
    shown = (load_digits().images[:3, None] / 16 + noise).astype(np.float32)
    return folder / "ckpts", shown, {"arch": f"{folder / 'net.py'}:network", "scale": 1}


def computed(folder: Path, observations: Any, out: Path, **options: Any) -> lrpdyn.Run:
    options = {"baseline": "none", "faithfulness": "none", "interventions": 0, **options}
    return lrpdyn.compute(folder, observations, out=out, quiet=True, workers=1, **options)


def curves_of(
    folder: Path, observations: Any, run: lrpdyn.Run, masks: NDArray[np.bool_], **options: Any
) -> NDArray[np.float64]:
    """Return our curves of the last step, (2, N, P + 1)."""
    given = Options(out=run.path, quiet=True, **options)
    with one_thread():
        job, _ = prepare(given, listed(folder, given), observations)
        loaded = load(job.model, job.listing.checkpoints[-1], trust=False)
        values = job.observations.values
        maps = {"rule": run.relevance[run.steps[-1]]}
        question = Question(contrast=job.contrast)
        filled = np.full_like(values, FILL)
        return measure(loaded, values, question, maps, filled, masks).score["rule"]


def pixel_flipping(given: dict[str, Any]) -> list[NDArray[np.float64]]:
    """Return the curves of single entries, most and least relevant first, but for their beginning."""
    metrics = pytest.importorskip("quantus")
    metric = metrics.PixelFlipping(
        features_in_step=1, perturb_baseline=FILL, normalise=False, disable_warnings=True
    )
    return [np.array(metric(**{**given, "a_batch": sign * given["a_batch"]})) for sign in (1, -1)]


def region_perturbation(given: dict[str, Any], size: int) -> list[NDArray[np.float64]]:
    """Return how far the score falls with each square patch of `size`, in both orders."""
    metrics = pytest.importorskip("quantus")
    return [
        np.array(
            metrics.RegionPerturbation(
                patch_size=size, regions_evaluation=10**6, order=order, perturb_baseline=FILL,
                normalise=False, disable_warnings=True,
            )(**given)
        )
        for order in ("morf", "lerf")
    ]  # fmt: skip


@pytest.mark.parametrize("contrast", ["mean", "runner-up", "none"])
def test_features_of_a_perceptron_are_flipped_as_ours_are(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path, contrast: str
) -> None:
    options = {"rule": "epsilon", "contrast": contrast, "arch_args": TANH}
    run = computed(mlp_folder, vectors, tmp_path / "run", **options)
    given = lrpdyn.exports.quantus(run, run.steps[-1])
    ours = curves_of(mlp_folder, vectors, run, np.stack(patch_masks(vectors.shape)), **options)
    assert not given["softmax"]
    for found, curve in zip(pixel_flipping(given), ours, strict=True):
        np.testing.assert_allclose(found, curve[:, 1:], atol=1e-6)


def test_pixels_of_digits_are_flipped_as_ours_are(tmp_path: Path) -> None:
    folder, shown, options = of_digits(tmp_path)
    run = computed(folder, shown, tmp_path / "run", rule="epsilon", **options)
    given = lrpdyn.exports.quantus(run, 1, arch=options["arch"])
    masks = np.eye(64, dtype=bool).reshape(64, 1, 1, 8, 8)
    ours = curves_of(folder, shown, run, masks, rule="epsilon", **options)
    for found, curve in zip(pixel_flipping(given), ours, strict=True):
        np.testing.assert_allclose(found, curve[:, 1:], atol=1e-6)
    for found, curve in zip(region_perturbation(given, 1), ours, strict=True):
        np.testing.assert_allclose(found, curve[:, :1] - curve[:, 1:], atol=1e-6)


def test_patches_of_frames_are_taken_away_as_ours_are(
    ppo_folder: Path, images: NDArray[np.uint8], tmp_path: Path
) -> None:
    run = computed(ppo_folder, images, tmp_path / "run")
    given = lrpdyn.exports.quantus(run, run.steps[-1])
    masks = np.stack(patch_masks(images.shape))
    ours = curves_of(ppo_folder, images, run, masks)
    for found, curve in zip(region_perturbation(given, 12), ours, strict=True):
        np.testing.assert_allclose(found, curve[:, :1] - curve[:, 1:], atol=1e-6)


def perceptrons(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return checkpoints that Captum's own rules can explain."""
    (folder / "ckpts").mkdir()
    torch.manual_seed(0)
    for step in (0, 1):
        network = nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3))
        torch.save(network.state_dict(), folder / "ckpts" / f"net_{step}.pt")
    return folder / "ckpts", {"arch_args": {"activation": "relu"}}


@pytest.mark.parametrize("rule", ["gamma:0.5", "epsilon-plus", "captum:epsilon"])
def test_what_quantus_changes_is_explained_by_the_same_rule(tmp_path: Path, rule: str) -> None:
    folder, shown, options = of_digits(tmp_path)
    if rule == "captum:epsilon":
        (tmp_path / "captum").mkdir()
        folder, options = perceptrons(tmp_path / "captum")
        shown = shown.reshape(3, 64)
    run = computed(folder, shown, tmp_path / "run", rule=rule, **options)
    given, other = (lrpdyn.exports.quantus(run, n, arch=options.get("arch")) for n in (1, 0))
    for step, network, units in ((1, given["model"], given["y_batch"]),
                                 (0, copy.deepcopy(other["model"]), other["y_batch"])):  # fmt: skip
        found = given["explain_func"](model=network, inputs=shown, targets=units, device="cpu")
        np.testing.assert_allclose(found, run.relevance[step], atol=1e-6)


def test_a_metric_that_draws_weights_anew_explains_the_network_that_it_drew(
    tmp_path: Path,
) -> None:
    metrics = pytest.importorskip("quantus")
    folder, shown, options = of_digits(tmp_path)
    run = computed(folder, shown, tmp_path / "run", rule="epsilon", **options)
    given = lrpdyn.exports.quantus(run, 1, arch=options["arch"])
    found = metrics.MPRT(disable_warnings=True, skip_layers=False)(**given)
    alike = {layer: np.mean(values) for layer, values in found.items()}
    assert list(alike) == ["original", "network.4", "network.1", "network.0"]
    assert alike["original"] > 1 - 1e-6
    assert alike["network.0"] < 0.9


def test_the_run_decides_what_is_given(tmp_path: Path) -> None:
    folder, shown, options = of_digits(tmp_path)
    arch = options["arch"]
    pixels = computed(folder, shown, tmp_path / "pixels", keep="pixels", **options)
    assert lrpdyn.exports.quantus(pixels, 1, arch=arch)["a_batch"].shape == (3, 1, 8, 8)
    none = computed(folder, shown, tmp_path / "none", keep="none", **options)
    with pytest.raises(RunError, match="keeps no relevance"):
        lrpdyn.exports.quantus(none, 1, arch=arch)
    run = computed(folder, shown, tmp_path / "run", reference="modal", **options)
    given = lrpdyn.exports.quantus(run, 1, arch=arch)
    with pytest.raises(UsageError, match=r"--reference modal .*: a run does not keep it"):
        given["explain_func"](given["model"], shown, given["y_batch"])
    with pytest.raises(UsageError, match="step 7: the run has none; expected one of 0, 1"):
        lrpdyn.exports.quantus(run, 7, arch=arch)
    sequences = {**run.manifest["observations"], "shape": [3, 8, 8]}
    with pytest.raises(UsageError, match="found sequences"):
        lrpdyn.exports.quantus(
            replace(run, manifest={**run.manifest, "observations": sequences}), 1, arch=arch
        )


def test_a_network_that_does_not_give_its_scores_is_refused(tmp_path: Path) -> None:
    folder, shown, options = of_digits(tmp_path, end=", nn.Softmax(dim=1)")
    run = computed(folder, shown, tmp_path / "run", **options)
    with pytest.raises(RunError, match=r"step 1: the network gives sample . the score"):
        lrpdyn.exports.quantus(run, 1, arch=options["arch"])


def test_a_run_gives_neither_code_nor_another_file(tmp_path: Path) -> None:
    folder, shown, options = of_digits(tmp_path)
    arch = options["arch"]
    run = computed(folder, shown, tmp_path / "run", **options)
    with pytest.raises(UsageError, match=r"was made with code, .*give arch= if you trust it"):
        lrpdyn.exports.quantus(run, 1)
    entries = [{**entry, "path": "/dev/zero"} for entry in run.manifest["checkpoints"]]
    save_manifest(run.path, {**run.manifest, "checkpoints": entries})
    with pytest.raises(CheckpointError, match="/dev/zero: is named as a checkpoint by the run"):
        lrpdyn.exports.quantus(lrpdyn.open_run(run.path), 1, arch=arch)
    moved = (folder / "net_1.pt").rename(tmp_path / "moved.pt")
    given = lrpdyn.exports.quantus(run, 1, arch=arch, checkpoint=moved)
    np.testing.assert_array_equal(given["a_batch"], run.relevance[1])
    with pytest.raises(CheckpointError, match=r"net_0\.pt: is not the file that was explained"):
        lrpdyn.exports.quantus(run, 1, arch=arch, checkpoint=folder / "net_0.pt")
    with pytest.raises(LrpdynError, match=r"net_1\.pt"):
        lrpdyn.exports.quantus(run, 1, arch=arch)  # gone


def test_the_door_of_exports_has_nothing_else() -> None:
    with pytest.raises(AttributeError, match=r"lrpdyn.exports' has no attribute 'quantum'"):
        _ = lrpdyn.exports.quantum
