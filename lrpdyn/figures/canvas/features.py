"""Features of flat observations: which are drawn, and what they are called."""

import numpy as np

from lrpdyn.figures.canvas import layout
from lrpdyn.figures.canvas.style import Array
from lrpdyn.files.names import NO_NAMES, Names

MOST_VALUES = 32
#: Names are no wider than this, in em: what is drawn next to them needs room.
OF_NAMES = 11.0


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


def feature_names(
    features: Array, observation: Array, names: Names = NO_NAMES, most: float = OF_NAMES
) -> list[str]:
    """Name features, by index where `names` has none; with the observed value of at most 32 in all."""
    known = names.get("features", {})
    found = [short_label(one, known.get(str(one), str(one)), most) for one in features]
    if observation.size > MOST_VALUES:
        return found
    return [f"{name}: {observation[one]:.3g}" for name, one in zip(found, features, strict=True)]


def short_label(number: int, name: str, most: float) -> str:
    """Return the name of a feature, cut where it is wider than `most` em.

    A name that is cut has its number before it: what is left of two names may be the same.
    """
    if layout.text_width(name, 1.0) <= most:
        return name
    return layout.shortened(f"{number} {name}", most, 1.0)
