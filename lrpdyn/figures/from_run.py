"""What of a run each kind of figure shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lrpdyn.figures.canvas.words import About
from lrpdyn.figures.request import Request
from lrpdyn.run.reader import RunFolder

if TYPE_CHECKING:
    from lrpdyn.figures.canvas.style import Array
    from lrpdyn.figures.flags import Flags


def about(run: RunFolder) -> About:
    """Return what every figure of a run says."""
    normalised = run.manifest["normalize"]
    unit = "units of the score" if normalised == "none" else f"relevance normalised by {normalised}"
    return About(run.manifest["rule"]["name"], run.question, run.manifest["unit"], unit)


def dynamics(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw where relevance moved, a row a sample."""
    from lrpdyn.figures.drawings.heatmap import Moved, draw_heatmap

    (run,) = runs
    draw_heatmap(
        path,
        run.mapped("observations"),
        Moved(run.mapped("dynamics"), run.mapped("net_change"), run.mapped("relative_dynamics")),
        steps=run.steps,
        about=about(run),
        samples=request.samples,
        look=request.look,
    )


def filmstrip(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the relevance of a sample and its differences at some steps."""
    from lrpdyn.figures.drawings.filmstrip import draw_filmstrip

    (run,), sample = runs, _only(request)
    draw_filmstrip(
        path,
        run.mapped("observations")[sample],
        run.steps,
        maps_of(run, sample),
        about=about(run),
        sample=sample,
        wanted=request.steps,
        flags=_flags(run, sample),
        look=request.look,
    )


def distribution(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw how changes are distributed, with fences and outliers."""
    from lrpdyn.figures.drawings.distribution import draw_distribution
    from lrpdyn.figures.populations import populations_of

    (run,) = runs
    draw_distribution(path, populations_of(run), about=about(run), look=request.look)


def trajectory(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw what is known over the steps, as curves."""
    from lrpdyn.figures.canvas.words import count_note
    from lrpdyn.figures.drawings.trajectory import draw_trajectory
    from lrpdyn.figures.panels import marks_of, panels_of

    (run,), count = runs, len(runs[0].mapped("observations"))
    samples = request.samples
    of = count_note(count, count)
    if samples is not None:
        of = f"sample{'s' if len(samples) > 1 else ''} {', '.join(map(str, samples))}"
    draw_trajectory(
        path,
        panels_of(run, samples, request.curve),
        about=about(run),
        samples=of,
        marks=marks_of(run, samples),
        look=request.look,
    )


def raster(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the change of every sample in every transition."""
    from lrpdyn.figures.changes import raster_of
    from lrpdyn.figures.drawings.raster import draw_raster

    (run,) = runs
    table = raster_of(run, request.samples)
    phases = run.outliers.get("phases") or {"borders": []}
    draw_raster(
        path,
        table.change,
        table.ends,
        table.samples,
        table.marks,
        about=about(run),
        borders=[border["step"] for border in phases["borders"]],
        look=request.look,
    )


def channels(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw the channels of a sample apart."""
    from lrpdyn.figures.drawings.channels import draw_channels

    (run,), sample = runs, _only(request)
    draw_channels(
        path,
        run.mapped("observations")[sample],
        run.mapped("dynamics")[sample],
        run.mapped("net_change")[sample],
        maps_of(run, sample),
        steps=run.steps,
        shown=run.steps[-1:] if request.steps is None else request.steps,
        sample=sample,
        about=about(run),
        look=request.look,
    )


def comparison(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Draw runs side by side."""
    from lrpdyn.figures.changes import sides_of
    from lrpdyn.figures.drawings.side_by_side import MOST_SAMPLES, draw_side_by_side

    samples = request.samples
    if samples is None:
        samples = range(min(MOST_SAMPLES, len(runs[0].mapped("observations"))))
    chosen = list(samples)
    sides, alike = sides_of(runs, chosen)
    draw_side_by_side(
        path,
        runs[0].mapped("observations")[chosen],
        sides,
        samples=chosen,
        alike=alike,
        unit=runs[0].manifest["unit"],
        look=request.look,
    )


def animation(runs: Sequence[RunFolder], request: Request, path: Path) -> None:
    """Write the relevance of a sample as a film."""
    import numpy as np

    from lrpdyn.figures.drawings.animation import Score, draw_animation
    from lrpdyn.run.series import need_samples

    (run,), sample = runs, _only(request)
    need_samples(run, "--kind animation")
    metrics = run.metrics
    rows = metrics[(metrics["sample"] == sample) & np.isin(metrics["step"], run.steps)]
    draw_animation(
        path,
        run.mapped("observations")[sample],
        run.steps,
        maps_of(run, sample),
        Score(np.asarray(rows["score"]), rows["target"].tolist()),
        about=about(run),
        sample=sample,
        wanted=request.steps,
        flags=_flags(run, sample),
        look=request.look,
    )


def maps_of(run: RunFolder, sample: int) -> Callable[[int], Array]:
    """Return what loads the relevance of one sample at a step, normalised as the differences are.

    What it returns raises RunError where the run has kept no relevance.
    """
    from lrpdyn.dynamics.measures import normalise

    maps, how = run.relevance, run.manifest["normalize"]
    return lambda step: normalise(maps[step][sample : sample + 1], how)[0]


def _flags(run: RunFolder, sample: int) -> Flags:
    from lrpdyn.figures.flags import flags_of

    return flags_of(run.outliers, sample)


def _only(request: Request) -> int:
    """Return the sample of a kind that has a file for each."""
    assert request.samples is not None
    (sample,) = request.samples
    return sample
