"""What ``class_and_ctor_args.pkl``, beside RLlib's ``module_state.pkl``, says of the module."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lrpdyn.checkpoints.formats.arrays import read_pickle
from lrpdyn.checkpoints.formats.sb3_data import activation_text, space_of
from lrpdyn.checkpoints.pickles.pickled import ArrayOutline, Opaque

CONSTRUCTOR = "class_and_ctor_args.pkl"
_STOCK = "ray.rllib."
_SPACES = "gymnasium.spaces."


def hints_of(path: Path) -> dict[str, Any]:
    """Return hints of the network, as `lrpdyn.checkpoints.model.Header` has them.

    ``config`` is the plain part of ``model_config``; ``policy_class`` names a module or a catalog that is not
    RLlib's own. Nothing in the file is called, nor are its classes imported.

    Raises
    ------
    CheckpointError
        It is damaged.
    """
    root = _mapping(read_pickle(path, trust=True))
    given = root.get("ctor_args_and_kwargs")
    options = _mapping(given[1]) if isinstance(given, list | tuple) and len(given) == 2 else {}
    named = (root.get("class"), options.get("catalog_class"))
    classes = [one.name for one in named if isinstance(one, Opaque)]
    own = [name for name in classes if not name.startswith(_STOCK)]
    config = _mapping(options.get("model_config"))
    spaces = {name: _space(options.get(name)) for name in ("observation_space", "action_space")}
    return {
        "config": {str(key): _plain(value) for key, value in config.items()},
        **({"policy_class": own[0]} if own else {}),
        **{name: space for name, space in spaces.items() if space is not None},
    }


def _mapping(found: Any) -> Mapping[Any, Any]:
    inside = found.state if isinstance(found, Opaque) else found
    return inside if isinstance(inside, Mapping) else {}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, str | int | float | None) else activation_text(value)


def _space(found: Any) -> dict[str, Any] | None:
    if not isinstance(found, Opaque) or not found.name.startswith(_SPACES):
        return None
    state = _mapping(found)
    dtype = state.get("dtype")
    ends = {name: _numbers(state.get(name), once=True) for name in ("low", "high")}
    return space_of({
        ":type:": f"<class '{found.name}'>", "_shape": list(state.get("_shape") or ()), **ends,
        "dtype": _dtype(dtype.args[0] if isinstance(dtype, Opaque) and dtype.args else dtype),
        "n": state.get("n"), "start": state.get("start"), "nvec": _numbers(state.get("nvec")),
    })  # fmt: skip


def _dtype(code: Any) -> str:
    try:
        return str(np.dtype(code).name) if isinstance(code, str) else ""
    except TypeError:
        return ""


def _numbers(array: Any, *, once: bool = False) -> str:
    values = array.values if isinstance(array, ArrayOutline) else None
    if values is None:
        return ""
    return " ".join(map(str, (np.unique(values) if once else values.ravel()).tolist()))
