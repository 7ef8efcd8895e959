"""What compute was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrpdyn.architectures.registry import named
from lrpdyn.diagnostics.sanity_checks import parse_baseline
from lrpdyn.dynamics.measures import NORMALISATIONS
from lrpdyn.errors import UsageError
from lrpdyn.explain.targets import CONTRASTS
from lrpdyn.lrp.composites import Composite, parse_composite
from lrpdyn.run.stored_maps import Storage
from lrpdyn.run.tables import check_tables


@dataclass(frozen=True)
class Request:
    """What `lrpdyn.compute` was asked, but for the checkpoints and the observations.

    Its parameters explain the fields; `folder` is where the run is written.

    Raises
    ------
    UsageError
        A value is none of those that there are.
    """

    rule: str
    arch: str | None
    arch_args: Mapping[str, Any]
    prefix: str | None
    head: str | None
    target: str
    contrast: str
    normalize: str
    baseline: str
    device: str
    batch_size: int
    regions: str | Path | None
    fill: float | None
    storage: Storage
    folder: Path
    skip_bad: bool
    trust: bool
    quiet: bool
    verbose: bool
    tables: str | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("contrast", self.contrast, CONTRASTS),
            ("normalize", self.normalize, NORMALISATIONS),
        ):
            if value not in known:
                raise UsageError(f"{name} '{value}': expected one of {', '.join(known)}")
        if self.batch_size < 1:
            raise UsageError(f"batch_size {self.batch_size}: expected 1 or more")
        parse_baseline(self.baseline)
        check_tables(self.tables)

    def composite(self) -> Composite:
        """Return the rules; what is wrong with them is told before anything is read."""
        if self.arch is not None:
            named(self.arch)  # a file of the user's may register rules too
        return parse_composite(self.rule)
