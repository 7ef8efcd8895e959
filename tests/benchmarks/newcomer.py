"""A newcomer's path, timed: a fresh clone and a fresh environment, then the README's first commands.

Run by hand: ``python tests/benchmarks/newcomer.py``. Whatever pip has in its cache is used unless
``--no-cache`` is given.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.docs.blocks import blocks_of  # noqa: E402


def first_commands() -> list[str]:
    """Return the lines of the README's first block."""
    block = blocks_of(ROOT / "README.md")[0]
    assert block.language == "sh"
    return block.text.splitlines()


def seconds_of(command: str, folder: Path, environment: dict[str, str]) -> float:
    """Run a command in a shell; return how long it took."""
    start = time.perf_counter()
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"{command}\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - start


def main() -> None:
    """Print a line for each command, and the sum."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--no-cache", action="store_true")
    given = parser.parse_args()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if given.no_cache:
        environment["PIP_NO_CACHE_DIR"] = "1"
    total = 0.0
    with tempfile.TemporaryDirectory() as name:
        clone = Path(name) / "lrpdyn"
        steps = [(f"git clone {ROOT} {clone}", Path(name))]
        steps += [(command, clone) for command in first_commands()]
        for command, folder in steps:
            taken = seconds_of(command, folder, environment)
            total += taken
            shown = command.replace(str(ROOT), "URL").replace(f" {clone}", "")
            print(f"{taken:7.1f} s  {shown}", flush=True)
        page = clone / "lrpdyn-demo" / "run" / "report.html"
        print(f"{total:7.1f} s  in all; the page has {page.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
