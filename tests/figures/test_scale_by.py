"""What shares a scale of colours, and captions of films."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from lrpdyn.api import Run
from lrpdyn.errors import UsageError
from lrpdyn.figures.canvas import maps, style
from lrpdyn.figures.canvas.look import Look
from lrpdyn.figures.kinds import draw
from lrpdyn.figures.request import Request

SMALL = Look(dpi=60)


def _maps(figure: Figure) -> list[np.ndarray]:
    drawn = [np.asarray(image.get_array()) for image in maps.drawn_maps(figure)]
    return [values for values in drawn if values.shape[:2] == (84, 84)]


def test_each_sample_of_a_heatmap_reaches_its_own_limit(
    of_images: Run, saved: list[Figure], tmp_path: Path
) -> None:
    draw([of_images], "dynamics", Request(scale_by="sample", look=SMALL, out=tmp_path))
    for sample, shown in enumerate(_maps(saved[0])[1::4]):
        summed = of_images.dynamics[sample].astype(np.float64).sum(axis=0)
        limit = style.colour_scale(summed).limit
        np.testing.assert_allclose(shown, summed / limit)
        assert f"{limit:.2g}" in [text.get_text() for text in saved[0].texts]


def test_each_step_of_a_filmstrip_reaches_its_own_limit(
    of_images: Run, saved: list[Figure], tmp_path: Path
) -> None:
    draw([of_images], "filmstrip", Request(scale_by="step", look=SMALL, out=tmp_path))
    for step, shown in zip(of_images.steps, _maps(saved[0])[1:], strict=False):
        summed = of_images.relevance[step][0].astype(np.float64).sum(axis=0)
        np.testing.assert_allclose(shown, summed / style.colour_scale(summed).limit)


def test_filmstrips_of_a_command_share_a_scale(
    of_images: Run, saved: list[Figure], tmp_path: Path
) -> None:
    for by in ("sample", "all"):
        draw([of_images], "filmstrip",
             Request(scale_by=by, samples=[0, 2], look=SMALL, out=tmp_path))  # fmt: skip
    limits = [maps.drawn_maps(figure)[1].get_clim()[1] for figure in saved]
    assert limits[0] != limits[1]
    assert limits[2] == limits[3]
    assert min(limits[:2]) <= limits[2] <= max(limits[:2])
    assert "Samples 0, 2 share these scales." in saved[2].get_label()


def test_scales_that_a_kind_does_not_have_are_refused(of_images: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--scale-by step: dynamics has no such scales"):
        draw([of_images], "dynamics", Request(scale_by="step", out=tmp_path))


def test_a_film_has_its_caption(of_images: Run, tmp_path: Path) -> None:
    request = Request(formats=["gif", "webp", "apng"], look=SMALL, out=tmp_path)
    gif, webp, apng = draw([of_images], "animation", request)
    text = gif.with_suffix(".txt").read_text(encoding="utf-8")
    words = text.partition("\n")[0]
    assert words == "Relevance of sample 0 during training"
    with Image.open(gif) as film:
        assert film.info["comment"].decode() in text
    with Image.open(apng) as film:
        assert film.info["Description"] in text
    with Image.open(webp) as film:
        assert words.encode() in film.info["xmp"]
