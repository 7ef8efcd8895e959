"""The main job from end to end: discover, load, explain, accumulate, store."""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

import lrpdyn
from lrpdyn import explanation
from lrpdyn import run as store
from lrpdyn.architectures.registry import Resolved, named, resolve
from lrpdyn.checkpoints.discovery import discover
from lrpdyn.checkpoints.model import Checkpoint, Listing
from lrpdyn.checkpoints.readers import digest, stamp
from lrpdyn.checkpoints.selection import Selection
from lrpdyn.curves import Curve, beside, read_curve
from lrpdyn.dependence import DEFAULT as DEFAULT_BASELINE
from lrpdyn.dependence import Weights, dependence, parse_baseline, random_weights
from lrpdyn.dynamics import Dynamics
from lrpdyn.errors import ArchitectureError, CheckpointError, RunError, UsageError
from lrpdyn.evidence.closer import SecondLook, stored_maps
from lrpdyn.evidence.random_networks import measure_random
from lrpdyn.evidence.step import StepEvidence
from lrpdyn.explanation import Model, Question
from lrpdyn.held import Held, notes, split_inputs
from lrpdyn.lrp.composites import Bounds, Composite, layers_of, parse_composite, unused
from lrpdyn.lrp.layers import Weighted
from lrpdyn.lrp.registry import STOCK
from lrpdyn.measures import NORMALISATIONS
from lrpdyn.observations import Observations, load_observations
from lrpdyn.phases import outline
from lrpdyn.records import Record
from lrpdyn.regions import Painting, modal_value, read_regions, shares
from lrpdyn.results import write_results
from lrpdyn.targets import CONTRASTS, Fixed, Target, fix_targets, parse_target
from lrpdyn.text import printable

BATCH_SIZE = 64
#: So many bad checkpoints are told with their reasons.
_MOST_BAD = 20
#: What decides which steps are explained, and from which weights, with what holds where it is not
#: said.
_SELECTION = {"pattern": None, "since": None, "until": None, "every": None, "limit": None,
              "weights": "model", "prefix": None}  # fmt: skip


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
    batch_size: int = BATCH_SIZE,
    regions: str | Path | None = None,
    fill: float | None = None,
    curve: str | None = None,
    overwrite: bool = False,
    skip_bad: bool = False,
    trust: bool = False,
    quiet: bool = False,
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
    batch_size
        Observations that are explained at once. Part of the question: last bits depend on it.
    regions
        A file of named parts of the observations (`lrpdyn.regions.read_regions`), whose share of the
        relevance and whose effect on the prediction are then measured. No part of the question.
    fill
        What a region (or a patch, where no regions are given) is painted with, in units of the
        observation files; their modal value where not given.
    curve
        ``FILE:COLUMN``, a training curve to hold the run against (`lrpdyn.curves.read_curve`); its
        correlations are kept in the outlier report. No part of the question.
    overwrite
        Delete a run of another question (only files that lrpdyn wrote).
    skip_bad
        Go on without checkpoints that cannot be read.
    trust
        Unpickle checkpoints that are more than weights, which can run code.
    quiet
        No progress bar.

    Returns
    -------
    Run
        The finished run.

    Raises
    ------
    LrpdynError
        What cannot be done, in one line; what was computed is kept.
    """
    _check_choices(contrast, normalize, batch_size)
    if arch is not None:
        named(arch)  # a file of the user's may register rules too
    composite = parse_composite(rule)
    networks = parse_baseline(baseline)
    drawn = None if curve is None else read_curve(curve)
    selection = Selection(pattern, since, until, every, limit, weights)
    listing = discover(
        checkpoints, selection=selection, trust=trust, progress=_bar("reading headers", quiet)
    )
    _check_listing(listing, str(checkpoints), skip_bad)
    first = listing.checkpoints[0]
    resolved = resolve(arch, dict(arch_args or {}), first.header, str(first.path), prefix)
    _say([*listing.notes, *_notes(resolved, first)], quiet)
    with _one_thread():
        model = explanation.make_model(resolved, head, _device(device), batch_size, composite)
        given, held = split_inputs(_as_list(observations), model.path)
        shape = first.header.hints.get("observation_shape")
        expected = explanation.expected_observations(model, shape)
        loaded = load_observations(given, expected, layout=layout, scale=scale, samples=samples,
                                   stack=stack, stack_order=stack_order, mean=mean, std=std,
                                   statistics=statistics, select=select, seed=seed, trust=trust)  # fmt: skip
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
                  Path(out), skip_bad, trust, quiet, paint, painting)  # fmt: skip
        manifest = _manifest(job, {**selection.as_dict(), "prefix": prefix}, checks)
        previous = _previous(job, manifest, overwrite=overwrite)
        if previous is not None and _is_finished(job, previous):
            return _beside(store.Run(job.folder, previous), drawn)
        fixed = _fixed(job, previous)
        manifest["target"]["values"] = None if fixed.target is None else fixed.target.tolist()
        if fixed.runner_up is not None:
            manifest["target"]["runner_up"] = fixed.runner_up.tolist()
        _begin(job, manifest)
        question = Question(contrast, fixed.target, fixed.runner_up)
        if composite.name in STOCK:
            manifest["checks"]["stock"] = explanation.stock_deviation(
                model, loaded.values, question
            )
        records, dynamics = _explain_all(job, question)
        fresh = [random_weights(model, seed) for seed in range(networks + 1)] if networks else []
        if networks:
            manifest["checks"]["dependence"] = _dependence(job, question, records, fresh)
        manifest["weights"]["same"] = _same_weights(listing, records)
        regions_of = None if painting is None else painting.regions
        of_random = measure_random(model, loaded.values, question, fresh[:networks], regions_of)
        look = _second_look(job, question, records)
        agreed = None if painting else look.agreement(paint)
        write_results(
            job.folder, manifest, records, dynamics, listing.bad, painting, of_random, agreed,
            look,
        )  # fmt: skip
    return _beside(store.open_run(job.folder), drawn)


def _beside(run: store.Run, curve: Curve | None) -> store.Run:
    """Hold a finished run against a training curve, where one is given."""
    if curve is None:
        return run
    report = {**run.outliers, "curve": beside(run, curve)}
    store.save_json(run.path / "outliers.json", report)
    return store.open_run(run.path)


def _second_look(job: Job, question: Question, records: Sequence[Record]) -> SecondLook:
    """Return what loads the checkpoints of flagged steps once more."""
    targets = {
        record.facts["step"]: np.array(record.facts["target"], dtype=np.int64)
        for record in records
        if record.facts["status"] == "done"
    }
    return SecondLook(
        job.model,
        job.observations.values,
        question,
        job.normalisation,
        {checkpoint.step: checkpoint for checkpoint in job.listing.checkpoints},
        targets,
        stored_maps(functools.partial(store.relevance_path, job.folder)),
        trust=job.trust,
    )


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


def _bar(what: str, quiet: bool) -> Any:
    """Return a wrapper that shows progress on stderr, on a terminal only."""
    return lambda entries: tqdm(entries, desc=what, disable=True if quiet else None, leave=False)


def _load_first(model: Model, listing: Listing, *, skip_bad: bool, trust: bool) -> None:
    for checkpoint in listing.checkpoints:
        try:
            explanation.load(model, checkpoint, trust=trust)
            return
        except (CheckpointError, ArchitectureError):
            if not skip_bad:
                raise
    raise CheckpointError("no checkpoint can be loaded; lrpdyn inspect says why")


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


def _dependence(
    job: Job, question: Question, records: Sequence[Record], fresh: Sequence[Weights]
) -> list[dict[str, Any]]:
    """Return what the maps of the first, the middle and the last finite step depend on."""
    done = [record.facts["step"] for record in records if record.facts["status"] == "done"]
    chosen = sorted({done[0], done[len(done) // 2], done[-1]}) if done else []
    found = []
    for checkpoint in _bar("checking", job.quiet)(
        [c for c in job.listing.checkpoints if c.step in chosen]
    ):
        explanation.load(job.model, checkpoint, trust=job.trust)
        values = dependence(job.model, job.observations.values, question, fresh)
        found.append({"step": checkpoint.step, **values})
    return found


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


def _same_weights(listing: Listing, records: Iterable[Record]) -> list[list[int]]:
    """Return the groups of steps that hold the same weights: a training that stood still."""
    steps: dict[str, list[int]] = {}
    for record in records:
        if record.facts["sha256"] is not None:
            steps.setdefault(record.facts["sha256"], []).append(record.facts["step"])
    groups = {tuple(group) for group in steps.values() if len(group) > 1}
    return [list(group) for group in sorted(groups | set(listing.same))]


def _manifest(job: Job, selection: Mapping[str, Any], checks: Mapping[str, Any]) -> dict[str, Any]:
    values = job.observations.values
    architecture = job.model.resolved.architecture.name
    return {
        "schema": store.SCHEMA,
        "lrpdyn": lrpdyn.__version__,
        "command": shlex.join(sys.argv),
        "rule": {
            "name": job.rule.name,
            "parameters": dict(job.rule.parameters),
            "layers": _layer_rules(job),
            "notes": [
                *job.model.canonised.notes,
                *notes(job.model.path, job.model.held),
                *unused(job.rule, job.model.explained),
            ],
        },
        "architecture": {"name": architecture, "arguments": job.model.resolved.arguments},
        "head": job.model.head,
        "contrast": job.contrast,
        "target": {"policy": job.target.policy, "values": None},
        "normalize": job.normalisation,
        "baseline": job.baseline,
        "unit": job.listing.unit,
        "observations": {
            "files": list(job.observations.files),
            "sha256": _digest(values, job.model.held),
            "shape": list(values.shape),
            "layout": job.observations.layout,
            "scale": job.observations.scale,
            **job.observations.preparation,
        },
        "selection": dict(selection),
        "weights": {
            "in_file": job.listing.checkpoints[0].header.weights,
            "keys": job.model.resolved.mapping.as_dict(),
        },
        "batch_size": job.model.batch_size,
        "regions": None if job.painting is None else {
            "names": list(job.painting.regions.names), "fill": job.painting.fill,
            "key": job.painting.key,
        },
        "checkpoints": [
            {"index": index, "step": c.step, "path": str(c.path), "format": c.format,
             "sha256": None, "status": "pending", "reason": None}
            for index, c in enumerate(job.listing.checkpoints)
        ],
        "checks": dict(checks),
        "environment": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "platform": platform.platform(),
            "device": str(job.model.device),
            "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        },
    }  # fmt: skip


def _layer_rules(job: Job) -> dict[str, str]:
    if job.rule.name in STOCK:
        weighted = layers_of(job.model.explained).items()
        return {name: job.rule.name for name, layer in weighted if isinstance(layer, Weighted)}
    return {name: rule.text for name, rule in job.model.plan.items()}


def _digest(values: NDArray[np.float32], held: Held) -> str:
    digest = hashlib.sha256(values.tobytes())
    for name in sorted(held):
        digest.update(name.encode() + held[name].tobytes())
    return digest.hexdigest()


def _question(manifest: Mapping[str, Any], *, given_values: bool) -> dict[str, Any]:
    """Return the parts of a manifest that make the question, by the option that sets them."""
    target = manifest["target"]
    return {
        "rule": _plain((manifest["rule"]["name"], manifest["rule"]["parameters"])),
        "architecture": _plain(manifest["architecture"]),
        "head": manifest["head"],
        "contrast": manifest["contrast"],
        "target": (target["policy"], target["values"] if given_values else None),
        "normalize": manifest["normalize"],
        "baseline": manifest["baseline"],
        "observations": manifest["observations"]["sha256"][:12],
        **{name: manifest["selection"].get(name, usual) for name, usual in _SELECTION.items()},
        "batch size": manifest["batch_size"],
    }


def _plain(value: Any) -> Any:
    """Return `value` as it comes back from JSON, where a tuple is a list."""
    return json.loads(json.dumps(value, default=str))


def _previous(job: Job, manifest: dict[str, Any], *, overwrite: bool) -> dict[str, Any] | None:
    """Return the manifest of the run that is gone on with, or None for a new one.

    Raises
    ------
    RunError
        The folder holds another question, or files that are no run.
    """
    folder = job.folder
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file, expected a run folder; choose another with -o")
    if not (folder / store.MANIFEST).exists():
        strangers = [p for p in folder.glob("*") if not p.name.startswith(".")]
        if strangers:
            raise RunError(
                f"{folder}: is not empty and holds no run of lrpdyn ({strangers[0].name}, ...); choose "
                "another with -o"
            )
        return None
    if overwrite:
        store.clear_run(folder)
        return None
    previous = store.read_manifest(folder)
    given = job.target.values is not None
    if given:
        manifest["target"]["values"] = job.target.values.tolist()  # type: ignore[union-attr]
    old, new = _question(previous, given_values=given), _question(manifest, given_values=given)
    differing = [
        f"{name} ({old[name]} there, {new[name]} here)" for name in old if old[name] != new[name]
    ]
    if differing:
        raise RunError(
            f"{folder}: holds a run of another question: {'; '.join(differing)}; replace it with "
            "--overwrite, or choose another folder with -o"
        )
    return previous


def _is_finished(job: Job, previous: Mapping[str, Any]) -> bool:
    """Tell whether everything that is asked for is there already."""
    done = {entry["step"]: entry for entry in previous["checkpoints"]}
    steps = [checkpoint.step for checkpoint in job.listing.checkpoints]
    if any(step not in done or done[step]["status"] == "pending" for step in steps):
        return False
    _check_unchanged(job, store.read_journal(job.folder))
    painted = (previous.get("regions") or {}).get("key")
    if job.painting is not None and job.painting.key != painted:
        return False
    listed = {entry.step for entry in job.listing.bad} | set(steps)
    there = all((job.folder / name).exists() for name in store.RESULTS)
    maps = all(
        store.relevance_path(job.folder, step).exists()
        for step in steps
        if done[step]["status"] == "done"
    )
    return there and maps and all(step in listed for step in done)


def _fixed(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are held fixed; those of a run that is gone on with must stay."""
    if not job.target.needs_outputs(job.contrast):
        return fix_targets(job.target, job.contrast, ())
    stored = (previous or {}).get("target", {})
    same = previous is not None and [c["step"] for c in previous["checkpoints"]] == [
        c.step for c in job.listing.checkpoints
    ]
    if same and stored.get("values") is not None:
        runner_up = stored.get("runner_up")
        return Fixed(np.array(stored["values"]), None if runner_up is None else np.array(runner_up))
    ordered = list(job.listing.checkpoints)
    if job.target.policy == "final":
        ordered.reverse()
    fixed = fix_targets(job.target, job.contrast, _outputs(job, ordered))
    if stored.get("values") is not None:
        _check_same_targets(job, stored["values"], fixed)
    return fixed


def _check_same_targets(job: Job, stored: list[int], fixed: Fixed) -> None:
    assert fixed.target is not None
    differing = [n for n, (a, b) in enumerate(zip(stored, fixed.target, strict=True)) if a != b]
    if differing:
        raise RunError(
            f"{job.folder}: with the new checkpoints --target {job.target.policy} would choose other "
            f"units for samples {', '.join(map(str, differing[:20]))}; hold the run's own with --target "
            f"FILE.npy (target.values in {store.MANIFEST}) and -o, or start again with --overwrite"
        )


def _outputs(job: Job, ordered: Iterable[Checkpoint]) -> Iterator[NDArray[np.float64]]:
    wrapped = (
        _bar("choosing targets", job.quiet)(ordered) if job.target.policy != "final" else ordered
    )
    for checkpoint in wrapped:
        try:
            explanation.load(job.model, checkpoint, trust=job.trust)
        except (CheckpointError, ArchitectureError):
            if not job.skip_bad:
                raise
            continue
        yield explanation.outputs_of(job.model, job.observations.values)


def _begin(job: Job, manifest: Mapping[str, Any]) -> None:
    """Make the folder ready: no left-overs, the observations and a manifest of what is asked."""
    for path in store.leftovers(job.folder):
        path.unlink(missing_ok=True)
    # The manifest comes first: what is killed right after it is known to be a run.
    store.save_json(job.folder / store.MANIFEST, manifest)
    store.save_array(job.folder / "observations.npy", job.observations.values)


def _check_unchanged(job: Job, journal: list[dict[str, Any]]) -> None:
    """Raise RunError where a checkpoint that was explained is another file now, or is gone."""
    now = {checkpoint.step: checkpoint for checkpoint in job.listing.checkpoints}
    for record in journal:
        checkpoint = now.get(record["step"])
        if checkpoint is None:
            raise RunError(
                f"{job.folder}: step {record['step']} was explained from {record['path']}, which is not "
                "among the checkpoints now; bring it back, or start again with --overwrite or -o"
            )
        if list(stamp(checkpoint.path, checkpoint.format)) == [record["size"], record["modified"]]:
            continue
        if digest(checkpoint.path, checkpoint.format) != record["sha256"]:
            raise RunError(
                f"{checkpoint.path}: changed since step {record['step']} was explained; start again with "
                "--overwrite, or choose another folder with -o"
            )


def _explain_all(job: Job, question: Question) -> tuple[list[Record], Dynamics]:
    """Explain what the journal does not hold yet; add every step to the sums, in order."""
    journal = store.read_journal(job.folder)
    _check_unchanged(job, journal)
    done = {record["step"]: record for record in journal}
    values = job.observations.values
    dynamics = Dynamics(values.shape, job.normalisation)
    evidence = StepEvidence(job.model, values, job.painting, trust=job.trust)
    records: list[Record] = []
    before: Checkpoint | None = None
    for checkpoint in _bar("explaining", job.quiet)(job.listing.checkpoints):
        try:
            facts, maps = _recalled(job, done.get(checkpoint.step)) or _explained(
                job, checkpoint, question, evidence, before
            )
            if facts["evidence"]["key"] != evidence.key(before):
                facts = _looked_at_again(job, checkpoint, facts, evidence, before)
        except (CheckpointError, ArchitectureError) as error:
            if not job.skip_bad:
                raise
            records.append(Record.bad(checkpoint, str(error)))
            continue
        measures, transition = dynamics.add(checkpoint.step, maps)
        parts = None if job.painting is None else shares(maps, job.painting.regions)
        records.append(Record(facts, measures, transition, parts, outline(maps)))
        before = checkpoint
    return records, dynamics


def _looked_at_again(
    job: Job,
    checkpoint: Checkpoint,
    facts: dict[str, Any],
    evidence: StepEvidence,
    before: Checkpoint | None,
) -> dict[str, Any]:
    """Return the record of a step whose maps stand, with evidence that fits what is asked now."""
    evidence.hold(before)
    explanation.load(job.model, checkpoint, trust=job.trust)
    renewed = {**facts, "evidence": evidence.gather(checkpoint.step, before)}
    store.append_journal(job.folder, renewed)
    return renewed


def _recalled(
    job: Job, record: dict[str, Any] | None
) -> tuple[dict[str, Any], NDArray[np.float32]] | None:
    """Return a step that was explained before, with its maps, if its file is whole."""
    if record is None or "evidence" not in record:
        return None
    try:
        maps = np.load(store.relevance_path(job.folder, record["step"]), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    if maps.shape != job.observations.values.shape or maps.dtype != np.float32:
        return None
    return record, maps


def _explained(
    job: Job,
    checkpoint: Checkpoint,
    question: Question,
    evidence: StepEvidence,
    before: Checkpoint | None,
) -> tuple[dict[str, Any], NDArray[np.float32]]:
    """Explain one checkpoint and store it: first its relevance, then its line in the journal."""
    size, modified = stamp(checkpoint.path, checkpoint.format)
    evidence.hold(before)
    sha256 = explanation.load(job.model, checkpoint, trust=job.trust)
    found = explanation.explain(job.model, job.observations.values, question)
    store.save_array(store.relevance_path(job.folder, checkpoint.step), found.relevance)
    finite = np.isfinite(found.score)
    facts = {
        "step": checkpoint.step,
        "path": str(checkpoint.path),
        "format": checkpoint.format,
        "sha256": sha256,
        "size": size,
        "modified": modified,
        "status": "done" if found.finite else "not_finite",
        "reason": None if found.finite else "its outputs or relevance hold NaN or infinity",
        "score": [float(s) if ok else None for s, ok in zip(found.score, finite, strict=True)],
        "target": [int(t) if ok else None for t, ok in zip(found.target, finite, strict=True)],
        "argmax": [int(a) if ok else None for a, ok in zip(found.argmax, finite, strict=True)],
        "support": [float(v) if np.isfinite(v) else None for v in found.support],
        "outputs": [[float(o) if np.isfinite(o) else None for o in row] for row in found.outputs],
        "relevance_finite": bool(np.isfinite(found.relevance).all()),
        "evidence": evidence.gather(checkpoint.step, before),
    }
    store.append_journal(job.folder, facts)
    return facts, found.relevance
