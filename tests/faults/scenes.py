"""Small real runs that can be killed, starved and repaired: made, started in processes, compared."""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import lrpdyn
from lrpdyn.cli.main import _message
from lrpdyn.errors import RunError
from lrpdyn.run.verify import verify

#: Longer than any run here takes: what is not over by then hangs.
LONGEST = 300.0
#: What is stored of a step; with less than all, its maps lie elsewhere until the sums have them.
_KEPT: tuple[dict[str, Any], ...] = ({}, {"keep": "none"}, {}, {"dtype": "float16"})
_KEPT_OUT = ("manifest.json", "journal.jsonl")


@dataclass(frozen=True)
class Scene:
    """Checkpoints and observations, what is asked of them, and what comes of it undisturbed."""

    checkpoints: Path
    observations: NDArray[np.float32]
    options: dict[str, Any]
    whole: dict[str, bytes]
    seconds: float

    def compute(self, out: Path, **options: Any) -> None:
        """Explain the checkpoints in this process."""
        lrpdyn.compute(self.checkpoints, self.observations, out=out, quiet=True,
                       **{**self.options, **options})  # fmt: skip

    def start(self, out: Path, before: Callable[[], None] = lambda: None, **options: Any) -> int:
        """Explain them in a process forked from this one, which has all imports; return its id.

        It exits with 0, or 1 after an error that is a line at a shell, which `said` returns, or 99 after
        a traceback.
        """
        process = os.fork()
        if process:
            return process
        code = 99
        try:
            os.setsid()
            faulthandler.dump_traceback_later(LONGEST - 10)
            before()
            self.compute(out, **options)
            code = 0
        except BaseException as error:
            line = _message(error) if isinstance(error, Exception) else None
            if line is None:
                traceback.print_exc()
            else:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
                self.message(out).write_text(line)
                code = 1
        finally:
            sys.stderr.flush()
            os._exit(code)

    def message(self, out: Path) -> Path:
        """Return where the error on a run folder is left, on a disk that is well."""
        return self.checkpoints.parent / f"{out.name}.error"

    def said(self, out: Path) -> str:
        """Return the message of the last error on a run folder."""
        return self.message(out).read_text()

    def is_as_promised(self, out: Path) -> str | None:
        """Return what differs from the run that was not disturbed, or None."""
        found = contents(out)
        if found != self.whole:
            names = [n for n in self.whole.keys() | found if found.get(n) != self.whole.get(n)]
            return f"other bytes in {', '.join(sorted(names))}"
        verdict = verify(out)
        return None if verdict.is_good and not verdict.leftovers else f"{verdict.as_data()}"


def make_scene(folder: Path, seed: int) -> Scene:
    """Make one of many small networks, its checkpoints, and the run that is not disturbed."""
    generator = np.random.default_rng(seed)
    torch.manual_seed(seed)
    features, hidden, units = (int(n) for n in generator.integers((4, 8, 2), (9, 33, 6)))
    count, samples = int(generator.integers(6, 13)), int(generator.integers(3, 9))
    checkpoints = folder / "ckpts"
    checkpoints.mkdir(parents=True)
    for step in range(count):
        layers = (
            torch.nn.Linear(features, hidden),
            torch.nn.Tanh(),
            torch.nn.Linear(hidden, units),
        )
        torch.save(torch.nn.Sequential(*layers).state_dict(), checkpoints / f"net_{step * 10}.pt")
    observations = generator.normal(size=(samples, features)).astype(np.float32)
    options = {"arch_args": {"activation": "tanh"}, "rule": ["zplus", "epsilon", "gamma"][seed % 3],
               "target": ["argmax", "modal", "final"][seed // 4 % 3], **_KEPT[seed % 4]}  # fmt: skip
    scene = Scene(checkpoints, observations, options, {}, 0.0)
    begun = time.monotonic()
    ended(scene.start(folder / "whole", workers=1))
    seconds = time.monotonic() - begun
    return Scene(checkpoints, observations, options, contents(folder / "whole"), seconds)


def contents(run: Path) -> dict[str, bytes]:
    """Return the results, which are promised to be the same bytes, and whatever else is there."""
    files = (path for path in sorted(run.rglob("*")) if path.is_file())
    return {str(p.relative_to(run)): p.read_bytes() for p in files if p.name not in _KEPT_OUT}


def ended(process: int, longest: float = LONGEST) -> int:
    """Wait for a process; return its exit code, less than 0 for the signal that ended it.

    Raises
    ------
    TimeoutError
        It hangs; it is killed.
    """
    deadline = time.monotonic() + longest
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    raise TimeoutError(f"process {process} hangs")


@dataclass
class Figures:
    """What was tried, and what came of it."""

    name: str
    tried: int = 0
    survived: int = 0
    lost: list[str] = field(default_factory=list)
    notes: dict[str, int] = field(default_factory=dict)

    def count(self, wrong: str | None, faults: int = 1) -> None:
        """Add faults to one run, and what is wrong with it now that it has gone on."""
        self.tried += faults
        if wrong is None:
            self.survived += faults
        else:
            self.lost.append(wrong)
            print(f"{self.name}: LOST: {wrong}", flush=True)

    def note(self, what: str, times: int = 1) -> None:
        """Count what happened beside."""
        self.notes[what] = self.notes.get(what, 0) + times

    def __str__(self) -> str:
        """Return the line that a campaign ends with."""
        beside = "".join(f", {count:,} {what}" for what, count in self.notes.items())
        return (
            f"{self.name}: {self.tried:,} faults tried, {self.survived:,} survived, "
            f"{len(self.lost):,} lost{beside}"
        )


def one_of(generator: np.random.Generator, things: Sequence[Any]) -> Any:
    """Return one of `things`, drawn."""
    return things[int(generator.integers(len(things)))]


def repair(scene: Scene, out: Path) -> None:
    """Make a damaged run whole, as `lrpdyn verify` says."""
    try:
        steps = [damage.step for damage in verify(out).damaged if damage.step is not None]
    except RunError:  # its manifest cannot be read
        scene.compute(out, overwrite=True)
        return
    scene.compute(out, recompute=steps)
