"""What to do where a folder holds no run: which other thing it seems to be, and which was meant."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

from lrpdyn.errors import RunError
from lrpdyn.files.nearby import MANIFEST, seems, similar_path


def no_run(run: Path, what: str = "run") -> RunError:
    """Return the error for a folder that holds none.

    `what` is expected there; no command is named that would write a run among other files.
    """
    holds = f"{run}: holds no {what} of lrpdyn"
    compute = "lrpdyn compute CHECKPOINTS OBSERVATIONS"
    if what == "run" and (run / "journal.jsonl").exists():
        return RunError(
            f"{run}: holds the journal of a run, but no {MANIFEST}, without which it cannot be read: copy "
            f"that back, or make the run again in another folder: {compute} -o FOLDER"
        )
    kind = seems(run)
    if "checkpoint" in kind:
        return RunError(
            f"{holds}, but is {kind}; explain it first: lrpdyn compute {run} OBSERVATIONS, which writes "
            "lrpdyn-run"
        )
    if kind == "a file of a run":
        return RunError(f"{holds}, but is {kind}; give its folder, {run.parent}")
    if kind == "observations":
        return RunError(
            f"{holds}, but observations; explain checkpoints on them first: lrpdyn compute CHECKPOINTS {run}"
        )
    if not os.path.lexists(run):
        return RunError(
            f"{holds}: there is no such folder{similar_path(str(run))}; {compute} -o {run} makes one"
        )
    inside = sorted(path.parent for path in islice(run.glob(f"*/{MANIFEST}"), 3))
    if inside:
        return RunError(f"{holds} itself, but folders of runs; give one, such as {inside[0]}")
    return RunError(f"{holds}; {compute} writes one to lrpdyn-run, or where -o says")
