"""Figures of several commits, measured side by side in one run, as JSON by commit.

Run by hand: ``python tests/benchmarks/by_commit.py HEAD~20 HEAD``, by default the last release and HEAD.
Each commit is checked out into a temporary folder and runs from there, with the packages of this
environment. In each of the rounds the commits take turns, so that a machine that becomes slower does so for
all of them; times are medians over the rounds. The figures are

seconds
    of ``lrpdyn compute`` on the demo's checkpoints, as a whole process;
import_seconds
    of ``import lrpdyn; lrpdyn.compute``, as a whole process;
lines, modules
    of ``lrpdyn/``;
files, paths
    that one ``compute`` enters (`files_entered.py`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENTERED = Path(__file__).with_name("files_entered.py").read_text()
LRPDYN = "import sys; sys.argv[0] = 'lrpdyn'; from lrpdyn.cli.main import main; main()"


def git(*arguments: str) -> str:
    """Return what git prints."""
    found = subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return found.stdout.strip()


def check_out(commit: str, folder: Path) -> None:
    """Write the files of a commit into a folder."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    script = folder / "tests/benchmarks/files_entered.py"
    script.write_text(ENTERED)  # of this commit: the same count for all


def python(tree: Path, *arguments: str) -> tuple[str, float]:
    """Return what a Python process prints that imports lrpdyn from `tree`, and its seconds."""
    start = time.perf_counter()
    found = subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=os.environ | {"PYTHONPATH": str(tree)},
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return found.stdout, time.perf_counter() - start


def sizes(tree: Path) -> dict[str, int]:
    """Return how long the code is."""
    files = list((tree / "lrpdyn").rglob("*.py"))
    return {"lines": sum(len(f.read_text().splitlines()) for f in files), "modules": len(files)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    release = git("log", "-1", "--format=%h", "--", "CHANGELOG.md")
    parser.add_argument("commits", nargs="*", default=[release, "HEAD"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    commits = [git("rev-parse", "--short", commit) for commit in given.commits]
    with tempfile.TemporaryDirectory() as place:
        trees = {commit: Path(place, commit) for commit in commits}
        for commit, tree in trees.items():
            check_out(commit, tree)
        python(ROOT, "-c", LRPDYN, "demo", f"{place}/demo", "-q")
        data = f"{place}/demo/checkpoints", f"{place}/demo/observations.npy"
        seconds: dict[str, list[float]] = {commit: [] for commit in commits}
        imports: dict[str, list[float]] = {commit: [] for commit in commits}
        for turn in range(given.rounds):
            for commit, tree in trees.items():
                job = ["compute", *data, "-q", "-o", f"{place}/run-{commit}-{turn}"]
                seconds[commit].append(python(tree, "-c", LRPDYN, *job)[1])
                imports[commit].append(python(tree, "-c", "import lrpdyn; lrpdyn.compute")[1])
        found: dict[str, Any] = {}
        for commit, tree in trees.items():
            counts = json.loads(
                python(tree, "tests/benchmarks/files_entered.py", *data)[0].splitlines()[-1]
            )
            found[commit] = {
                "date": git("show", "-s", "--format=%cs", commit),
                "seconds": round(statistics.median(seconds[commit]), 2),
                "import_seconds": round(statistics.median(imports[commit]), 2),
                **sizes(tree), **counts,
            }  # fmt: skip
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
