"""How much of the space features fill, and how alike the features of two steps are, by Gram matrices."""

from __future__ import annotations

import base64
import binascii

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Features are compared for so many samples, at most.
CKA_SAMPLES = 16
#: Of fewer, the debiased estimate is mostly noise: with four it goes from -1 to 1.
FEWEST = 8
#: Below this share of the features' size, what is left of them without their mean is rounding.
_ROUNDING = 1e-12


def effective_rank(gram: Array) -> float | None:
    """Return exp of the entropy of the normalised singular values (Roy & Vetterli 2007).

    Of features (N, entries) by their Gram matrix (N, N), whose eigenvalues are the singular values
    squared; None where all are zero.

    >>> effective_rank(np.diag([4.0, 4.0, 0.0]))
    2.0
    """
    values = np.linalg.eigvalsh(gram)
    values = values[values > len(gram) * np.finfo(np.float64).eps * max(values[-1], 0)]
    if not values.size:
        return None
    share = np.sqrt(values)
    share /= share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def centred(gram: Array) -> Array:
    """Return the Gram matrix of the same features less their mean over samples; 0 where all are the same."""
    rows = gram.mean(axis=0)
    found: Array = gram - rows - rows[:, None] + rows.mean()
    return found if np.trace(found) > _ROUNDING * np.trace(gram) else np.zeros_like(gram)


def packed(gram: Array) -> str:
    """Return the upper half of a Gram matrix as text: float32 in base64.

    Its largest entry becomes 1, on which no alignment depends: squares of large features pass the end of
    float32.
    """
    largest = float(np.abs(gram).max(initial=0.0))
    scaled = gram / largest if largest > 0 else gram
    half = scaled[np.triu_indices(len(gram))].astype("<f4")
    return base64.b64encode(half.tobytes()).decode()


def unpacked(text: str) -> Array:
    """Return the matrix of `packed`; raises ValueError where the text is none."""
    try:
        half = np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")
    except binascii.Error as error:
        raise ValueError(f"{text[:20]}... is no Gram matrix") from error
    size = int((np.sqrt(8 * len(half) + 1) - 1) / 2)
    gram = np.zeros((size, size))
    gram[np.triu_indices(size)] = half  # ValueError where it is no half of a square
    return gram + np.triu(gram, 1).T


def aligned(gram: Array) -> Array | None:
    """Return what `cka` compares of a Gram matrix of features: U-centred, and of length 1.

    The diagonal, which biases the estimate, is left out: products of two such matrices sum to the unbiased
    HSIC of Song et al. (2012) over the root of that of each with itself (Szekely & Rizzo 2014). None for
    fewer than eight samples, where the features are the same for all, and where they are not finite.
    """
    count = len(gram)
    if count < FEWEST or not np.isfinite(gram).all():
        return None
    hollow = gram - np.diag(np.diag(gram))
    rows = hollow.sum(axis=0) / (count - 2)
    found: Array = hollow - rows - rows[:, None] + hollow.sum() / ((count - 1) * (count - 2))
    np.fill_diagonal(found, 0.0)
    length = np.linalg.norm(found)
    return found / length if length > 0 else None


def cka(one: Array, other: Array) -> float:
    """Return the linear centred kernel alignment, debiased as by Nguyen et al. (2021), of two `aligned`."""
    return min(1.0, float((one * other).sum()))
