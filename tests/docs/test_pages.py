"""Every command in the documentation works as it stands there, and nothing on a page is stale.

The quick pages are run by default, the others by ``python -m pytest -m docs``.
"""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import click
import pytest

from lrpdyn.cli.main import group
from tests.docs.blocks import as_script, blocks_of, outside_of_blocks
from tests.remote.object_store import object_store

ROOT = Path(__file__).parents[2]
PAGES = {
    str(path.relative_to(ROOT)): path
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/**/*.md")))
}
#: Their commands take a second or two; those of the others are run by name, in CI too.
QUICK = {"docs/own_reader.md", "docs/watch.md"}
#: Pages that begin with a finished run.
WITH_A_RUN = {"docs/report.md", "docs/export.md", "docs/figures.md", "docs/shell.md"}
#: The first line of all that is not run, and where it is run instead, if anywhere.
NOT_RUN = {
    ("README.md", "python3 -m venv .venv && .venv/bin/pip install '.[report]' && .venv/bin/lrpdyn demo "
     "&& .venv/bin/lrpdyn report lrpdyn-demo/run"): "tests/benchmarks/newcomer.py",
    ("README.md", "python3 -m venv .venv && .venv/bin/pip install torch "
     "--index-url https://download.pytorch.org/whl/cpu"): "nowhere: torch's own registry",
    ("README.md", "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && "
     ".venv/bin/python -m pytest"): ".ci/run",
    ("CONTRIBUTING.md", "python3 -m venv .venv && .venv/bin/pip install -e '.[test]'"): ".ci/run",
    ("docs/checkpoints.md", "pip install -e '.[test,frameworks]' && python -m pytest -m frameworks "
     "tests/checkpoints/frameworks"): "by name: the frameworks are large",
    ("docs/export.md", "virelay lrpdyn-run-hdf5/*.yaml"): "nowhere: a server of another program",
    ("README.md", "lrpdyn compute ckpts/ obs.npy --follow                 # as training writes them"):
        "tests/pipeline/test_follow.py, test_shards.py, test_dask_cluster.py",
    ("docs/cluster.md", "configs/slurm/submit.sh 16 ckpts/ obs.npy lrpdyn-run --rule gamma"):
        "tests/cli/test_shell.py",
    ("docs/cluster.md", 'RULES="zplus gamma:0.25" configs/slurm/submit-runs.sh trainings/ obs.npy '
     "runs/ --every 10"): "tests/cli/test_shell.py",
    ("docs/observations.md", "pip install 'lrpdyn[record]'"):
        "docs/stable_baselines3.md on CartPole, tests/recording on Pong",
    ("docs/notebook.md", "pip install 'lrpdyn[notebook]'"): "tests/docs/test_notebook.py",
    ("docs/cluster.md", "pip install 'lrpdyn[dask]'"): "tests/pipeline/test_dask_cluster.py",
    ("docs/cluster.md", "dask scheduler --port 8786"): "tests/pipeline/test_dask_cluster.py",
    ("docs/cluster.md", "from dask_jobqueue import SLURMCluster"): "nowhere: Slurm",
    ("docs/cluster.md", "lrpdyn compute ckpts/ obs.npy --follow"): "tests/pipeline/test_follow.py",
    ("docs/regions.md", "lrpdyn regions obs64.npy -o masks.npz"):
        "tests/observations/test_objects.py, tests/cli/test_regions.py",
    ("docs/regions.md", "pip install 'lrpdyn[objects]'"):
        "tests/cli/test_record.py, where OCAtari is installed",
    ("docs/figures.md", "lrpdyn plot --kind features"): "docs/stable_baselines3.md on CartPole",
    ("docs/speed.md", "python -m tests.benchmarks.speed"): "by name: minutes",
    ("docs/speed.md", "python -m tests.benchmarks.device"): "by name: minutes on a GPU",
    ("docs/which_networks.md", "python -m tests.lrp.coverage_tables sb3"): "by name: minutes",
}  # fmt: skip
_LANGUAGES = {"sh", "python", "toml", "text"}
_COMMAND = re.compile(r"\s*(?:\$ )?(?:lrpdyn|python3?|pip|mkdocs) [a-z\[.-]")


def described() -> Iterator[tuple[str, str]]:
    """Yield what pages say in a line about lrpdyn's commands and options: the page and the words."""
    for name, page in PAGES.items():
        text = "\n".join(line for _, line in outside_of_blocks(page))
        for words in re.findall(r"(?<!`)`([^`]+)`(?!`)", text):
            if words.startswith(("lrpdyn ", "--")):
                yield name, words


def options_of(name: str | None) -> set[str]:
    """Return the options of one command, or of all."""
    context = click.Context(group)
    names = group.list_commands(context) if name is None else [name]
    commands = [group.get_command(context, name) for name in names] + [group]
    return {"--help"}.union(
        *(
            [*parameter.opts, *parameter.secondary_opts]
            for command in commands
            if command
            for parameter in command.params
        )
    )


def furnished(name: str, folder: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    """Fill a folder with what a page begins with; return the variables that are set there."""
    for shown in ("docs", "configs", "tests"):
        (folder / shown).symlink_to(ROOT / shown)
    if "obs" in PAGES[name].read_text():
        training: Path = request.getfixturevalue("training")
        for file in training.glob("*.*"):
            shutil.copy(file, folder)
        (folder / "ckpts").symlink_to(training / "ckpts")
        (folder / "trainings").mkdir()
        (folder / "trainings" / "seed-0").symlink_to(training / "ckpts")
    if name in WITH_A_RUN:
        shutil.copytree(request.getfixturevalue("finished_run"), folder / "lrpdyn-run")
    commands = folder.parent / "bin"
    commands.mkdir()
    python = f'exec "{sys.executable}"'
    for command, line in {
        "python": f'{python} "$@"',
        "lrpdyn": f'{python} -m lrpdyn "$@"',
        "pip": f'{python} "{Path(__file__).parent / "checked_pip.py"}" "$@"',
    }.items():
        (commands / command).write_text(f"#!/bin/sh\n{line}\n")
        (commands / command).chmod(0o755)
    return {**os.environ, "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
            "LRPDYN_CACHE": str(folder.parent / "cache")}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.docs)
        for name, page in PAGES.items()
        if any(block.run and block.language in {"sh", "python"} for block in blocks_of(page))
        # tests/test_contributing.py and test_notebook.py
        and name not in {"CONTRIBUTING.md", "docs/notebook.md"}
    ],
)
def test_every_command_of_a_page_works(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if name == "docs/export.md":
        pytest.importorskip("quantus")  # CI has it
    folder = tmp_path / "page"
    folder.mkdir()
    with ExitStack() as stack:
        environment = furnished(name, folder, request)
        if name == "docs/remote.md":
            store = stack.enter_context(object_store())
            store.upload(folder / "ckpts", "bucket/run/ckpts")
            store.client().put_file(str(folder / "obs.npy"), "bucket/run/obs.npy")
            environment |= store.environment
        script = as_script(blocks_of(PAGES[name]), folder)
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_what_is_not_run_is_listed() -> None:
    left_out = {
        (name, block.text.splitlines()[0])
        for name, page in PAGES.items()
        for block in blocks_of(page)
        if not block.run
    }
    assert left_out == set(NOT_RUN)


@pytest.mark.parametrize("name", PAGES)
def test_commands_stand_in_blocks_that_are_run(name: str) -> None:
    for block in blocks_of(PAGES[name]):
        assert block.language in _LANGUAGES, f"line {block.line}"
        if block.language == "text":
            assert not block.text.startswith(("lrpdyn ", "python ", "pip ")), f"line {block.line}"
    astray = [line for line in outside_of_blocks(PAGES[name]) if re.match(r"    ", line[1])
              and _COMMAND.match(line[1])]  # fmt: skip
    assert not astray, "a command in an indented block: put it into a fence ```sh"


def test_commands_and_options_in_a_line_exist() -> None:
    found = list(described())
    assert len(found) > 50
    for name, words in found:
        command = None
        if words.startswith("lrpdyn ") and not words.startswith("lrpdyn -"):
            command = words.split()[1]
            assert group.get_command(click.Context(group), command), f"{name}: {words}"
        for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", words):
            assert option in options_of(command) | {"--version", "--help-all"}, f"{name}: {words}"


def test_the_page_of_the_commands_is_what_the_program_prints() -> None:
    hook = runpy.run_path(str(ROOT / "docs" / "reference" / "commands.py"))
    page = hook["commands"]()
    for name in group.list_commands(click.Context(group)):
        printed = subprocess.run(
            [sys.executable, "-m", "lrpdyn", "help", name, "--all"], capture_output=True, text=True,
            check=True, env={**os.environ, "COLUMNS": "80"},
        ).stdout  # fmt: skip
        assert f"### {name}\n\n```text\n{printed}```" in page
        assert "Examples:" in printed
        assert "--help" in printed


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_outside_of_docs_lead_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", PAGES[name].read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []
