"""All that is known of a run before its first step is explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.explain.model import Model
from lrpdyn.explain.targets import Target
from lrpdyn.lrp.composites import Composite
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.regions import Painting
from lrpdyn.pipeline.setup.shard import Shard
from lrpdyn.run.stored_maps import Storage
from lrpdyn.system.timing import Times


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
    storage: Storage
    verbose: bool
    shard: Shard | None = None
    tables: str | None = None

    @property
    def places(self) -> range:
        """The places of the series that are explained: all, or those of the shard."""
        count = len(self.listing.checkpoints)
        return range(count) if self.shard is None else self.shard.places(count)

    @property
    def own(self) -> Sequence[Checkpoint]:
        """The checkpoints at those places."""
        return self.listing.checkpoints[self.places.start : self.places.stop]


def progress_bar(what: str, quiet: bool) -> Any:
    """Return a wrapper that shows progress on stderr, on a terminal only."""
    return lambda entries: tqdm(entries, desc=what, disable=True if quiet else None, leave=False)


#: What of the times of a run is waiting for a disk.
READING = "reading weights"
#: What workers do.
WORK = (READING, "explaining and storing", "evidence")


@contextmanager
def progress(total: int, job: Job, times: Times) -> Iterator[Callable[[], object]]:
    """Show how many steps are explained; verbose, also what the workers spend their time on."""
    with tqdm(total=total, desc="explaining", unit="step", disable=True if job.quiet else None,
              leave=False) as bar:  # fmt: skip

        def advance() -> None:
            if job.verbose:
                bar.set_postfix_str(_spent(times), refresh=False)
            bar.update()

        yield advance


def _spent(times: Times) -> str:
    whole = sum(times.seconds.get(what, 0.0) for what in WORK) or 1.0
    read = times.seconds.get(READING, 0.0) / whole
    return f"workers: {read:.0%} reading, {1 - read:.0%} computing"
