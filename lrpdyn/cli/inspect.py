"""lrpdyn inspect."""

from __future__ import annotations

import json
from typing import Any

import click

from lrpdyn.cli import options


@click.command("inspect", short_help="List what a folder of checkpoints holds.")
@click.argument("checkpoints")
@options.pattern
@options.output_format("table", "json")
@options.trust
@options.verbosity
def command(checkpoints: str, pattern: str | None, form: str, trust: bool, quiet: bool) -> None:
    """List every entry of CHECKPOINTS in order: its step and where that came from, its format and
    architecture, or why it is left out. Nothing is explained."""
    from tqdm import tqdm

    from lrpdyn.checkpoints.discovery import discover

    listing = discover(
        checkpoints,
        pattern=pattern,
        trust=trust,
        progress=lambda paths: tqdm(paths, disable=True if quiet else None, leave=False),
    )
    rows = [_row(checkpoint) for checkpoint in listing.checkpoints]
    left_out = [
        {"path": str(entry.path), "reason": entry.reason, "bad": entry.bad}
        for entry in listing.left_out
    ]
    if form == "json":
        found = {"unit": listing.unit, "checkpoints": rows, "left_out": left_out}
        click.echo(json.dumps(found, indent=1))
        return
    width = max([len(f"{row['step']:,}") for row in rows], default=0)
    for row in rows:
        also = f"  (also {', '.join(row['aliases'])})" if row["aliases"] else ""
        click.echo(
            f"{row['step']:>{width},}  {row['path']}  {row['format']}  {row['architecture']}  "
            f"step from {row['step_source']}{also}"
        )
    click.echo(f"{len(rows)} checkpoints, in {listing.unit}", err=True)
    problems = [row["problem"] for row in rows if row["problem"]]
    if problems:
        click.echo(f"{len(problems)} of unknown architecture, first: {problems[0]}", err=True)
    for entry in left_out:
        reason = str(entry["reason"]).removeprefix(f"{entry['path']}: ")
        click.echo(f"{'bad' if entry['bad'] else 'left out'}: {entry['path']}: {reason}", err=True)


def _row(checkpoint: Any) -> dict[str, Any]:
    from lrpdyn.architectures.registry import resolve
    from lrpdyn.errors import ArchitectureError

    problem = None
    try:
        architecture = resolve(None, {}, checkpoint.header, checkpoint.path.name).architecture.name
    except ArchitectureError as error:
        architecture, problem = "unknown", str(error)
    return {
        "step": checkpoint.step,
        "path": str(checkpoint.path),
        "format": checkpoint.format,
        "architecture": architecture,
        "problem": problem,
        "step_source": checkpoint.step_source,
        "aliases": [str(path) for path in checkpoint.aliases],
    }
