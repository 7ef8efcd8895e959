"""The unit that is explained: targets that are fixed over all checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from lrpdyn.errors import CheckpointError, UsageError
from lrpdyn.explain.units import LOGITS, Integers, Outputs, Units
from lrpdyn.files.nearby import did_you_mean, similar_path
from lrpdyn.files.npy import load_npy
from lrpdyn.files.reasons import reason_of

#: Each sample's own label.
LABELS = "labels"
#: What ``--target`` takes besides units and files.
POLICIES = ("argmax", "largest", "modal", "final", LABELS)


@dataclass(frozen=True, kw_only=True)
class Target:
    """The policy, and the values that the user gave with it.

    `policy` is ``argmax``, ``largest``, ``modal``, ``final``, or the text of an integer or a file;
    `group` the one of several actions that it is of.
    """

    policy: str
    group: int | None = None
    values: Integers | None = None

    @property
    def text(self) -> str:
        """The target as ``--target`` takes it."""
        return self.policy if self.group is None else f"{self.group}:{self.policy}"

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


def contrast_of(contrast: str | None, units: Units) -> str:
    """Return what is subtracted from a target's output; None asks for what suits the units.

    Raises
    ------
    UsageError
        Nothing can be subtracted from units that do not compete.
    """
    if not units.have_no_preference:
        return contrast or "mean"
    if contrast in ("mean", "runner-up"):
        raise UsageError(
            f"--contrast {contrast}: {_WHY_NONE[units.kind]}, so that outputs of others say nothing about "
            "it; leave --contrast out, or give none"
        )
    return "none"


_WHY_NONE = {
    "gaussian": "each mean of a continuous action has its own zero",
    "bernoulli": "each binary action has a logit with its own zero",
}


def parse_target(
    text: str | None,
    samples: int,
    count: int,
    units: Units = LOGITS,
    *,
    labels: Callable[[int], Sequence[int]] | None = None,
) -> Target:
    """Return the target that a text asks for; None asks for what suits the units.

    ``argmax``, ``modal``, ``final``, ``labels``, which `labels` gives for a number of units, an integer,
    a .npy file of one integer a sample; with a number and a colon before it, of this one of several
    discrete actions. ``largest`` takes the place of
    ``argmax`` where units do not compete.

    Raises
    ------
    UsageError
        The text is none of these, or a value is no unit of the head.
    """
    usual = "largest" if units.have_no_preference else "argmax"
    if text is None:
        return Target(policy=usual)
    target = split_target(text, units)
    group, policy = target.group, target.policy
    if policy in (usual, "modal", "final"):
        return target
    if policy in ("argmax", "largest"):
        raise UsageError(
            f"--target {text}: {_WHY_NOT[policy]}; expected {usual}, modal, final or a unit"
        )
    first, size = 0, count
    if group is not None:
        first, size = sum(units.groups[:group]), units.groups[group]
    if policy == LABELS and labels is not None:
        values = np.array(labels(size), dtype=np.int64)
    elif policy.isdecimal():
        values = np.full(samples, int(policy), dtype=np.int64)
    elif policy.endswith(".npy"):
        values = _read_values(Path(policy), samples)
    else:
        of = ", GROUP:UNIT" if units.groups else ""
        raise UsageError(
            f"--target {text}: expected {usual}, modal, final, labels, an integer{of} or FILE.npy"
            + did_you_mean(policy, POLICIES)
        )
    if values.min() < 0 or values.max() >= size:
        found = values.min() if values.min() < 0 else values.max()
        raise UsageError(f"--target {text}: expected units from 0 to {size - 1}, found {found}")
    return Target(policy=policy, group=group, values=values + first)


def check_target(text: str) -> None:
    """Raise UsageError where ``--target`` takes a text under no units, or its file is not there."""
    group, colon, policy = text.rpartition(":")
    if colon and group.isdecimal():
        check_target(policy)
    elif text.endswith(".npy"):
        if not Path(text).exists():
            raise UsageError(f"--target {text}: no such file{similar_path(text)}")
    elif text not in POLICIES and not text.isdecimal():
        raise UsageError(
            f"--target {text}: expected {', '.join(POLICIES)}, a unit, GROUP:UNIT or FILE.npy"
            + did_you_mean(text, POLICIES)
        )


_WHY_NOT = {
    "argmax": "a largest output is no preference where each has its own zero",
    "largest": "the size of an output means nothing where outputs compete",
}


def split_target(text: str, units: Units) -> Target:
    """Return the policy and the group of a target, without the values that it may name.

    Raises
    ------
    UsageError
        There is no such group.
    """
    before, colon, policy = text.partition(":")
    if not colon or not before.isdecimal() or len(before) > 18:
        return Target(policy=text)
    if int(before) >= len(units.groups):
        has = f"actions 0 to {len(units.groups) - 1}" if units.groups else "one action alone"
        raise UsageError(f"--target {text}: the head has {has}")
    return Target(policy=policy, group=int(before))


def _read_values(path: Path, samples: int) -> Integers:
    try:
        values = load_npy(path)
    except (OSError, ValueError, MemoryError) as error:
        raise UsageError(f"--target {path}: cannot be read: {reason_of(error)}") from error
    if values.dtype.kind not in "ui" or values.shape != (samples,):
        raise UsageError(
            f"--target {path}: expected {samples} integers, one a sample, found {values.dtype} of "
            f"shape {values.shape}"
        )
    return np.asarray(values, dtype=np.int64)


def contrasted(outputs: Outputs, contrast: str) -> Outputs:
    """Return the score of every unit (N, K), were it the target; all compete."""
    if outputs.shape[1] == 1 or contrast == "none":
        return outputs
    if contrast == "mean":
        centred: Outputs = outputs - outputs.mean(axis=1, keepdims=True)
        return centred
    best = np.sort(outputs, axis=1)
    is_best = np.arange(outputs.shape[1]) == outputs.argmax(axis=1)[:, None]
    best_other: Outputs = np.where(is_best, best[:, -2:-1], best[:, -1:])
    return outputs - best_other


def fix_targets(
    target: Target,
    contrast: str,
    outputs: Iterable[Outputs],
    units: Units = LOGITS,
) -> Fixed:
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
    units
        What the outputs are: where not all of them compete, the largest `Units.strength` is chosen.

    Raises
    ------
    CheckpointError
        No checkpoint has finite outputs.
    """
    if not target.needs_outputs(contrast):
        return Fixed(target.values)

    def scores_of(values: Outputs) -> Outputs:
        if units.compete:
            return contrasted(values, contrast)
        return units.strength(values, target.group)

    finite = (values for values in outputs if np.isfinite(values).all())
    found = islice(finite, 1) if target.policy == "final" else finite
    plain: Outputs | None = None
    scores: Outputs | None = None
    for values in found:
        of_units = scores_of(values)
        centred = values - values.mean(axis=1, keepdims=True)
        plain = centred if plain is None else plain + centred
        scores = of_units if scores is None else scores + of_units
    if plain is None or scores is None:
        raise CheckpointError("no checkpoint has finite outputs; there is nothing to explain")
    chosen = target.values if target.values is not None else scores.argmax(axis=1).astype(np.int64)
    if contrast != "runner-up" or plain.shape[1] == 1:
        return Fixed(chosen)
    groups = units.group_of(np.arange(plain.shape[1]))
    others = np.where(groups == groups[chosen][:, None], plain, -np.inf)
    # Chosen where there is no other.
    others[np.arange(len(chosen)), chosen] = np.finfo(np.float64).min
    return Fixed(target=chosen, runner_up=others.argmax(axis=1).astype(np.int64))
