"""All that is known of a run before its first step is explained."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lrpdyn.checkpoints.digests import USUAL, Algorithm
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.explain.model import Model
from lrpdyn.explain.targets import Target
from lrpdyn.files.names import read_region_names
from lrpdyn.files.text import print_note
from lrpdyn.lrp.composites import Composite
from lrpdyn.lrp.plan import Bounds
from lrpdyn.observations.fills import Fill, make_fill, parse_fill
from lrpdyn.observations.loading import Observations
from lrpdyn.observations.regions import Painting, find_regions, read_regions, renamed
from lrpdyn.pipeline.setup.options import AUTO, Options
from lrpdyn.pipeline.setup.shard import Shard, parse_shard
from lrpdyn.run.stored_maps import Storage
from lrpdyn.system.progress import progress_bar
from lrpdyn.system.timing import Times


@dataclass(frozen=True, kw_only=True)
class Job:
    """The options of a run, and what they were resolved to.

    Attributes
    ----------
    bounds
        The least and the largest value that observations can have, where that is known.
    fill
        What a region or a patch becomes that is taken away.
    names
        What is known of names, and from where (`lrpdyn.pipeline.setup.known_names`).
    """

    options: Options
    listing: Listing
    model: Model
    observations: Observations
    target: Target
    bounds: Bounds | None
    fill: Fill
    painting: Painting | None
    shard: Shard | None
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.options.folder

    @property
    def rule(self) -> Composite:
        """The rules."""
        return self.model.composite

    @property
    def contrast(self) -> str:
        """What is subtracted from a target's output."""
        assert self.options.contrast is not None, "prepare decides it"
        return self.options.contrast

    @property
    def algorithm(self) -> Algorithm:
        """The algorithm of the digests of weights."""
        return self.options.digest or USUAL

    @property
    def storage(self) -> Storage:
        """What is stored of the maps."""
        return Storage(keep=self.options.keep, dtype=self.options.dtype)

    @property
    def places(self) -> range:
        """The places of the series that are explained: all, or those of the shard."""
        count = len(self.listing.checkpoints)
        return range(count) if self.shard is None else self.shard.places(count)

    @property
    def own(self) -> Sequence[Checkpoint]:
        """The checkpoints at those places."""
        return self.listing.checkpoints[self.places.start : self.places.stop]


def make_job(
    options: Options,
    listing: Listing,
    model: Model,
    observations: Observations,
    target: Target,
    *,
    bounds: Bounds | None,
    fill: float,
    names: Mapping[str, Mapping[str, str]] | None = None,
) -> Job:
    """Return the job; the regions, the fill and the shard are made from the options.

    `fill` is the number that takes the place of what is taken away, where a number does.
    """
    filled = make_fill(parse_fill(options.fill), fill, observations.values)
    regions = None
    if str(options.regions) == AUTO:
        regions, why = find_regions(observations.values)
        if regions is None and not options.quiet:
            print_note(f"Note: --regions auto found no objects: {why}; no regions are measured.")
    elif options.regions is not None:
        regions = read_regions(options.regions, observations.values.shape)
    if options.regions is not None and options.names is not None:
        called = read_region_names(options.names, 0 if regions is None else len(regions.names))
        regions = regions and renamed(regions, called)
    painting = None if regions is None else Painting(regions=regions, fill=filled)
    return Job(
        options=options, listing=listing, model=model, observations=observations, target=target,
        bounds=bounds, fill=filled, painting=painting,
        shard=None if options.shard is None else parse_shard(options.shard), names=names or {},
    )  # fmt: skip


#: What of the times of a run is waiting for a disk.
READING = "reading weights"
#: What workers do.
WORK = (READING, "explaining and storing", "evidence")


@contextmanager
def progress(total: int, job: Job, times: Times) -> Iterator[Callable[[], object]]:
    """Show how many steps are explained; verbose, also what the workers spend their time on."""
    with progress_bar(quiet=job.options.quiet, total=total, desc="explaining", unit="step") as bar:

        def advance() -> None:
            if job.options.verbose:
                bar.set_postfix_str(_spent(times), refresh=False)
            bar.update()

        yield advance


def _spent(times: Times) -> str:
    whole = sum(times.seconds.get(what, 0.0) for what in WORK) or 1.0
    read = times.seconds.get(READING, 0.0) / whole
    return f"workers: {read:.0%} reading, {1 - read:.0%} computing"
