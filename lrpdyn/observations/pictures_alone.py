"""Pictures that are read without a network, which else says how many channels there are."""

from __future__ import annotations

from collections.abc import Sequence

from lrpdyn.errors import ObservationError
from lrpdyn.files.streamed import Samples
from lrpdyn.observations.layout import Expected
from lrpdyn.observations.loading import load_observations
from lrpdyn.observations.reading import IMAGES, files_inside, open_observations
from lrpdyn.remote.path import as_path


def pictures_of(sources: Sequence[str], layout: str | None, stack: int | None) -> Samples:
    """Return observations (N, C, H, W) with the values of their files.

    Channels are the shorter of the axes that can be theirs, unless `layout` says where they are.

    Raises
    ------
    ObservationError
        A file cannot be read, or its shape may be read in several ways.
    """
    first = as_path(sources[0])
    file = files_inside(first)[0] if first.is_dir() else first
    shape, is_image = open_observations(file, None).shape, file.suffix.lower() in IMAGES
    if len(shape) < 3 and not is_image:
        raise ObservationError(
            f"{file}: expected pictures, (N, C, H, W) or (N, H, W), found shape {tuple(shape)}; features "
            "have no objects"
        )
    channels = 1
    if len(shape) == 3 and is_image:
        channels = shape[2]
    elif len(shape) > 3:
        channels = min(shape[-3], shape[-1])
    expected = Expected(channels=stack or channels, recurrent=len(shape) == 5)
    return load_observations(sources, expected, layout=layout, stack=stack, scale="none").values
