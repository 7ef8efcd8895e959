"""Means and deviations with which observations were normalised in training, from options or files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.errors import ObservationError, UsageError
from lrpdyn.files.npy import load_npy
from lrpdyn.files.reasons import reason_of

#: Of ImageNet's training pictures, channels red, green, blue, in 0..1 (torchvision's weights).
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))

_SAMPLE_FACTORY_EPSILON, _SAMPLE_FACTORY_CLIP = 1e-5, 5.0
_NORMALISER = "obs_normalizer.running_mean_std.running_mean_std."


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Observations become (x - mean) / deviation, then clipped to -clip..clip where it is given.

    `mean` and `deviation` are broadcast against one observation: (C, 1, 1), (C, H, W) or (F,). `raw`
    where observations are not divided by anything before.
    """

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]
    clip: float | None = None
    raw: bool = False

    def apply(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return normalised observations (N, ...).

        Raises
        ------
        ObservationError
            Their shape is another than that of the statistics.
        """
        try:
            shape = np.broadcast_shapes(values.shape[1:], self.mean.shape, self.deviation.shape)
        except ValueError:
            shape = ()
        if shape != values.shape[1:]:
            raise ObservationError(
                f"observations have shape {values.shape[1:]} for each sample, their mean "
                f"{self.mean.shape} and deviation {self.deviation.shape}; give those that the training of "
                "this network had"
            )
        found = (values - self.mean) / self.deviation
        if self.clip is not None:
            found = np.clip(found, -self.clip, self.clip)
        return found.astype(np.float32)

    def bounds(self, low: float, high: float) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
        """Return what `low` and `high` become in each channel, or None where it differs within."""
        shapes = (self.mean.shape, self.deviation.shape)
        if any(shape and shape[1:] != (1, 1) for shape in shapes):
            return None
        ends = [
            np.atleast_1d((value - self.mean) / self.deviation).ravel() for value in (low, high)
        ]
        if self.clip is not None:
            ends = [np.clip(end, -self.clip, self.clip) for end in ends]
        return tuple(ends[0].tolist()), tuple(ends[1].tolist())


def from_options(mean: Any, std: Any, channels: int | None) -> Statistics | None:
    """Return the statistics of ``--mean`` and ``--std``: numbers (one, or one a channel) or .npy files.

    Raises
    ------
    UsageError
        They are no numbers, or not one for each channel.
    """
    if mean is None and std is None:
        return None
    center = np.zeros(()) if mean is None else _numbers("--mean", mean, channels)
    deviation = np.ones(()) if std is None else _numbers("--std", std, channels)
    if not (deviation > 0).all():
        raise UsageError("--std: expected numbers above 0")
    return Statistics(mean=center, deviation=deviation)


def imagenet(channels: int | None) -> Statistics:
    """Return ImageNet's statistics.

    Raises
    ------
    UsageError
        The network does not take three channels.
    """
    if channels != 3:
        raise UsageError(f"--scale imagenet: the network takes {channels} channels, expected 3")
    mean, std = (np.array(values).reshape(3, 1, 1) for values in IMAGENET)
    return Statistics(mean=mean, deviation=std)


def from_file(path: Path, *, trust: bool, name: str | None = None) -> Statistics | None:
    """Return the running statistics in a sample-factory checkpoint or in ``vecnormalize.pkl``.

    The latter is a pickle of a whole object. It is followed and not run; it needs `trust` all the
    same, since nothing else confirms its numbers. `name` is the input's, of several; None is
    returned where that one was not normalised.

    Raises
    ------
    ObservationError
        The file holds no such statistics, or is not trusted.
    """
    from lrpdyn.checkpoints.formats import arrays
    from lrpdyn.checkpoints.readers import find_reader, read_weights

    reader = find_reader(path)
    if reader is arrays.READER:
        return _vec_normalize(path, trust=trust, name=name)
    if reader is None:
        raise ObservationError(
            f"{path}: expected a sample-factory checkpoint or Stable-Baselines3's vecnormalize.pkl"
        )
    weights, _ = read_weights(path, reader.format, trust=trust)
    names = sorted(
        key.removeprefix(_NORMALISER).removesuffix(".running_mean")
        for key in weights
        if key.startswith(_NORMALISER) and key.endswith(".running_mean")
    )
    if not names:
        raise ObservationError(
            f"{path}: holds no running statistics of observations ({_NORMALISER}NAME.running_mean)"
        )
    name = "obs" if "obs" in names else names[0]
    if name != "obs" and len(names) > 1:
        raise ObservationError(f"{path}: normalises several observations: {', '.join(names)}")
    prefix = f"{_NORMALISER}{name}"
    mean = weights[f"{prefix}.running_mean"].double().numpy()
    variance = weights[f"{prefix}.running_var"].double().numpy()
    deviation = np.sqrt(variance + _SAMPLE_FACTORY_EPSILON)
    return Statistics(mean=mean, deviation=deviation, clip=_SAMPLE_FACTORY_CLIP)


def _vec_normalize(path: Path, *, trust: bool, name: str | None) -> Statistics | None:
    from lrpdyn.checkpoints.formats.arrays import read_pickle

    if not trust:
        raise ObservationError(
            f"{path}: is a pickle of a whole object; give --trust if you trust whoever made this file"
        )
    state = _state(read_pickle(path, trust=True))
    running = state.get("obs_rms")
    if isinstance(running, Mapping) and name is not None and state.get("norm_obs") is not False:
        if name not in running:
            return None
        running = running[name]
    elif isinstance(running, Mapping) and len(running) == 1:
        running = next(iter(running.values()))
    found = _state(running)
    mean, variance = (getattr(found.get(name), "values", None) for name in ("mean", "var"))
    if state.get("norm_obs") is False:
        raise ObservationError(
            f"{path}: did not normalise observations (norm_obs=False); give --statistics none"
        )
    if isinstance(running, Mapping):
        raise ObservationError(
            f"{path}: normalises several observations, {', '.join(map(str, running))}; give them by "
            "name, in one .npz"
        )
    if mean is None or variance is None:
        raise ObservationError(
            f"{path}: holds no running mean and variance of one observation, as VecNormalize saves them"
        )
    epsilon, clip = state.get("epsilon"), state.get("clip_obs")
    if not isinstance(epsilon, float | int) or not isinstance(clip, float | int):
        raise ObservationError(f"{path}: does not say its epsilon and clip_obs")
    deviation = np.sqrt(variance.astype(np.float64) + epsilon)
    return Statistics(mean=mean.astype(np.float64), deviation=deviation, clip=float(clip), raw=True)


def _state(found: Any) -> Mapping[str, Any]:
    state = getattr(found, "state", None)
    return state if isinstance(state, Mapping) else {}


def _numbers(option: str, given: Any, channels: int | None) -> NDArray[np.float64]:
    if str(given).endswith(".npy"):
        try:
            loaded = load_npy(str(given))
        except (OSError, ValueError, MemoryError) as error:
            raise UsageError(f"{option} {given}: cannot be read: {reason_of(error)}") from error
        if loaded.dtype.kind not in "buif" or loaded.size == 0 or not np.isfinite(loaded).all():
            raise UsageError(
                f"{option} {given}: expected finite numbers, found {loaded.dtype} of shape {loaded.shape}"
            )
        return loaded.astype(np.float64)
    parts = str(given).split(",") if isinstance(given, str | int | float) else list(given)
    try:
        found = np.array([float(part) for part in parts])
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        raise UsageError(
            f"{option} {given}: expected numbers such as 0.5 or 0.4,0.5,0.6, or FILE.npy"
        )
    if len(found) == 1:
        return found.reshape(())
    if channels is not None and len(found) != channels:
        raise UsageError(
            f"{option} {given}: expected one number, or {channels}, one for each channel"
        )
    return found.reshape(-1, 1, 1) if channels is not None else found
