"""The main job from end to end: discover, load, explain, accumulate, store."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lrpdyn import explanation
from lrpdyn import run as store
from lrpdyn.afterwards import dependence_checks, same_weights, second_look
from lrpdyn.architectures.registry import Resolved, named, resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.curves import Curve, beside, read_curve
from lrpdyn.dependence import DEFAULT as DEFAULT_BASELINE
from lrpdyn.dependence import parse_baseline, random_weights
from lrpdyn.errors import ArchitectureError, CheckpointError, UsageError
from lrpdyn.evidence.random_networks import measure_random
from lrpdyn.explanation import Model, Question
from lrpdyn.heap import give_back
from lrpdyn.held import split_inputs
from lrpdyn.job import Job, progress_bar
from lrpdyn.lock import locked
from lrpdyn.lrp.composites import parse_composite
from lrpdyn.lrp.plan import Bounds
from lrpdyn.lrp.registry import STOCK
from lrpdyn.measures import NORMALISATIONS
from lrpdyn.modal import modal_value
from lrpdyn.observations import Observations, load_observations
from lrpdyn.question import fixed_targets, is_finished, make_manifest, previous_manifest
from lrpdyn.regions import Painting, read_regions
from lrpdyn.requirements import check_requirements
from lrpdyn.results import write_results
from lrpdyn.steps import begin, explain_all
from lrpdyn.storage import Storage
from lrpdyn.targets import CONTRASTS, parse_target
from lrpdyn.text import printable
from lrpdyn.times import Times, table_of
from lrpdyn.verification import finish
from lrpdyn.workers import available

BATCH_SIZE = 64
#: So many bad checkpoints are told with their reasons.
_MOST_BAD = 20


def compute(
    checkpoints: str | Path,
    observations: str | Path | NDArray[Any] | Sequence[str | Path | NDArray[Any]],
    *,
    out: str | Path = "lrpdyn-run",
    rule: str = "zplus",
    arch: str | None = None,
    arch_args: Mapping[str, Any] | None = None,
    head: str | None = None,
    target: str | int = "argmax",
    contrast: str = "mean",
    normalize: str = "none",
    baseline: str = DEFAULT_BASELINE,
    layout: str | None = None,
    scale: str | float | None = None,
    samples: str | Sequence[int] | None = None,
    stack: int | None = None,
    stack_order: str = "oldest",
    mean: Any = None,
    std: Any = None,
    statistics: str | Path | None = None,
    select: str | None = None,
    seed: int = 0,
    pattern: str | None = None,
    since: int | None = None,
    until: int | None = None,
    every: int | None = None,
    limit: int | None = None,
    weights: str = "model",
    prefix: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    batch_size: int = BATCH_SIZE,
    keep: str = "relevance",
    dtype: str = "float32",
    regions: str | Path | None = None,
    fill: float | None = None,
    curve: str | None = None,
    wait: float = 0.0,
    overwrite: bool = False,
    recompute: Collection[int] = (),
    skip_bad: bool = False,
    trust: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    profile: bool = False,
) -> store.Run:
    """Explain every checkpoint and write a run folder.

    Parameters
    ----------
    checkpoints
        A folder of checkpoints, or a glob.
    observations
        Files or folders (.npy, .npz, .png, .jpg), or arrays: (N, C, H, W), (N, H, W, C), one
        sample without N, or flat (N, F).
    out
        The run folder. A run that was interrupted goes on; one of another question is refused.
    rule
        ``NAME[:VALUE]``, a composite's name, or a rules file ``FILE.toml``; see ``lrpdyn rules``.
    arch, arch_args
        A registered name, ``MODULE:CALLABLE`` or ``FILE.py:CALLABLE``, and its arguments;
        recognised from the weights where not given.
    head
        Which output; the architecture's first where not given.
    target
        ``argmax``, ``modal``, ``final``, a unit, or a .npy file of one unit a sample.
    contrast
        ``mean``, ``none`` or ``runner-up``: what is subtracted from the target's output.
    normalize
        ``none``, ``sum``, ``l1``, ``max`` or ``minmax``: of the copies that differences are made
        from; stored relevance stays raw.
    baseline
        ``random:K`` compares the maps of the first, middle and last step with those of K freshly
        initialised networks; ``none`` does not.
    layout, scale, samples, stack, stack_order, mean, std, statistics, select, seed
        See `lrpdyn.observations.load_observations`.
    pattern, since, until, every, limit, weights
        Which checkpoints, and which of their weights; see
        `lrpdyn.checkpoints.selection.Selection`.
    prefix
        Only weights whose key begins with this, which is taken off.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    workers
        Processes that explain checkpoints, each with a core; all cores that this process may use
        where not given, one on a GPU. Results are the same for any number.
    batch_size
        Observations that are explained at once. Part of the question: last bits depend on it.
    keep, dtype
        What is stored of each step: ``relevance``, ``pixels`` (channels summed) or ``none``, in
        ``float32`` or ``float16``. No part of the question: sums, tables and pictures are made from
        float32 relevance. An interrupted run of which less than the relevance in float32 is kept
        begins again with its first step.
    regions
        A file of named parts of the observations (`lrpdyn.regions.read_regions`), whose share of the
        relevance and whose effect on the prediction are then measured. No part of the question.
    fill
        What a region (or a patch, where no regions are given) is painted with, in units of the
        observation files; their modal value where not given.
    curve
        ``FILE:COLUMN``, a training curve to hold the run against (`lrpdyn.curves.read_curve`); its
        correlations are kept in the outlier report. No part of the question.
    wait
        Seconds to wait for another process that computes in `out`; it is refused at once where not
        given.
    overwrite
        Delete a run of another question (only files that lrpdyn wrote).
    recompute
        Steps that are explained again though the run holds them: their files were damaged, or their
        checkpoints are others now.
    skip_bad
        Go on without checkpoints that cannot be read.
    trust
        Unpickle checkpoints that are more than weights, which can run code.
    quiet, verbose
        No progress bar; one that says what is being waited for.
    profile
        Print to stderr where the time went.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    LrpdynError
        What cannot be done, in one line; what was computed is kept.
    """
    times = Times()
    _check_choices(contrast, normalize, batch_size)
    storage = Storage(keep, dtype)
    if arch is not None:
        named(arch)  # a file of the user's may register rules too
    composite = parse_composite(rule)
    networks = parse_baseline(baseline)
    drawn = None if curve is None else read_curve(curve)
    selection = Selection(pattern, since, until, every, limit, weights)
    with times.of("reading headers"):
        listing = discover(
            checkpoints,
            selection=selection,
            trust=trust,
            progress=progress_bar("reading headers", quiet),
        )
    _check_listing(listing, str(checkpoints), skip_bad)
    first = listing.checkpoints[0]
    resolved = resolve(arch, dict(arch_args or {}), first.header, str(first.path), prefix)
    _say([*listing.notes, *_notes(resolved, first)], quiet)
    with _one_thread(), locked(Path(out), wait):
        model = explanation.make_model(resolved, head, _device(device), batch_size, composite)
        given, held = split_inputs(_as_list(observations), model.path)
        shape = first.header.hints.get("observation_shape")
        expected = explanation.expected_observations(model, shape)
        loaded = load_observations(given, expected, layout=layout, scale=scale, samples=samples,
                                   stack=stack, stack_order=stack_order, mean=mean, std=std,
                                   statistics=statistics, select=select, seed=seed, trust=trust,
                                   folder=store.nearest_folder(Path(out)))  # fmt: skip
        model = explanation.with_held(model, held, loaded.chosen)
        _load_first(model, listing, skip_bad=skip_bad, trust=trust)
        checks: dict[str, Any] = {"outputs": explanation.compare_outputs(model, loaded.values)}
        model = explanation.with_plan(model, loaded.values, _bounds(resolved, loaded))
        units = explanation.outputs_of(model, loaded.values[:1]).shape[1]
        asked = parse_target(str(target), len(loaded.values), units)
        paint = modal_value(loaded.values) if fill is None else _scaled(fill, loaded)
        painting = None
        if regions is not None:
            painting = Painting(read_regions(regions, loaded.values.shape), paint)
        job = Job(listing, model, composite, loaded, contrast, asked, normalize, baseline,
                  Path(out), skip_bad, trust, quiet, paint, painting, storage, verbose)  # fmt: skip
        manifest = make_manifest(job, {**selection.as_dict(), "prefix": prefix}, checks)
        previous = previous_manifest(job, manifest, overwrite=overwrite, recompute=recompute)
        if previous is not None and is_finished(job, previous):
            storage.finish(job.folder, [checkpoint.step for checkpoint in listing.checkpoints])
            return _beside(store.Run(job.folder, previous), drawn)
        check_requirements(job)
        fixed = fixed_targets(job, previous)
        manifest["target"]["values"] = None if fixed.target is None else fixed.target.tolist()
        if fixed.runner_up is not None:
            manifest["target"]["runner_up"] = fixed.runner_up.tolist()
        begin(job, manifest)
        question = Question(contrast, fixed.target, fixed.runner_up)
        if composite.name in STOCK:
            manifest["checks"]["stock"] = explanation.stock_deviation(
                model, loaded.values, question
            )
        processes = _workers(workers, model)
        with times.of("explaining"):
            records, dynamics = explain_all(job, question, processes, times)
        give_back()
        fresh = [random_weights(model, seed) for seed in range(networks + 1)] if networks else []
        with closing(dynamics):
            with times.of("checks"):
                if networks:
                    checked = dependence_checks(job, question, records, fresh, processes)
                    manifest["checks"]["dependence"] = checked
                manifest["weights"]["same"] = same_weights(listing, records)
                regions_of = None if painting is None else painting.regions
                of_random = measure_random(
                    model, loaded.values, question, fresh[:networks], regions_of, processes
                )
                look = second_look(job, question, records)
                agreed = None if painting else look.agreement(paint)
            give_back()
            with times.of("tables, report and figure"):
                write_results(
                    job.folder, manifest, records, dynamics, listing.bad, painting, of_random,
                    agreed, look,
                )  # fmt: skip
        storage.finish(job.folder, dynamics.needed)
        if profile:
            print(table_of(times), file=sys.stderr)
        return _beside(store.open_run(job.folder), drawn)


def _beside(run: store.Run, curve: Curve | None) -> store.Run:
    """Hold a finished run against a training curve, where one is given."""
    if curve is None:
        return run
    report = {**run.outliers, "curve": beside(run, curve)}
    store.save_json(run.path / "outliers.json", report)
    finish(run.path, run.manifest)
    return store.open_run(run.path)


def _check_choices(contrast: str, normalize: str, batch_size: int) -> None:
    if contrast not in CONTRASTS:
        raise UsageError(f"contrast '{contrast}': expected one of {', '.join(CONTRASTS)}")
    if normalize not in NORMALISATIONS:
        raise UsageError(f"normalize '{normalize}': expected one of {', '.join(NORMALISATIONS)}")
    if batch_size < 1:
        raise UsageError(f"batch_size {batch_size}: expected 1 or more")


def _check_listing(listing: Listing, where: str, skip_bad: bool) -> None:
    if listing.bad and not skip_bad:
        reasons = "; ".join(entry.reason for entry in listing.bad[:_MOST_BAD])
        beyond = len(listing.bad) - _MOST_BAD
        more = f"; and {beyond} more, see lrpdyn inspect" if beyond > 0 else ""
        total = len(listing.bad) + len(listing.checkpoints)
        raise CheckpointError(
            f"{len(listing.bad)} of {total} checkpoints cannot be used: {reasons}{more}"
        )
    found = len(listing.checkpoints)
    if found < 2:
        others = [f"{entry.path.name} ({entry.reason})" for entry in listing.left_out[:3]]
        left = f"; left out: {', '.join(others)}" if others else ""
        raise CheckpointError(
            f"{where}: found {found} checkpoint{'s' * (found != 1)}, expected two or more, whose steps "
            f"differ{left}; lrpdyn inspect lists every entry"
        )


def _as_list(observations: Any) -> list[Any]:
    if isinstance(observations, str | Path | np.ndarray | Mapping):
        return [observations]
    return list(observations)


def _device(name: str) -> str:
    available = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return next(kind for kind in ("cuda", "mps", "cpu") if available[kind])
    if not available.get(name.partition(":")[0], False):
        here = ", ".join(kind for kind, there in available.items() if there)
        raise UsageError(f"--device {name}: not available here; expected auto, {here}")
    return name


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one intra-op thread: sums then do not depend on the number of cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _load_first(model: Model, listing: Listing, *, skip_bad: bool, trust: bool) -> None:
    for checkpoint in listing.checkpoints:
        try:
            explanation.load(model, checkpoint, trust=trust)
            return
        except (CheckpointError, ArchitectureError):
            if not skip_bad:
                raise
    raise CheckpointError("no checkpoint can be loaded; lrpdyn inspect says why")


def _workers(asked: int | None, model: Model) -> int:
    """Return the number of processes: those asked for, or what the machine has."""
    if asked is not None and asked < 1:
        raise UsageError(f"workers {asked}: expected 1 or more")
    if model.device.type != "cpu":
        return 1  # one process keeps a GPU busy, and one that uses it cannot be forked
    return available() if asked is None or available() == 1 else asked


def _bounds(resolved: Resolved, loaded: Observations) -> Bounds | None:
    """Return the least and the largest value that observations can have, where it is known."""
    pixels = (0.0, 255.0 / loaded.scale) if loaded.pixels else None
    if loaded.normalisation is not None:
        ends = None if pixels is None else loaded.normalisation.bounds(*pixels)
        if ends is None or len(ends[0]) > 1:
            return ends
        return ends[0][0], ends[1][0]
    return resolved.architecture.preprocessing.expected or pixels


def _scaled(fill: float, loaded: Observations) -> float:
    """Return a value of the observation files as the network takes it."""
    value = fill / loaded.scale
    if loaded.normalisation is None:
        return value
    ends = loaded.normalisation.bounds(value, value)
    if ends is None or len(set(ends[0])) > 1:
        raise UsageError(
            "--fill: normalised by a mean and deviation for each channel or pixel, one value is "
            "another in each; leave --fill out, and the observations' modal value is taken"
        )
    return ends[0][0]


def _say(lines: Iterable[str], quiet: bool) -> None:
    """Write notes to stderr; what is trusted to run is told even to those who want quiet."""
    for line in lines:
        if not quiet or line.startswith("trusted"):
            print(printable(f"note      {line}"), file=sys.stderr)


def _notes(resolved: Resolved, first: Checkpoint) -> list[str]:
    """Say which architecture and which keys were taken, where others were possible."""
    notes = []
    name = resolved.architecture.name
    if resolved.also:
        notes.append(
            f"architecture {name} is taken, the first that fits; so would {', '.join(resolved.also)} "
            "(--arch NAME)"
        )
    unused = resolved.mapping.unused(first.header.shapes)
    if unused:
        more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
        notes.append(
            f"weights under '{resolved.mapping.prefix}' are architecture {name}; not used: "
            f"{', '.join(unused[:3])}{more}"
        )
    return notes
