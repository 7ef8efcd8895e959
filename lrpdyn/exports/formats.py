"""The formats by name, and writing a run in one of them, whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lrpdyn.errors import ExportError
from lrpdyn.exports.csv_files import write_csv
from lrpdyn.exports.virelay import write_virelay
from lrpdyn.exports.zarr_store import write_zarr
from lrpdyn.files.atomic import cannot_write, sync_folder
from lrpdyn.run.lock import Holder
from lrpdyn.run.parts import check_target
from lrpdyn.run.reader import RunFolder
from lrpdyn.system.progress import Bar, progress_bar

#: By format: what writes it, and what its folder is called where no name is given.
FORMATS: dict[str, tuple[Callable[[RunFolder, Path, Bar], None], str]] = {
    "zarr": (write_zarr, "{run}.zarr"),
    "hdf5": (write_virelay, "{run}-hdf5"),
    "csv": (write_csv, "{run}-csv"),
}


def export(run: RunFolder, form: str, out: Path | None = None, *, quiet: bool = True) -> Path:
    """Write a run in another format, step by step; return the folder.

    `form` is ``zarr``, ``hdf5`` (ViRelAy's layout) or ``csv``; the folder must not exist, and lies
    next to the run where it is not given. Unless `quiet`, a terminal shows progress.

    Raises
    ------
    ExportError
        The folder exists, or a package is missing.
    RunError
        It cannot be written, lies behind a link of the run folder, or a file of the run is damaged.
    """
    write, name = FORMATS[form]
    folder = out or run.path.resolve().parent / name.format(run=run.path.resolve().name)
    exists = ExportError(f"{folder}: exists already; remove it, or choose another folder with -o")
    if os.path.lexists(folder):  # a link that leads nowhere, too
        raise exists
    check_target(run.path, folder)
    _remove_abandoned(folder)
    # Another process may export to the same folder: each has a name that no other has.
    own = f"{os.getpid()}.{os.urandom(4).hex()}@{socket.gethostname()}"
    temporary = folder.with_name(f".{folder.name}.{own}.tmp")
    try:
        write(run, temporary, partial(progress_bar, quiet=quiet, desc="exporting", unit="step"))
        try:
            temporary.rename(folder)
        except OSError as error:
            if folder.exists():  # the other one was faster
                raise exists from error
            raise
        sync_folder(folder.parent)
    except ImportError as error:
        raise ExportError(
            f"--to {form} needs {error.name}, which is not here: pip install 'lrpdyn[export]'"
        ) from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _remove_abandoned(folder: Path) -> None:
    """Delete what exports to `folder` left behind whose processes were killed on this host."""
    name = re.compile(rf"\.{re.escape(folder.name)}\.([0-9]{{1,9}})\.[0-9a-f]{{8}}@(.*)\.tmp")
    for path in folder.parent.glob(".*.tmp"):
        found = name.fullmatch(path.name)
        if found and Holder(host=found[2], process=int(found[1]), since="").is_gone:
            shutil.rmtree(path, ignore_errors=True)
