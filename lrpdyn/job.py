"""All that is known of a run before its first step is explained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lrpdyn.checkpoints.model import Listing
from lrpdyn.explanation import Model
from lrpdyn.lrp.composites import Composite
from lrpdyn.observations import Observations
from lrpdyn.regions import Painting
from lrpdyn.targets import Target


@dataclass(frozen=True)
class Job:
    """All that is known before the first step is explained."""

    listing: Listing
    model: Model
    rule: Composite
    observations: Observations
    contrast: str
    target: Target
    normalisation: str
    baseline: str
    folder: Path
    skip_bad: bool
    trust: bool
    quiet: bool
    fill: float
    painting: Painting | None


def progress_bar(what: str, quiet: bool) -> Any:
    """Return a wrapper that shows progress on stderr, on a terminal only."""
    return lambda entries: tqdm(entries, desc=what, disable=True if quiet else None, leave=False)
