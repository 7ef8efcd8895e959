"""The figure of the features: a row for each of the strongest, in the order of the last step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas.look import DEFAULT_LOOK
from lrpdyn.figures.canvas.maps import drawn_maps
from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.drawings.features import draw_features
from lrpdyn.figures.kinds import draw
from lrpdyn.run.feature_curves import MOST_SHOWN, FeatureCurves, feature_curves


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def test_the_rows_are_the_shares_of_the_table(of_vectors: Run, saved: list[Figure]) -> None:
    (path,) = draw([of_vectors], "features")
    assert path.name == "features.png"
    size = np.stack([np.abs(of_vectors.relevance[step].astype(float)) for step in of_vectors.steps])
    shares = (size / size.sum(axis=2, keepdims=True)).mean(axis=1)
    order = np.argsort(-shares[-1], kind="stable")
    shown = drawn_maps(saved[0])[0].get_array()
    np.testing.assert_allclose(shown, shares[:, order].T, rtol=1e-12)
    names = [text for text in texts(saved[0]) if text.startswith("feature ")]
    assert names == [f"feature {feature}" for feature in order]


def test_of_many_the_strongest_are_shown_and_the_others_counted(
    of_vectors: Run, saved: list[Figure], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lrpdyn.run.feature_curves.MOST_SHOWN", 2)
    found = feature_curves(of_vectors)
    means = [0.0] * 6
    for row in of_vectors.features:
        means[row["feature"]] += row["share"]
    assert set(found.features) == set(np.argsort(-np.array(means))[:2].tolist())
    np.testing.assert_allclose(found.rest, 1 - found.shares.sum(axis=1))
    draw_features(Path("a.png"), found, about=About(rule="r", question="q"), look=DEFAULT_LOOK)
    assert any("the other 4 features" in text for text in texts(saved[0]))
    assert MOST_SHOWN > 2


def test_names_stand_for_numbers(saved: list[Figure]) -> None:
    curves = FeatureCurves(steps=np.array([0, 10]), features=(1, 0), count=2, rest=np.zeros(2),
                           shares=np.array([[0.4, 0.6], [0.996, 0.004]]))  # fmt: skip
    about = About(rule="r", question="q", names={"features": {"1": "pole angle"}})
    draw_features(Path("a.png"), curves, about=about, look=DEFAULT_LOOK)
    assert {"pole angle", "feature 0", "100 %", "< 1 %"} <= set(texts(saved[0]))


def test_pictures_have_no_features(of_images: Run) -> None:
    with pytest.raises(UsageError, match="--kind features: the observations are no flat ones"):
        draw([of_images], "features")
