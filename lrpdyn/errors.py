"""Errors that a person at a shell reads: one line, with an exit code by kind."""


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


class MissingStepError(RunError, KeyError):
    """The run has no such step."""

    __str__ = Exception.__str__  # a KeyError shows its message as code


class FullDiskError(RunError):
    """A file cannot be written: its disk, or the user's share of it, has no room."""
