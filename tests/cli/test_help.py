"""Help of every command: short, examples first, in groups; all of it on request."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from lrpdyn.cli.command import Command, Option
from lrpdyn.cli.main import group
from lrpdyn.cli.names import COMMANDS, GROUPS
from tests.cli.processes import lrpdyn

CONTEXT = click.Context(group)


def command_of(name: str) -> Command:
    found = group.get_command(CONTEXT, name)
    assert isinstance(found, Command), name
    return found


@pytest.fixture(autouse=True)
def _plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def help_of(name: str, *arguments: str) -> str:
    context = click.Context(command_of(name), info_name=name, parent=CONTEXT)
    if arguments:
        context.meta["lrpdyn.help_all"] = True
    return click.unstyle(context.command.get_help(context))


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_short_and_begins_with_examples(name: str) -> None:
    lines = help_of(name).splitlines()
    assert len(lines) < 45
    assert max(map(len, lines)) <= 80
    headings = [line for line in lines if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    assert headings[0] == "Examples:"
    assert headings[-1] == "General:"
    examples = [line.strip() for line in lines if line.startswith("  lrpdyn ")]
    assert all(example.split()[1] == name for example in examples)
    assert len(examples) >= 2
    assert not re.search(r"\b(TEXT|INTEGER|FLOAT|RANGE|PATH PATH)\b", "\n".join(lines))


@pytest.mark.parametrize("name", COMMANDS)
def test_all_of_it_is_shown_on_request(name: str) -> None:
    text = help_of(name, "--help-all")
    assert max(map(len, text.splitlines())) <= 80
    for parameter in command_of(name).params:
        if isinstance(parameter, Option):
            assert max(parameter.opts, key=len) in text
            assert re.search(rf"{re.escape(max(parameter.opts, key=len))}\b", text), parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_takes_in_sentences(name: str) -> None:
    for parameter in command_of(name).params:
        if not isinstance(parameter, click.Option):
            continue
        assert isinstance(parameter, Option), parameter.name
        assert (parameter.help and parameter.help[0].isupper()) or parameter.name in ("target",)
        assert parameter.help
        assert parameter.help.endswith("."), parameter.name
        if not parameter.is_flag and not parameter.count:
            shown = parameter.make_metavar(click.Context(command_of(name)))
            assert not re.match(r"TEXT|INTEGER|FLOAT|PATH$|\[", shown) or "PATH" in shown


def test_commands_are_each_in_one_group() -> None:
    assert sorted(COMMANDS) == sorted({name for names in GROUPS.values() for name in names})
    files = {path.stem for path in (Path(__file__).parents[2] / "lrpdyn" / "cli").glob("*.py")}
    assert set(COMMANDS) <= files


def test_help_of_a_command_is_what_its_option_says(tmp_path: Path) -> None:
    by_name = lrpdyn("help", "compute", cwd=tmp_path)
    assert by_name.returncode == 0
    assert by_name.stdout == lrpdyn("compute", "-h", cwd=tmp_path).stdout
    assert "\x1b" not in by_name.stdout
    whole = lrpdyn("help", "compute", "--all", cwd=tmp_path).stdout
    assert whole == lrpdyn("compute", "--help-all", cwd=tmp_path).stdout
    assert "--interventions" in whole
    assert "--interventions" not in by_name.stdout
    assert lrpdyn("help", cwd=tmp_path).stdout == lrpdyn("-h", cwd=tmp_path).stdout
    assert lrpdyn("help", "outliers", "--all", cwd=tmp_path).stdout.startswith("Usage: lrpdyn outl")
