"""Where in a saved object the weights of the network are, and its step and epoch.

All functions take the object itself or its outline: what counts as a tensor is what has a shape.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from lrpdyn.checkpoints.model import StepCandidate
from lrpdyn.checkpoints.pickles.pickled import ArrayOutline, Opaque
from lrpdyn.errors import CheckpointError

#: Where frameworks keep the weights among other things, the surest first.
_USUAL = ("state_dict", "model_state_dict", "model", "model_weights", "module", "network", "net",
          "weights", "params")  # fmt: skip
_AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "model_ema_state_dict", "ema_model",
             "ema", "ema_weights")  # fmt: skip
_STEPS = ("global_step", "num_timesteps", "total_timesteps", "env_steps", "env_step", "timestep",
          "timesteps", "step", "steps", "total_steps", "num_updates", "iteration", "iter", "frames",
          "train_step")  # fmt: skip
_EPOCHS = ("epoch", "epochs")
COUNTERS = frozenset((*_STEPS, *_EPOCHS))
#: Lightning's callbacks that average weights keep the average where the weights are else.
_CURRENT, _AVERAGING = "current_model_state", "averaging_state"
_DEEPEST = 3
_MOST_CHILDREN = 100_000


class OptimizerStateError(CheckpointError):
    """The file holds an optimizer state and no network."""


def locate(found: Any, weights: str, where: str) -> tuple[str, Mapping[str, Any]]:
    """Return where the weights are in `found` (``model/actor``; empty: it is them), and them.

    Parameters
    ----------
    found
        What was saved.
    weights
        ``model``, ``ema``, or a path such as ``actor``, ``0`` or ``nets/actor``.
    where
        The file, for messages.

    Raises
    ------
    CheckpointError
        There are no such weights; the message says what there is.
    """
    if weights == "ema":
        return _averaged(found, where)
    if weights != "model":
        return _named(found, weights, where)
    if is_state_dict(found):
        return "", found
    if is_optimizer(found):
        raise OptimizerStateError(f"{where}: holds an optimizer state, no weights of a network")
    inside = dict(_inside(found, ""))
    for name in _USUAL:
        for path in inside:
            if path == name or path.endswith(f"/{name}"):
                return path, inside[path]
    if isinstance(found, list | tuple) and "0" in inside:
        return "0", inside["0"]  # CleanRL's DDPG and TD3: the actor, then its critics.
    plain = [path for path in inside if path.rpartition("/")[2] not in _AVERAGED]
    if len(plain) == 1:
        return plain[0], inside[plain[0]]
    if plain:
        raise CheckpointError(
            f"{where}: holds several sets of weights, {_listed(plain)}; choose with --weights NAME"
        )
    raise CheckpointError(f"{where}: no weights found: {described(found)}")


def follow(found: Any, path: str) -> Any:
    """Return the value at a `path` of `found`."""
    for key in filter(None, path.split("/")):
        found = found[int(key)] if isinstance(found, list | tuple) else found[key]
    return found


def is_state_dict(found: Any) -> bool:
    """Tell whether `found` maps names to tensors, a module's extra state and Tianshou's optimizers
    among them."""
    if not isinstance(found, Mapping) or not found:
        return False
    tensors = 0
    for key, value in found.items():
        if not isinstance(key, str):
            return False
        if hasattr(value, "shape"):
            tensors += 1
        elif not key.endswith("_extra_state") and key != "_optimizers":
            return False
    return tensors > 0


def is_average(found: Any) -> bool:
    """Tell whether the ``state_dict`` of `found` is the average that Lightning's callback keeps."""
    return (
        isinstance(found, Mapping)
        and {_CURRENT, _AVERAGING} <= found.keys()
        and is_state_dict(found.get("state_dict"))
    )


def is_optimizer(found: Any) -> bool:
    """Tell whether `found` is the state of a torch optimizer."""
    return isinstance(found, Mapping) and "param_groups" in found and "state" in found


def described(found: Any) -> str:
    """Say what `found` is, for a message."""
    if isinstance(found, Opaque):
        return f"expected a state dict, found an object of {found.name}"
    if isinstance(found, Mapping):
        keys = ", ".join(repr(key)[:60] for key in list(found)[:6]) or "nothing"
        return f"expected a state dict, or one under {', '.join(_USUAL[:4])}; found keys {keys}"
    return f"expected a state dict, found a {type(found).__name__}"


def step_of(found: Any) -> StepCandidate | None:
    """Return the step that a saved object names, if any."""
    for place in (found, _get(found, "meta"), _get(found, "extra_state")):
        for key in _STEPS:
            if (value := _count(_get(place, key))) is not None:
                return StepCandidate(value=value, unit="steps", source=key)
    history = _get(found, "optimizer_history")  # fairseq
    updates = _get(history[-1], "num_updates") if isinstance(history, list) and history else None
    if isinstance(updates, int) and is_count(updates):
        return StepCandidate(value=updates, unit="steps", source="num_updates")
    return None


def epoch_of(found: Any) -> StepCandidate | None:
    """Return the epoch that a saved object names, if any."""
    for place in (found, _get(found, "meta")):
        for key in _EPOCHS:
            if (value := _count(_get(place, key))) is not None:
                return StepCandidate(value=value, unit="epochs", source=key)
    return None


def is_count(value: Any) -> bool:
    """Tell whether `value` is a number that can be a step."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 62


def _count(value: Any) -> int | None:
    """Return what `is_count` of a number, a float or a NumPy scalar among them, or None."""
    if isinstance(value, ArrayOutline) and value.values is not None and value.values.size == 1:
        value = value.values.item()
    if isinstance(value, float | np.floating | np.integer) and float(value).is_integer():
        value = int(value)
    return value if is_count(value) else None


def _get(found: Any, key: str) -> Any:
    return found.get(key) if isinstance(found, Mapping) else None


def _averaged(found: Any, where: str) -> tuple[str, Mapping[str, Any]]:
    if is_average(found):
        return "state_dict", found["state_dict"]
    inside = dict(_inside(found, ""))
    for name in _AVERAGED:
        for path in inside:
            if name in path.split("/"):
                return path, inside[path]
    raise CheckpointError(
        f"{where}: holds no averaged weights, expected them under {_listed(_AVERAGED)}; found "
        f"{_listed(inside) or 'none at all'}; leave --weights out, or give one of these"
    )


def _named(found: Any, weights: str, where: str) -> tuple[str, Mapping[str, Any]]:
    try:
        chosen = follow(found, weights)
    except (KeyError, IndexError, ValueError, TypeError):
        chosen = None
    if is_state_dict(chosen):
        return weights, chosen
    inside = list(dict(_inside(found, "")))
    raise CheckpointError(
        f"{where}: holds no weights called {weights}; expected one of "
        f"{_listed(inside) or 'its sets of weights, but there is one only'}"
    )


def _inside(found: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Walk over the state dicts in `found`, those that are less deep first."""
    level = [(path, found)]
    known: dict[int, bool] = {}  # what is shared is looked through once
    for _ in range(_DEEPEST):
        deeper: list[tuple[str, Any]] = []
        children = ((place, child) for place, value in level for child in _children(value))
        for place, (key, item) in islice(children, _MOST_CHILDREN):
            name = f"{place}/{key}" if place else key
            if id(item) not in known:
                known[id(item)] = is_state_dict(item)
            if known[id(item)]:
                yield name, item
            elif len(deeper) < 1000 and not is_optimizer(item):
                deeper.append((name, item))
        level = deeper


def _children(found: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(found, Mapping):
        yield from ((key, value) for key, value in found.items() if isinstance(key, str))
    elif isinstance(found, list | tuple) and len(found) <= 100:
        yield from ((str(number), value) for number, value in enumerate(found))


def _listed(names: Any) -> str:
    names = list(names)
    more = f" and {len(names) - 6} more" if len(names) > 6 else ""
    return ", ".join(names[:6]) + more
