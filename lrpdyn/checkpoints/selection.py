"""Which checkpoints of a series are taken: a part of the question."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from lrpdyn.checkpoints.model import Checkpoint, LeftOut, StepCandidate
from lrpdyn.checkpoints.names import whole_number
from lrpdyn.checkpoints.steps import unit_at
from lrpdyn.errors import UsageError

_T = TypeVar("_T")


@dataclass(frozen=True)
class Selection:
    """The checkpoints that the user requests.

    Parameters
    ----------
    pattern
        Only entries whose name matches this glob.
    since, until
        Only steps from and up to these, both included.
    every
        Of these, the first, and each that is this many places after the last one taken.
    limit
        Of these, at most so many, evenly spaced, the first and the last among them.
    weights
        Which weights of each file: ``model``, ``ema``, or where they are in it.
    step_from
        A regular expression with one group, which takes the step from names; from paths, as far as a
        glob leaves them open, where no name matches.
    """

    pattern: str | None = None
    since: int | None = None
    until: int | None = None
    every: int | None = None
    limit: int | None = None
    weights: str = "model"
    step_from: str | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.every < 1:
            raise UsageError(f"--every {self.every}: expected 1 or more")
        if self.limit is not None and self.limit < 2:
            raise UsageError(f"--limit {self.limit}: expected 2 or more, the first and the last")
        if None not in (self.since, self.until) and self.since > self.until:  # type: ignore[operator]
            raise UsageError(f"--since {self.since} is after --until {self.until}")
        if not self.weights:
            raise UsageError("--weights: expected model, ema, or a name")
        if self.step_from is not None:
            try:
                groups = re.compile(self.step_from).groups
            except re.error as error:
                raise UsageError(
                    f"--step-from {self.step_from}: no regular expression: {error}"
                ) from error
            if groups != 1:
                raise UsageError(
                    f"--step-from {self.step_from}: has {groups} groups, expected one in parentheses, which "
                    r"is the step, such as 'model_(\d+)'"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return the selection as plain data, for the manifest."""
        return asdict(self)

    def matches(self, path: Path) -> bool:
        """Tell whether an entry's name is one of those requested."""
        return self.pattern is None or fnmatch.fnmatch(path.name, self.pattern)

    def step_in(self, name: str, path: str) -> StepCandidate | None:
        """Return the step that `step_from` takes from a name, else from a path; None without a match.

        Raises
        ------
        UsageError
            What it takes is no whole number.
        """
        regex = self.step_from or ""
        text = name if (found := re.search(regex, name)) else path
        found = found or re.search(regex, path)
        if found is None or found[1] is None:
            return None
        value = whole_number(found[1])
        if value is None:
            raise UsageError(
                f"--step-from {regex}: takes '{found[1]}' from {text}, expected a whole number such as 100, "
                "-1, 1e6 or 500k"
            )
        return StepCandidate(value=value, unit=unit_at(text, found.start(1)), source="--step-from")

    def outside(self, step: int) -> str | None:
        """Return why a step is not requested, or None if it is."""
        if self.since is not None and step < self.since:
            return f"before --since {self.since}"
        if self.until is not None and step > self.until:
            return f"after --until {self.until}"
        return None

    def choose(self, ordered: Sequence[Checkpoint]) -> tuple[tuple[Checkpoint, ...], list[LeftOut]]:
        """Return the checkpoints that are taken, and why the others are not."""
        left_out = [
            LeftOut(path=checkpoint.path, reason=reason, step=checkpoint.step)
            for checkpoint in ordered
            if (reason := self.outside(checkpoint.step)) is not None
        ]
        within = [checkpoint for checkpoint in ordered if self.outside(checkpoint.step) is None]
        taken = within[:: self.every or 1]
        chosen = taken if self.limit is None else evenly(taken, self.limit)
        kept = {checkpoint.path for checkpoint in taken}
        final = {checkpoint.path for checkpoint in chosen}
        for checkpoint in within:
            if checkpoint.path not in final:
                why = (
                    f"--limit {self.limit}" if checkpoint.path in kept else f"--every {self.every}"
                )
                left_out.append(
                    LeftOut(path=checkpoint.path, reason=f"not among {why}", step=checkpoint.step)
                )
        return tuple(chosen), left_out


def evenly(entries: Sequence[_T], count: int) -> list[_T]:
    """Return at most `count` of `entries`, evenly spaced, the first and the last among them."""
    if len(entries) <= count:
        return list(entries)
    last = len(entries) - 1
    # Rounded half up in integers, so that no place depends on floating point.
    places = [(2 * index * last + count - 1) // (2 * (count - 1)) for index in range(count)]
    return [entries[place] for place in places]
