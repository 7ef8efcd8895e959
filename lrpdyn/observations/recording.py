"""Recordings: observations with the outputs that the framework's own network gave for them.

A recording is a plain .npz. Next to the observations it has an entry for each sample in `outputs`,
`actions`, `episode`, `time` and `reward`, and `about`, JSON that says where they are from.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError
from lrpdyn.files.atomic import whole_file
from lrpdyn.files.json_data import fault, parse_json
from lrpdyn.files.npy import is_npy, load_npy, open_npz
from lrpdyn.files.reasons import reason_of
from lrpdyn.observations.reading import OBSERVATIONS, naming, shapes_inside
from lrpdyn.observations.regions import Regions
from lrpdyn.remote.path import as_path

_PLACE = {"step?": (None, int), "sha256?": (None, str), "head?": (None, str)}


@dataclass(frozen=True, kw_only=True, eq=False)
class Recording:
    """Observations of N samples, and what the framework's own network made of them.

    Parameters
    ----------
    observations
        (N, ...), what the network was given; by name for a network with several inputs.
    outputs
        (N, K), as the network gave them.
    actions, episode, time, reward
        (N, ...), what was done, in which episode, after how many of its steps, and the reward for it.
    about
        Plain data: environment, wrappers, framework, step and SHA-256 of the weights, head.
    objects
        The objects in the observations, where they were requested and some were found; they are no part
        of the file.
    """

    observations: NDArray[Any] | Mapping[str, NDArray[Any]]
    outputs: NDArray[np.float64]
    actions: NDArray[Any]
    episode: NDArray[np.int64]
    time: NDArray[np.int64]
    reward: NDArray[np.float64]
    about: Mapping[str, Any]
    objects: Regions | None = None

    def save(self, path: str | Path) -> None:
        """Write the recording, whole or not at all."""
        given = self.observations
        arrays: dict[str, Any] = (
            {f"{OBSERVATIONS}.{name}": array for name, array in given.items()}
            if isinstance(given, Mapping)
            else {OBSERVATIONS: given}
        )
        with whole_file(Path(path), "wb") as file:
            np.savez_compressed(
                file, **arrays, outputs=self.outputs, actions=self.actions, episode=self.episode,
                time=self.time, reward=self.reward, about=np.array(json.dumps(self.about)),
            )  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class RecordedOutputs:
    """Outputs (N, K) that were recorded: the file, and of which head, step and weights they are.

    `exact` where they are a network's own; of others only differences between units may count.
    """

    file: str
    values: NDArray[np.float64]
    step: int | None = None
    sha256: str | None = None
    head: str | None = None
    exact: bool = False


def is_recording(path: Path) -> bool:
    """Tell whether a file is a recording."""
    return path.suffix.lower() == ".npz" and {"outputs", "about"} <= shapes_inside(path).keys()


def about_of(path: Path) -> dict[str, Any]:
    """Return what a recording says of where it is from.

    Raises
    ------
    ObservationError
        It is damaged.
    """
    with naming(path), open_npz(path) as archive:
        return _about(archive.arrays(["about"])["about"], path)


def normalised_in_play(path: Path) -> bool | None:
    """Tell whether the environment of a recording normalised observations; None where it does not say."""
    wrappers = about_of(path).get("wrappers")
    return any("Normalize" in str(one) for one in wrappers) if isinstance(wrappers, list) else None


def read_outputs(file: str | Path) -> RecordedOutputs:
    """Return the outputs of a recording, or those of a .npy or .npz file that holds nothing else.

    Raises
    ------
    ObservationError
        The file holds no outputs (N, K), some are not finite, or what it says of them is damaged.
    """
    path = as_path(file)
    with naming(path):
        if is_npy(path):
            return RecordedOutputs(file=str(file), values=_checked(load_npy(path), path))
        with open_npz(path) as archive:
            key = archive.names[0] if len(archive.names) == 1 else "outputs"
            if key not in archive.names:
                raise ObservationError(
                    f"{path}: expected an array called outputs, found {', '.join(archive.names[:10])}"
                )
            names = {key, "about"} & set(archive.names)
            found = archive.arrays(names)
    values = _checked(found[key], path)
    if "about" not in found:
        return RecordedOutputs(file=str(file), values=values)
    about = _about(found["about"], path)
    place = {name: about.get(name) for name in ("step", "sha256", "head")}
    return RecordedOutputs(file=str(file), values=values, exact=True, **place)


def inputs_of(names: Collection[str]) -> dict[str, str]:
    """Return what the arrays of a recording of several inputs are called in the file, by input."""
    start = f"{OBSERVATIONS}."
    return {name.removeprefix(start): name for name in names if name.startswith(start)}


def _about(text: NDArray[Any], path: Path) -> dict[str, Any]:
    try:
        if text.dtype.kind != "U" or text.size != 1:
            raise ValueError(f"is {text.dtype} of shape {text.shape}, expected a text")
        about = parse_json(str(text.reshape(-1)[0]).encode())
        wrong = fault(about, _PLACE)
        if wrong is not None:
            raise ValueError(wrong)
    except ValueError as error:
        raise ObservationError(
            f"{path}: its array about is not what lrpdyn record writes: {reason_of(error)}; record it again"
        ) from error
    return dict(about)


def _checked(values: NDArray[Any], path: Path) -> NDArray[np.float64]:
    if values.ndim not in (1, 2) or values.dtype.kind not in "uif" or values.size == 0:
        raise ObservationError(
            f"{path}: expected outputs (samples, units), found {values.dtype} of shape {values.shape}"
        )
    found = values.reshape(len(values), -1).astype(np.float64)
    finite = np.isfinite(found).all(axis=1)
    if not finite.all():
        raise ObservationError(
            f"{path}: the outputs hold NaN or infinity, first in sample {int(finite.argmin())}; record "
            "them again"
        )
    return found
