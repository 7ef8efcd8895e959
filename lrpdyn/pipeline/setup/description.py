"""A job as plain data, from which another process makes the same job: a worker elsewhere, a merge."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.architectures.registry import Resolved, function_hints, named
from lrpdyn.checkpoints.keys import KeyMapping
from lrpdyn.checkpoints.model import Listing
from lrpdyn.errors import RunError
from lrpdyn.explain.model import make_model, with_plan
from lrpdyn.explain.targets import split_target
from lrpdyn.explain.units import Units
from lrpdyn.files.atomic import whole_file
from lrpdyn.files.json_data import fault
from lrpdyn.files.npy import load_npz
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.streamed import LARGEST_IN_MEMORY, Samples
from lrpdyn.lrp.composites import composite_of, is_file, parse_composite
from lrpdyn.lrp.plan import Bounds
from lrpdyn.observations.fixed_inputs import FixedInputs
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.reading import open_observations
from lrpdyn.pipeline.setup.job import Job, make_job
from lrpdyn.pipeline.setup.options import AUTO, DEVICE, Options, defaults
from lrpdyn.run.question import KINDS

FIXED_INPUTS = "held.npz"
#: What a description says that anybody may have edited; the choices of options are checked by them.
_EXPECTED = {
    "options": {"rule": str, "arch": str, "arch_args": (None, dict), "head": str, "device": str,
                "target": str, "contrast": str, "normalize": str, "baseline": str, "batch_size": int,
                "keep": str, "dtype": str, "trust": bool, "skip_bad": bool},
    "keys": {"wrappers": bool, "prefix": str},
    "rule_name": str,
    "units": {"kind": frozenset(KINDS), "groups": [int]},
    "bounds": (None, [(float, [float])]),
    "fill": float,
    "hints": dict,
    "given": dict,
    "reference?": (None, [float]),
    "rule_layers?": (None, [dict]),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a job is made from again, with its checkpoints and its observations.

    `options` are those of the job as they were resolved, with whole paths; `rule_name` is the name of the
    rules; `units` what the outputs of the head are. `bounds` and `fill`, the number of the `Fill`, are in
    units of what the network takes; `hints` and `given` are those of the network by which further
    checkpoints are checked; `reference` is that of the model, or the one number that all of its entries
    are; `rule_layers` are the tables of a rules file, which is not read again.
    """

    options: Options
    keys: Mapping[str, Any]
    rule_name: str
    units: Units
    bounds: Bounds | None
    fill: float
    hints: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    reference: Sequence[float] | None = None
    rule_layers: Sequence[Mapping[str, Any]] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)

    @staticmethod
    def from_dict(found: Mapping[str, Any]) -> Description:
        """Return what `as_dict` gave, back from JSON, where a tuple is a list.

        Raises
        ------
        TypeError, KeyError, UsageError
            It is something else.
        """
        found = json.loads(json.dumps(found))
        wrong = fault(found, _EXPECTED, "description")
        if wrong is not None or not DEVICE.fullmatch(found["options"]["device"]):
            raise TypeError(wrong or f"description.options.device is {found['options']['device']}")
        if is_file(found["options"]["rule"]) and not found.get("rule_layers"):
            raise TypeError("description has no tables of its rules file, which is not read again")
        plain = _frozen(found)
        made = {"options": Options(**plain["options"]), "units": Units(**plain["units"])}
        return Description(**{**plain, **made})


def describe(job: Job) -> Description:
    """Return the description of a job."""
    options, model = job.options, job.model
    resolved = replace(
        options,
        # Observations are read as the run left them, and the folder is given where the job is made again.
        **defaults("arrangement"),
        out=Options.out,
        arch=whole_name(model.resolved.architecture.name),
        arch_args=model.resolved.arguments,
        head=model.head,
        device=str(model.device),
        target=job.target.text,
        rule=_absolute(options.rule) if is_file(options.rule) else options.rule,
        regions=_whole_regions(options.regions),
        names=None,  # the manifest has them
        expect=None if options.expect is None else str(options.expect),
        recompute=(),
        shard=None,
    )
    return Description(
        options=resolved,
        keys=model.resolved.mapping.as_dict(),
        hints=function_hints(model.resolved.hints),
        given=model.resolved.given,
        rule_name=job.rule.name,
        units=model.units,
        bounds=job.bounds,
        fill=job.fill.value,
        reference=_plain(model.reference),
        rule_layers=job.rule.parameters.get("layers") if is_file(options.rule) else None,
    )


def save_fixed_inputs(path: Path, inputs: FixedInputs) -> None:
    """Write the values of the inputs that are fixed."""
    with whole_file(path, "wb") as file:
        np.savez(file, **inputs)  # type: ignore[arg-type]


def job_of(
    description: Description, listing: Listing, values: Samples, inputs: FixedInputs, folder: Path
) -> Job:
    """Return the job of a description.

    Parameters
    ----------
    listing
        The checkpoints.
    values
        The observations that a run left (`open_values`).
    inputs
        The inputs that are fixed, by name.
    folder
        Of the run that is written.

    Raises
    ------
    LrpdynError
        A file of the user's that it was made with is gone.
    """
    options = replace(description.options, out=folder, quiet=True, verbose=False)
    resolved = Resolved(
        architecture=named(str(options.arch)),
        arguments=dict(options.arch_args or {}),
        mapping=KeyMapping(**description.keys),
        hints=description.hints,
        given=description.given,
    )
    if description.rule_layers is None:
        composite = replace(parse_composite(options.rule), name=description.rule_name)
    else:
        composite = composite_of(description.rule_name, description.rule_layers)
    model = make_model(resolved, options.head, options.device, options.batch_size, composite)
    reference = _reference(description.reference, values.shape[1:])
    model = replace(model, fixed_inputs=inputs, units=description.units, reference=reference)
    model = with_plan(model, values, description.bounds)
    return make_job(
        options,
        listing,
        model,
        Observations(values=values, files=(), layout="", scale=1.0),
        split_target(str(options.target), description.units),
        bounds=description.bounds,
        fill=description.fill,
    )


def open_values(path: Path) -> Samples:
    """Return the observations of a run folder: in memory, or as they lie there where they are many."""
    values = open_observations(path, None)
    return values[:] if values.size * values.dtype.itemsize <= LARGEST_IN_MEMORY else values


def read_fixed_inputs(path: Path) -> FixedInputs:
    """Return what `save_fixed_inputs` wrote.

    Raises
    ------
    RunError
        The file is damaged.
    """
    try:
        return load_npz(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({reason_of(error)}); compute it again") from error


def _plain(reference: NDArray[np.float32] | None) -> list[float] | None:
    if reference is None:
        return None
    found: list[float] = np.unique(reference).tolist()
    return found if len(found) == 1 else reference.ravel().tolist()


def _reference(plain: Sequence[float] | None, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Return what `_plain` was made of, for observations of a shape.

    Raises
    ------
    RunError
        It is that of another shape.
    """
    if plain is None:
        return None
    if len(plain) not in (1, math.prod(shape)):
        raise RunError(
            f"description.reference: expected {math.prod(shape)} numbers, one for each entry of an "
            f"observation, found {len(plain)}; compute it again"
        )
    found = np.asarray(plain, dtype=np.float32)
    return found.reshape(1, *shape) if len(plain) > 1 else np.full((1, *shape), found[0])


def _absolute(path: str | Path) -> str:
    return str(Path(path).absolute())


def _whole_regions(regions: str | Path | None) -> str | None:
    return None if regions is None else AUTO if str(regions) == AUTO else _absolute(regions)


def whole_name(name: str) -> str:
    """Return ``FILE.py:CALLABLE`` with the whole path of the file; other names stay."""
    place, _, attribute = name.rpartition(":")
    return f"{_absolute(place)}:{attribute}" if place.endswith(".py") else name


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    return value
