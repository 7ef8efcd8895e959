"""What ``data`` in a Stable-Baselines3 zip says of the policy, read as text: nothing is unpickled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import zip_longest
from typing import Any

from lrpdyn.checkpoints.payload import is_count
from lrpdyn.checkpoints.pickles.pickled import Opaque

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+|inf)", re.I)
_SPACE = re.compile(r"'([^']+)'(?:: |, )(Box|Discrete|MultiDiscrete|MultiBinary)\(")
_DTYPE = re.compile(r"(?:u?int|float|bool)\d*")
#: Where torch has its activations, and Identity.
_MODULE = r"torch\.nn\.modules\.(?:activation|linear)"
#: Packages whose classes are known.
_STOCK = ("stable_baselines3.", "sb3_contrib.", "torch.")


def hints_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `data` says of the network.

    Returns
    -------
    dict
        ``activation``: the name of a class of ``torch.nn``, with arguments where it has some
        (``LeakyReLU(0.3)``), or the text of what is none (``<lambda>``); ``policy_class`` and
        ``features_extractor``: the names of classes that are not of Stable-Baselines3;
        ``normalize_images`` where it is False; ``metadata``: True where the policy's class and its
        options are in the file, so that what they do not name has its default; ``action_space`` and
        ``observation_space`` as of `space_of`, with ``observation_shape``; ``n_quantiles``,
        ``n_actions``, ``use_sde``; ``vec_normalize``: True where an on-policy algorithm keeps what
        its observations were before ``VecNormalize``.
    """
    hints: dict[str, Any] = {}
    options, described = data.get("policy_kwargs"), data.get("policy_class")
    if isinstance(options, dict):
        hints |= _of_options(options)
        if isinstance(described, Mapping) and "__module__" in described:
            hints["metadata"] = True
    policy = _class_of_methods(described)
    if policy is not None:
        hints["policy_class"] = policy
    for name in ("action_space", "observation_space"):
        space = space_of(data.get(name))
        if space is not None:
            hints[name] = space
    counts = {
        "n_quantiles": data.get("n_quantiles"),
        "n_actions": hints.get("action_space", {}).get("n"),
    }
    hints |= {name: int(n) for name, n in counts.items() if re.fullmatch(r"[0-9]{1,9}", str(n))}
    if data.get("use_sde") is True:
        hints["use_sde"] = True
    if data.get("_last_original_obs") is not None and "gae_lambda" in data:
        hints["vec_normalize"] = True
    shape = hints.get("observation_space", {}).get("shape")
    if shape:
        hints["observation_shape"] = shape
    return hints


def _of_options(options: Mapping[str, Any]) -> dict[str, Any]:
    hints: dict[str, Any] = {}
    if "activation_fn" in options:
        hints["activation"] = _activation(str(options["activation_fn"]))
    if options.get("normalize_images") is False:
        hints["normalize_images"] = False
    if "features_extractor_class" in options:
        extractor = _class_name(str(options["features_extractor_class"]))
        if extractor is not None:
            hints["features_extractor"] = extractor
    return hints


def hints_of_policy(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``policy.save`` keeps of the policy: all but its class.

    Parameters
    ----------
    parameters
        Those of the policy's constructor, as `lrpdyn.checkpoints.pickles.pickled` outlines them.
    """
    hints = _of_options({name: _as_text(value) for name, value in parameters.items()})
    if isinstance(parameters.get("normalize_images"), bool):
        hints["normalize_images"] = parameters["normalize_images"]
    return hints


def _as_text(value: Any) -> Any:
    """Return what ``repr`` gives for a class or a partial of one, by its outline."""
    if not isinstance(value, Opaque):
        return value if isinstance(value, str | int | float | None) else "?"
    state = value.state
    if value.name != "functools.partial" or not isinstance(state, tuple) or len(state) != 4:
        return f"<class '{value.name}'>"
    function, arguments, options, _ = state
    if not isinstance(arguments, tuple) or not isinstance(options, dict):
        return f"<class '{value.name}'>"
    parts = [f"<class '{getattr(function, 'name', None)}'>", *map(_literal, arguments)]
    parts += [f"{key}={_literal(value)}" for key, value in options.items()]
    return f"functools.partial({', '.join(parts)})"


def _literal(value: Any) -> str:
    return repr(value) if isinstance(value, int | float | str) else "?"


def activation_text(value: Any) -> str:
    """Return ``ReLU`` or the like for a class of ``torch.nn`` or a partial of one, by its outline."""
    return _activation(str(_as_text(value)))


def _activation(text: str) -> str:
    """Return ``ReLU``, ``LeakyReLU(0.3)`` or the text where it is no class of ``torch.nn``.

    >>> _activation("<class 'torch.nn.modules.activation.ReLU'>")
    'ReLU'
    >>> _activation("functools.partial(<class 'torch.nn.modules.activation.ELU'>, alpha=0.5)")
    'ELU(alpha=0.5)'
    """
    found = re.fullmatch(rf"<class '{_MODULE}\.(\w+)'>", text)
    if found:
        return found[1]
    partial = re.fullmatch(rf"functools\.partial\(<class '{_MODULE}\.(\w+)'>(?:, )?(.*)\)", text)
    if partial:
        return f"{partial[1]}({partial[2]})" if partial[2] else partial[1]
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _class_name(text: str) -> str | None:
    """Return the name of a class as ``repr`` has it, None for one of Stable-Baselines3."""
    found = re.fullmatch(r"<class '(.+)'>", text)
    name = found[1] if found else text
    return None if name.startswith(_STOCK) else name


def _class_of_methods(described: Any) -> str | None:
    """Return the name of a class that is not of Stable-Baselines3, by what was kept of it."""
    if not isinstance(described, Mapping):
        return None
    module = str(described.get("__module__", ""))
    if not module or f"{module}.".startswith(_STOCK):
        return None
    methods = (re.match(r"<function ([\w.<>]+)\.\w+ at", str(v)) for v in described.values())
    name = next((found[1] for found in methods if found), None)
    return f"a class of {module}" if name is None else f"{module}.{name.rpartition('.')[2]}"


def space_of(described: Any) -> dict[str, Any] | None:
    """Return a gymnasium space as plain data, None where it is not known.

    ``kind`` is the class's name. A Box has ``shape``, ``dtype``, and ``low`` and ``high``, each one
    number, or None where they differ by entry; a Discrete ``n`` and ``start``; a MultiDiscrete
    ``nvec``; a MultiBinary ``shape``; a Dict ``spaces``, by name, or None, in the order in which the
    framework puts their features together.
    """
    if not isinstance(described, Mapping):
        return None
    kind = re.search(r"\.(\w+)'>", str(described.get(":type:")))
    if kind is None:
        return None
    shape = described.get("_shape", described.get("shape"))
    if isinstance(shape, str):
        shape = [int(number) for number in re.findall(r"\d{1,9}", shape)]
    known = isinstance(shape, list) and all(map(is_count, shape))
    space: dict[str, Any] = {"kind": kind[1]}
    if known and shape:
        space["shape"] = tuple(shape)
    dtype = re.search(_DTYPE, str(described.get("dtype")))
    if dtype:
        space["dtype"] = dtype[0]
    if kind[1] == "Box":
        space |= {end: _uniform(described.get(end)) for end in ("low", "high")}
    elif kind[1] == "Discrete":
        space |= {name: _count(described.get(name)) for name in ("n", "start")}
    elif kind[1] == "MultiDiscrete":
        space["nvec"] = tuple(map(int, re.findall(r"\d{1,9}", str(described.get("nvec")))))
    elif kind[1] == "Dict":
        space["spaces"] = spaces_of(str(described.get("spaces")))
    return space


def _count(value: Any) -> int | None:
    return int(value) if re.fullmatch(r"\d{1,9}", str(value)) else None


def _uniform(text: Any) -> float | None:
    """Return the number that all entries of an array's text have, None where they differ."""
    numbers = {float(found) for found in _NUMBER.findall(str(text))}
    return numbers.pop() if len(numbers) == 1 else None


def spaces_of(text: str) -> dict[str, dict[str, Any]] | None:
    """Return the spaces that the text of a Dict space names, None where one cannot be read.

    >>> spaces_of("{'image': Box(0, 255, (3, 64, 64), uint8), 'goal': Discrete(4)}")["goal"]
    {'kind': 'Discrete', 'n': 4}
    """
    found = list(_SPACE.finditer(text))
    spaces: dict[str, dict[str, Any]] = {}
    for match, following in zip_longest(found, found[1:]):
        end = following.start() if following else len(text)
        space = _space_in_text(match[2], text[match.end() : end])
        if space is None:
            return None
        spaces[match[1]] = space
    return spaces or None


def _space_in_text(kind: str, arguments: str) -> dict[str, Any] | None:
    if kind == "Box":
        shapes = re.findall(r"\(([\d, ]*)\)", arguments)
        dtype = re.search(_DTYPE, arguments)
        ends = re.match(rf"({_NUMBER.pattern}), ({_NUMBER.pattern}), \(", arguments, re.I)
        if not shapes:
            return None
        return {
            "kind": kind,
            "shape": tuple(map(int, re.findall(r"\d+", shapes[-1]))),
            "dtype": dtype[0] if dtype else "float32",
            "low": float(ends[1]) if ends else None,
            "high": float(ends[2]) if ends else None,
        }
    numbers = tuple(map(int, re.findall(r"\d+", arguments.partition(")")[0])))
    if not numbers or "..." in arguments:
        return None
    if kind == "Discrete":
        return {"kind": kind, "n": numbers[0]}
    return {"kind": kind, "nvec" if kind == "MultiDiscrete" else "shape": numbers}


def features_of_space(space: Mapping[str, Any]) -> int | None:
    """Return how many features Stable-Baselines3 makes of an observation, None where not known.

    A Discrete and each entry of a MultiDiscrete become one-hot.
    """
    if space["kind"] == "Discrete":
        count: int | None = space["n"]
        return count
    if space["kind"] == "MultiDiscrete":
        entries: tuple[int, ...] = space["nvec"]
        return sum(entries)
    return math.prod(space["shape"]) if "shape" in space else None
