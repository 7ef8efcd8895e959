"""A run as users see it: the run folder, as an xarray dataset and in a notebook too."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.run import DEFAULT_RUN
from lrpdyn.run.reader import RunFolder

if TYPE_CHECKING:
    from xarray import Dataset


class Run(RunFolder):
    """A run folder, read lazily.

    Attributes
    ----------
    path
        The folder.
    manifest
        What was requested and what has been done.
    """

    def to_xarray(self) -> Dataset:
        """Return an `xarray.Dataset`; needs xarray.

        Its ``relevance`` has the dimensions (step, sample, channel, row, column), or (step, sample,
        feature), steps as a coordinate, and is read when it is used. The maps over all steps,
        the columns of `metrics` by (step, sample) and those of `transitions` by (transition, sample)
        come with it; by step and by transition alone with ``--tables steps``.
        """
        from lrpdyn.exports.dataset import to_dataset

        return to_dataset(self)

    def _repr_html_(self) -> str:
        """Show the run in a notebook: the dynamics figure and the three strongest outliers."""
        from lrpdyn.figures.notebook import as_html

        return as_html(self)


def open_run(path: str | Path = DEFAULT_RUN) -> Run:
    """Open a run folder for reading.

    Raises
    ------
    RunError
        The folder holds no run, or one that is not finished.
    """
    return Run.open(path)
