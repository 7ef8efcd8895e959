"""Killed, starved of disk, damaged, and started many times at once: nothing may be lost.

Run by name, with the number of faults of each kind and a seed (none: drawn, and printed):

    python -m tests.faults.crashes [kills,full,fsync,limits,read-only,torn,together|all] [FAULTS] [SEED]

Every fault hits a real run of small real checkpoints, in processes forked from one that has all
imports. ``full`` and ``read-only`` mount small file systems in a namespace of their own, which takes
root, or user namespaces.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch

from lrpdyn.pipeline import compute
from tests.faults.scenes import (
    Figures,
    Scene,
    contents,
    ended,
    make_scene,
    one_of,
    repair,
)

Generator = np.random.Generator
_SCENES = 12
_PAGE = 4096


def kills(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """SIGKILL at random moments, of the process or of its workers too; go on, be killed again."""
    figures = Figures("SIGKILL")
    while figures.tried < faults:
        scene, out = one_of(generator, scenes), folder / f"killed-{figures.tried}"
        workers, hits = int(generator.integers(1, 3)), 0
        for _ in range(int(generator.integers(1, 5))):
            process = scene.start(out, workers=workers)
            time.sleep(float(generator.uniform(0, 1.3 * scene.seconds)))
            send = os.killpg if generator.random() < 0.5 else os.kill
            with contextlib.suppress(ProcessLookupError):
                send(process, signal.SIGKILL)
            code = ended(process)
            hits += code == -signal.SIGKILL
            figures.note("over before", int(code == 0))
            if code not in (0, -signal.SIGKILL):
                figures.count(f"{out}: ended with {code}", 0)
            figures.note("with 2 workers", int(code == -signal.SIGKILL and workers == 2))
        figures.count(_gone_on_with(scene, out, workers), hits)
    return figures


def _gone_on_with(scene: Scene, out: Path, workers: int = 1) -> str | None:
    """Go on with a run; return what is wrong with it then."""
    code = ended(scene.start(out, workers=workers, wait=5.0))
    said = f": {scene.said(out)}" if code == 1 else ""
    wrong = f"{out}: went on and ended with {code}{said}" if code else scene.is_as_promised(out)
    if wrong is None:
        shutil.rmtree(out)
    return wrong


def full(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """Fill a small tmpfs to the brim at random points; make room; go on."""
    figures = Figures("disk full")
    while figures.tried < faults:
        scene, disk = one_of(generator, scenes), folder / "disk"
        pages = sum(-(-len(content) // _PAGE) + 1 for content in scene.whole.values()) + 16
        size = int(generator.integers(1, pages)) * _PAGE
        with _mounted(disk, size):
            out = disk / "run"
            # Most runs are not asked beforehand: it is the brim that is looked for.
            asked = generator.random() < 0.2
            before = _nothing if asked else _without_estimate
            code = ended(scene.start(out, before, workers=int(generator.integers(1, 3))))
            if code == 0:
                figures.note("fitted")
                continue
            said = scene.said(out) if code == 1 else ""
            clear = (
                "no space is left" in said or "are free on its disk" in said
            ) and "\n" not in said
            figures.note("refused before the start", int("are free on its disk" in said))
            wrong = None if clear else f"ended with {code}: {said!r}"
            _mount("remount", disk, 16 << 20)
            figures.count(wrong or _gone_on_with(scene, out))
    return figures


def read_only(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """Make a file system read-only at random moments, or before the start; back again; go on."""
    figures = Figures("read-only")
    while figures.tried < faults:
        scene, disk = one_of(generator, scenes), folder / "disk"
        with _mounted(disk, 16 << 20):
            out = disk / "run"
            if generator.random() < 0.2:
                _mount("remount,ro", disk)
            process = scene.start(out, lambda: os.chdir(folder))
            time.sleep(float(generator.uniform(0, scene.seconds)))
            while not _mount("remount,ro", disk, check=False) and _runs(process):
                time.sleep(0.001)  # a file that is open for writing keeps it from becoming so
            code = ended(process)
            if code == 0:
                figures.note("over before")
                continue
            _mount("remount,rw", disk)
            clear = code == 1 and "read-only" in scene.said(out)
            figures.count(_gone_on_with(scene, out) if clear else f"ended with {code}")
    return figures


def fsync(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """Let every fsync fail from a random one on; go on."""
    figures = Figures("failing fsync")
    while figures.tried < faults:
        scene, out = one_of(generator, scenes), folder / f"fsync-{figures.tried}"
        number = one_of(generator, (errno.EIO, errno.ENOSPC, errno.EDQUOT))
        whole, before = int(generator.integers(40)), partial(_without_fsync, number)
        code = ended(
            scene.start(out, partial(before, whole), workers=int(generator.integers(1, 3)))
        )
        if code == 0:
            figures.note("over before")
            shutil.rmtree(out)
            continue
        said = scene.said(out) if code == 1 else ""
        clear = "cannot be written" in said and "\n" not in said
        figures.count(_gone_on_with(scene, out) if clear else f"{out}: ended with {code}: {said!r}")
    return figures


def _without_fsync(number: int, whole: int) -> None:
    calls, sync = itertools.count(), os.fsync

    def fails(file: int) -> None:
        if next(calls) >= whole:
            raise OSError(number, os.strerror(number))
        sync(file)

    os.fsync = fails  # type: ignore[assignment]


def limits(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """Allow few open files, little memory or small files; go on without limits."""
    figures = Figures("limits")
    scenes[0].compute(folder / "imports", workers=1)  # of what is loaded late
    while figures.tried < faults:
        scene, out = one_of(generator, scenes), folder / f"limit-{figures.tried}"
        kind = one_of(generator, ("files", "memory", "size"))
        share = float(generator.random())
        before = partial(_limited, kind, share)
        code = ended(scene.start(out, before, workers=int(generator.integers(1, 3))))
        if code == 0:
            figures.note(f"few enough for its {kind}")
            shutil.rmtree(out)
            continue
        figures.note(f"by {kind}")
        said = scene.said(out) if code == 1 else ""
        clear = said and "\n" not in said
        figures.count(
            _gone_on_with(scene, out)
            if clear
            else f"{out}: {kind} {share}: ended with {code}: {said!r}"
        )
    return figures


def _limited(kind: str, share: float) -> None:
    """Set a limit that is some more than what this process uses."""
    if kind == "files":
        used = len(os.listdir("/proc/self/fd"))
        which, most = resource.RLIMIT_NOFILE, used + int(12 * share)
    elif kind == "memory":
        data = re.search(r"VmData:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert data is not None
        which, most = resource.RLIMIT_DATA, (int(data[1]) << 10) + int((32 << 20) * share**2)
    else:
        which, most = resource.RLIMIT_FSIZE, int((1 << 14) * share)
    resource.setrlimit(which, (most, resource.getrlimit(which)[1]))


def torn(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """Tear, flip, swap, empty and take away files of finished runs; repair as `verify` says."""
    figures = Figures("torn and swapped files")
    while figures.tried < faults:
        scene, out = one_of(generator, scenes), folder / f"torn-{figures.tried}"
        if not (folder / "finished").exists() or generator.random() < 0.2:
            shutil.rmtree(folder / "finished", ignore_errors=True)
            current = scene
            current.compute(folder / "finished", workers=1)
        shutil.copytree(folder / "finished", out)
        files = [path for path in sorted(out.rglob("*")) if path.is_file()]
        hit = int(generator.integers(1, 4))
        for _ in range(hit):
            _damage(one_of(generator, files), files, generator)
        try:
            repair(current, out)
            wrong = None if contents(out) == current.whole else f"{out}: other bytes"
            wrong = wrong or current.is_as_promised(out)
        except Exception as error:
            wrong = f"{out}: {type(error).__name__}: {error}"
        figures.count(wrong, hit)
        if wrong is None:
            shutil.rmtree(out)
    return figures


def _damage(path: Path, files: list[Path], generator: Generator) -> None:
    content = path.read_bytes() if path.exists() else b""
    kind = one_of(generator, ("cut", "flip", "gone", "swap", "empty", "zeros"))
    if kind == "gone" or not content:
        path.unlink(missing_ok=True)
    elif kind == "cut":
        path.write_bytes(content[: int(generator.integers(len(content)))])
    elif kind == "flip":
        at = int(generator.integers(len(content)))
        path.write_bytes(content[:at] + bytes([content[at] ^ 4]) + content[at + 1 :])
    elif kind == "swap":
        other = one_of(generator, files)
        if other.exists():
            path.write_bytes(other.read_bytes())
            other.write_bytes(content)
    else:
        path.write_bytes(b"" if kind == "empty" else bytes(len(content)))


def together(scenes: list[Scene], folder: Path, faults: int, generator: Generator) -> Figures:
    """Start two and five processes on one folder, waiting for each other or not, one of them killed."""
    figures = Figures("several on one folder")
    while figures.tried < faults:
        scene, out = one_of(generator, scenes), folder / f"together-{figures.tried}"
        count = 2 if figures.tried % 2 else 5
        wait = float(one_of(generator, (0.0, 60.0)))
        processes = [scene.start(out, workers=1 + n % 2, wait=wait) for n in range(count)]
        if generator.random() < 0.5:
            time.sleep(float(generator.uniform(0, scene.seconds)))
            with contextlib.suppress(ProcessLookupError):
                os.kill(processes[0], signal.SIGKILL)
        codes = [ended(process) for process in processes]
        figures.note("processes", count)
        figures.note("refused", codes.count(1))
        wrong = None
        if 1 in codes and "another process computes here" not in scene.said(out):
            wrong = f"{out}: {scene.said(out)}"
        if set(codes) - {0, 1, -signal.SIGKILL}:
            wrong = f"{out}: ended with {codes}"
        figures.count(wrong or _gone_on_with(scene, out))
    return figures


CAMPAIGNS: dict[str, tuple[Callable[[list[Scene], Path, int, Generator], Figures], int]] = {
    "kills": (kills, 200), "full": (full, 50), "fsync": (fsync, 50), "limits": (limits, 50),
    "read-only": (read_only, 20), "torn": (torn, 100), "together": (together, 20),
}  # fmt: skip
_MOUNTS = ("full", "read-only")


@contextlib.contextmanager
def _mounted(disk: Path, size: int) -> Iterator[None]:
    disk.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def _mount(how: str, disk: Path, size: int | None = None, check: bool = True) -> bool:
    options = how if size is None else f"{how},size={size}"
    return not subprocess.run(["mount", "-o", options, str(disk)], check=check,
                              stderr=None if check else subprocess.DEVNULL).returncode  # fmt: skip


def _runs(process: int) -> bool:
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def _nothing() -> None:
    """Start as it is."""


def _without_estimate() -> None:
    """Start a run that has not looked whether it fits."""
    compute.check_requirements = lambda job: None  # type: ignore[assignment]


def main() -> None:
    """Run the campaigns; exit with 1 where anything was lost."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "all"
    names = list(CAMPAIGNS) if asked == "all" else asked.split(",")
    given = int(sys.argv[2]) if len(sys.argv) > 2 else None
    number = int(sys.argv[3]) if len(sys.argv) > 3 else int(np.random.default_rng().integers(2**31))
    if set(names) & set(_MOUNTS) and "LRPDYN_NAMESPACE" not in os.environ:
        # Mounts of a namespace end with it, whatever happens here.
        alone = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        os.environ["LRPDYN_NAMESPACE"] = "own"
        os.execvp("unshare", [*alone, sys.executable, "-m", "tests.faults.crashes", *sys.argv[1:]])
    torch.set_num_threads(1)
    lost = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        count = _SCENES if given is None else min(_SCENES, given)
        scenes = [make_scene(folder / f"scene-{n}", number + n) for n in range(count)]
        for name in names:
            campaign, usual = CAMPAIGNS[name]
            faults = usual if given is None else given
            begun = time.monotonic()
            figures = campaign(scenes, folder, faults, np.random.default_rng(number))
            print(f"{figures} (seed {number}, {time.monotonic() - begun:.0f} s)", flush=True)
            lost += len(figures.lost)
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
