"""The names that units, features, channels and samples of a job have, and where these are from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lrpdyn.architectures.frameworks.torchvision_models import imagenet_categories
from lrpdyn.explain.model import Model
from lrpdyn.files.names import read_names, read_region_names
from lrpdyn.files.text import printable
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.recording import about_of, is_recording
from lrpdyn.pipeline.setup.options import Options
from lrpdyn.remote.path import as_path

#: Where the manifest says of each kind who gave the names.
FROM = "from"


def known_names(
    options: Options, model: Model, loaded: Observations, sources: Sequence[Any], count: int
) -> dict[str, dict[str, str]]:
    """Return names by kind and number, with who gave them under ``from``; empty where none are known.

    What the user says comes first, then what is known.

    Parameters
    ----------
    sources
        The observations as they were given: a recording knows what actions mean.
    count
        How many units the head has.

    Raises
    ------
    UsageError
        The user's file names what is not there.
    """
    shape = loaded.values.shape
    counts = {"units": count, "samples": shape[0]}
    counts |= {"features": shape[1]} if len(shape) == 2 else {}
    counts |= {"channels": shape[1]} if len(shape) == 4 else {}
    given = {} if options.names is None else read_names(options.names, counts)
    if options.names is not None and options.regions is None:
        read_region_names(options.names, 0)  # refuses a file that has some
    recorded = [about_of(as_path(one)) for one in sources if _is_recording(one)]
    found: dict[str, tuple[str, dict[int, str]]] = {
        "samples": ("files", {n: name for n, name in enumerate(loaded.sample_names) if name}),
        "units": _units(model, loaded, recorded, count),
        "channels": _channels(options, recorded, counts.get("channels", 0)),
    }
    names: dict[str, dict[str, str]] = {}
    origins: dict[str, str] = {}
    for kind, (origin, those) in {"features": ("", {}), **found}.items():
        known = {str(number): printable(name) for number, name in those.items()}
        said = given.get(kind, {})
        if known or said:
            names[kind] = {**known, **said}
            whole = said and len(said) == len(names[kind])
            origins[kind] = (
                f"{options.names}" if whole else f"{options.names}, {origin}" if said else origin
            )
    return {**names, FROM: origins} if names else {}


def _is_recording(source: Any) -> bool:
    return isinstance(source, str | Path) and is_recording(as_path(source))


def _units(
    model: Model, loaded: Observations, recorded: Sequence[Mapping[str, Any]], count: int
) -> tuple[str, dict[int, str]]:
    """Return who names the units of the head, and the names; those that are not of `count` units are not."""
    known: list[tuple[str, Any]] = []
    if model.head in ("policy", "q"):
        known += [("the recording", about.get("action_meanings")) for about in recorded]
    if model.head == "logits":
        config = model.resolved.hints.get("config")
        labels = config.get("id2label") if isinstance(config, Mapping) else None
        if isinstance(labels, Mapping):
            known.append(("config.json", [labels.get(str(unit)) for unit in range(len(labels))]))
        known.append(("the classes of the observations", list(loaded.classes)))
        known.append(("ImageNet", imagenet_categories(model.resolved.architecture.name)))
    for source, names in known:
        texts = isinstance(names, list) and all(isinstance(name, str) for name in names)
        # Transformers writes LABEL_0 where nobody gave a name.
        if texts and len(names) == count and not all(re.fullmatch(r"LABEL_\d+", n) for n in names):
            return source, dict(enumerate(names))
    return "", {}


def _channels(
    options: Options, recorded: Sequence[Mapping[str, Any]], count: int
) -> tuple[str, dict[int, str]]:
    """Return the times of the frames of a stack, the oldest first: t-3, t-2, t-1, t."""
    wrapped = [str(name) for about in recorded for name in about.get("wrappers") or ()]
    stack = options.stack or (4 if any("FrameStack" in name for name in wrapped) else 0)
    if stack < 2 or count != stack:
        return "", {}
    return "the stack of frames", {
        place: "t" if place == stack - 1 else f"t-{stack - 1 - place}" for place in range(stack)
    }
