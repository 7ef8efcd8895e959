"""lrpdyn rules."""

from __future__ import annotations

import json
from typing import Any

import click

from lrpdyn.cli import options


@click.command("rules", short_help="List the propagation rules.")
@options.output_format("table", "json")
def command(form: str) -> None:
    """List what --rule takes: rules and composites, with parameters and their defaults, and source."""
    rows = _rows()
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["use"]) for row in rows)
    for row in rows:
        source = f"  [{row['source']}]" if row["source"] else ""
        click.echo(f"{row['use']:<{width}}  {row['summary']}{source}")
    click.echo(
        f"{'RULE+attnlrp':<{width}}  any of these but Captum's, or FILE.toml, with attnlrp for attention; "
        "+cp-lrp is the default"
    )
    click.echo(
        f"{'FILE.toml':<{width}}  a rule for each layer, by name, type, first, last: see configs/"
    )


def _rows() -> list[dict[str, Any]]:
    from lrpdyn.lrp.composites import COMPOSITES
    from lrpdyn.lrp.registry import ALIASES, STOCK, rule_definitions

    rows = [
        {"name": name, "kind": "rule", "use": _use(name, rule.parameters),
         "parameters": dict(rule.parameters), "source": rule.source,
         "summary": rule.summary
         + (f" Alone: {rule.linear}+{name}." if rule.linear is not None else "")}
        for name, rule in rule_definitions().items()
    ]  # fmt: skip
    rows += [_row(name, "alias", f"the same as {of}", "") for name, of in ALIASES.items()]
    rows += [_row(name, "composite", of.summary, of.source) for name, of in COMPOSITES.items()]
    stock = "Captum's own rule as it is; often wrong: {} is exact"
    rows += [_row(name, "captum", stock.format(of), "captum.attr") for name, of in STOCK.items()]
    return rows


def _row(name: str, kind: str, summary: str, source: str) -> dict[str, Any]:
    return {"name": name, "kind": kind, "use": name, "parameters": {}, "summary": summary,
            "source": source}  # fmt: skip


def _use(name: str, parameters: Any) -> str:
    values = [key.upper() if value is None else f"{value:g}" for key, value in parameters.items()]
    return f"{name}:{','.join(values)}" if values else name
