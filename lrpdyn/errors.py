"""Errors that a person at a shell reads: one line, with an exit code by kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class LrpdynError(Exception):
    """Something could not be done; the message says what, where and what to do next."""

    exit_code = 1


class UsageError(LrpdynError):
    """What was requested does not exist or contradicts itself."""

    exit_code = 2


class CheckpointError(LrpdynError):
    """A checkpoint, or a folder of them, cannot be used."""


class ArchitectureError(LrpdynError):
    """No network fits the weights, or the network cannot be explained."""


class ObservationError(LrpdynError):
    """The observations cannot be used, or do not fit the network."""


class RecordingError(LrpdynError):
    """A policy or its environment cannot be made, or cannot be recorded."""


class RemoteError(LrpdynError):
    """A store of remote files cannot be reached, or its local cache not be written."""


class ExportError(LrpdynError):
    """A run cannot be written in another format."""


class RunError(LrpdynError):
    """A run folder cannot be written, read or resumed."""


class UnreadableRunsError(RunError):
    """Some runs cannot be read: why, by the path of each, so that others can be compared without them."""

    def __init__(self, reasons: Mapping[Path, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons

    def __str__(self) -> str:
        first, *others = self.reasons.values()
        return f"{first} (and {len(others):,} more)" if others else first


class MissingStepError(RunError, KeyError):
    """The run has no such step."""

    __str__ = Exception.__str__  # a KeyError shows its message as code


class FullDiskError(RunError):
    """A file cannot be written: its disk, or the user's share of it, has no room."""
