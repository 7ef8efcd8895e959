"""The kinds of figures by name, and drawing them of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures.file_names import (
    files_of,
    formats_of,
    is_file,
    is_other_file,
    name_pattern,
)
from lrpdyn.figures.kind import FILMS, FORMATS, Kind, Part
from lrpdyn.figures.request import PANELS, Request
from lrpdyn.files.nearby import did_you_mean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lrpdyn.figures.terminal import Terminal
    from lrpdyn.run.reader import RunFolder


def _function(module: str, name: str = "draw") -> Callable[..., Any]:
    """Return a function of a module that loads matplotlib, which it does when it is called."""
    return lambda *given: getattr(import_module(f"lrpdyn.figures.{module}"), name)(*given)


#: In the order in which they are listed, and drawn where none is requested.
KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            name="dynamics",
            summary="observation, dynamics, net change, overlay",
            draw=_function("drawings.heatmap"),
            uses=("samples", "relative", "scale_by"),
            by_default=True,
        ),
        Kind(
            name="filmstrip",
            summary="relevance and its differences, at log-spaced and flagged steps",
            draw=_function("drawings.filmstrip"),
            uses=("samples", "steps", "scale_by"),
            file_per_sample=True,
            by_default=True,
        ),
        Kind(
            name="distribution",
            summary="the differences, their fences, the outliers and their causes",
            draw=_function("drawings.distribution"),
            by_default=True,
        ),
        Kind(
            name="trajectory",
            summary="curves over training: score, change, entropy, regions, checks",
            draw=_function("drawings.trajectory"),
            uses=("samples", "curve", "panels"),
            by_default=True,
        ),
        Kind(
            name="raster",
            summary="the change of every sample in every transition",
            draw=_function("drawings.raster"),
            uses=("samples",),
            by_sample=True,
        ),
        Kind(
            name="channels",
            summary="the channels of an observation apart, as frames of a stack",
            draw=_function("drawings.channels"),
            uses=("samples", "steps", "scale_by"),
            file_per_sample=True,
        ),
        Kind(
            name="layers",
            summary="layers over training: weights, dead and dormant units, rank",
            draw=_function("drawings.layers"),
        ),
        Kind(
            name="trust",
            summary="faithfulness over training, next to cheaper maps and chance",
            draw=_function("drawings.trust"),
            uses=("curve",),
        ),
        Kind(
            name="features",
            summary="features of flat observations over training, by their share",
            draw=_function("drawings.features"),
        ),
        Kind(
            name="comparison",
            summary="several RUNs side by side",
            draw=_function("drawings.side_by_side"),
            uses=("samples",),
            several_runs=True,
            by_default=True,
        ),
        Kind(
            name="runs",
            summary="many RUNs: maps over training, curves by group, a plane of runs",
            draw=_function("drawings.runs"),
            uses=("samples", "by"),
            file_per_sample=True,
            several_runs=True,
        ),
        Kind(
            name="animation",
            summary="relevance over training as a film",
            draw=_function("drawings.animation"),
            formats=FILMS,
            uses=("samples", "steps", "scale_by"),
            file_per_sample=True,
            by_sample=True,
        ),
        Kind(
            name="terminal",
            summary="a small heatmap and sparklines, printed",
            lines=_function("terminal", "lines"),
            formats=(),
            uses=("samples", "curve"),
        ),
    )
}
#: Those that are one picture of one run, as `lrpdyn.Run.plot` takes them.
PictureKind = Literal[
    "dynamics",
    "filmstrip",
    "distribution",
    "trajectory",
    "raster",
    "channels",
    "layers",
    "trust",
    "features",
]
#: The parts of a request that not every kind uses, with their options.
OPTIONS: dict[Part, str] = {
    "samples": "--sample",
    "steps": "--steps",
    "curve": "--curve",
    "panels": "--panels",
    "relative": "--relative",
    "scale_by": "--scale-by",
    "by": "--by",
}
PLAIN = Request()


def default_kinds(*, several_runs: bool = False) -> list[str]:
    """Return the names of the kinds that are drawn of a run, or of several, where none is requested."""
    return [
        kind.name
        for kind in KINDS.values()
        if kind.by_default and kind.several_runs == several_runs
    ]


def users_of(part: Part) -> list[str]:
    """Return the names of the kinds that a part of a request changes."""
    return [kind.name for kind in KINDS.values() if part in kind.uses]


def part_of(request: Request, kind: str) -> Request:
    """Return the parts of a request that a kind uses: several kinds may be requested at once."""
    unused = {part: getattr(PLAIN, part) for part in OPTIONS if part not in KINDS[kind].uses}
    return replace(request, **unused)


def draw(runs: Sequence[RunFolder], kind: str, request: Request = PLAIN) -> list[Path]:
    """Draw one kind of figure; return the paths of its files.

    There is one run, several for `comparison` and `runs`; `kind` is one of `KINDS`, and nothing is drawn of
    one that is printed.

    Raises
    ------
    UsageError
        The run has no such sample or step, the kind cannot be written so, or needs more runs.
    RunError
        A file of the run cannot be read, or the figure cannot be written.
    """
    from lrpdyn.files.atomic import naming_after

    check(runs, [kind], request)
    draw_file, paths = KINDS[kind].draw, []
    if draw_file is None:
        return []
    from lrpdyn.files.atomic import delete_killed
    from lrpdyn.run.layout import caption_path
    from lrpdyn.run.parts import check_target

    runs = [_with_pictures(run) for run in runs]
    for path, samples in files_of(runs[0].path, KINDS[kind], request):
        for run in runs:
            check_target(run.path, path)
            check_target(run.path, caption_path(path))
        if request.out is not None:
            _check_caption(caption_path(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{path.parent}: cannot be made: {error.strerror}; choose another place with -o"
            ) from error
        delete_killed(path)
        delete_killed(caption_path(path))
        with naming_after(partial(_check_unchanged, runs)):
            draw_file(runs, replace(request, samples=samples, together=request.samples), path)
        paths.append(path)
    return paths


def _check_caption(path: Path) -> None:
    """Check that a caption replaces nothing of the user's, where the user chose its place."""
    from lrpdyn.run.layout import is_caption

    if path.exists() and not is_caption(path):
        raise UsageError(
            f"{path}: is no caption that lrpdyn wrote, and is not replaced; rename it, or choose "
            "another name with -o"
        )


def _check_unchanged(runs: Sequence[RunFolder]) -> None:
    from lrpdyn.run.manifest import check_unchanged

    for run in runs:
        check_unchanged(run.path, run.manifest)


def figure_of(run: RunFolder, kind: str, request: Request = PLAIN) -> Figure:
    """Return one figure of a run, which is written nowhere.

    Raises
    ------
    UsageError
        As of `draw`; or the kind is no single picture: a film, printed, or a file for each of several
        samples.
    RunError
        A file of the run cannot be read.
    """
    from lrpdyn.figures.canvas import saving

    check([run], [kind], request)
    found = KINDS[kind]
    if found.draw is None or found.formats == FILMS:
        raise UsageError(
            f"plot({kind!r}): is no single picture; lrpdyn plot --kind {kind} makes it"
        )
    files = list(files_of(run.path, found, request))
    if len(files) > 1:
        raise UsageError(f"plot({kind!r}): shows one sample, found {len(files)}; give one")
    path, samples = files[0]
    with saving.kept() as figures:
        found.draw(
            [_with_pictures(run)], replace(request, samples=samples, together=request.samples), path
        )
    return figures[0]


def draw_in_axes(axes: Axes, run: RunFolder, kind: str, request: Request = PLAIN) -> None:
    """Draw the main panel of a kind into axes; errors are those of `figure_of`."""
    from lrpdyn.figures import in_axes

    check([run], [kind], request)
    in_axes.draw_in_axes(axes, _with_pictures(run), kind, request)


def lines(runs: Sequence[RunFolder], kind: str, request: Request, terminal: Terminal) -> list[str]:
    """Return the lines of a kind that is printed; none of one that is drawn into a file.

    Raises
    ------
    UsageError
        The run has no such sample, or the kind needs more runs.
    """
    check(runs, [kind], request)
    print_lines = KINDS[kind].lines
    return [] if print_lines is None else print_lines(_with_pictures(runs[0]), request, terminal)


def drawn_files(run: Path) -> list[Path]:
    """Return the files that `draw` wrote into the folder of figures of a run, by their names.

    A text is a caption by its last line too.
    """
    from lrpdyn.run.layout import is_caption

    names = name_pattern(KINDS.values())
    return [
        path
        for path in sorted((run / "figures").glob("*"))
        if names.fullmatch(path.name) and (path.suffix != ".txt" or is_caption(path))
    ]


def check(runs: Sequence[RunFolder], kinds: Sequence[str], request: Request) -> None:
    """Check a request for some kinds before anything is drawn.

    Raises
    ------
    UsageError
        It cannot be met, or a part of it changes none of the kinds.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise UsageError(
            f"--kind {unknown[0]}: expected {', '.join(KINDS)}{did_you_mean(unknown[0], KINDS)}"
        )
    for kind in kinds:
        if len(runs) > 1 and not KINDS[kind].several_runs:
            others = ", ".join(kind.name for kind in KINDS.values() if kind.several_runs)
            raise UsageError(f"--kind {kind}: expected one run, found {len(runs)}; see {others}")
        if len(runs) < 2 and KINDS[kind].several_runs:
            raise UsageError(
                f"--kind {kind}: expected two runs or more, found {len(runs)} ({runs[0].path}); lrpdyn plot "
                f"RUN RUN --kind {kind}"
            )
    for part, option in OPTIONS.items():
        users = users_of(part)
        if getattr(request, part) != getattr(PLAIN, part) and not set(users) & set(kinds):
            raise UsageError(
                f"{option}: changes nothing in {', '.join(kinds)}; it is for {', '.join(users)}"
            )
    run, last = runs[0], len(runs[0].mapped("observations")) - 1
    for sample in request.samples or ():
        if not 0 <= sample <= last:
            raise UsageError(f"--sample {sample}: the run has samples 0 to {last}")
    for step in request.steps or ():
        if step not in run.steps:
            near = sorted(sorted(run.steps, key=lambda known: abs(known - step))[:3])
            raise UsageError(
                f"--steps {step}: the run has no such step; it has {len(run.steps):,} from {run.steps[0]:,} "
                f"to {run.steps[-1]:,}; nearest: {', '.join(map(str, near))}"
            )
    for name in request.panels or ():
        if name not in PANELS:
            raise UsageError(
                f"--panels {name}: expected some of {', '.join(PANELS)}{did_you_mean(name, PANELS)}"
            )
    _check_tables(runs, kinds)
    _check_files(run, kinds, request)


def _check_tables(runs: Sequence[RunFolder], kinds: Sequence[str]) -> None:
    """Check that the tables have a row for each sample, where a kind needs that."""
    from lrpdyn.run.series import need_samples

    for kind in kinds:
        for run in runs if KINDS[kind].by_sample else ():
            need_samples(run, f"--kind {kind}")


def _check_files(run: RunFolder, kinds: Sequence[str], request: Request) -> None:
    """Check that the requested formats and place are those of the kinds that are files."""
    written = [kind for kind in kinds if KINDS[kind].formats]
    for kind in written:
        formats_of(KINDS[kind], request.formats)
    out = request.out
    if not written and (out is not None or request.formats):
        raise UsageError(f"--kind {kinds[0]} goes to stdout; leave out -o and --format")
    if out is not None and is_other_file(out):
        raise UsageError(
            f"-o {out}: expected a folder, or a name that ends in one of {', '.join(FORMATS)}; if "
            "a folder is meant, make it first"
        )
    if out is not None and is_file(out):
        count = sum(
            len([*files_of(run.path, KINDS[kind], part_of(request, kind))]) for kind in written
        )
        if count > 1:
            raise UsageError(
                f"-o {out}: names one file, but there are {count} to write; give a folder"
            )


def _with_pictures(run: RunFolder) -> RunFolder:
    # Not before something is drawn: the list of kinds is read by commands that load no NumPy.
    from lrpdyn.run.reader import as_pictures

    return as_pictures(run)
