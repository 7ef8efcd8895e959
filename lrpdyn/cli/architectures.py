"""lrpdyn architectures."""

from __future__ import annotations

import json
from importlib.resources import files

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option


@click.command("architectures", cls=Command, short_help="List the networks that --arch takes.",
               examples=("lrpdyn architectures", "lrpdyn architectures --template > mine.py"))  # fmt: skip
@options.output_format("table", "json")
@option("--template", is_flag=True, help="Print a Python file for a network of your own.")
def command(form: str, template: bool) -> None:
    """List the networks that --arch takes and that are recognised from their weights."""
    if template:
        click.echo(files("lrpdyn.architectures").joinpath("template.py").read_text(), nl=False)
        return
    from lrpdyn.architectures.registry import FAMILIES, architectures

    rows = [
        {
            "name": architecture.name,
            "heads": list(getattr(architecture.factory, "heads", ("logits",))),
            "source": architecture.source,
        }
        for architecture in architectures().values()
    ]
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        click.echo(f"{row['name']:<{width}}  heads {', '.join(row['heads']):<14}  {row['source']}")
    for family in FAMILIES:
        name = f"{family.prefix}NAME"
        click.echo(f"{name:<{width}}  heads {'logits':<14}  any of {family.owner} classifiers")
