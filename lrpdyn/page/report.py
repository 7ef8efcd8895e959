"""The page of a run as a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lrpdyn.errors import LrpdynError
from lrpdyn.files.atomic import delete_killed, whole_file
from lrpdyn.observations.regions import read_regions
from lrpdyn.page.page import page_of
from lrpdyn.page.several import several_of
from lrpdyn.run.layout import REPORT
from lrpdyn.run.manifest import check_unchanged
from lrpdyn.run.parts import check_target
from lrpdyn.run.reader import RunFolder
from lrpdyn.run.training_curve import read_curve

#: A page above this is slow to open and to send.
LARGE = 15e6


@dataclass(frozen=True)
class Written:
    """Where a page was written, and what to know of it."""

    path: Path
    notes: tuple[str, ...]


def write_report(
    run: RunFolder,
    path: Path | None = None,
    curve: str | None = None,
    *,
    name: str | None = None,
    note: str = "",
    regions: Path | None = None,
    quiet: bool = True,
) -> Written:
    """Write the page of a run, whole or not at all.

    It goes to ``report.html`` in the run folder by default. `curve` is ``FILE:COLUMN``, as
    `lrpdyn.run.training_curve.read_curve` takes it, `regions` a file as
    `lrpdyn.observations.regions.read_regions` takes it. `name` (default: the folder's) and `note` are
    kept in the page alone. Unless `quiet`, a terminal shows progress.

    Raises
    ------
    LrpdynError
        Bokeh is not installed.
    RunError
        A file of the run cannot be read, or the page cannot be written.
    UsageError
        The curve cannot be read.
    ObservationError
        The regions cannot be read, or do not fit the run's observations.
    """
    _check_installed()
    from lrpdyn.page.render import as_html

    target = run.path / REPORT if path is None else path
    check_target(run.path, target)
    shape = tuple(run.manifest["observations"]["shape"])
    page = page_of(
        run,
        None if curve is None else read_curve(curve),
        name=name,
        note=note,
        regions=None if regions is None else read_regions(regions, shape),
        quiet=quiet,
    )
    return _written(target, as_html(page), [run], page.notes)


def write_several(
    runs: Sequence[RunFolder], path: Path, by: str = "rule", *, quiet: bool = True
) -> Written:
    """Write the page of several runs, whole or not at all; `by` groups them, as `lrpdyn compare` does.

    Raises
    ------
    LrpdynError
        As of `write_report`, or of `lrpdyn.page.several.several_of`.
    """
    _check_installed()
    from lrpdyn.page.render import several_as_html

    for run in runs:
        check_target(run.path, path)
    page = several_of(runs, by, quiet=quiet)
    return _written(path, several_as_html(page), runs, page.notes)


def _check_installed() -> None:
    try:
        import lrpdyn.page.render  # noqa: F401
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("bokeh", "jinja2"):
            raise
        raise LrpdynError(
            f"lrpdyn report needs the package {package}: pip install 'lrpdyn[report]'"
        ) from error


def _written(target: Path, text: str, runs: Sequence[RunFolder], notes: Sequence[str]) -> Written:
    delete_killed(target)
    with whole_file(target) as file:
        file.write(text)
        for run in runs:
            check_unchanged(run.path, run.manifest)
    size = target.stat().st_size
    large = (
        f"the page has {size / 1e6:.0f} MB, since all flagged steps are kept"
        if size > LARGE
        else ""
    )
    return Written(path=target, notes=tuple(note for note in (*notes, large) if note))
