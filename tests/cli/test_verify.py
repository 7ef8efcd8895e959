"""lrpdyn verify: what is damaged, and the command that repairs it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np

from lrpdyn.run.manifest import save_manifest
from tests.pipeline.test_compute import Vectors
from tests.run.test_verify import called, damage


def test_the_command_says_what_is_damaged_and_what_repairs_it(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    np.save(tmp_path / "obs.npy", vectors)
    run = tmp_path / "run"
    arguments = ["compute", str(mlp_folder), str(tmp_path / "obs.npy"), "-o", str(run), "-q",
                 "--arch-arg", "activation=tanh"]  # fmt: skip
    assert called(arguments)[0] == 0
    manifest = json.loads((run / "manifest.json").read_text())
    save_manifest(run, {**manifest, "command": shlex.join(["/bin/lrpdyn", *arguments])})
    assert called(["verify", str(run)])[::2] == (0, "")
    damage(run / "relevance" / "step_000000000020.npy")
    (run / "dynamics.npy").unlink()
    code, said, repair = called(["verify", str(run)])
    assert code == 1
    assert "damaged   dynamics.npy: is missing" in said
    assert "step_000000000020.npy: its bytes are not those" in said
    assert repair.startswith("to repair: lrpdyn compute ")
    assert repair.endswith(" --recompute 20\n")
    assert json.loads(called(["verify", str(run), "--format", "json"])[1])["damaged"][1] == {
        "file": "relevance/step_000000000020.npy",
        "what": "its bytes are not those that were written",
        "step": 20,
    }
    assert called(shlex.split(repair)[3:])[0] == 0
    assert called(["verify", str(run)])[0] == 0
