"""Effective rank and CKA where the answer is known."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from lrpdyn.dynamics.similarity import aligned, centred, cka, effective_rank, packed, unpacked


def gram_of(features: np.ndarray) -> np.ndarray:
    return features @ features.T


def alike(one: np.ndarray, other: np.ndarray) -> float:
    first, second = (aligned(unpacked(packed(centred(gram_of(f))))) for f in (one, other))
    assert first is not None
    assert second is not None
    return cka(first, second)


def test_effective_rank_is_the_number_of_equal_singular_values() -> None:
    generator = np.random.default_rng(0)
    basis, _ = np.linalg.qr(generator.standard_normal((40, 5)))
    assert effective_rank(gram_of(basis)) == pytest.approx(5)
    assert effective_rank(gram_of(basis[:, :1] * [3.0])) == pytest.approx(1)
    assert effective_rank(np.zeros((4, 4))) is None
    values = np.array([4.0, 2.0, 1.0])
    share = values / values.sum()
    expected = np.exp(-(share * np.log(share)).sum())
    assert effective_rank(gram_of(basis[:, :3] * values)) == pytest.approx(expected)


def test_cka_is_one_of_the_same_features_turned_scaled_and_moved() -> None:
    generator = np.random.default_rng(1)
    features = generator.standard_normal((16, 30))
    turn, _ = np.linalg.qr(generator.standard_normal((30, 30)))
    assert alike(features, features) == pytest.approx(1)
    assert alike(features, 7 * features @ turn + 1000) == pytest.approx(1, abs=1e-5)
    # Of features that have nothing in common the plain estimate is far above zero, this one is not.
    found = [alike(*generator.standard_normal((2, 16, 500))) for _ in range(200)]
    assert abs(np.mean(found)) < 0.02


def test_no_likeness_where_there_are_few_samples_or_all_are_the_same() -> None:
    features = np.random.default_rng(2).standard_normal((3, 5))
    assert aligned(centred(gram_of(features))) is None
    same = np.tile(np.random.default_rng(3).standard_normal((1, 50)), (8, 1))
    assert not centred(gram_of(same)).any()
    assert aligned(centred(gram_of(same))) is None


def test_a_text_that_is_no_matrix_is_refused() -> None:
    gram = gram_of(np.random.default_rng(4).standard_normal((6, 3)).astype(np.float32))
    for size in (1.0, 1e40):  # squares of large features pass the end of float32
        found = unpacked(packed(size * gram.astype(np.float64)))
        np.testing.assert_allclose(found, gram / np.abs(gram).max(), rtol=1e-6)
    for text in ("no base64!", base64.b64encode(b"123").decode(), packed(gram)[:-8]):
        with pytest.raises(ValueError):  # noqa: PT011 whatever NumPy says of it
            unpacked(text)
