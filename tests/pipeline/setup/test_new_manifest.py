"""The manifest of a run that begins says what is asked, of what, and that nothing is done yet."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

import lrpdyn
from lrpdyn.pipeline.setup.new_manifest import make_manifest, pending
from tests.pipeline.setup.test_prepare import prepared
from tests.pipeline.test_compute import Vectors

STEPS = [2, 4, 10, 20, 30]


def test_it_says_what_is_asked_and_comes_back_from_json(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, checks = prepared(mlp_folder, vectors, tmp_path / "run", rule="gamma:0.5", target="2")
    manifest = make_manifest(job, checks)
    assert json.loads(json.dumps(manifest))["checks"] == checks
    assert manifest["lrpdyn"] == lrpdyn.__version__
    assert manifest["rule"]["parameters"] == {"gamma": 0.5}
    assert list(manifest["rule"]["layers"].values()).count("gamma:0.5") == 2
    assert manifest["target"]["values"] == 5 * [2]
    assert manifest["observations"]["sha256"] == hashlib.sha256(vectors.tobytes()).hexdigest()
    assert manifest["observations"]["shape"] == [5, 6]
    assert (manifest["shard"], manifest["regions"]) == (None, None)


def test_other_observations_have_another_hash(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    hashes = set()
    for values in (vectors, vectors[::-1].copy(), np.nextafter(vectors, np.float32(9))):
        job, checks = prepared(mlp_folder, values, tmp_path / "run")
        hashes.add(make_manifest(job, checks)["observations"]["sha256"])
    assert len(hashes) == 3


def test_the_layers_of_a_rule_of_captum_are_those_with_weights(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, checks = prepared(mlp_folder, vectors, tmp_path / "run", rule="captum:epsilon")
    layers = make_manifest(job, checks)["rule"]["layers"]
    assert list(layers.values()) == 2 * ["captum:epsilon"]


def test_a_shard_names_the_series_and_lists_its_own_checkpoints(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    job, checks = prepared(mlp_folder, vectors, tmp_path / "run", shard="2/2")
    series = hashlib.sha256(json.dumps(STEPS).encode()).hexdigest()
    manifest = make_manifest(job, checks)
    assert manifest["shard"] == {"name": "2/2", "series": series}
    assert [(e["index"], e["step"]) for e in pending(job)] == [(2, 10), (3, 20), (4, 30)]
    assert {e["status"] for e in manifest["checkpoints"]} == {"pending"}
