"""The unit that is explained: targets that are fixed over all checkpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import CheckpointError, UsageError
from lrpdyn.files.npy import load_npy

Integers = NDArray[np.int64]
Outputs = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """The policy, and the values that the user gave with it.

    `policy` is ``argmax``, ``modal``, ``final``, or the text of an integer or a file.
    """

    policy: str
    values: Integers | None = None

    def needs_outputs(self, contrast: str) -> bool:
        """Return whether outputs of checkpoints decide what is fixed."""
        return self.policy in ("modal", "final") or (
            self.values is not None and contrast == "runner-up"
        )


@dataclass(frozen=True)
class Fixed:
    """The units that are fixed for each of N samples; None where each step decides."""

    target: Integers | None = None
    runner_up: Integers | None = None


def parse_target(text: str, samples: int, units: int) -> Target:
    """Read ``argmax``, ``modal``, ``final``, an integer, or a .npy file of one integer a sample.

    Raises
    ------
    UsageError
        The text is none of these, or a value is no unit of the head.
    """
    if text in ("argmax", "modal", "final"):
        return Target(text)
    if text.isdecimal():
        values = np.full(samples, int(text), dtype=np.int64)
    elif text.endswith(".npy"):
        values = _read_values(Path(text), samples)
    else:
        raise UsageError(f"--target {text}: expected argmax, modal, final, an integer or FILE.npy")
    if values.min() < 0 or values.max() >= units:
        raise UsageError(
            f"--target {text}: expected units from 0 to {units - 1}, found {values.max()}"
        )
    return Target(policy=text, values=values)


def _read_values(path: Path, samples: int) -> Integers:
    try:
        values = load_npy(path)
    except (OSError, ValueError, MemoryError) as error:
        raise UsageError(f"--target {path}: cannot be read: {error}") from error
    if values.dtype.kind not in "ui" or values.shape != (samples,):
        raise UsageError(
            f"--target {path}: expected {samples} integers, one a sample, found {values.dtype} of "
            f"shape {values.shape}"
        )
    return np.asarray(values, dtype=np.int64)


def contrasted(outputs: Outputs, contrast: str) -> Outputs:
    """Return the score of every unit (N, K), were it the target."""
    if outputs.shape[1] == 1 or contrast == "none":
        return outputs
    if contrast == "mean":
        centred: Outputs = outputs - outputs.mean(axis=1, keepdims=True)
        return centred
    best = np.sort(outputs, axis=1)
    is_best = np.arange(outputs.shape[1]) == outputs.argmax(axis=1)[:, None]
    best_other: Outputs = np.where(is_best, best[:, -2:-1], best[:, -1:])
    return outputs - best_other


def fix_targets(target: Target, contrast: str, outputs: Iterable[Outputs]) -> Fixed:
    """Return the units that are fixed.

    Parameters
    ----------
    target
        The policy.
    contrast
        With ``runner-up`` the unit that is subtracted is fixed with the target: the best of
        the others at the last checkpoint (``final``), or on average.
    outputs
        (N, K) for each checkpoint in order for ``modal`` and given targets; from the last one
        backwards for ``final``. What is not finite is passed over.

    Raises
    ------
    CheckpointError
        No checkpoint has finite outputs.
    """
    if not target.needs_outputs(contrast):
        return Fixed(target.values)
    finite = (values for values in outputs if np.isfinite(values).all())
    if target.policy == "final":
        plain = next(finite, None)
        scores = None if plain is None else contrasted(plain, contrast)
    else:
        plain, scores = _means(finite, contrast)
    if plain is None or scores is None:
        raise CheckpointError("no checkpoint has finite outputs; there is nothing to explain")
    chosen = target.values if target.values is not None else scores.argmax(axis=1).astype(np.int64)
    if contrast != "runner-up" or plain.shape[1] == 1:
        return Fixed(chosen)
    others = plain.copy()
    others[np.arange(len(chosen)), chosen] = -np.inf
    return Fixed(target=chosen, runner_up=others.argmax(axis=1).astype(np.int64))


def _means(finite: Iterable[Outputs], contrast: str) -> tuple[Outputs | None, Outputs | None]:
    """Return the means over checkpoints of centred outputs and of contrasted scores."""
    plain: Outputs | None = None
    scores: Outputs | None = None
    for values in finite:
        centred = values - values.mean(axis=1, keepdims=True)
        plain = centred if plain is None else plain + centred
        of_units = contrasted(values, contrast)
        scores = of_units if scores is None else scores + of_units
    return plain, scores
