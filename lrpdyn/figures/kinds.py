"""The figures of a run by name: what of the run each one shows, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.errors import RunError, UsageError
from lrpdyn.figures import from_run
from lrpdyn.figures.request import (
    FILMS,
    FORMATS,
    Kind,
    Request,
    files_of,
    formats_of,
    is_file,
    is_other_file,
)
from lrpdyn.run.reader import RunFolder

if TYPE_CHECKING:
    from lrpdyn.figures.terminal import Terminal

#: Not a figure: lines for a terminal.
TERMINAL = "terminal"


PLAIN = Request()


def part_of(request: Request, kind: str) -> Request:
    """Return what of a request a kind uses: several kinds may be asked for at once."""
    uses = _OF_CURVES if kind == TERMINAL else KINDS[kind].uses
    return replace(
        request,
        samples=request.samples if "samples" in uses else None,
        steps=request.steps if "steps" in uses else None,
        curve=request.curve if "curve" in uses else None,
    )


def draw(runs: Sequence[RunFolder], kind: str, request: Request = PLAIN) -> list[Path]:
    """Draw one kind of figure; return the paths of its files.

    Parameters
    ----------
    runs
        One run; several for `comparison`.
    kind
        One of `KINDS`.
    request
        What is asked for.

    Raises
    ------
    UsageError
        The run has no such sample or step, the kind cannot be written so, or needs more runs.
    RunError
        A file of the run cannot be read, or the figure cannot be written.
    """
    check(runs, [kind], request)
    paths = []
    for path, samples in files_of(runs[0], KINDS[kind], request):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{path.parent}: cannot be made: {error.strerror}; choose another place with -o"
            ) from error
        KINDS[kind].draw(runs, replace(request, samples=samples), path)
        paths.append(path)
    return paths


def check(runs: Sequence[RunFolder], kinds: Sequence[str], request: Request) -> None:
    """Check a request for some kinds before anything is drawn.

    Raises
    ------
    UsageError
        It cannot be met, or a part of it changes none of the kinds.
    """
    uses = {**{name: kind.uses for name, kind in KINDS.items()}, TERMINAL: _OF_CURVES}
    unknown = [kind for kind in kinds if kind not in uses]
    if unknown:
        raise UsageError(f"--kind {unknown[0]}: expected {', '.join(uses)}")
    for kind in kinds:
        if kind != "comparison" and len(runs) > 1:
            raise UsageError(f"--kind {kind}: expected one run, found {len(runs)}; see comparison")
    for part, given, option in (
        ("samples", request.samples, "--sample"),
        ("steps", request.steps, "--steps"),
        ("curve", request.curve, "--curve"),
    ):
        users = [kind for kind in uses if part in uses[kind]]
        if given is not None and not set(users) & set(kinds):
            raise UsageError(
                f"{option}: changes nothing in {', '.join(kinds)}; it is for {', '.join(users)}"
            )
    _check_samples(runs[0], request.samples)
    _check_steps(runs[0], request.steps)
    written = [kind for kind in kinds if kind != TERMINAL]
    for kind in written:
        formats_of(KINDS[kind], request)
    if not written and (request.out is not None or request.formats):
        raise UsageError(f"--kind {TERMINAL} goes to stdout; leave out -o and --format")
    if request.out is not None and is_other_file(request.out):
        raise UsageError(
            f"-o {request.out}: expected a folder, or a name that ends in one of {', '.join(FORMATS)}; if "
            "a folder is meant, make it first"
        )
    if request.out is not None and is_file(request.out):
        files = [
            path
            for kind in written
            for path, _ in files_of(runs[0], KINDS[kind], part_of(request, kind))
        ]
        if len(files) > 1:
            raise UsageError(
                f"-o {request.out}: names one file, but there are {len(files)} to write; give a folder"
            )


def _check_samples(run: RunFolder, samples: Sequence[int] | None) -> None:
    last = len(run.mapped("observations")) - 1
    absent = [sample for sample in samples or () if not 0 <= sample <= last]
    if absent:
        raise UsageError(f"--sample {absent[0]}: the run has samples 0 to {last}")


def _check_steps(run: RunFolder, steps: Sequence[int] | None) -> None:
    for step in steps or ():
        if step not in run.steps:
            near = sorted(sorted(run.steps, key=lambda known: abs(known - step))[:3])
            raise UsageError(
                f"--steps {step}: the run has no such step; it has {len(run.steps):,} from "
                f"{run.steps[0]} to {run.steps[-1]}, near it {', '.join(map(str, near))}"
            )


def terminal_lines(run: RunFolder, request: Request, terminal: Terminal) -> list[str]:
    """Return small heatmaps and sparklines of the samples, the first by default, as lines.

    Raises
    ------
    UsageError
        The run has no such sample.
    """
    from lrpdyn.figures.terminal import picture_lines
    from lrpdyn.run.series import series_of_sample

    check([run], [TERMINAL], request)
    lines: list[str] = []
    for sample in request.samples or [0]:
        series = series_of_sample(run, sample)
        curves, of = series.curves(), series.typical.removesuffix(" over samples")
        shown = {
            f"change{of}": curves["change"],
            f"prediction change{of}": curves["prediction_change"],
            f"score{of}": series.median("score"),
            f"entropy{of}": curves["entropy"],
        }
        if request.curve is not None:
            shown[request.curve.source] = request.curve.at(series.steps)
        lines += [""] if lines else []
        lines += picture_lines(
            run.mapped("observations")[sample],
            run.mapped("dynamics")[sample],
            shown,
            steps=run.steps,
            sample=sample,
            about=from_run.about(run),
            look=request.look,
            terminal=terminal,
        )
    return lines


_OF_SAMPLES = frozenset({"samples"})
_OF_MAPS = frozenset({"samples", "steps"})
_OF_CURVES = frozenset({"samples", "curve"})
KINDS = {
    kind.name: kind
    for kind in (
        Kind("dynamics", from_run.dynamics, _OF_SAMPLES),
        Kind("filmstrip", from_run.filmstrip, _OF_MAPS, each=True),
        Kind("distribution", from_run.distribution),
        Kind("trajectory", from_run.trajectory, _OF_CURVES),
        Kind("raster", from_run.raster, _OF_SAMPLES),
        Kind("channels", from_run.channels, _OF_MAPS, each=True),
        Kind("comparison", from_run.comparison, _OF_SAMPLES),
        Kind("animation", from_run.animation, _OF_MAPS, each=True, formats=FILMS),
    )
}
