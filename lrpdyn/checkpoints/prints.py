"""What tells the weights of two trainings apart without reading them whole."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.checkpoints.readers import files_of
from lrpdyn.errors import CheckpointError
from lrpdyn.remote.path import RemotePath

#: Of a file, so many pieces of so many bytes are read.
_PIECES, _SIZE = 4, 1 << 14


def print_of(checkpoint: Checkpoint) -> str | None:
    """Return a short text that is another one for other weights; None where it is not known.

    It is made from the checksums in the container, else from the sizes of the files and pieces of
    them; not in a store, where each piece would be a request, nor where the file is gone.
    """
    if checkpoint.fingerprint is not None or isinstance(checkpoint.path, RemotePath):
        return checkpoint.fingerprint
    digest = hashlib.sha256()
    try:
        for path in files_of(checkpoint.path, checkpoint.format):
            size = path.stat().st_size
            digest.update(b"%d " % size)
            _add_pieces(digest, path, size)
    except (OSError, CheckpointError):
        return None
    return shortened(digest.hexdigest())


def shortened(fingerprint: str) -> str:
    """Return what of a hash is kept for each step: chance finds no two alike."""
    return hashlib.sha256(fingerprint.encode()).hexdigest()[:16]


def _add_pieces(digest: hashlib._Hash, path: Path, size: int) -> None:
    with path.open("rb") as file:
        for number in range(1, _PIECES + 1):
            # The last one ends with the file, which is read whole where it is small.
            file.seek(max(0, size * number // _PIECES - _SIZE))
            digest.update(file.read(_SIZE))
