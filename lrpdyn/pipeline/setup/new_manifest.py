"""The manifest of a run that begins."""

from __future__ import annotations

import hashlib
import json
import platform
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch

from lrpdyn.checkpoints.model import Listing
from lrpdyn.explain.units import assumed
from lrpdyn.files.streamed import Samples, pieces
from lrpdyn.lrp.canonical.layers import Weighted
from lrpdyn.lrp.plan import about, layers_of, unused
from lrpdyn.observations.fixed_inputs import FixedInputs, notes, what_is_fixed
from lrpdyn.pipeline.setup.job import Job
from lrpdyn.pipeline.setup.options import AUTO
from lrpdyn.run.manifest import SCHEMA
from lrpdyn.system.environment import environment_of
from lrpdyn.version import __version__


def make_manifest(
    job: Job, checks: Mapping[str, Any], tried: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the manifest of a run that begins; `checks` as of `prepare`, `tried` what came of all rules."""
    values = job.observations.values
    resolved = job.model.resolved
    return {
        "schema": SCHEMA,
        "lrpdyn": __version__,
        "command": shlex.join(sys.argv),
        **({} if job.options.config is None else {"config": dict(job.options.config)}),
        "rule": {
            "name": job.rule.name,
            "parameters": dict(job.rule.parameters),
            "layers": _layer_rules(job),
            "notes": [
                *job.model.canonised.notes,
                *_left_out(job),
                *notes(job.model.path, job.model.fixed_inputs),
                *unused(job.rule, job.model.explained),
            ],
            **({} if tried is None else {"tried": dict(tried)}),
        },
        "about_rule": _about_rule(job),
        "architecture": {
            "name": resolved.architecture.name, "arguments": resolved.arguments,
            "assumed": [*resolved.assumed, *assumed(
                job.model.network, job.model.head, resolved.hints, job.options.actions
            )],
        },
        "head": job.model.head,
        "units": job.model.units.as_dict(),
        "target": {
            "policy": job.target.text,
            "values": None if job.target.values is None else job.target.values.tolist(),
        },
        **job.options.part("question"),
        "unit": job.listing.unit,
        "digest": job.options.digest,
        "observations": {
            "files": list(job.observations.files),
            "sha256": _digest(values, job.model.fixed_inputs),
            "shape": list(values.shape),
            "layout": job.observations.layout,
            "scale": job.observations.scale,
            **job.observations.preparation,
            "notes": list(job.observations.notes),
            "doubtful": [asdict(doubt) for doubt in job.observations.doubtful],
        },
        "selection": job.options.part("selection"),
        "weights": {
            "in_file": job.listing.checkpoints[0].header.weights,
            "averaged": job.listing.checkpoints[0].header.averaged,
            "keys": resolved.mapping.as_dict(),
        },
        "stored": job.storage.as_dict(),
        "shard": None if job.shard is None else {
            "name": str(job.shard), "series": _series(job.listing),
        },
        **({"names": {kind: dict(those) for kind, those in job.names.items()}} if job.names else {}),
        "regions": None if job.painting is None else {
            "names": list(job.painting.regions.names), "fill": job.painting.fill.plain,
            "key": job.painting.key, "found": str(job.options.regions) == AUTO,
        },
        "checkpoints": pending(job),
        "checks": dict(checks),
        "environment": environment(job.model.device),
    }  # fmt: skip


def environment(device: torch.device) -> dict[str, str]:
    """Return what a run is made with, and when it began."""
    return {
        "python": platform.python_version(),
        **environment_of(device),
        "platform": platform.platform(),
        "device": str(device),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def pending(job: Job) -> list[dict[str, Any]]:
    """Return what the manifest says of checkpoints before they are explained."""
    return [
        {"index": index, "step": c.step, "path": str(c.path), "format": c.format,
         "digest": None, "sha256": None, "status": "pending", "reason": None}
        for index, c in enumerate(job.own, start=job.places.start)
    ]  # fmt: skip


def _about_rule(job: Job) -> dict[str, Any]:
    """Return what a reader of a run has to know of its rule, and of what is fixed besides."""
    found = about(job.rule, job.model.explained, job.model.plan)
    usual = found.get("usual_sum")
    fixed = [what_is_fixed(job.model.path, job.model.fixed_inputs)]
    fixed += ["the reference"] if job.model.reference is not None else []
    if not usual or not any(fixed):
        return found
    parts = " and ".join(part for part in fixed if part)
    return {**found, "usual_sum": f"{usual}; part of the score comes from {parts}"}


def _left_out(job: Job) -> list[str]:
    """Return in a sentence what follows the outputs that the head is explained at."""
    left_out = getattr(job.model.network, "left_out", None)
    text = left_out.get(job.model.head) if isinstance(left_out, Mapping) else None
    return [] if text is None else [f"{text} is skipped: the outputs before it are explained"]


def _series(listing: Listing) -> str:
    """Return a hash of the steps of a series."""
    steps = [checkpoint.step for checkpoint in listing.checkpoints]
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()


def _layer_rules(job: Job) -> dict[str, str]:
    if job.rule.exact_rule is not None:
        weighted = layers_of(job.model.explained).items()
        return {name: job.rule.name for name, layer in weighted if isinstance(layer, Weighted)}
    return {name: rule.text for name, rule in job.model.plan.items()}


def _digest(values: Samples, inputs: FixedInputs) -> str:
    digest = hashlib.sha256()
    for piece in pieces(values):
        digest.update(piece.tobytes())
    for name in sorted(inputs):
        digest.update(name.encode() + inputs[name].tobytes())
    return digest.hexdigest()
