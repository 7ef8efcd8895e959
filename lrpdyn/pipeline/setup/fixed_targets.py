"""Units that stay the same over all checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lrpdyn.checkpoints.model import Checkpoint
from lrpdyn.diagnostics import same_outputs
from lrpdyn.errors import ArchitectureError, CheckpointError, RunError
from lrpdyn.explain.explanation import Question, outputs_of
from lrpdyn.explain.loaded import load, loaded_now
from lrpdyn.explain.targets import Fixed, fix_targets
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.run.manifest import MANIFEST
from lrpdyn.system.progress import progress_bar


def fixed_targets(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are fixed; those of a run that is resumed must stay.

    Raises
    ------
    RunError
        With checkpoints that came later, other units would be chosen.
    """
    if not job.target.needs_outputs(job.contrast):
        return fix_targets(job.target, job.contrast, (), job.model.units)
    recorded = _recorded(previous)
    steps = [entry["step"] for entry in (previous or {}).get("checkpoints", ())]
    if recorded is not None and steps == [checkpoint.step for checkpoint in job.own]:
        return recorded
    ordered = list(job.listing.checkpoints)
    if job.target.policy == "final":
        ordered.reverse()
    fixed = fix_targets(job.target, job.contrast, _outputs(job, ordered), job.model.units)
    if recorded is not None:
        _check_same_targets(job, recorded, fixed)
    return fixed


def targets_of_newest(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are fixed while a run is followed.

    They are those that it began with, or those of its newest checkpoint: later ones are not known yet.
    """
    recorded = _recorded(previous)
    if job.target.needs_outputs(job.contrast) and recorded is not None:
        return recorded
    outputs = _outputs(job, reversed(job.listing.checkpoints))
    finite = (values for values in outputs if np.isfinite(values).all())
    return fix_targets(job.target, job.contrast, islice(finite, 1), job.model.units)


def _recorded(previous: Mapping[str, Any] | None) -> Fixed | None:
    """Return the targets that the manifest of a run records, if it does."""
    target = (previous or {}).get("target", {})
    if target.get("values") is None:
        return None
    runner_up = target.get("runner_up")
    return Fixed(
        target=np.array(target["values"]),
        runner_up=None if runner_up is None else np.array(runner_up),
    )


def settle(job: Job, manifest: Mapping[str, Any], fixed: Fixed) -> tuple[Question, dict[str, Any]]:
    """Return the question whose targets are `fixed`, and the manifest that records them."""
    target = {
        **manifest["target"],
        "values": None if fixed.target is None else fixed.target.tolist(),
    }
    if fixed.runner_up is not None:
        target["runner_up"] = fixed.runner_up.tolist()
    checks = manifest["checks"]
    question = question_of_job(job, fixed)
    if job.rule.exact_rule is not None:
        stock = same_outputs.stock_deviation(
            loaded_now(job.model), job.observations.values, question
        )
        checks = {**checks, "stock": stock}
    return question, {**manifest, "target": target, "checks": checks}


def question_of_job(job: Job, fixed: Fixed) -> Question:
    """Return the question whose targets are `fixed`."""
    return Question(
        contrast=job.contrast,
        targets=fixed.target,
        runner_up=fixed.runner_up,
        group=job.target.group,
    )


def _check_same_targets(job: Job, recorded: Fixed, fixed: Fixed) -> None:
    assert recorded.target is not None
    differing = np.flatnonzero(recorded.target != fixed.target).tolist()
    if differing:
        raise RunError(
            f"{job.folder}: with the new checkpoints --target {job.target.text} would choose other "
            f"units for samples {', '.join(map(str, differing[:20]))}; hold the run's own with --target "
            f"FILE.npy (target.values in {MANIFEST}) and -o, or start again with --overwrite"
        )


def _outputs(job: Job, ordered: Iterable[Checkpoint]) -> Iterator[NDArray[np.float64]]:
    wrapped = (
        progress_bar(ordered, quiet=job.options.quiet, desc="choosing targets")
        if job.target.policy != "final"
        else ordered
    )
    for checkpoint in wrapped:
        try:
            loaded = load(job.model, checkpoint, trust=job.options.trust)
        except (CheckpointError, ArchitectureError):
            if not job.options.skip_bad:
                raise
            continue
        yield outputs_of(loaded, job.observations.values)
