"""lrpdyn rules."""

from __future__ import annotations

import json

import click

from lrpdyn.cli import options


@click.command("rules", short_help="List the propagation rules.")
@options.output_format("table", "json")
def command(form: str) -> None:
    """List the rules that --rule takes: name, parameters with their defaults, source."""
    from lrpdyn.lrp.rules import RULES

    rules = [
        {
            "name": name,
            "parameters": dict(rule.parameters),
            "summary": (rule.function.__doc__ or "").splitlines()[0],
            "source": rule.source,
        }
        for name, rule in RULES.items()
    ]
    if form == "json":
        click.echo(json.dumps(rules, indent=1))
        return
    for rule in rules:
        values = ",".join(f"{key}={value:g}" for key, value in rule["parameters"].items())  # type: ignore[attr-defined]
        called = f"{rule['name']}:{values}" if values else str(rule["name"])
        click.echo(f"{called:<22}  {rule['summary']}  [{rule['source']}]")
