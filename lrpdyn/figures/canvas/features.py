"""Features of flat observations: which are drawn, and what they are called."""

import numpy as np

from lrpdyn.figures.canvas.style import Array

MOST_VALUES = 32


def largest_features(dynamics: Array, most: int) -> Array:
    """Return the features of one sample, (F,), to draw: all in order, or the strongest first."""
    if dynamics.size <= most:
        return np.arange(dynamics.size)
    strength = np.where(np.isfinite(dynamics), dynamics, 0.0)
    return np.argsort(-strength, kind="stable")[:most]


def most_changed_features(differences: Array, most: int) -> Array:
    """Return at most this many features of (T, F), those that changed most, by rising index."""
    strength = np.nan_to_num(differences).sum(axis=0)
    return np.sort(np.argsort(-strength, kind="stable")[:most])


def feature_names(features: Array, observation: Array) -> list[str]:
    """Name features by index, with the observed value where there are at most 32 in all."""
    if observation.size > MOST_VALUES:
        return [str(feature) for feature in features]
    return [f"{feature}: {observation[feature]:.3g}" for feature in features]
