"""A run as users see it: the run folder, as an xarray dataset and in a notebook too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from lrpdyn.errors import LrpdynError
from lrpdyn.run import DEFAULT_RUN
from lrpdyn.run.reader import RunFolder, steps_in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from xarray import Dataset

    from lrpdyn.figures.kinds import PictureKind
    from lrpdyn.page.player import Player

#: Characters to a line of `Run.summary`, and pixels to the inch of `Run.plot`.
_WIDTH, _DPI = 80, 150


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

    def summary(self) -> str:
        """Return what `compute` says at its end: can the maps be trusted, what changed, what next."""
        from lrpdyn.run.summary import closing_lines

        return Text("\n".join(closing_lines(self, _WIDTH)))

    @overload
    def plot(
        self,
        kind: PictureKind = "dynamics",
        *,
        ax: None = None,
        sample: int | Sequence[int] | None = None,
        steps: int | Sequence[int] | None = None,
        curve: str | None = None,
        dpi: int = _DPI,
    ) -> Figure: ...

    @overload
    def plot(
        self,
        kind: PictureKind = "dynamics",
        *,
        ax: Axes,
        sample: int | Sequence[int] | None = None,
        steps: int | Sequence[int] | None = None,
        curve: str | None = None,
        dpi: int = _DPI,
    ) -> Axes: ...

    def plot(
        self,
        kind: PictureKind = "dynamics",
        *,
        ax: Axes | None = None,
        sample: int | Sequence[int] | None = None,
        steps: int | Sequence[int] | None = None,
        curve: str | None = None,
        dpi: int = _DPI,
    ) -> Figure | Axes:
        """Return a figure of the run, or draw its main panel into axes; nothing is written.

        Parameters
        ----------
        kind
            As ``lrpdyn plot --kind``.
        ax
            Axes of your own, which are returned with one panel in them: the map of one sample
            (``dynamics``), its relevance at one step (``filmstrip``; the last by default), the change
            over training (``trajectory``) or of every sample (``raster``). What the colours reach to
            stands below; ``ax.images[-1]`` is what `matplotlib.figure.Figure.colorbar` takes.
        sample, steps
            One or several of what the kind shows; it chooses where none are given.
        curve
            ``FILE:COLUMN``, a training curve, in ``trajectory`` and ``trust``.
        dpi
            Pixels to the inch of the figure.

        Raises
        ------
        UsageError
            The kind cannot be drawn so, or the run has no such sample or step.
        RunError
            A file of the run cannot be read.
        """
        from lrpdyn.figures.canvas.look import Look
        from lrpdyn.figures.kinds import draw_in_axes, figure_of
        from lrpdyn.figures.request import Request
        from lrpdyn.run.training_curve import read_curve
        from lrpdyn.system.progress import in_notebook

        request = Request(
            samples=_several(sample),
            steps=_several(steps),
            curve=None if curve is None else read_curve(curve),
            look=Look(dpi=dpi),
        )
        if ax is not None:
            draw_in_axes(ax, self, kind, request)
            return ax
        if in_notebook():
            # A notebook shows figures once it is imported, which pyplot does with its first one.
            import matplotlib_inline.backend_inline  # noqa: F401
        return figure_of(self, kind, request)

    def player(self, *, name: str | None = None, note: str = "", height: int = 720) -> Player:
        """Return the page of the run as a widget: maps with a slider over training.

        Its ``step`` and ``sample`` are those that are shown, and can be set. Needs
        ``pip install 'lrpdyn[notebook]'``.

        Parameters
        ----------
        name, note
            What the run is called, and a text below it.
        height
            In pixels.

        Raises
        ------
        LrpdynError
            anywidget, Bokeh or Jinja2 is not installed.
        RunError
            A file of the run cannot be read.
        """
        try:
            from lrpdyn.page.player import player_of
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package not in ("anywidget", "bokeh", "jinja2", "traitlets"):
                raise
            raise LrpdynError(
                f"run.player() needs the package {package}: pip install 'lrpdyn[notebook]'"
            ) from error
        return player_of(self, name=name, note=note, height=height)

    def __repr__(self) -> str:
        shard = ", a shard" if self.manifest.get("shard") else ""
        return (
            f"Run({str(self.path)!r}: {steps_in_words(self.steps)}, {self.shape[0]:,} samples, rule "
            f"{self.manifest['rule']['name']}{shard})"
        )

    def _repr_html_(self) -> str:
        """Show the run in a notebook: the dynamics figure and the three strongest outliers."""
        from lrpdyn.figures.notebook import as_html

        return as_html(self)


class Text(str):
    """Text that a prompt or a notebook shows as it is, line by line."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _several(chosen: int | Sequence[int] | None) -> Sequence[int] | None:
    return chosen if chosen is None or isinstance(chosen, Sequence) else [int(chosen)]


def open_run(path: str | Path = DEFAULT_RUN) -> Run:
    """Open a run folder for reading.

    Raises
    ------
    RunError
        The folder holds no run, or one that is not finished.
    """
    return Run.open(path)
