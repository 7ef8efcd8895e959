"""lrpdyn inspect."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option
from lrpdyn.cli.imports import loading
from lrpdyn.cli.terminal import paragraph, print_row
from lrpdyn.files.text import printable, terminal_width
from lrpdyn.pipeline.setup.options import Options

if TYPE_CHECKING:
    from lrpdyn.checkpoints.model import Checkpoint

#: So many entries that are skipped for one reason are listed, the others are counted.
_MOST_ALIKE = 10


_GIVEN = click.core.ParameterSource.COMMANDLINE
#: What is said of operations alone, and refused without --layers.
_OF_LAYERS = (
    "observations",
    "rule",
    "arch",
    "arch_arg",
    "head",
    "prefix",
    "layout",
    "scale",
    "stack",
)


_CHECKED = {field.name for field in fields(Options)}


@click.command(
    "inspect", cls=Command, short_help="List the checkpoints of a folder, or the layers of their network.",
    examples=("lrpdyn inspect ckpts/", "lrpdyn inspect ckpts/ --format json",
              "lrpdyn inspect ckpts/ --layers --rule epsilon-plus"),
    about={"CHECKPOINTS": "A folder of checkpoints, or a glob in quotes.",
           "OBSERVATIONS": "With --layers: an example of what the network sees; zeros if not given."},
    shown={"layers", "rule", "arch", "pattern", "since", "until", "limit", "form", "trust"},
)  # fmt: skip
@click.argument("checkpoints", type=click.Path())
@click.argument("observations", nargs=-1, type=click.Path())
@option("--layers", is_flag=True, help="List the operations of the network, and the rule of each.")
@options.rule
@options.architecture
@options.prefix
@options.layout
@options.scale
@options.stack
@options.selection
@options.output_format("table", "json")
@options.trust
@options.links
@options.verbosity
@click.pass_context
def command(
    ctx: click.Context, /, checkpoints: str, layers: bool, form: str, trust: bool, links: bool,
    quiet: bool, **given: Any,
) -> None:  # fmt: skip
    """List every entry of a folder: its step, format and architecture, or why it is skipped.

    Nothing is explained. With --layers, list each operation of the network in order of call, its rule and
    where the rule is from.
    """
    from lrpdyn.pipeline.setup.values import check_inputs, check_values

    check_values(Options(**{name: value for name, value in given.items() if name in _CHECKED}))
    check_inputs(checkpoints, given["observations"])
    of_layers = {name: given.pop(name) for name in _OF_LAYERS}
    if layers:
        shared = {"trust": trust, "links": links, "quiet": quiet}
        _print_layers(checkpoints, {**of_layers, **given, **shared}, form)
        return
    needless = [name for name in _OF_LAYERS if ctx.get_parameter_source(name) == _GIVEN]
    if needless:
        raise click.UsageError(f"{_spelled(needless[0])}: only with --layers")
    with loading(quiet=quiet):
        from lrpdyn.checkpoints.discovery import discover
        from lrpdyn.checkpoints.selection import Selection
        from lrpdyn.system.progress import progress_bar

    listing = discover(
        checkpoints,
        selection=Selection(**given),
        trust=trust,
        links=links,
        progress=partial(progress_bar, quiet=quiet),
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
        paragraph(f"{len(problems)} of unknown architecture, first: {problems[0]}")
    for assumed in dict.fromkeys(sentence for row in rows for sentence in row["assumed"]):
        paragraph(f"Assumed: {assumed}")
    for note in listing.notes:
        paragraph(f"Note: {note}")
    for steps in listing.same:
        listed = ", ".join(f"{step:,}" for step in steps[:6]) + " ..." * (len(steps) > 6)
        paragraph(f"Warning: steps {listed} have the same weights")
    _print_left_out(left_out)


def _spelled(name: str) -> str:
    """Return a parameter as a user writes it."""
    return "OBSERVATIONS" if name == "observations" else f"--{name.replace('_', '-')}"


def _print_layers(checkpoints: str, given: dict[str, Any], form: str) -> None:
    with loading(quiet=given["quiet"]):
        from lrpdyn.architectures.registry import parse_arguments
        from lrpdyn.pipeline.setup.planning import planned
        from lrpdyn.system.progress import progress_bar

    quiet, observations = given["quiet"], given.pop("observations")
    arguments = parse_arguments(given.pop("arch_arg"))
    found = planned(
        checkpoints,
        observations,
        Options(arch_args=arguments, **given),
        partial(progress_bar, quiet=quiet),
    )
    model, rows = found.model, found.operations
    about = {
        "checkpoint": str(found.checkpoint.path),
        "architecture": model.resolved.architecture.name,
        "head": model.head,
        "rule": str(model.composite),
    }
    if form == "json":
        click.echo(json.dumps({**about, "layers": rows, "notes": found.notes}, indent=1))
        return
    _print_wrapped(", ".join(f"{key} {value}" for key, value in about.items()))
    cells = [[row["name"], _operation(row), row["kind"], row["rule"], _said(row)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
    for *columns, said in cells:
        padded = [f"{cell:<{width}}" for cell, width in zip(columns, widths, strict=True)]
        print_row("  ".join([*padded, said]).rstrip())
    rules = {(row["rule"], row["summary"], row["source"]): None for row in rows}
    click.echo("\nrules")
    for rule, summary, source in rules:
        _print_wrapped(f"  {rule}: {summary}" + f" [{source}]" * bool(source))
    if any(row["gates"] for row in rows):
        _print_wrapped("  gate: a factor that only weighs the other one, and gets no relevance")
    for note in found.notes:
        _print_wrapped(f"Note: {note}")


def _print_wrapped(text: str) -> None:
    width = shutil.get_terminal_size().columns
    click.echo(click.wrap_text(printable(text), width, subsequent_indent="    "))


def _operation(row: Mapping[str, Any]) -> str:
    return f"{row['operation']} of {row['part_of']}" if row["part_of"] else str(row["operation"])


def _said(row: Mapping[str, Any]) -> str:
    """Return what is particular to an operation."""
    parts = [f"gate: {name}" for name in row["gates"]]
    parts += ["halves"] * row["halves"] + [f"with {name}" for name in row["merged"]]
    return ", ".join(parts)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print a line for each checkpoint; a terminal that is too narrow has once what all have in common."""
    width = max([len(f"{row['step']:,}") for row in rows], default=0)
    lines = [[f"{row['step']:>{width},}  {row['path']}", *_about(row)] for row in rows]
    shared = {tuple(about[:3]) for _, *about in lines}
    room = terminal_width() if sys.stdout.isatty() else None
    too_wide = room is not None and any(len("  ".join(line)) > room for line in lines)
    if too_wide and len(rows) > 1 and len(shared) == 1:
        lines = [[first, *about[3:]] for first, *about in lines]
        paragraph(f"All: {', '.join(shared.pop())}")
    for line in lines:
        print_row("  ".join(line))


def _about(row: Mapping[str, Any]) -> list[str]:
    """Return the format, the architecture and where the step is from, then what few checkpoints have."""
    more = [f"weights {row['weights']}"] if row["weights"] else []
    more += [f"(also {', '.join(row['aliases'])})"] if row["aliases"] else []
    return [row["format"], row["architecture"], f"step from {row['step_source']}", *more]


def _print_left_out(left_out: Sequence[dict[str, Any]]) -> None:
    said: Counter[str] = Counter()
    for entry in left_out:
        reason = str(entry["reason"]).removeprefix(f"{entry['path']}: ")
        said[reason] += 1
        if entry["bad"] or said[reason] <= _MOST_ALIKE:
            kind = "Bad" if entry["bad"] else "Skipped"
            paragraph(f"{kind}: {entry['path']}: {reason}")
    for reason, count in said.items():
        bad = sum(entry["bad"] for entry in left_out if str(entry["reason"]).endswith(reason))
        if count - bad > _MOST_ALIKE:
            paragraph(f"Skipped: {count - bad - _MOST_ALIKE} more: {reason}")


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
