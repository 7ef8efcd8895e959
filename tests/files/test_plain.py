"""Files of the user's: a pipe, a socket, a device or a folder in the place of one is refused at once."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lrpdyn.architectures.own import own_architecture
from lrpdyn.cli.main import group
from lrpdyn.errors import LrpdynError
from lrpdyn.explain.targets import parse_target
from lrpdyn.files.plain import open_plain, read_plain
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.normalisation import from_file, from_options
from lrpdyn.observations.recording import read_outputs
from lrpdyn.observations.regions import read_regions
from lrpdyn.observations.training_statistics import check_normalisation
from lrpdyn.run.training_curve import read_curve

#: By the ending of a file, who reads it.
READERS: list[tuple[str, Callable[[Path], Any]]] = [
    (".npy", lambda path: load_observations([path], Expected(features=6))),
    (".npz", lambda path: load_observations([path], Expected(features=6))),
    (".png", lambda path: load_observations([path], Expected(channels=3))),
    (".npy", lambda path: parse_target(str(path), 5, 3)),
    (".npy", lambda path: from_options(str(path), None, None)),
    (".pkl", lambda path: from_file(path, trust=True)),
    (".npz", read_outputs),
    (".png", lambda path: read_regions(path, (1, 3, 6, 5))),
    (".npz", lambda path: read_regions(path, (1, 3, 6, 5))),
    (".toml", lambda path: parse_composite(str(path))),
    (".csv", lambda path: read_curve(str(path))),
    (".npz", lambda path: read_curve(str(path))),
    (".tfevents.1", lambda path: read_curve(str(path))),
    (".py", lambda path: own_architecture(f"{path}:Net")),
]


@pytest.mark.parametrize("number", range(len(READERS)))
@pytest.mark.parametrize("kind", ["fifo", "device", "folder"])
def test_what_is_no_plain_file_is_refused(number: int, kind: str, tmp_path: Path) -> None:
    suffix, read = READERS[number]
    path = tmp_path / f"file{suffix}"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    with pytest.raises(LrpdynError) as refused:
        read(path)
    assert "\n" not in str(refused.value)
    if kind != "folder":
        assert "is no plain file" in str(refused.value)


def test_options_from_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.toml")
    found = CliRunner().invoke(group, ["compute", "a", "b", "--config", str(tmp_path / "a.toml")])
    assert found.exit_code == 2
    assert "is no plain file" in " ".join(found.output.split())


def test_a_pipe_near_the_checkpoints_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("vecnormalize.pkl", "config.yml", "args.yml"):
        os.mkfifo(tmp_path / name)
    assert check_normalisation(None, tmp_path / "net_1.pt", "sb3-zip", []) == []


def test_a_socket_is_refused_and_a_link_to_a_file_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        with pytest.raises(OSError, match=r"."):
            open_plain("socket")
    Path("file").write_bytes(b"12")
    Path("link").symlink_to("file")
    with open_plain("link") as file:
        assert file.read() == b"12"
    assert read_plain(Path("link")) == b"12"
