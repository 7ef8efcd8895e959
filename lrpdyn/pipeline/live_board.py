"""Scalars and pictures of a step for TensorBoard or W&B, through the writer that a training has."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lrpdyn.dynamics.step_table import NO_TRANSITION, Records
from lrpdyn.files.npy import map_npy
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.layout import relevance_path

#: Measures of which the mean over samples is shown.
_OF_STEPS = ("score", "relevance_l1", "entropy", "distance_from_first")
_OF_TRANSITIONS = ("change",)
#: So many samples are shown, side by side, in pixels at least so large.
_SHOWN, _LEAST = 4, 96


class Writer(Protocol):
    """What is used of a ``SummaryWriter``."""

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> Any:
        """Add a number."""

    def add_image(self, tag: str, img_tensor: NDArray[np.uint8], global_step: int) -> Any:
        """Add a picture, (3, height, width)."""


def is_wandb(found: Any) -> bool:
    """Tell whether this is a run of Weights & Biases."""
    return type(found).__module__.partition(".")[0] == "wandb" and hasattr(found, "define_metric")


class WandbWriter:
    """A run of Weights & Biases as a `Writer`, over a step of its own: ``lrpdyn/step``."""

    def __init__(self, run: Any) -> None:
        self._run = run
        run.define_metric("lrpdyn/step")
        run.define_metric("lrpdyn/*", step_metric="lrpdyn/step")

    def add_scalar(self, tag: str, scalar_value: float, global_step: int) -> None:
        """Add a number."""
        self._run.log({tag: scalar_value, "lrpdyn/step": global_step})

    def add_image(self, tag: str, img_tensor: NDArray[np.uint8], global_step: int) -> None:
        """Add a picture, (3, height, width)."""
        image = importlib.import_module("wandb").Image(img_tensor.transpose(1, 2, 0))
        self._run.log({tag: image, "lrpdyn/step": global_step})


def show(writer: Writer | Any, job: Job, records: Records) -> None:
    """Give the last step to a writer, or to a run of Weights & Biases.

    ``lrpdyn/score`` and the like, means over samples, and ``lrpdyn/relevance``: the maps of the first
    samples, red for what speaks for the target and blue for what speaks against it, each by its own largest.
    """
    writer = WandbWriter(writer) if is_wandb(writer) else writer
    step = int(records["step"][-1])
    moved = records["from_step"][-1] != NO_TRANSITION
    for name in (*_OF_STEPS, *(_OF_TRANSITIONS if moved else ())):
        values = records[name][-1]
        if np.isfinite(values).any():
            writer.add_scalar(f"lrpdyn/{name}", float(np.nanmean(values)), step)
    if records["finite"][-1]:
        maps = np.array(map_npy(relevance_path(job.folder, step))[:_SHOWN])
        writer.add_image("lrpdyn/relevance", picture_of(maps), step)


def picture_of(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return maps (N, C, H, W), (N, F) or with more axes as one picture (3, height, width)."""
    flat = maps.ndim < 4
    summed = (
        maps.reshape(len(maps), 1, -1)
        if flat
        else maps.reshape(len(maps), -1, *maps.shape[-2:]).sum(1)
    )
    largest = np.abs(summed).max(axis=(1, 2), keepdims=True)
    part = summed / np.where(largest > 0, largest, 1)
    colours = 1 - np.abs(part)[..., None] * np.where(part[..., None] > 0, [0, 1, 1], [1, 1, 0])
    zoom = max(1, -(-_LEAST // max(colours.shape[1:3])))
    colours = colours.repeat(zoom, axis=1).repeat(zoom, axis=2)
    joined = np.concatenate(list(colours), axis=0 if flat else 1)
    return np.round(joined * 255).astype(np.uint8).transpose(2, 0, 1)
