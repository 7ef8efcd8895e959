"""A run as HDF5 that ViRelAy opens, one project a step.

The layout is that of ViRelAy's database specification and of what it reads:
https://virelay.readthedocs.io/en/latest/contributors-guide/database-specification.html
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ExportError
from lrpdyn.exports.variables import about
from lrpdyn.run.journal import JOURNAL, whole_records
from lrpdyn.run.layout import damaged
from lrpdyn.run.reader import RunFolder, as_pictures
from lrpdyn.system.memory import free_space
from lrpdyn.system.progress import Bar

_INPUT, _LABELS = "input.h5", "label-map.json"


def write_virelay(run: RunFolder, out: Path, bar: Bar) -> None:
    """Write ``input.h5``, ``label-map.json``, and for each step its attributions and project.

    Raises
    ------
    ExportError
        The run has lost its journal, which holds the network's outputs.
    RunError
        A line of the journal holds no such outputs.
    OSError
        The disk has no room for it.
    """
    import h5py

    run = as_pictures(run)
    facts = {record["step"]: record for record in whole_records(run.path)}
    lost = [step for step in run.steps if step not in facts]
    if lost:
        raise ExportError(
            f"{run.path}: its journal says nothing of step {lost[0]}, whose predictions are wanted; "
            "compute the run again"
        )
    _check_room(run, out)
    out.mkdir(parents=True)
    with h5py.File(out / _INPUT, "w") as file:
        _write_pictures(file, run.mapped("observations"))
        file["label"] = _facts(run, facts[run.steps[-1]])[0]
    units = range(_facts(run, facts[run.steps[-1]])[1].shape[1])
    labels = [{"index": n, "word_net_id": f"unit-{n}", "name": f"unit {n}"} for n in units]
    _write_json(out / _LABELS, labels)
    for step in bar(run.steps):
        attributions = f"attribution_{step:012d}.h5"
        maps = _as_images(run.relevance[step])
        shape = maps.shape
        with h5py.File(out / attributions, "w") as file:
            file.create_dataset("attribution", data=maps, dtype=np.float32)
            file["label"], file["prediction"] = _facts(run, facts[step])
            file["index"] = np.arange(shape[0], dtype=np.uint32)
        # JSON is YAML, which is what ViRelAy reads.
        _write_json(out / f"step_{step:012d}.yaml", _project(run, step, attributions, shape))


def _facts(
    run: RunFolder, record: Mapping[str, Any]
) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return the explained units (N,) and the outputs (N, K) of a step, as its line of the journal says.

    Raises
    ------
    RunError
        They are not numbers of that shape.
    """
    try:
        units = np.array(record["target"], dtype=np.uint16)
        outputs = np.array(record["outputs"], dtype=np.float32)
        if units.shape != (run.shape[0],) or outputs.shape[:-1] != units.shape:
            raise ValueError(f"outputs of shape {outputs.shape} and units {units.shape}")
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise damaged(run.path, JOURNAL, error, record["step"]) from error
    return units, outputs


def _check_room(run: RunFolder, out: Path) -> None:
    """Raise OSError where the disk is too small: one that fills up under HDF5 ends the process."""
    observations, first = run.mapped("observations"), run.relevance[run.steps[0]]
    free = free_space(out)
    if free is not None and observations.size + len(run.steps) * first.nbytes > free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _project(
    run: RunFolder, step: int, attributions: str, shape: tuple[int, ...]
) -> dict[str, Any]:
    predicted = run.manifest["target"]["policy"].rpartition(":")[2] in ("argmax", "largest")
    said = about(run)
    return {
        "project": {
            "name": f"{run.manifest['unit']} {step}",
            "model": said["architecture"],
            "label_map": _LABELS,
            "dataset": {
                "name": "observations",
                "type": "hdf5",
                "path": _INPUT,
                "input_width": shape[3],
                "input_height": shape[2],
                "up_sampling_method": "none",
                "down_sampling_method": "none",
            },
            "attributions": {
                "attribution_method": f"LRP, {said['rule']}",
                "attribution_strategy": "predicted_label" if predicted else "true_label",
                "sources": [attributions],
            },
        }
    }


def _as_images(values: NDArray[Any]) -> NDArray[Any]:
    """Return (N, C, H, W); of pixels as one channel, flat samples as pictures of one row."""
    if values.ndim == 4:
        return values
    return values[:, None] if values.ndim == 3 else values[:, None, None, :]


def _write_pictures(file: Any, observations: NDArray[np.float32]) -> None:
    """Write ``data``, observations as ViRelAy shows them, (N, 3, H, W): of a stack, the newest frame."""
    images = _as_images(observations)
    images = images if images.shape[1] == 3 else images[:, -1:]
    low, high = min(0.0, float(images.min())), max(1.0, float(images.max()))
    shape = (len(images), 3, *images.shape[2:])
    data = file.create_dataset("data", shape, np.uint8)
    for n, image in enumerate(images):
        data[n] = np.broadcast_to(((image - low) * (255 / (high - low))).round(), shape[1:])


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
