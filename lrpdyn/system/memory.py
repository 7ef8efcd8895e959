"""The memory and the disk space that this process may use, and when freed memory is given back."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")


def usable_memory() -> int:
    """Return the bytes of memory that this process may use at most, free now or not.

    The least of the machine's memory and swap, the limits of its control groups (as batch systems
    and containers set them), and its own (``ulimit -v``).
    """
    return min([_machine(), *_of_control_groups(), *_own()])


def free_space(folder: Path) -> int | None:
    """Return the bytes that may be written to the disk of `folder`; None where it is not known.

    A quota may leave less.
    """
    for place in (folder, *folder.parents):
        with contextlib.suppress(OSError):
            return shutil.disk_usage(place).free
    return None


def _machine() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        table = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        return 1024 * sum(int(table[name].split()[0]) for name in ("MemTotal", "SwapTotal"))
    except (OSError, ValueError, KeyError, IndexError):
        pass
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return 1 << 62


def _of_control_groups() -> list[int]:
    """Return the limits of the group of this process, and of the groups around it."""
    found = []
    for line in _group_lines():
        _, kinds, path = line.split(":", 2)
        if kinds == "":
            root, name = _CGROUPS, "memory.max"
        elif "memory" in kinds.split(","):
            root, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):
                found.append(int((folder / name).read_text(encoding="ascii")))
            if folder == root:
                break
    return found


def _group_lines() -> list[str]:
    try:
        return Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []  # elsewhere than on Linux


def _own() -> list[int]:
    try:
        import resource
    except ImportError:
        return []  # Windows
    limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA))
    return [limit for limit in limits if limit != resource.RLIM_INFINITY]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch says that a device (CUDA and MPS, or the CPU) has too little memory.

    >>> is_out_of_memory(RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"))
    True
    """
    return any(words in str(error) for words in ("out of memory", "can't allocate memory"))


#: Samples after which memory is given back: it takes a fiftieth of the time of explaining them.
SAMPLES = 512

#: What ``mallopt`` calls the bytes at the end of the heap that are kept, and those from which on memory
#: comes from the system and not from the heap; the second has its largest value.
_TRIM_THRESHOLD, _KEPT = -1, 1 << 28
_MMAP_THRESHOLD, _LARGEST = -3, 1 << 25


def keep() -> None:
    """Keep freed memory for the next step, where the C library can be set to.

    It stays so in this process, and in those that are forked from it: it is for processes that are
    lrpdyn's own, never for a notebook's.
    """
    set_option = _of_libc("mallopt")
    if set_option is not None:
        set_option(_TRIM_THRESHOLD, _KEPT)
        set_option(_MMAP_THRESHOLD, _LARGEST)


def give_back() -> None:
    """Give free memory back to the system, where the C library can."""
    trim = _of_libc("malloc_trim")
    if trim is not None:
        trim(0)


@cache
def _of_libc(name: str) -> Callable[..., int] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), name, None)
