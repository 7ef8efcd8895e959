"""A job as plain data, from which another process makes the same job: a worker elsewhere, a merge."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.architectures.registry import Resolved, named
from lrpdyn.checkpoints.keys import KeyMapping
from lrpdyn.checkpoints.model import Listing
from lrpdyn.errors import RunError
from lrpdyn.explain.model import make_model, with_plan
from lrpdyn.explain.targets import Target
from lrpdyn.files.atomic import whole_file
from lrpdyn.files.npy import load_npz
from lrpdyn.files.streamed import LARGEST_IN_MEMORY, Samples
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import Bounds
from lrpdyn.observations.fixed_inputs import Held
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.reading import open_observations
from lrpdyn.observations.regions import Painting, read_regions
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.prepare import Prepared
from lrpdyn.pipeline.setup.request import Request
from lrpdyn.run.stored_maps import Storage

HELD = "held.npz"


@dataclass(frozen=True)
class Description:
    """What a job is made from again, beside its checkpoints and its observations.

    `rule` is as ``--rule`` takes it and `rule_name` what it is called; files are told by their whole
    path. `bounds` and `fill` are in units of what the network takes.
    """

    architecture: str
    arguments: Mapping[str, Any]
    keys: Mapping[str, Any]
    head: str
    rule: str
    rule_name: str
    device: str
    batch_size: int
    bounds: Bounds | None
    contrast: str
    policy: str
    normalisation: str
    baseline: str
    regions: str | None
    fill: float
    keep: str
    dtype: str
    skip_bad: bool
    trust: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> Description:
        """Return what `as_dict` gave, back from JSON, where a tuple is a list."""
        return Description(**{name: _frozen(value) for name, value in found.items()})


def describe(asked: Request, prepared: Prepared) -> Description:
    """Return the description of a job."""
    job, model = prepared.job, prepared.job.model
    return Description(
        architecture=_whole(model.resolved.architecture.name),
        arguments=model.resolved.arguments,
        keys=model.resolved.mapping.as_dict(),
        head=model.head,
        rule=str(Path(asked.rule).absolute()) if asked.rule.endswith(".toml") else asked.rule,
        rule_name=job.rule.name,
        device=str(model.device),
        batch_size=model.batch_size,
        bounds=prepared.bounds,
        contrast=job.contrast,
        policy=job.target.policy,
        normalisation=job.normalisation,
        baseline=job.baseline,
        regions=None if asked.regions is None else str(Path(asked.regions).absolute()),
        fill=job.fill,
        keep=job.storage.keep,
        dtype=job.storage.dtype,
        skip_bad=job.skip_bad,
        trust=job.trust,
    )


def save_held(path: Path, held: Held) -> None:
    """Write the values of the inputs that are held fixed."""
    with whole_file(path, "wb") as file:
        np.savez(file, **held)  # type: ignore[arg-type]


def make_job(
    description: Description, listing: Listing, values: Samples, held: Held, folder: Path
) -> Job:
    """Make the job of a description.

    Parameters
    ----------
    listing
        The checkpoints.
    values
        The observations that a run left (`open_values`).
    held
        The inputs that are held fixed, by name.
    folder
        Of the run that is written.

    Raises
    ------
    LrpdynError
        A file of the user's that it was made with is gone.
    """
    architecture = named(description.architecture)
    mapping = KeyMapping(**description.keys)
    resolved = Resolved(architecture, dict(description.arguments), mapping)
    composite = replace(parse_composite(description.rule), name=description.rule_name)
    model = make_model(
        resolved, description.head, description.device, description.batch_size, composite
    )
    model = replace(model, held=held)
    model = with_plan(model, values, description.bounds)
    painting = None
    if description.regions is not None:
        painting = Painting(read_regions(description.regions, values.shape), description.fill)
    observations = Observations(values=values, files=(), layout="", scale=1.0)
    return Job(
        listing, model, composite, observations, description.contrast,
        Target(description.policy), description.normalisation, description.baseline, folder,
        description.skip_bad, description.trust, True, description.fill, painting,
        Storage(description.keep, description.dtype), False,
    )  # fmt: skip


def open_values(path: Path) -> Samples:
    """Return the observations of a run folder: in memory, or as they lie there where they are many."""
    values = open_observations(path, None)
    return values[:] if values.size * values.dtype.itemsize <= LARGEST_IN_MEMORY else values


def read_held(path: Path) -> Held:
    """Return what `save_held` wrote.

    Raises
    ------
    RunError
        The file is damaged.
    """
    try:
        return load_npz(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); compute it again") from error


def _whole(name: str) -> str:
    """Return ``FILE.py:CALLABLE`` with the whole path of the file; other names stay."""
    place, _, attribute = name.rpartition(":")
    return f"{Path(place).absolute()}:{attribute}" if place.endswith(".py") else name


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
