"""The plain data of this room: the reader of a format, a checkpoint and its header, a listing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCandidate:
    """A number that may be the step: its unit, and where it was read."""

    value: int
    unit: str
    source: str


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a file before its weights are read.

    `shapes` has the shape of every weight by its key; `hints` what else is known of the network
    (``activation``, ``network``, ``observation_shape``, ``normalize_images``), as plain text and numbers;
    `weights` where in the file the weights are (empty: it holds nothing else); `counter` the unit
    of a number in the entry's name; `averaged` says that the weights are the average of training's, which
    Lightning's callback keeps in their place; `fingerprint` is equal for equal weights, where the container
    keeps checksums; `executes` names what unpickling the file would call (only with trust).
    """

    shapes: Shapes
    _: KW_ONLY
    step: StepCandidate | None = None
    epoch: StepCandidate | None = None
    hints: Mapping[str, Any] = field(default_factory=dict)
    weights: str = ""
    counter: str = "steps"
    averaged: bool = False
    fingerprint: str | None = None
    executes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """Which weights of a file are read (``model``, ``ema``, or where they are), and how far its
    maker is trusted."""

    weights: str = "model"
    trust: bool = False


@dataclass(frozen=True)
class Entry:
    """A file's first bytes and the members of its archive, or the names in a folder."""

    path: Path
    _: KW_ONLY
    head: bytes = b""
    members: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A checkpoint format.

    Parameters
    ----------
    format
        Its name.
    recognise
        Tells whether an entry is of this format, by its content, never by its name.
    header, weights
        Return the entry's header, read without its weights, and the weights by key.
    files
        The files that hold the weights.
    digest
        The digest of the weights' bytes by an algorithm, where it is not that of the `files`.
    both
        Gives weights and digest where one read serves both.
    suffixes
        File names that promise this format: one that cannot be read is bad, not merely skipped.
    """

    format: str
    recognise: Callable[[Entry], bool]
    header: Callable[[Path, Choice], Header]
    weights: Callable[[Path, Choice], Mapping[str, Tensor]]
    files: Callable[[Path], list[Path]] = lambda path: [path]
    digest: Callable[[Path, str], str] | None = None
    both: Callable[[Path, Choice, str], tuple[Mapping[str, Tensor], str]] | None = None
    suffixes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One entry of the ordered series: a path and a step, no weights.

    `fingerprint` is a short one of the weights, where the container keeps checksums. Where `digest` is
    given, only a file whose weights have it is loaded.
    """

    step: int
    path: Path
    format: str
    step_source: str
    header: Header
    aliases: tuple[Path, ...] = ()
    weights: str = "model"
    fingerprint: str | None = None
    digest: str | None = None


@dataclass(frozen=True)
class LeftOut:
    """An entry of the folder that is no part of the series, and why.

    `bad` says that it should be part of it, and `step` at which step, if its name has one.
    """

    path: Path
    reason: str
    _: KW_ONLY
    bad: bool = False
    step: int | None = None


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Every entry of a folder: the series in order of training, and what was skipped.

    `notes` are for the user; `same` groups the steps that have the same weights by their
    containers' checksums.
    """

    checkpoints: Sequence[Checkpoint]
    left_out: tuple[LeftOut, ...]
    unit: str
    notes: tuple[str, ...] = ()
    same: tuple[tuple[int, ...], ...] = ()

    @property
    def bad(self) -> tuple[LeftOut, ...]:
        return tuple(entry for entry in self.left_out if entry.bad)
