"""Whole runs from a real object store: the same results, and the weights transferred once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.readers import digest, read_weights, stamp
from lrpdyn.errors import CheckpointError, ObservationError, RemoteError, RunError
from tests.remote.object_store import SECRET, ObjectStore

MLP: dict[str, Any] = {"arch": "mlp", "arch_args": {"activation": "tanh"}}


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run lrpdyn as a person does."""
    return subprocess.run(
        [sys.executable, "-m", "lrpdyn", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_zips_with_their_optimizer_cost_little_more_than_their_weights(
    store: ObjectStore,
    bucket: str,
    ppo_folder: Path,
    images: NDArray[np.uint8],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "obs.npy", images)
    store.upload(ppo_folder, f"{bucket}/ckpts")
    store.upload(tmp_path, f"{bucket}/data")
    zips = sorted(ppo_folder.glob("*.zip"))
    assert max(path.stat().st_size for path in zips) > 20e6
    before = store.counter.sent
    remote = command(
        "compute", f"s3://{bucket}/ckpts/", f"s3://{bucket}/data/obs.npy", "--workers", "2",
        "--baseline", "none", "-o", str(tmp_path / "remote"),
    )  # fmt: skip
    sent = store.counter.sent - before
    assert remote.returncode == 0, remote.stderr
    weights = sum(zipfile.ZipFile(path).getinfo("policy.pth").file_size for path in zips)
    with capsys.disabled():
        print(f" {sent:,} bytes transferred, {sent / weights:.3f} x the weights", end="")
    assert sent < 1.1 * weights

    local = lrpdyn.compute(
        ppo_folder, tmp_path / "obs.npy", out=tmp_path / "local", baseline="none", quiet=True
    )
    found = lrpdyn.open_run(tmp_path / "remote")
    for name in ("dynamics.npy", "metrics.csv", "transitions.csv", "outliers.json"):
        assert (found.path / name).read_bytes() == (local.path / name).read_bytes()
    here, there = local.manifest["checkpoints"], found.manifest["checkpoints"]
    assert [entry["digest"] for entry in there] == [entry["digest"] for entry in here]
    assert [entry["path"] for entry in there] == [
        entry["path"].replace(str(ppo_folder), f"s3://{bucket}/ckpts") for entry in here
    ]
    assert found.manifest["observations"]["files"] == [f"s3://{bucket}/data/obs.npy"]
    written = [path for path in found.path.rglob("*") if path.suffix in (".json", ".jsonl")]
    assert all(SECRET not in path.read_text() for path in written)


def test_every_kind_of_container_is_read_as_it_is_here(
    store: ObjectStore, bucket: str, ppo_folder: Path, tmp_path: Path
) -> None:
    names = ["rl_model_16_steps.zip", "rl_model_32_steps.zip"]
    for name in names:
        (tmp_path / "zips").mkdir(exist_ok=True)
        shutil.copy(ppo_folder / name, tmp_path / "zips" / name)
        with zipfile.ZipFile(ppo_folder / name) as archive:
            archive.extractall(tmp_path / "folders" / Path(name).stem)
    torch.manual_seed(0)
    for step in (5, 10):
        network = torch.nn.Linear(6, 4)
        saved = {"state_dict": network.state_dict(), "global_step": step}
        for kind, legacy in (("plain", False), ("legacy", True)):
            (tmp_path / kind).mkdir(exist_ok=True)
            torch.save(
                saved,
                tmp_path / kind / f"net_{step}.pt",
                _use_new_zipfile_serialization=not legacy,
            )
    store.upload(tmp_path, f"{bucket}/all")
    for kind in ("zips", "folders", "plain", "legacy"):
        here = discover(tmp_path / kind).checkpoints
        there = discover(f"s3://{bucket}/all/{kind}").checkpoints
        assert [(c.step, c.path.name, c.format) for c in there] == [
            (c.step, c.path.name, c.format) for c in here
        ]
        for one, other in zip(here, there, strict=True):
            expected, sha256 = read_weights(one.path, one.format)
            weights, found = read_weights(other.path, other.format)
            assert found == sha256 == digest(other.path, other.format)
            assert all(torch.equal(weights[key], expected[key]) for key in expected)
            assert stamp(one.path, one.format)["size"] == stamp(other.path, other.format)["size"]


def test_a_glob_and_pictures_of_a_folder(
    store: ObjectStore, bucket: str, mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    folder = tmp_path / "observations"
    folder.mkdir()
    np.savez(folder / "a.npz", first=vectors, second=vectors[:1])
    store.upload(mlp_folder, f"{bucket}/mlp")
    store.upload(folder, f"{bucket}/obs")
    run = lrpdyn.compute(
        f"s3://{bucket}/mlp/net_?.pt",
        f"s3://{bucket}/obs/a.npz:first",
        out=tmp_path / "run",
        quiet=True,
        **MLP,
    )
    assert run.steps == (2, 4)
    assert np.array_equal(run.observations, vectors)


def test_a_checkpoint_that_was_replaced_is_noticed(
    store: ObjectStore, bucket: str, mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    def compute() -> lrpdyn.Run:
        return lrpdyn.compute(
            f"s3://{bucket}/mlp", vectors, out=tmp_path / "run", quiet=True, **MLP
        )

    store.upload(mlp_folder, f"{bucket}/mlp")
    compute()
    store.upload(mlp_folder, f"{bucket}/mlp")  # the same bytes, with another time
    assert len(compute().steps) == 5
    shutil.copy(mlp_folder / "net_2.pt", mlp_folder / "net_4.pt")
    store.upload(mlp_folder, f"{bucket}/mlp")
    with pytest.raises(RunError, match=r"s3://.*/net_4.pt: changed since step 4 was explained"):
        compute()


def test_what_cannot_be_had_is_one_line(
    store: ObjectStore, bucket: str, mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be listed: .*bucket does not exist"):
        discover(f"s3://{bucket}/run")
    store.upload(mlp_folder, f"{bucket}/mlp")
    with pytest.raises(CheckpointError, match=r"cannot be listed: no such file or folder"):
        discover(f"s3://{bucket}/elsewhere")
    with pytest.raises(CheckpointError, match="no such folder, and no file matches"):
        discover(f"s3://{bucket}/mlp/*.zip")
    with pytest.raises(CheckpointError, match="is a file; expected the folder"):
        discover(f"s3://{bucket}/mlp/net_2.pt")
    with pytest.raises(ObservationError, match=r"s3://.*/none.npy: no such file"):
        lrpdyn.compute(f"s3://{bucket}/mlp", f"s3://{bucket}/none.npy", out=tmp_path / "run", **MLP)


def test_who_may_not_is_told_so(store: ObjectStore, bucket: str, mlp_folder: Path) -> None:
    store.upload(mlp_folder, f"{bucket}/mlp")
    with store.guarded(), pytest.raises(CheckpointError, match=r"cannot be listed: no permission"):
        discover(f"s3://{bucket}/mlp")
    assert len(discover(f"s3://{bucket}/mlp").checkpoints) == 5


def test_a_web_server_without_ranges_gives_each_file_once(mlp_folder: Path, bucket: str) -> None:
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: Any) -> None:
            asked.append(f"{self.command} {self.path}")

    with ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=mlp_folder.parent)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = f"http://127.0.0.1:{server.server_port}/{mlp_folder.name}"
        found = discover(where).checkpoints
        for one, other in zip(discover(mlp_folder).checkpoints, found, strict=True):
            assert (
                read_weights(one.path, one.format)[1] == read_weights(other.path, other.format)[1]
            )
        server.shutdown()
    assert [checkpoint.step for checkpoint in found] == [2, 4, 10, 20, 30]
    assert asked.count(f"GET /{mlp_folder.name}/net_4.pt") == 1
    # That nobody answers any more is no fault of a checkpoint.
    with pytest.raises(RemoteError, match="cannot be reached"):
        discover(where)


def test_shards_of_checkpoints_in_a_store_are_merged(
    store: ObjectStore, bucket: str, mlp_folder: Path, vectors: NDArray[np.float32], tmp_path: Path
) -> None:
    store.upload(mlp_folder, f"{bucket}/mlp")
    where = f"s3://{bucket}/mlp"
    parts = [tmp_path / "1", tmp_path / "2"]
    for n, part in enumerate(parts, start=1):
        lrpdyn.compute(where, vectors, out=part, shard=f"{n}/2", quiet=True, **MLP)
    one = lrpdyn.compute(mlp_folder, vectors, out=tmp_path / "one", quiet=True, **MLP)
    with pytest.raises(RunError, match=rf"^{where}/net_2.pt: is named .* with --checkpoints$"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True)
    with pytest.raises(RunError, match=r"none: holds none of the shards' checkpoints"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True, checkpoints=f"s3://{bucket}/none")
    with store.guarded(), pytest.raises(RunError, match=r"other: cannot be read"):
        lrpdyn.merge(parts, out=tmp_path / "run", quiet=True, checkpoints=f"s3://{bucket}/other")
    run = lrpdyn.merge(parts, out=tmp_path / "run", quiet=True, checkpoints=where)
    for name in ("dynamics.npy", "metrics.csv", "transitions.csv", "outliers.json"):
        assert (run.path / name).read_bytes() == (one.path / name).read_bytes()
