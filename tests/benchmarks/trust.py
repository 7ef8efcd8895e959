"""How well maps predict what matters over training: rules, cheaper maps, random orders, several tasks.

``python -m tests.benchmarks.trust [--pong FOLDER] [--work FOLDER] [--out PICTURE]`` trains an agent that
plays Catch (`lrpdyn.demo`), the classifier of `vgg` and the transformer of `tests.lrp.faithfulness_vit`,
half a minute each; FOLDER has the checkpoints ``ckpts`` of an agent that plays Pong, and ``obs64.npy``.
All are explained at five steps, the classifiers on pictures that they were not trained on: the median
area between the perturbation curves in units of the score's range at the step, with 95 % intervals
over observations. Prints the tables of docs/trust.md and draws its picture.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.figures.canvas import style
from lrpdyn.pipeline.setup.job import Job
from tests.benchmarks import vgg
from tests.benchmarks.faithful import Areas, areas_at, interval, job_of
from tests.lrp import faithfulness_vit

RULES = ("epsilon-gamma-box", "gamma", "alphabeta:2,1", "zplus", "epsilon")
#: With attention; zplus and gamma are with cp-lrp, where nothing else is said.
ATTENTION_RULES = ("zplus+cp-lrp", "gamma+cp-lrp", "gamma+attnlrp", "epsilon+attnlrp")
FILLS, STEPS, SAMPLES = ("modal", "blurred", "mean"), 5, 64
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, kw_only=True)
class Task:
    """A series of checkpoints, observations, and the options and rules that fit it."""

    title: str
    checkpoints: Path
    observations: Any
    rules: Sequence[str] = RULES
    options: dict[str, Any]


def catch(work: Path) -> Task:
    """Train the agent of the demo; its observations are of games that it plays."""
    from lrpdyn import demo
    from lrpdyn.architectures.frameworks.catch import CatchNetwork

    if not (work / "catch").exists():
        demo.train(work / "catch")
    checkpoints = work / "catch" / "checkpoints"
    network = CatchNetwork()
    last = max(checkpoints.iterdir(), key=lambda path: int(path.stem.split("_")[1]))
    network.load_state_dict(torch.load(last, weights_only=True)["state_dict"])
    games, _, _ = demo.play(lambda seen: demo.act(network, seen), 8, np.random.default_rng(7))
    observations = np.concatenate([one.observations for one in games[1:]])
    chosen = np.linspace(0, len(observations) - 1, SAMPLES).astype(int)
    return Task(
        title="Catch (agent)",
        checkpoints=checkpoints,
        observations=observations[chosen],
        options={},
    )


def pictures(work: Path) -> Task:
    """Train the classifier of digits in front of photographs."""
    if not (work / "vgg-2-0").exists():
        vgg.train(work / "vgg-2-0", 0)
    options = {"arch": f"{vgg.__file__}:Vgg", "scale": "255"}
    observations = vgg.Pictures(test=True).as_bytes(SAMPLES // 4, 0)
    return Task(
        title="digits on photographs (VGG-like)", checkpoints=work / "vgg-2-0",
        observations=observations, options=options,
    )  # fmt: skip


def transformer(work: Path) -> Task:
    """Train the transformer on scikit-learn's digits."""
    x, y, others, _ = faithfulness_vit.digits()
    folder = work / "vit"
    if not folder.exists():
        folder.mkdir(parents=True)

        def save(epoch: int, network: torch.nn.Module) -> None:
            torch.save(network.state_dict(), folder / f"net_{epoch}.pt")

        save(40, faithfulness_vit.trained(x, y, 40, 0, save))
    options = {"arch": f"{faithfulness_vit.__file__}:VisionTransformer", "scale": "none"}
    return Task(
        title="digits (transformer)", checkpoints=folder, observations=others[: SAMPLES // 2].numpy(),
        rules=ATTENTION_RULES, options=options,
    )  # fmt: skip


def chosen_steps(job: Job) -> list[Checkpoint]:
    """Return the checkpoints that are nearest to these shares of the run's steps."""
    there = job.listing.checkpoints
    wanted = [share * there[-1].step for share in SHARES]
    steps = {min(there, key=lambda one: abs(one.step - place)).step for place in wanted}
    return [one for one in there if one.step in steps and one.step > 0]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """By map the median area and the ends of its interval; the band of random orders."""

    of: dict[str, tuple[float, float, float]]
    band: tuple[float, float]


def summary(areas: Areas) -> Summary:
    """Return what is printed and drawn of areas."""
    found = {
        name: (float(np.median(values)), *interval(values))
        for name, values in areas.of.items()
        if name != "random"
    }
    return Summary(of=found, band=areas.band)


Measured = dict[int, Summary]


def measured(task: Task) -> tuple[Measured, dict[str, Summary]]:
    """Return the areas by step, under the modal fill, and those of the last step under the others."""
    job = job_of(task.checkpoints, task.observations, **task.options)
    by_step, by_fill = {}, {}
    for checkpoint in chosen_steps(job):
        started = time.perf_counter()
        by_step[checkpoint.step] = summary(areas_at(job, checkpoint, task.rules, FILLS[0]))
        print(
            f"{task.title}, step {checkpoint.step:,}: {time.perf_counter() - started:.0f} s",
            flush=True,
        )
    last = job.listing.checkpoints[-1]
    for fill in FILLS[1:]:
        by_fill[fill] = summary(areas_at(job, last, task.rules, fill))
    return by_step, by_fill


def print_table(title: str, by_step: Measured, by_fill: dict[str, Summary]) -> None:
    """Print a row for each map: over training, and of the last step under each fill."""
    print(f"\n| {title} | {' | '.join(f'{step:,}' for step in by_step)} | {' | '.join(by_fill)} |")
    print(f"| --- |{' --- |' * (len(by_step) + len(by_fill))}")
    found = [*by_step.values(), *by_fill.values()]
    for name in found[0].of:
        cells = ["{:.2f} ({:.2f}..{:.2f})".format(*one.of[name]) for one in found]
        print(f"| {name} | {' | '.join(cells)} |")
    bands = ["{:.2f}..{:.2f}".format(*one.band) for one in found]
    print(f"| random orders | {' | '.join(bands)} |", flush=True)


def draw(found: dict[str, Measured], out: Path) -> None:
    """Draw a panel for each task: a line and its interval for each map, the band of random orders."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2 + 2.4 * (len(found) // 2 + len(found) % 2)), dpi=110)
    colour_of = dict(zip(RULES, style.LINE_COLOURS, strict=False))
    colour_of |= {"gamma+cp-lrp": colour_of["gamma"], "zplus+cp-lrp": colour_of["zplus"]}
    colour_of |= {"epsilon+attnlrp": colour_of["epsilon"], "gamma+attnlrp": style.LINE_COLOURS[5]}
    handles: dict[str, Any] = {}
    grid = figure.subplots(-(-len(found) // 2), 2, squeeze=False).ravel()
    for axes, (title, by_step) in zip(grid, found.items(), strict=False):
        steps = np.array(list(by_step))
        bands = np.array([one.band for one in by_step.values()]).T
        handles["random orders"] = axes.fill_between(steps, *bands, color="0.85", linewidth=0)
        for name in next(iter(by_step.values())).of:
            if name == "difference":
                continue
            medians, low, high = np.array([one.of[name] for one in by_step.values()]).T
            is_rule = name in colour_of
            look = {"color": colour_of[name]} if is_rule else {
                "color": "0.25", "linestyle": "--" if name == "edges" else ":"}  # fmt: skip
            axes.fill_between(steps, low, high, color=look["color"], alpha=0.1, linewidth=0)
            (handles[name],) = axes.plot(steps, medians, marker=".", linewidth=1.6, **look)
        axes.set_title(f"{title}, by step", fontsize=9, loc="left")
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.ticklabel_format(axis="x", style="plain")
        axes.locator_params(axis="x", nbins=5)
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    figure.supylabel("faithfulness (median, 95 % interval)", fontsize=9)
    figure.legend(handles.values(), handles, loc="lower center", ncols=5, fontsize=8, frameon=False)
    figure.tight_layout(rect=(0.01, 0.5 / figure.get_figheight(), 1, 1))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def main() -> None:
    """Train, explain, take patches away, print the tables and draw the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pong", type=Path, help="folder of a Pong run")
    parser.add_argument("--work", type=Path, help="where trained runs are, or go")
    parser.add_argument("--out", type=Path, default=Path("trust.png"), help="the picture")
    given = parser.parse_args()
    torch.set_num_threads(1)
    work = given.work or Path(tempfile.mkdtemp())
    makers: list[Callable[[Path], Task]] = [catch, pictures, transformer]
    tasks = [make(work) for make in makers]
    if given.pong is not None:
        folder = given.pong
        tasks.insert(
            0,
            Task(title="Pong (agent)", checkpoints=folder / "ckpts",
                 observations=folder / "obs64.npy", options={}),
        )  # fmt: skip
    found = {}
    for task in tasks:
        by_step, by_fill = measured(task)
        print_table(task.title, by_step, by_fill)
        found[task.title] = by_step
    draw(found, given.out)


if __name__ == "__main__":
    main()
