"""Read what ``torch.save`` wrote: weights only, unless the user trusts the file."""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lrpdyn.errors import CheckpointError

_NESTED = ("state_dict", "model_state_dict", "model")
_BLOCKED = re.compile(r"GLOBAL (\S+)")


class OptimizerStateError(CheckpointError):
    """The file holds an optimizer state and no network."""


def load_object(payload: bytes, where: str, *, trust: bool, device: str = "cpu") -> Any:
    """Unpickle `payload` with torch's restricted unpickler (or, trusted, with pickle).

    On ``device="meta"`` tensors have shapes and no storage.

    Raises
    ------
    CheckpointError
        The bytes are damaged, or want to run code that is not known to be harmless.
    """
    try:
        return torch.load(io.BytesIO(payload), map_location=device, weights_only=not trust)
    except pickle.UnpicklingError as error:
        raise _refused(error, where) from error
    except (RuntimeError, EOFError, KeyError, ValueError, IndexError, TypeError, OSError,
            AttributeError, ImportError, zipfile.BadZipFile) as error:  # fmt: skip
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{where}: cannot be read, damaged or cut short ({first[:160]}); copy it again, "
            "or go on without it (--skip-bad)"
        ) from error


def _refused(error: pickle.UnpicklingError, where: str) -> CheckpointError:
    blocked = _BLOCKED.search(str(error))
    if blocked is None:
        return CheckpointError(
            f"{where}: cannot be read: not what torch.save writes, or damaged; copy it again, "
            "or go on without it (--skip-bad)"
        )
    return CheckpointError(
        f"{where}: refused: it is a pickle that wants to use {blocked[1]}, which can run code; "
        "save the state_dict alone, or give --trust if you trust whoever made this file"
    )


def find_state_dict(found: Any, where: str) -> Mapping[str, Tensor]:
    """Return the weights by key: the object itself, or one level down.

    Raises
    ------
    CheckpointError
        The object holds no weights; the message says what it holds.
    """
    if isinstance(found, nn.Module):
        return found.state_dict()
    if isinstance(found, Mapping):
        if "param_groups" in found and "state" in found:
            raise OptimizerStateError(f"{where}: holds an optimizer state, no weights of a network")
        for candidate in (found, *(found.get(key) for key in _NESTED)):
            if isinstance(candidate, nn.Module):
                return candidate.state_dict()
            if _is_state_dict(candidate):
                return candidate  # type: ignore[return-value]  # _is_state_dict has looked
        keys = ", ".join(map(repr, list(found)[:6])) or "nothing"
        raise CheckpointError(
            f"{where}: no weights found; expected a state dict, or one under "
            f"{', '.join(_NESTED)}; found keys {keys}"
        )
    raise CheckpointError(
        f"{where}: no weights found; expected a state dict, found a {type(found).__name__}"
    )


def _is_state_dict(candidate: Any) -> bool:
    return (
        isinstance(candidate, Mapping)
        and len(candidate) > 0
        and all(isinstance(key, str) for key in candidate)
        and all(isinstance(value, Tensor) for value in candidate.values())
    )
