"""Plain pickles of NumPy arrays, as RLlib's ``module_state.pkl``: read without unpickling."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lrpdyn.checkpoints.containers import check_shared, damaged, open_file
from lrpdyn.checkpoints.model import Choice, Header, Reader
from lrpdyn.checkpoints.payload import epoch_of, locate, step_of
from lrpdyn.checkpoints.pickles.globals import dangerous
from lrpdyn.checkpoints.pickles.outline import DamagedPickleError, outline
from lrpdyn.checkpoints.pickles.pickled import ArrayOutline
from lrpdyn.errors import CheckpointError
from lrpdyn.files.text import first_line

_LARGEST = 1 << 32


def recognises(head: bytes) -> bool:
    """Tell whether a file begins as a pickle does (protocol 2 or later)."""
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def header_of(path: Path, choice: Choice) -> Header:
    """Return the header of a pickle of arrays.

    Raises
    ------
    CheckpointError
        It is damaged, holds no arrays, or more than data.
    """
    root = read_pickle(path, trust=choice.trust)
    where, weights = locate(root, choice.weights, str(path))
    arrays = _arrays(weights, path)
    if not arrays:
        raise CheckpointError(
            f"{path}: is a pickle of torch tensors; save it with torch.save, or leave it out with --pattern"
        )
    shapes = {key: tuple(value.shape) for key, value in arrays.items()}
    return Header(shapes, step=step_of(root), epoch=epoch_of(root), weights=where)


def weights_of(path: Path, choice: Choice) -> Mapping[str, Tensor]:
    """Read the arrays of a pickle as tensors."""
    _, weights = locate(read_pickle(path, trust=choice.trust), choice.weights, str(path))
    try:
        return {
            key: torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
            for key, value in _arrays(weights, path).items()
        }
    except TypeError as error:
        raise CheckpointError(f"{path}: holds an array that torch has no type for") from error


def read_pickle(path: Path, *, trust: bool) -> Any:
    """Return what a pickle holds, arrays as `ArrayOutline`; nothing in it is called.

    Raises
    ------
    CheckpointError
        It is damaged, or refers to more than data and is not trusted.
    """
    with open_file(path) as file:
        if file.size > _LARGEST:
            raise CheckpointError(
                f"{path}: is a pickle of {file.size:,} bytes, too large for weights"
            )
        try:
            found = outline(file)
        except DamagedPickleError as error:
            raise damaged(
                f"{path}: is a pickle that is damaged or cut short ({first_line(error)})"
            ) from error
    names = dangerous(found.names)
    if names and not trust:
        raise CheckpointError(
            f"{path}: refused: it is a pickle that wants to use {', '.join(names[:5])}, which can run "
            "code; save the state_dict with torch.save, or give --trust if you trust whoever made it"
        )
    return found.root


def _arrays(weights: Mapping[str, Any], path: Path) -> dict[str, np.ndarray[Any, Any]]:
    found = {
        key: value.values
        for key, value in weights.items()
        if isinstance(value, ArrayOutline) and value.values is not None
    }
    check_shared(sum(array.nbytes for array in found.values()), path.stat().st_size, str(path))
    return found


READER = Reader(
    format="arrays",
    recognise=lambda entry: recognises(entry.head),
    header=header_of,
    weights=weights_of,
)
