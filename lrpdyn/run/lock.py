"""One process at a time writes a run folder; the next one's error names the process that does."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from lrpdyn.errors import RunError
from lrpdyn.files.atomic import cannot_write
from lrpdyn.files.plain import read_plain
from lrpdyn.files.text import print_note, printable
from lrpdyn.run.parts import check_parts

LOCK, HOLDER = ".lock", ".lock.json"

#: File systems without flock (NFS without its lock daemon, Lustre mounted without it): there the
#: existence of the file is the lock.
_NO_FLOCK = (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP)
#: Where nothing can be written nothing needs a lock: a finished run may be asked again there.
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_ADVICE = "wait for it with --wait SECONDS, or choose another folder with -o"
#: Seconds that the workers of a process that was killed take to notice, and more.
_WORKERS_END = 0.5


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The process that has the lock of a run folder, and since when."""

    host: str
    process: int
    since: str

    def __str__(self) -> str:
        """Return the holder as messages name it."""
        return printable(f"process {self.process} on {self.host}, since {self.since}")

    @property
    def is_gone(self) -> bool:
        """Whether it is known to have ended, which only its own host can see."""
        if self.host != socket.gethostname():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError, ValueError):
            pass
        return False


@contextlib.contextmanager
def locked(run: Path, wait: float = 0.0, advice: str = _ADVICE) -> Iterator[None]:
    """Lock the run folder `run`, which is made where it is missing.

    The lock is one of the kernel's (``flock``), which ends with the process that holds it, however
    that ends, and holds across the machines of NFS since Linux 2.6.12. Where the file system has no
    such lock, a file is the lock; one that was left behind by a process of this host is recognised.

    `wait` is how many seconds to wait for another process, `advice` what an error says to do.

    Raises
    ------
    RunError
        Another process still has the lock, the folder cannot be made, or a part of it is a link, or no
        plain file.
    """
    made = _make(run)
    try:
        check_parts(run, writing=True)
        lock = _acquired(run, wait, advice)
        try:
            yield
        finally:
            if lock is not None:
                _release(run, lock)
    finally:
        for folder in made:
            # Only what is still empty goes: an error came before anything was written.
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make(run: Path) -> list[Path]:
    """Make the folder; return those that were made for it, the innermost first."""
    try:
        if run.exists() and not run.is_dir():
            raise RunError(f"{run}: is a file, expected a run folder; choose another with -o")
        missing = [folder for folder in (run, *run.parents) if not folder.exists()]
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(run, error) from error
    return missing


def _acquired(run: Path, wait: float, advice: str) -> BaseFileLock | None:
    lock: BaseFileLock = FileLock(run / LOCK)
    try:
        try:
            _acquire(lock, run, wait)
        except OSError as error:
            if isinstance(error, Timeout) or error.errno not in _NO_FLOCK:
                raise
            lock = SoftFileLock(run / LOCK)
            _acquire(lock, run, wait)
    except Timeout as error:
        holder = read_holder(run)
        soft = isinstance(lock, SoftFileLock) and not (holder and holder.is_gone)
        raise RunError(
            f"{run}: another process computes here{f': {holder}' if holder else ''}; {advice}"
            + (f" (if it is gone for sure, delete {run / LOCK})" if soft else "")
        ) from error
    except OSError as error:
        if error.errno in _READ_ONLY:
            return None
        raise cannot_write(run / LOCK, error) from error
    _leave_name(run)
    return lock


def _acquire(lock: BaseFileLock, run: Path, wait: float) -> None:
    with warnings.catch_warnings():
        # Said of file systems without flock; what then holds is in the docstring of `locked`.
        warnings.filterwarnings("ignore", "flock not supported", UserWarning)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if wait <= 0:
                raise
            holder = read_holder(run)
            print_note(f"Note: {run}: waiting for {holder or 'another process'}")
            lock.acquire(timeout=wait)


def _leave_name(run: Path) -> None:
    """Write this process down as the holder; give the workers of a killed one the time to end."""
    before = read_holder(run)
    if before is not None and before.is_gone:
        time.sleep(_WORKERS_END)
    since = time.strftime("%Y-%m-%d %H:%M:%S %z")
    holder = Holder(host=socket.gethostname(), process=os.getpid(), since=since)
    # On a full disk the name is missing in a message; what has to be written will say why.
    with contextlib.suppress(OSError):
        (run / HOLDER).write_text(json.dumps(asdict(holder)), encoding="utf-8")


def read_holder(run: Path) -> Holder | None:
    """Return the process that has the lock, or was killed with it; None where it is not known."""
    try:
        found = json.loads(read_plain(run / HOLDER))
        return Holder(
            host=str(found["host"]), process=int(found["process"]), since=str(found["since"])
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return None


def _release(run: Path, lock: BaseFileLock) -> None:
    # Before the release: who opened the file earlier finds it unlinked, and opens the next one. A file
    # that is itself the lock is deleted by the release.
    names = (HOLDER,) if isinstance(lock, SoftFileLock) else (HOLDER, LOCK)
    for name in names:
        with contextlib.suppress(OSError):
            (run / name).unlink()
    lock.release()
