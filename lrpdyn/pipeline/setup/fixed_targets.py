"""Units held fixed over all checkpoints."""

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
from lrpdyn.pipeline.setup.job import Job, progress_bar
from lrpdyn.run.manifest import MANIFEST


def fixed_targets(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are held fixed; those of a run that is gone on with must stay."""
    if not job.target.needs_outputs(job.options.contrast):
        return fix_targets(job.target, job.options.contrast, ())
    stored = (previous or {}).get("target", {})
    same = previous is not None and [c["step"] for c in previous["checkpoints"]] == [
        c.step for c in job.own
    ]
    if same and stored.get("values") is not None:
        runner_up = stored.get("runner_up")
        return Fixed(np.array(stored["values"]), None if runner_up is None else np.array(runner_up))
    ordered = list(job.listing.checkpoints)
    if job.target.policy == "final":
        ordered.reverse()
    fixed = fix_targets(job.target, job.options.contrast, _outputs(job, ordered))
    if stored.get("values") is not None:
        _check_same_targets(job, stored["values"], fixed)
    return fixed


def targets_of_newest(job: Job, previous: Mapping[str, Any] | None) -> Fixed:
    """Return the targets that are held fixed while a run is followed, which began or goes on.

    Those that it began with, or those of its newest checkpoint, for no one knows the ones to come.
    """
    stored = (previous or {}).get("target", {})
    if job.target.needs_outputs(job.options.contrast) and stored.get("values") is not None:
        runner_up = stored.get("runner_up")
        return Fixed(np.array(stored["values"]), None if runner_up is None else np.array(runner_up))
    outputs = _outputs(job, reversed(job.listing.checkpoints))
    finite = (values for values in outputs if np.isfinite(values).all())
    return fix_targets(job.target, job.options.contrast, islice(finite, 1))


def settle(job: Job, manifest: Mapping[str, Any], fixed: Fixed) -> tuple[Question, dict[str, Any]]:
    """Return the question whose targets are `fixed`, and the manifest that records them."""
    target = {
        **manifest["target"],
        "values": None if fixed.target is None else fixed.target.tolist(),
    }
    if fixed.runner_up is not None:
        target["runner_up"] = fixed.runner_up.tolist()
    checks = manifest["checks"]
    question = Question(
        contrast=job.options.contrast, targets=fixed.target, runner_up=fixed.runner_up
    )
    if job.rule.exact_rule is not None:
        stock = same_outputs.stock_deviation(
            loaded_now(job.model), job.observations.values, question
        )
        checks = {**checks, "stock": stock}
    return question, {**manifest, "target": target, "checks": checks}


def _check_same_targets(job: Job, stored: list[int], fixed: Fixed) -> None:
    assert fixed.target is not None
    differing = [n for n, (a, b) in enumerate(zip(stored, fixed.target, strict=True)) if a != b]
    if differing:
        raise RunError(
            f"{job.folder}: with the new checkpoints --target {job.target.policy} would choose other "
            f"units for samples {', '.join(map(str, differing[:20]))}; hold the run's own with --target "
            f"FILE.npy (target.values in {MANIFEST}) and -o, or start again with --overwrite"
        )


def _outputs(job: Job, ordered: Iterable[Checkpoint]) -> Iterator[NDArray[np.float64]]:
    wrapped = (
        progress_bar("choosing targets", job.options.quiet)(ordered)
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
