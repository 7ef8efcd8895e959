"""How many files of lrpdyn one simple ``compute`` enters, and by how many paths between files.

Run by hand: ``python tests/benchmarks/files_entered.py CHECKPOINTS OBSERVATIONS``, or without arguments on
the checkpoints of ``lrpdyn demo``. A file is entered when one of its functions is called; a path is a
pair of files of which one calls into the other. What runs at import (the bodies of modules and classes)
does not count. One worker, so that all of it is in this process.
"""

from __future__ import annotations

import inspect
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = str(Path(__file__).parents[2] / "lrpdyn")


def entered(job: Callable[[], object]) -> tuple[set[str], set[tuple[str, str]]]:
    """Return the files that `job` enters, and the pairs of files that call each other."""
    files: set[str] = set()
    paths: set[tuple[str, str]] = set()

    def note(frame: FrameType, event: str, _: Any) -> None:
        called = frame.f_code
        if event != "call" or not counts(frame):
            return
        files.add(called.co_filename)
        caller = frame.f_back
        if caller is not None and counts(caller):
            paths.add((caller.f_code.co_filename, called.co_filename))

    sys.setprofile(note)
    threading.setprofile(note)
    try:
        job()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return files, {(one, other) for one, other in paths if one != other}


def counts(frame: FrameType) -> bool:
    """Return whether a frame is that of a function of lrpdyn."""
    code = frame.f_code
    return code.co_filename.startswith(PACKAGE) and bool(code.co_flags & inspect.CO_OPTIMIZED)


def figures(checkpoints: str, observations: str, out: str) -> dict[str, int]:
    """Return both counts for one ``lrpdyn compute``."""
    from lrpdyn.cli.main import main

    def compute() -> None:
        sys.argv = [
            "lrpdyn",
            "compute",
            checkpoints,
            observations,
            "-q",
            "--workers",
            "1",
            "-o",
            out,
        ]
        try:
            main()
        except SystemExit as end:
            if end.code:
                raise

    files, paths = entered(compute)
    return {"files": len(files), "paths": len(paths)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) == 3:
            given = sys.argv[1], sys.argv[2]
        else:
            from lrpdyn.demo import train

            demo = train(Path(folder) / "demo")
            given = str(demo.checkpoints), str(demo.observations)
        print(json.dumps(figures(*given, f"{folder}/run")))
