"""Files that are no checkpoints: each is called by its name, with what to do, all at once."""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lrpdyn
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.signatures import kind_of_file
from lrpdyn.errors import CheckpointError
from tests.checkpoints.layouts import adam
from tests.checkpoints.networks import Net, architecture, observations, states


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()


def saved(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def scripted() -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has deprecated it; the files are still about
        torch.jit.save(torch.jit.trace(Net(), torch.zeros(1, 3, 8, 8)), buffer)
    return buffer.getvalue()


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


WHOLE = saved(states((1,))[1])
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
#: What flax.serialization.to_bytes begins with for CleanRL's [vars(args), [params, ...]].
FLAX = b"\x82\xa10\xde\x00\x1e\xa8exp_name\xb2ppo_atari_envpool" + bytes(range(256))

BAD = {
    "empty": (b"", "is empty"),
    "short": (WHOLE[: len(WHOLE) // 2], "cut short"),
    "lfs": (LFS, "Git LFS pointer.*git lfs pull"),
    "page": (b"\n<!DOCTYPE html>\n<html><body>404</body></html>", "HTML page.*download it again"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(600), "HDF5, as Keras"),
    "keras3": (zipped(config__json=b"{}", model__weights__h5=b""), "Keras archive"),
    "tensorflow": (b"\x0a\x05\x57\xfb\x80\x8b\x24\x75\x47\xdb" + bytes(9), "TensorFlow"),
    "flax": (FLAX, "JAX and flax"),
    "sb2": (zipped(data=b"{}", parameters=b"", parameter_list=b"[]"), "Stable-Baselines 2"),
    "script": (scripted, "TorchScript"),
    "module": (lambda: saved(Net()), "whole pickled module.*state_dict.*--trust"),
    "zeros": (bytes(4096), "nothing but zeros"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "gzip"),
    "picture": (picture, "picture"),
    "text": (b"step,reward\n1,2\n", "is a text file"),
    "torchless": (zipped(readme=b"x"), None),
    "half": (pickle.dumps({"a": np.zeros(4)})[:-9], "damaged or cut short"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_called_by_its_name(name: str, tmp_path: Path) -> None:
    content, says = BAD[name]
    payload = content() if callable(content) else content
    for step, weights in states().items():
        torch.save(weights, tmp_path / f"net_{step}.pt")
    (tmp_path / "net_7.pt").write_bytes(payload)
    (bad,) = discover(tmp_path).bad
    assert (bad.path.name, bad.step) == ("net_7.pt", 7)
    assert "\n" not in bad.reason
    if says is not None:
        with pytest.raises(CheckpointError, match=says):
            raise CheckpointError(bad.reason)


def test_an_optimizer_state_is_left_out(tmp_path: Path) -> None:
    for step, weights in states().items():
        torch.save(weights, tmp_path / f"net_{step}.pt")
        torch.save(adam(weights), tmp_path / f"momentum_{step}.pt")
    listing = discover(tmp_path)
    assert len(listing.checkpoints) == 3
    assert {entry.reason for entry in listing.left_out} == {"an optimizer state"}


def test_all_bad_files_are_told_at_once_and_can_be_skipped(tmp_path: Path) -> None:
    folder = tmp_path / "ckpts"
    folder.mkdir()
    for step, weights in states().items():
        torch.save(weights, folder / f"net_{step}.pt")
    for number, (content, _) in enumerate(BAD.values()):
        payload = content() if callable(content) else content
        (folder / f"net_{1000 + number}.pt").write_bytes(payload)
    options = {"arch": architecture(), "scale": 255, "quiet": True, "baseline": "none"}
    with pytest.raises(CheckpointError) as caught:
        lrpdyn.compute(folder, observations(), out=tmp_path / "run", **options)
    for number in range(len(BAD)):
        assert f"net_{1000 + number}.pt" in str(caught.value)
    run = lrpdyn.compute(folder, observations(), out=tmp_path / "run", skip_bad=True, **options)
    bad = [entry for entry in run.manifest["checkpoints"] if entry["status"] == "bad"]
    assert len(bad) == len(BAD)
    assert run.steps == (3, 20, 100)


@pytest.mark.parametrize(
    ("members", "says"), [(("saved_model.pb",), "SavedModel"), (("_METADATA",), "Orbax")]
)
def test_folders_of_other_kinds(members: tuple[str, ...], says: str, tmp_path: Path) -> None:
    for step in (1, 2):
        (tmp_path / f"ckpt-{step}").mkdir()
        for name in members:
            (tmp_path / f"ckpt-{step}" / name).write_bytes(b"x")
    assert all(says in entry.reason for entry in discover(tmp_path).bad)
    assert len(discover(tmp_path).bad) == 2


def test_pickles_and_weights_are_not_taken_for_flax() -> None:
    for protocol in range(2, 6):
        assert kind_of_file(pickle.dumps({"a": 1}, protocol), "a.pkl") is None
