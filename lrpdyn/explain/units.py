"""What the outputs of a head are, and so which questions they can answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean

if TYPE_CHECKING:
    from torch import nn

Outputs = NDArray[np.float64]
Integers = NDArray[np.int64]

#: Recorded where nobody says what the outputs of a policy are.
UNSAID = (
    "the policy's outputs are the choices of one discrete action (nothing says so; for others give "
    "--actions box, --actions binary, or --actions 3,2 for actions of 3 and 2 choices)"
)


@dataclass(frozen=True, kw_only=True)
class Units:
    """What the outputs of a head are.

    Parameters
    ----------
    kind
        ``categorical``: logits of one choice; ``groups``: logits of several; ``gaussian``: means, one
        for each dimension of an action; ``bernoulli``: logits, one for each binary action; ``values``:
        values of actions or of a state.
    groups
        The number of choices of each action, of the kind ``groups``; their sum is K.
    """

    kind: str = "categorical"
    groups: tuple[int, ...] = ()

    @property
    def have_no_preference(self) -> bool:
        """Whether each output has a zero of its own and none competes with another."""
        return self.kind in ("gaussian", "bernoulli")

    @property
    def compete(self) -> bool:
        """Whether all outputs compete with each other, so that the largest is preferred."""
        return not self.groups and not self.have_no_preference

    def group_of(self, units: Integers) -> Integers:
        """Return the group that each unit is in; all are in one where there are none."""
        ends = np.cumsum(self.groups)
        return np.searchsorted(ends, units, side="right") if self.groups else np.zeros_like(units)

    def strength(self, outputs: Outputs, group: int | None = None) -> Outputs:
        """Return by what units are chosen, (N, K): the largest is; of one `group` alone where given.

        The size of an output where none competes with another; the output less the mean of its group
        where there are several, which an action's shared constant does not change.
        """
        if self.have_no_preference:
            return np.abs(outputs)
        if not self.groups:
            return outputs
        parts = np.split(outputs, np.cumsum(self.groups)[:-1], axis=1)
        centred = [part - part.mean(axis=1, keepdims=True) for part in parts]
        found = np.concatenate(centred, axis=1)
        if group is not None:
            found[:, self.group_of(np.arange(found.shape[1])) != group] = -np.inf
        return found

    def best_and_worst(
        self, outputs: Outputs, group: int | None = None
    ) -> tuple[Integers, Integers]:
        """Return the units of most and of least strength, (N,) each, of the same group."""
        strength = self.strength(outputs, group)
        best = strength.argmax(axis=1)
        groups = self.group_of(np.arange(strength.shape[1]))
        strength = np.where(groups == groups[best][:, None], strength, np.inf)
        return best, strength.argmin(axis=1)

    def give_probabilities(self, count: int) -> bool:
        """Return whether `count` outputs are logits of distributions."""
        return self.kind == "bernoulli" or (self.kind in ("categorical", "groups") and count > 1)

    def predictions(self, outputs: Outputs) -> Outputs:
        """Return what outputs (..., K) predict: probabilities, or the outputs themselves.

        Of binary actions the probabilities of no and of yes, (..., 2 K).
        """
        if not self.give_probabilities(outputs.shape[-1]):
            return outputs
        if self.kind == "bernoulli":
            both = [np.exp(-np.logaddexp(0, sign * outputs)) for sign in (1, -1)]
            return np.concatenate(both, axis=-1)
        parts = np.split(outputs, np.cumsum(self.groups)[:-1], axis=-1)
        return np.concatenate([_softmax(part) for part in parts], axis=-1)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, for the manifest."""
        return {"kind": self.kind, "groups": list(self.groups)}


#: Where nothing is said of a policy, and of a classifier.
LOGITS = Units()


def _softmax(logits: Outputs) -> Outputs:
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Outputs = raised / raised.sum(axis=-1, keepdims=True)
    return shares


def recorded_units(manifest: Mapping[str, Any]) -> Units:
    """Return what the outputs of a run are; those of 0.1 took all for what a head's usually are."""
    recorded = manifest.get("units")
    if recorded is None:
        return usual_units(manifest["head"])
    return Units(kind=recorded["kind"], groups=tuple(recorded["groups"]))


def usual_units(head: str) -> Units:
    """Return what a head's outputs are where nothing else says it."""
    return Units(kind="categorical" if head in ("policy", "logits") else "values")


def units_of(
    network: nn.Module, head: str, count: int, hints: Mapping[str, Any], actions: str | None
) -> Units:
    """Return what the `count` outputs of a head are.

    ``--actions`` decides, then the action space that the checkpoint's file names, then what the
    network has as ``action_space``, in the words of ``--actions``.

    Raises
    ------
    UsageError
        What is said does not fit the head.
    """
    if actions is not None and head in ("q", "value"):
        raise UsageError(
            f"--actions: head {head} gives values, whatever the actions are; leave it out, or choose the "
            "policy with --head"
        )
    found = _said(network, head, hints, actions)
    if found is None:
        return usual_units(head)
    if found.size not in (None, count):
        raise UsageError(
            f"{found.where} has {found.size} choices or dimensions, and head {head} has {count} outputs; "
            "say what these are with --actions discrete, box, binary, or the choices of each action, such as "
            "3,2"
        )
    return found.units


def assumed(
    network: nn.Module, head: str, hints: Mapping[str, Any], actions: str | None
) -> tuple[str, ...]:
    """Return what of a head's outputs nobody says, or is said against the file, in a sentence."""
    known = _said(network, head, hints, None)
    if head != "policy" or (known is None and actions is not None):
        return ()
    if known is None:
        return (UNSAID,)
    given = _said(network, head, hints, actions)
    if given is None or given.units == known.units:
        return ()
    return (f"the outputs are what {given.where} says, against {known.where.rstrip(',')}",)


@dataclass(frozen=True, kw_only=True)
class _Said:
    """What somebody says of the outputs, how many that makes (None: any number), and who says it."""

    units: Units
    size: int | None
    where: str


def _said(
    network: nn.Module, head: str, hints: Mapping[str, Any], actions: str | None
) -> _Said | None:
    if actions is not None:
        return _of_text(actions, f"--actions {actions}")
    space = hints.get("action_space")
    found = _of_space(space) if head == "policy" and isinstance(space, Mapping) else None
    own = getattr(network, "action_space", None)
    if found is None and head in ("policy", "logits") and isinstance(own, str):
        return _of_text(own, f"the network's action_space '{own}'")
    return found


def check_actions(text: str) -> None:
    """Raise UsageError where ``--actions`` does not take a text."""
    _of_text(text, f"--actions {text}")


_KINDS = {"discrete": "categorical", "box": "gaussian", "binary": "bernoulli"}


def _of_text(text: str, where: str) -> _Said:
    if text in _KINDS:
        return _Said(units=Units(kind=_KINDS[text]), size=None, where=where)
    sizes = [int(size) if size.isdecimal() else 0 for size in text.split(",")]
    if not all(sizes):
        raise UsageError(
            f"{where}: expected discrete, box, binary, or the choices of each action, such as 3,2"
            + did_you_mean(text, _KINDS)
        )
    return _Said(units=_grouped(sizes), size=sum(sizes), where=where)


def _of_space(space: Mapping[str, Any]) -> _Said | None:
    """Return what a gymnasium space says (`lrpdyn.checkpoints.formats.sb3_data.space_of`)."""
    kind, shape = space.get("kind"), space.get("shape")
    where = f"the action space of the file, {kind},"
    if kind == "MultiDiscrete":
        return _Said(units=_grouped(space["nvec"]), size=sum(space["nvec"]), where=where)
    if kind == "Discrete":
        return _Said(units=Units(), size=space.get("n"), where=where)
    if kind in ("Box", "MultiBinary"):
        units = Units(kind="gaussian" if kind == "Box" else "bernoulli")
        return _Said(units=units, size=math.prod(shape) if shape else None, where=where)
    return None


def _grouped(sizes: Sequence[int]) -> Units:
    return Units(kind="groups", groups=tuple(sizes)) if len(sizes) > 1 else Units()
