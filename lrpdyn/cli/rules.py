"""lrpdyn rules."""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from lrpdyn.cli import options
from lrpdyn.cli.command import Command, option
from lrpdyn.cli.imports import loading
from lrpdyn.cli.terminal import print_row
from lrpdyn.files.text import printable, terminal_width

if TYPE_CHECKING:
    from lrpdyn.diagnostics.rule_trial import Row
    from lrpdyn.pipeline.rule_trial import Trial

#: The columns that a narrow terminal does without.
_LEAST = ("random", "sum", "ms")


@click.command(
    "rules", cls=Command, short_help="List the LRP rules, or try them on your network.",
    examples=("lrpdyn rules", "lrpdyn rules --try ckpts/ obs.npy"),
    about={"CHECKPOINTS": "With --try: a folder of checkpoints, or a glob in quotes.",
           "OBSERVATIONS": "With --try: files .npy, .npz, .png or .jpg, or folders."},
    shown={"tried", "arch", "target", "contrast", "scale", "samples", "device", "form", "trust"},
)  # fmt: skip
@click.argument("checkpoints", required=False, type=click.Path())
@click.argument("observations", nargs=-1, type=click.Path())
@option(
    "--try", "tried", is_flag=True, help="Compare all rules that fit the network, and name one."
)
@options.architecture
@options.score
@options.observations
@options.selection
@options.prefix
@options.resources
@options.fill
@options.reference
@options.skip_bad
@options.trust
@options.links
@options.output_format("table", "json")
@options.verbosity
@click.pass_context
def command(
    ctx: click.Context,
    /,
    checkpoints: str | None,
    observations: tuple[str, ...],
    tried: bool,
    form: str,
    **given: Any,
) -> None:
    """List what --rule takes: rules and composites, their parameters with defaults, their sources.

    With --try: every rule that fits the network, on an early, a middle and the last checkpoint and eight
    of the observations. How faithful its maps are, and which rule to take. The best rules are tried with a
    reference, too: modal for pictures, mean for features, or the one that --reference names.
    """
    if tried:
        if checkpoints is None or not observations:
            raise click.UsageError(
                "--try: expected CHECKPOINTS and OBSERVATIONS, as compute has them"
            )
        _print_trial(_trial(checkpoints, observations, given), form)
        return
    needless = [name for name in ("checkpoints", "observations", *given) if name != "quiet"
                and ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
                and ctx.params.get(name)]  # fmt: skip
    if needless:
        argument = needless[0] in ("checkpoints", "observations")
        name = needless[0].upper() if argument else f"--{needless[0].replace('_', '-')}"
        raise click.UsageError(f"{name}: only with --try")
    _print_list(form)


def _trial(checkpoints: str, observations: tuple[str, ...], given: dict[str, Any]) -> Trial:
    from lrpdyn.pipeline.setup.options import Options
    from lrpdyn.pipeline.setup.values import check_inputs, check_values

    check_values(Options(**{name: value for name, value in given.items() if name != "arch_arg"}))
    check_inputs(checkpoints, observations)
    with loading(quiet=given["quiet"]):
        from lrpdyn.architectures.registry import parse_arguments
        from lrpdyn.pipeline.rule_trial import try_rules
        from lrpdyn.system.memory import keep

    keep()
    arguments = parse_arguments(given.pop("arch_arg"))
    return try_rules(checkpoints, observations, Options(arch_args=arguments, **given))


def _print_trial(trial: Trial, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(trial.as_dict(), indent=1))
        return
    width = terminal_width()
    rows = [_cells(row, trial.fills[1:]) for row in trial.rows]
    titles = list(rows[0])
    table = [dict(zip(titles, titles, strict=True)), *rows]
    sizes = {title: max(len(row[title]) for row in table) for title in titles}
    hidden: list[str] = []
    while sum(sizes[title] + 2 for title in titles) - 2 > width and titles[-1] in _LEAST:
        hidden.insert(0, titles.pop())
    wide = sum(sizes[title] + 2 for title in titles) - 2 <= width
    for name, *cells in ([row[title] for title in titles] for row in table[0 if wide else 1 :]):
        if wide:
            padded = [
                f"{cell:>{sizes[title]}}" for cell, title in zip(cells, titles[1:], strict=True)
            ]
            click.echo("  ".join([f"{name:<{sizes['rule']}}", *padded]))
        else:
            named = [f"{title} {cell}" for title, cell in zip(titles[1:], cells, strict=True)]
            click.echo(_wrapped(f"{name}: {', '.join(named)}", width))
    low, high = trial.random_order
    reasons = defaultdict(list)
    for one in trial.left_out:
        reasons[one.reason].append(one.rule)
    steps = ", ".join(f"{step:,}" for step in trial.steps)
    about = [
        f"random orders of patches: {low:.2f} to {high:.2f}; steps {steps}; "
        f"{len(trial.samples)} observations",
        *(
            [f"Not shown for lack of room: {', '.join(hidden)}. --format json has all."]
            if hidden
            else []
        ),
        *(f"skipped: {', '.join(names)}: {reason}" for reason, names in reasons.items()),
        *_about_references(trial),
        "",
        trial.reason,
        *([] if trial.named is None else [f"Take --rule {trial.named}{_reference(trial)}"]),
    ]
    for text in about:
        click.echo(_wrapped(printable(text), width))


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, subsequent_indent="    ", break_on_hyphens=False)


def _cells(row: Row, other_fill: Sequence[str]) -> dict[str, str]:
    """Return what a row says, by column; with the faithfulness under another fill, if there is one."""
    beside = "-" if row.other_fill is None else f"{row.other_fill.median:.2f}"
    return {
        "rule": printable(row.name),
        "faithful (90 %)": f"{row.faithfulness:.2f} ({row.low:.2f}..{row.high:.2f})",
        **dict.fromkeys(other_fill, beside),
        "units": "-" if row.unit is None else f"{row.unit:.2f}",
        "random": "-" if row.random is None else f"{row.random:.2f}",
        "sum": "-" if row.sum_to_score is None else f"{row.sum_to_score:.3g}",
        "ms": f"{row.milliseconds:.1f}",
    }


def _about_references(trial: Trial) -> Iterator[str]:
    """Say which rules a reference helps."""
    fills = " and ".join(trial.fills)
    for helps, what in (
        (True, "helps under both fills"),
        (False, "is not known to help under both"),
    ):
        names = [row.rule for row in trial.rows if row.helps is helps]
        if names:
            yield f"the reference {what} ({fills}), by more than its interval: {', '.join(names)}"


def _reference(trial: Trial) -> str:
    return "" if trial.reference is None else f" --reference {trial.reference}"


def _print_list(form: str) -> None:
    rows = _rows()
    if form == "json":
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(row["use"]) for row in rows)
    for row in rows:
        source = f"  [{row['source']}]" if row["source"] else ""
        print_row(f"{row['use']:<{width}}  {row['summary']}{source}")
    print_row(
        f"{'RULE+attnlrp':<{width}}  any of these but Captum's, or FILE.toml, with attnlrp for attention; "
        "+cp-lrp is the default"
    )
    print_row(
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
