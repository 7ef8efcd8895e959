"""What Stable-Baselines3 makes of an observation before its network: the space decides.

A space is plain data, as of `lrpdyn.checkpoints.formats.sb3_data.space_of`. Source:
``stable_baselines3.common.preprocessing.preprocess_obs``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError
from lrpdyn.files.streamed import Streamed, as_sample, in_memory
from lrpdyn.observations.normalisation import Statistics

Space = Mapping[str, Any]
Range = tuple[float, float]

#: Kinds whose observations are whole numbers and become zeros and ones.
_WHOLE = ("Discrete", "MultiDiscrete", "MultiBinary")
#: A float32 without bounds is declared to reach 3.4e38.
_UNBOUNDED = 1e30


def text_of(space: Space) -> str:
    """Return a space as gymnasium writes it.

    >>> text_of({"kind": "Box", "low": 0.0, "high": 1.0, "shape": (4,), "dtype": "float32"})
    'Box(0, 1, (4,), float32)'
    """
    kind = space["kind"]
    if kind == "Box":
        ends = ["various" if space.get(e) is None else f"{space[e]:g}" for e in ("low", "high")]
        return f"Box({', '.join(ends)}, {space.get('shape')}, {space.get('dtype')})"
    if kind == "Dict":
        inner = (space.get("spaces") or {}).items()
        return f"Dict({', '.join(f'{name}: {text_of(one)}' for name, one in inner)})"
    number = {"Discrete": "n", "MultiDiscrete": "nvec"}.get(kind, "shape")
    return f"{kind}({space.get(number)})"


def zeros(space: Space) -> Any:
    """Return one observation (1, ...) of a space, zero or its least value; of a Dict, one by name.

    None where the space says too little.

    >>> zeros({"kind": "MultiDiscrete", "nvec": (3, 2)})
    array([[0, 0]])
    """
    kind = space["kind"]
    if kind == "Dict":
        found = {name: zeros(one) for name, one in (space.get("spaces") or {}).items()}
        return found if found and all(value is not None for value in found.values()) else None
    if kind == "Discrete":
        return np.full(1, space.get("start") or 0)
    if kind == "MultiDiscrete":
        return np.zeros((1, len(space["nvec"])), int)
    shape = space.get("shape")
    if shape is None:
        return None
    whole = kind != "Box" or str(space.get("dtype")).startswith("uint")
    low, high = (space.get(end) for end in ("low", "high"))
    value = np.clip(0, -np.inf if low is None else low, np.inf if high is None else high)
    return np.full((1, *shape), value, np.uint8 if whole else np.float32)


def is_image(space: Space) -> bool:
    """Return whether pixels of this space are divided by 255, unless ``normalize_images=False``."""
    return (
        space["kind"] == "Box"
        and len(space.get("shape", ())) == 3
        and space.get("dtype") == "uint8"
        and (space["low"], space["high"]) == (0, 255)
    )


def divisor_of(space: Space, *, normalize_images: bool) -> float:
    """Return what the framework divides observations of a space by."""
    return 255.0 if normalize_images and is_image(space) else 1.0


def range_of(space: Space, *, normalize_images: bool) -> Range | None:
    """Return the least and the largest value that the network is given, None where not known."""
    if space["kind"] in _WHOLE:
        return (0.0, 1.0)
    ends = space.get("low"), space.get("high")
    if any(end is None or not isfinite(end) or abs(end) > _UNBOUNDED for end in ends):
        return None
    divisor = divisor_of(space, normalize_images=normalize_images)
    return float(ends[0]) / divisor, float(ends[1]) / divisor  # type: ignore[arg-type]


def check_range(
    least: float,
    most: float,
    expected: Range,
    of: str,
    *,
    divided: bool = False,
    whole: bool = True,
    several: bool = False,
) -> None:
    """Raise ObservationError where values are not what is `expected`.

    Parameters
    ----------
    least, most
        Of the values.
    of
        What declares that, for the message.
    divided
        Whether values of 0..1 would be pixels that were divided, where 0..255 is expected.
    whole
        False where there are fractions, of which the space has none.
    several
        The values are one input of several, which ``--scale`` does not divide.
    """
    low, high = expected
    slack = 1e-6 * (high - low)
    if least < low - slack or most > high + slack:
        pixels = high == 1 and least >= 0 and 1 < most <= 255
        hint = "divide them by 255" if several else "--scale 255"
        hint = f"{hint} if they are pixels of 0..255 that training divided, " if pixels else ""
    elif high == 255 and 0 < most <= 1 and (divided or not whole):
        hint = "multiply them by 255" if several else "--scale 0.00392156862745098 (1/255)"
        hint += " if they are pixels divided by 255, "
    elif not whole:
        hint = "they are no whole numbers, which the space has; "
    else:
        return
    raise ObservationError(
        f"observations lie in {least:g}..{most:g}, the network takes {low:g}..{high:g}{of}; {hint}--scale "
        "none to keep them"
    )


def are_whole(values: NDArray[Any], space: Space | None) -> bool:
    """Return False where values have fractions, and the space (a Box) has only whole numbers."""
    if space is None or "int" not in space.get("dtype", ""):
        return True
    return values.dtype.kind != "f" or bool((values == np.rint(values)).all())


def whole_as_features(array: Streamed, where: str, space: Space | None) -> Streamed:
    """Return observations of a space of whole numbers as the network sees them, others unchanged.

    Parameters
    ----------
    array
        Discrete: integers (N,), MultiDiscrete: (N, entries), of which each becomes one-hot.
        MultiBinary: (N, ...) of 0 and 1. (N, features) where they are one-hot already. One sample
        may lack N, but for Discrete.

    Returns
    -------
    Streamed
        (N, features) float32.

    Raises
    ------
    ObservationError
        Of the shape, or when it is read: a number is not in the space.
    """
    if space is None or space["kind"] not in _WHOLE:
        return array
    kind = space["kind"]
    counts = (space["n"],) if kind == "Discrete" else tuple(space.get("nvec", ()))
    own: tuple[int, ...] = space.get("shape", ()) if kind == "MultiBinary" else (len(counts),)
    own = () if kind == "Discrete" else own
    if any(count is None for count in counts) or (kind != "Discrete" and not own):
        return array
    features = prod(own) if kind == "MultiBinary" else sum(counts)
    if own and array.shape == own:
        array = as_sample(array)
    shapes = [own, (1,)] if kind == "Discrete" else [own]
    numbers = kind != "MultiBinary" and array.ndim > 0 and array.shape[1:] in shapes
    ready = array.ndim > 0 and array.shape[1:] == (own if kind == "MultiBinary" else (features,))
    if not (ready or (numbers and array.dtype.kind in "ui")):
        shown = "".join(f", {size}" for size in own)
        either = "" if kind == "MultiBinary" else f" or one-hot, (N, {features})"
        raise ObservationError(
            f"{where}: {array.dtype} of shape {array.shape}; the observation space {text_of(space)} of "
            f"the checkpoint takes integers of shape (N{shown or ','}){either}"
        )

    def read(start: int, stop: int) -> NDArray[Any]:
        piece = array[start:stop].reshape(stop - start, -1)
        found = _one_hot(piece, counts) if numbers and array.dtype.kind in "ui" else piece
        groups = [] if kind == "MultiBinary" else np.split(found, np.cumsum(counts)[:-1], axis=1)
        if not np.isin(found, (0, 1)).all() or not all((g.sum(axis=1) == 1).all() for g in groups):
            raise ObservationError(
                f"{where}: holds values that are not in the observation space {text_of(space)} of the "
                f"checkpoint, samples {start} to {stop - 1}: {piece.min():g} to {piece.max():g}"
            )
        return found.astype(np.float32)

    return Streamed((len(array), features), np.float32, read)


def _one_hot(values: NDArray[Any], counts: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return integers (N, entries) as (N, sum of counts); one beyond its count has no True."""
    return np.concatenate(
        [values[:, [n]] == np.arange(count) for n, count in enumerate(counts)], axis=1
    )


@dataclass(frozen=True, kw_only=True)
class DictInputs:
    """The inputs of a Dict space by name, and what is done to each before the network.

    Attributes
    ----------
    spaces
        In the order in which the network takes their features.
    normalize_images
        As of the policy.
    normalisation
        Gives the statistics of an input by its name, None where it was not normalised.
    bounded
        Whether values outside of the bounds of a Box are refused.
    """

    spaces: Mapping[str, Space]
    normalize_images: bool = True
    normalisation: Callable[[str], Statistics | None] = lambda name: None
    bounded: bool = True

    def as_seen(self, name: str, array: NDArray[Any]) -> NDArray[np.float32]:
        """Return observations of an input as the network sees them, (N, ...).

        `array` holds observations of the input's space, or one of them; an image may have its
        channels last.

        Raises
        ------
        ObservationError
            Its shape or its values are not of the space.
        """
        space, where = self.spaces[name], f"input '{name}'"
        if array.dtype.kind not in "uifb":
            raise ObservationError(f"{where}: expected numbers, found {array.dtype}")
        if space["kind"] != "Box":
            whole = array[None] if array.ndim == 0 else array
            return whole_as_features(in_memory(whole), where, space)[:]
        shape = space["shape"]
        samples = array[None] if array.ndim == len(shape) else array
        if samples.ndim == 4 and samples.shape[1:] != shape and is_image(space):
            samples = np.moveaxis(samples, -1, 1)
        if samples.shape[1:] != shape:
            raise ObservationError(
                f"{where}: expected shape {('N', *shape)} of {text_of(space)}, found {array.dtype} of "
                f"shape {array.shape}"
            )
        values = samples.astype(np.float32)
        if not np.isfinite(values).all():
            raise ObservationError(f"{where} holds NaN or infinity")
        normalisation = self.normalisation(name)
        if normalisation is not None:
            return normalisation.apply(samples)
        if array.dtype.kind in "ui":
            divisor = divisor_of(space, normalize_images=self.normalize_images)
            values = values / np.float32(divisor)
        expected = range_of(space, normalize_images=self.normalize_images)
        if self.bounded and expected is not None and values.size:
            of = f" ({where}, {text_of(space)})"
            least, most = float(values.min()), float(values.max())
            pixels = array.dtype.kind == "f" and len(shape) == 3
            sound = expected == (0, 1) or are_whole(array, space)
            check_range(least, most, expected, of, divided=pixels, whole=sound, several=True)
        return values
