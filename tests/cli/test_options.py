"""Options by a variable, by a file, or on the command line, which wins."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.core import ParameterSource

from lrpdyn.cli.main import group
from tests.cli.processes import lrpdyn

ROOT = Path(__file__).parents[2]


def commands() -> Iterator[click.Command]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield command


def sample_of(option: click.Option) -> str:
    """Return a value that the option takes, other than its default."""
    if isinstance(option.type, click.Choice):
        return str(option.type.choices[-1])
    if option.is_flag or option.count or isinstance(option.type, click.types.IntParamType):
        return "1" if not isinstance(option.type, click.IntRange) else "7"
    if isinstance(option.type, click.types.FloatParamType):
        return (
            "0.5" if not isinstance(option.type, click.FloatRange) else f"{option.type.min or 0.5}"
        )
    if option.name == "config":
        return str(ROOT / "configs" / "sb3-atari.toml")
    return "key=value"


@pytest.mark.parametrize("command", list(commands()), ids=lambda command: command.name)
def test_every_option_is_a_variable(
    command: click.Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [option for option in command.params if isinstance(option, click.Option)]
    flags = [max(option.opts, key=len) for option in options]
    for option, flag in zip(options, flags, strict=True):
        name = f"LRPDYN_{command.name}_{flag.strip('-').replace('-', '_')}".upper()
        assert option.envvar == name
        monkeypatch.setenv(name, sample_of(option))
    required = ["x"] * sum(parameter.required and not isinstance(parameter, click.Option)
                           for parameter in command.params)  # fmt: skip
    context = command.make_context("lrpdyn", required, obj={})
    for option in options:
        assert option.name is not None
        assert context.get_parameter_source(option.name) == ParameterSource.ENVIRONMENT, option.name


def test_the_command_line_wins_over_a_variable_and_this_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = group.get_command(click.Context(group), "compute")
    assert compute is not None
    (tmp_path / "options.toml").write_text("every = 3\nlimit = 5\nbatch-size = 7\n")
    monkeypatch.setenv("LRPDYN_COMPUTE_EVERY", "4")
    monkeypatch.setenv("LRPDYN_COMPUTE_LIMIT", "6")
    arguments = ["a", "b", "--config", str(tmp_path / "options.toml"), "--limit", "9"]
    context = compute.make_context("compute", arguments, obj={})
    found = {name: context.params[name] for name in ("every", "limit", "batch_size")}
    assert found == {"every": 4, "limit": 9, "batch_size": 7}


def test_config_file(folder: Path, ppo_folder: Path) -> None:
    (folder / "a.toml").write_text(
        'rule = "gamma:0.5"\nout = "from-config"\nskip-bad = true\n'
        'baseline = "none"\nfaithfulness = "none"\n'
    )
    result = lrpdyn(
        "compute", ppo_folder, "obs.npy", "--config", "a.toml", "--rule", "gamma", cwd=folder
    )
    assert result.returncode == 0, result.stderr
    manifest = json.loads((folder / "from-config" / "manifest.json").read_text())
    assert manifest["rule"]["parameters"] == {"gamma": 0.25}
    (folder / "b.toml").write_text("roole = 1\n")
    assert (
        "roole" in lrpdyn("compute", ppo_folder, "obs.npy", "--config", "b.toml", cwd=folder).stderr
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("rule = [1, 2]", "rule takes one value, found list"),
        ("rule = ", "options.toml"),
    ],
)
def test_a_file_that_cannot_be_used_is_wrong_usage(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "options.toml").write_text(text)
    result = lrpdyn("compute", "a", "b", "--config", "options.toml", cwd=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
