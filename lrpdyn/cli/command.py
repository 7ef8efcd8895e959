"""Commands whose help begins with examples and has its options in groups; values in plain words."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from inspect import cleandoc
from typing import Any

import click
from click.shell_completion import CompletionItem

from lrpdyn.files.nearby import did_you_mean
from lrpdyn.files.text import terminal_width

#: Help is not wider than this, for longer lines are hard to read.
_WIDEST = 100
#: The group of -q, -v and -h, which comes last.
GENERAL = "General"


class Option(click.Option):
    """An option with the heading that it stands under in the help.

    Of several sentences, the short help has the first.
    """

    def __init__(self, *arguments: Any, group: str = "Options", **more: Any) -> None:
        super().__init__(*arguments, **more)
        self.group = group

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the names of the option, and its sentence with the default."""
        record = super().get_help_record(ctx)
        if record is None:
            return None
        shown, text = self.show_default, self.help or ""
        said = shown if isinstance(shown, str) else f"{self.default}" if shown else ""
        if ctx.meta.get(_SHORT):
            text = text.partition(". ")[0].rstrip(".") + "."
        return record[0], f"{text}{f'  [default: {said}]' if said else ''}"


option = partial(click.option, cls=Option)


class Command(click.Command):
    """A command with examples.

    Parameters
    ----------
    examples
        What can be typed as it stands there, apart from the names of files.
    about
        What each argument is, by its name.
    lists
        Gives further lists for the help: a heading, and names with what they mean.
    shown
        The parameters that ``-h`` shows, the most important ones; all where not given.
    """

    def __init__(
        self,
        *arguments: Any,
        examples: Sequence[str],
        about: Mapping[str, str] | None = None,
        lists: Callable[[], tuple[str, list[tuple[str, str]]]] | None = None,
        shown: Collection[str] = (),
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self.examples, self.about, self.lists, self.shown = examples, about or {}, lists, shown

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters, with -h and --help-all at the end."""
        every = Option(["--help-all"], group=GENERAL, is_flag=True, is_eager=True, expose_value=False,
                       callback=_print_all, help="Show every option.")  # fmt: skip
        own = super().get_params(ctx)
        return [*own, every] if self.shown else own

    def get_help_option_names(self, ctx: click.Context) -> list[str]:
        """Return the same names whatever the context: click keeps the option that it makes of them."""
        return ["-h", "--help"]

    def get_help(self, ctx: click.Context) -> str:
        """Return the help: all of it where ``--help-all`` asks."""
        formatter = click.HelpFormatter(width=min(terminal_width(), _WIDEST))
        ctx.meta[_SHORT] = bool(self.shown) and not ctx.meta.get(ALL)
        self.format_help(ctx, formatter)
        return formatter.getvalue().rstrip("\n")

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the command does in a sentence, examples, then the rest."""
        first, _, rest = cleandoc(self.help or "").partition("\n\n")
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(first)
        with formatter.section(heading("Examples")):
            for example in self.examples:
                formatter.write(f"  {example}\n")
        if rest and not ctx.meta.get(_SHORT):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(rest)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write arguments and options under the headings of their groups."""
        if self.about:
            with formatter.section(heading("Arguments")):
                formatter.write_dl(list(self.about.items()), col_max=28)
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            shown = parameter.name in self.shown or _ALWAYS & set(parameter.opts)
            if isinstance(parameter, click.Argument) or (ctx.meta.get(_SHORT) and not shown):
                continue
            record = parameter.get_help_record(ctx)
            if record:
                groups.setdefault(getattr(parameter, "group", GENERAL), []).append(record)
        if self.lists is not None:
            title, rows = self.lists()
            with formatter.section(heading(title)):
                formatter.write_dl(rows)
        groups[GENERAL] = groups.pop(GENERAL)
        for title, records in groups.items():
            with formatter.section(heading(title)):
                formatter.write_dl(records, col_max=28)


ALL, _SHORT = "lrpdyn.help_all", "lrpdyn.help_short"
#: What the short help of each command shows.
_ALWAYS = {"--quiet", "--help", "--help-all"}


def _print_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


def heading(text: str) -> str:
    """Return a heading in bold; `click.echo` takes that away where no terminal reads it."""
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)


class Word(click.Choice):  # type: ignore[type-arg]
    """One of several words, whatever its capitals."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the word as it is registered."""
        known = {str(choice).casefold(): choice for choice in self.choices}
        found = known.get(str(value).casefold())
        if found is None:
            words = [str(choice) for choice in self.choices]
            self.fail(f"expected {', '.join(words)}{did_you_mean(str(value), words)}", param, ctx)
        return found

    def get_metavar(self, *_: Any, **__: Any) -> str:
        """Return the words with bars between."""
        return "|".join(map(str, self.choices))


class Whole(click.IntRange):
    """A whole number."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number."""
        return _number(super().convert, f"a whole number{_limits(self)}", value, param, ctx)


class Number(click.FloatRange):
    """A number."""

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the number."""
        return _number(super().convert, f"a number{_limits(self)}", value, param, ctx)


def _limits(kind: click.IntRange | click.FloatRange) -> str:
    if kind.max is not None:
        return f" from {kind.min:g} to {kind.max:g}"
    return "" if kind.min is None else f" of {kind.min:g} or more"


def _number(convert: Any, expected: str, value: Any, param: Any, ctx: Any) -> Any:
    try:
        return convert(value, param, ctx)
    except click.BadParameter as error:
        message = f"expected {expected}"
        raise click.BadParameter(message, ctx=ctx, param=param) from error


def words_of(*words: str, of: Callable[[], Iterable[str]] | None = None) -> Any:
    """Return what completes an option's value: words, those that `of` gives, then files.

    Parts between commas are completed each.
    """

    def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[CompletionItem]:
        before, comma, last = begun.rpartition(",")
        known = [*words, *(of() if of is not None else ())]
        found = [CompletionItem(f"{before}{comma}{word}") for word in known
                 if word.casefold().startswith(last.casefold())]  # fmt: skip
        return found or [CompletionItem(begun, type="file")]

    return complete
