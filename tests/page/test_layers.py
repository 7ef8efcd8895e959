"""The picture of the layers on a page."""

from __future__ import annotations

import base64
import io
from dataclasses import replace

from PIL import Image

import lrpdyn
from lrpdyn.page.layers import layers_picture


def test_it_is_a_picture_with_words(image_run: lrpdyn.Run) -> None:
    picture = layers_picture(image_run)
    assert picture is not None
    content = base64.b64decode(picture.url.removeprefix("data:image/png;base64,"))
    with Image.open(io.BytesIO(content)) as opened:
        assert opened.width == 1037
    assert "effective rank" in picture.words


def test_a_run_of_an_earlier_version_has_none(image_run: lrpdyn.Run) -> None:
    files = {name: sha for name, sha in image_run.manifest["files"].items() if "layers" not in name}
    assert (
        layers_picture(replace(image_run, manifest={**image_run.manifest, "files": files})) is None
    )
