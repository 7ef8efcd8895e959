"""Stable-Baselines3 and sb3-contrib: a zip of ``data`` and ``policy.pth``, or that zip unpacked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from lrpdyn.checkpoints.containers import (
    Archive,
    Part,
    Payload,
    open_archive,
    open_file,
)
from lrpdyn.checkpoints.formats import torchfile
from lrpdyn.checkpoints.formats.sb3_data import hints_of
from lrpdyn.checkpoints.model import Choice, Header, Reader, StepCandidate
from lrpdyn.checkpoints.payload import is_count
from lrpdyn.errors import CheckpointError

POLICY = "policy.pth"
DATA = "data"

_LARGEST_DATA = 1 << 25
_LARGEST_POLICY = 1 << 36


def header_of(path: Path, choice: Choice) -> Header:
    """Return the header of a zip; its weights are not read, and nothing in ``data`` is unpickled.

    Raises
    ------
    CheckpointError
        It is damaged.
    """
    with open_file(path) as file:
        archive = open_archive(file, str(path))
        data = archive.read(DATA, _LARGEST_DATA)
        header = torchfile.header_of(_policy(archive), str(path), choice)
    return _with_data(header, data, str(path))


def folder_header_of(path: Path, choice: Choice) -> Header:
    """Return the header of an unpacked zip."""
    with open_file(path / DATA) as file:
        if file.size > _LARGEST_DATA:
            raise CheckpointError(f"{path}: its {DATA} has {file.size:,} bytes, too many")
        data = file.read()
    return _with_data(torchfile.header_at(path / POLICY, choice), data, str(path))


def _payload(path: Path) -> Payload:
    with open_file(path) as file:
        return _policy(open_archive(file, str(path))).payload()


def _policy(archive: Archive) -> Part:
    part = archive.part(POLICY)
    if part.size > _LARGEST_POLICY:
        raise CheckpointError(f"{archive.where}: member {POLICY} is too large")
    return part


def _with_data(header: Header, text: bytes, where: str) -> Header:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{where}: member {DATA} is not the JSON of Stable-Baselines3; save it again, "
            "or go on without it (--skip-bad)"
        ) from error
    data = data if isinstance(data, dict) else {}
    steps: Any = data.get("num_timesteps")
    step = (
        StepCandidate(value=steps, unit="steps", source="num_timesteps")
        if is_count(steps)
        else None
    )
    return replace(header, step=step, epoch=None, hints=hints_of(data))


READERS = (
    Reader(
        format="sb3-zip",
        recognise=lambda entry: {POLICY, DATA} <= entry.members,
        header=header_of,
        weights=lambda path, choice: torchfile.weights_of(_payload(path), str(path), choice),
        digest=lambda path, algorithm: _payload(path).digest(algorithm),
        both=lambda path, choice, algorithm: torchfile.weights_and_digest(
            _payload(path), str(path), choice, algorithm
        ),
        suffixes=(".zip",),
    ),
    Reader(
        format="sb3-folder",
        recognise=lambda entry: {POLICY, DATA} <= entry.names,
        header=folder_header_of,
        weights=lambda path, choice: torchfile.weights_at(path / POLICY, choice),
        files=lambda path: [path / POLICY],
    ),
)
