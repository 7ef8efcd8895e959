"""lrpdyn inspect."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.imports import loading
from lrpdyn.files.text import printable

if TYPE_CHECKING:
    from lrpdyn.checkpoints.model import Checkpoint

#: So many entries that are skipped for one reason are listed, the others are counted.
_MOST_ALIKE = 10


@click.command("inspect", short_help="List what a folder of checkpoints holds.")
@click.argument("checkpoints", type=click.Path())
@options.selection
@options.output_format("table", "json")
@options.trust
@options.links
@options.verbosity
def command(
    checkpoints: str, form: str, trust: bool, links: bool, quiet: bool, **selection: Any
) -> None:
    """List every entry of CHECKPOINTS in order: its step and where that came from, its format and
    architecture, or why it is left out. Nothing is explained."""
    with loading():
        from tqdm import tqdm

        from lrpdyn.checkpoints.discovery import discover
        from lrpdyn.checkpoints.selection import Selection

    listing = discover(
        checkpoints,
        selection=Selection(**selection),
        trust=trust,
        links=links,
        progress=lambda paths: tqdm(paths, disable=True if quiet else None, leave=False),
    )
    rows = _rows(listing.checkpoints)
    left_out = [
        {"path": str(entry.path), "reason": entry.reason, "bad": entry.bad}
        for entry in listing.left_out
    ]
    if form == "json":
        found = {"unit": listing.unit, "checkpoints": rows, "left_out": left_out,
                 "notes": list(listing.notes), "same_weights": list(listing.same)}  # fmt: skip
        click.echo(json.dumps(found, indent=1))
        return
    _print_table(rows)
    click.echo(f"{len(rows)} checkpoints, in {listing.unit}", err=True)
    problems = [row["problem"] for row in rows if row["problem"]]
    if problems:
        click.echo(
            f"{len(problems)} of unknown architecture, first: {printable(problems[0])}", err=True
        )
    for assumed in dict.fromkeys(sentence for row in rows for sentence in row["assumed"]):
        click.echo(f"assumed: {printable(assumed)}", err=True)
    for note in listing.notes:
        click.echo(f"note: {printable(note)}", err=True)
    for steps in listing.same:
        listed = ", ".join(f"{step:,}" for step in steps[:6]) + " ..." * (len(steps) > 6)
        click.echo(f"warning: steps {listed} hold the same weights", err=True)
    _print_left_out(left_out)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    width = max([len(f"{row['step']:,}") for row in rows], default=0)
    for row in rows:
        also = f"  (also {', '.join(row['aliases'])})" if row["aliases"] else ""
        within = f"  weights {row['weights']}" if row["weights"] else ""
        line = (
            f"{row['step']:>{width},}  {row['path']}  {row['format']}  {row['architecture']}  "
            f"step from {row['step_source']}{within}{also}"
        )
        click.echo(printable(line))


def _print_left_out(left_out: Sequence[dict[str, Any]]) -> None:
    said: Counter[str] = Counter()
    for entry in left_out:
        reason = str(entry["reason"]).removeprefix(f"{entry['path']}: ")
        said[reason] += 1
        if entry["bad"] or said[reason] <= _MOST_ALIKE:
            kind = "bad" if entry["bad"] else "left out"
            click.echo(printable(f"{kind}: {entry['path']}: {reason}"), err=True)
    for reason, count in said.items():
        bad = sum(entry["bad"] for entry in left_out if str(entry["reason"]).endswith(reason))
        if count - bad > _MOST_ALIKE:
            click.echo(printable(f"left out: {count - bad - _MOST_ALIKE} more: {reason}"), err=True)


def _rows(checkpoints: Sequence[Checkpoint]) -> list[dict[str, Any]]:
    """Return a row for each checkpoint; checkpoints of the same shapes are recognised once."""
    known: dict[tuple[int, str], tuple[str, list[str], str | None]] = {}
    rows = []
    for checkpoint in checkpoints:
        header = checkpoint.header
        # Tables of shapes are shared by a series, and live as long as its listing.
        key = (id(header.shapes), repr(header.hints))
        if key not in known:
            known[key] = _architecture(checkpoint)
        name, assumed, problem = known[key]
        rows.append(
            {
                "step": checkpoint.step,
                "path": str(checkpoint.path),
                "format": checkpoint.format,
                "architecture": name,
                "assumed": assumed,
                "problem": problem,
                "step_source": checkpoint.step_source,
                "aliases": [str(path) for path in checkpoint.aliases],
                "weights": header.weights,
            }
        )
    return rows


def _architecture(checkpoint: Checkpoint) -> tuple[str, list[str], str | None]:
    """Return the architecture that is recognised, what is assumed of it, and why none is."""
    from lrpdyn.architectures.registry import heads_of, resolve
    from lrpdyn.architectures.shapes import on_meta
    from lrpdyn.errors import ArchitectureError
    from lrpdyn.explain.units import assumed

    try:
        resolved = resolve(None, {}, checkpoint.header, checkpoint.path.name)
    except ArchitectureError as error:
        return "unknown", [], str(error)
    with on_meta():
        network = resolved.build()
    units = assumed(network, heads_of(network)[0], resolved.hints, None)
    return resolved.architecture.name, [*resolved.assumed, *units], None
