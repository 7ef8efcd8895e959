"""Checks what options say as far as no torch is needed, so that a mistake is answered at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from glob import glob
from pathlib import Path
from typing import Any

from lrpdyn.architectures.names import check_name
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.diagnostics.baseline import parse_baseline
from lrpdyn.errors import CheckpointError, ObservationError, UsageError
from lrpdyn.explain.targets import check_target
from lrpdyn.explain.units import check_actions
from lrpdyn.files.nearby import seems, similar_path
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.observations.choice import check_choice
from lrpdyn.observations.fills import parse_fill
from lrpdyn.observations.loading import parse_divisor
from lrpdyn.observations.reference import parse_reference
from lrpdyn.observations.sizing import parse_sizing
from lrpdyn.pipeline.setup.options import AUTO, Options
from lrpdyn.run.tables import check_tables


def check_values(options: Options) -> None:
    """Check the options that name something, before torch is loaded and anything is read.

    Raises
    ------
    UsageError
        There is no such architecture, rule, target, baseline, file or the like.
    """
    if options.arch is not None:
        check_name(options.arch)
    # Code of the user's own may register the rule.
    if options.rule != AUTO and ":" not in (options.arch or ""):
        parse_composite(options.rule)
    if options.target is not None:
        check_target(str(options.target))
    if options.actions is not None:
        check_actions(options.actions)
    if options.scale is not None:
        parse_divisor(options.scale)
    parse_baseline(options.baseline)
    parse_fill(options.fill)
    parse_reference(options.reference)
    parse_sizing(options.resize, options.crop)
    check_choice(options.samples, options.select)
    check_tables(options.tables)
    selection_of(options)
    for name, path in _files_of(options):
        if "://" not in path and not Path(path).exists():
            raise UsageError(f"--{name} {path}: no such file{similar_path(path)}")


def _files_of(options: Options) -> Iterator[tuple[str, str]]:
    """Yield options that name a file, and the file."""
    for name in ("regions", "expect", "statistics", "labels", "names"):
        value = getattr(options, name)
        if value is not None and str(value) != ("auto" if name == "regions" else "none"):
            yield name, str(value)
    for name in ("reference", "mean", "std"):
        value = str(getattr(options, name))
        if value.endswith(".npy"):
            yield name, value


def selection_of(options: Options) -> Selection:
    """Return which checkpoints are explained."""
    return Selection(**{known.name: getattr(options, known.name) for known in fields(Selection)})


def check_inputs(checkpoints: str | Path, observations: Any) -> None:
    """Check that checkpoints and observations are there, and are not given one for the other.

    Names alone are looked at; what they do not say is left to those who read the files.

    Parameters
    ----------
    checkpoints
        A folder of checkpoints, or a glob.
    observations
        What `lrpdyn.compute` takes; arrays are passed over.

    Raises
    ------
    UsageError
        They were swapped, or one of them is a run.
    CheckpointError, ObservationError
        One of them is not there.
    """
    one = observations if isinstance(observations, list | tuple) else [observations]
    given = [str(entry) for entry in one if isinstance(entry, str | Path)]
    first, others = seems(checkpoints), [seems(entry) for entry in given]
    weights = [path for path, kind in zip(given, others, strict=True) if "checkpoint" in kind]
    if first == "observations" and weights:
        right = " ".join([weights[0], str(checkpoints)])
        raise UsageError(
            f"{checkpoints}: seems to be observations, and {weights[0]} checkpoints, which come first: "
            f"lrpdyn compute {right}"
        )
    if first == "a checkpoint" and weights:
        raise UsageError(
            f"{checkpoints} and {weights[0]}: are checkpoints, expected one folder of them, or a glob in "
            f"quotes, then observations: lrpdyn compute {Path(checkpoints).parent}/ OBSERVATIONS"
        )
    if first in ("a run", "a file of a run"):
        raise UsageError(
            f"{checkpoints}: is {first}, which lrpdyn compute wrote; expected a folder of checkpoints "
            "(lrpdyn plot and lrpdyn outliers take a run)"
        )
    if not first and _is_missing(str(checkpoints)):
        raise CheckpointError(
            f"{checkpoints}: no such folder, and no file matches it as a glob{similar_path(str(checkpoints))}"
        )
    for path, kind in zip(given, others, strict=True):
        if kind == "a run":
            raise UsageError(
                f"{path}: is a run, which lrpdyn compute wrote; expected observations, such as those that "
                f"lrpdyn record writes"
            )
        if not kind and _is_missing(path):
            raise ObservationError(f"{path}: no such file or folder{similar_path(path)}")
        if "checkpoint" in kind:
            raise UsageError(
                f"{path}: is {kind}, expected observations after it: .npy, .npz, .png or .jpg files, or "
                "folders of them"
            )


def _is_missing(text: str) -> bool:
    """Return whether a path is not there; False of addresses, ``FILE.npz:KEY`` and ``NAME=FILE``."""
    return not (any(sign in text for sign in (":", "=")) or Path(text).exists() or glob(text))
