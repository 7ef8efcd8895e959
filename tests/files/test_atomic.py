"""Files whole or not at all; what cannot be written is one line that says why and what to do."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from lrpdyn.errors import RunError
from lrpdyn.files.atomic import (
    BLOCK_ROWS,
    blocks_of,
    cannot_write,
    delete_killed,
    save_json,
    save_pieces,
    save_table,
    sha256_of,
    whole_file,
)
from lrpdyn.run.manifest import seal
from tests.pipeline.test_compute import Vectors, mlp_run


def test_an_array_is_what_numpy_would_write_and_its_hash(tmp_path: Path) -> None:
    for array in (
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.zeros((0, 3)),
        np.ones(2, ">i4"),
    ):
        parts = (array[n : n + 1] for n in range(len(array)))
        digest = save_pieces(tmp_path / "a.npy", array.shape, array.dtype, parts)
        np.save(tmp_path / "b.npy", array)
        content = (tmp_path / "a.npy").read_bytes()
        assert content == (tmp_path / "b.npy").read_bytes()
        assert digest == hashlib.sha256(content).hexdigest() == sha256_of(tmp_path / "a.npy")


@pytest.mark.parametrize(("number", "says"), [
    (errno.ENOSPC, r"no space is left on its disk \([\d,]+ bytes are free\).* on another with -o$"),
    (errno.EDQUOT, "your quota on its disk is used up.*elsewhere with -o$"),
    (errno.EROFS, "the file system is read-only; choose another folder"),
    (errno.EACCES, "permission denied"), (errno.ENAMETOOLONG, "path is too long"),
    (errno.EFBIG, "larger than a file may be"), (errno.EIO, "Input/output error; choose"),
])  # fmt: skip
def test_each_reason_has_its_words(tmp_path: Path, number: int, says: str) -> None:
    error = cannot_write(tmp_path / "a.npy", OSError(number, os.strerror(number)))
    assert "\n" not in str(error)
    with pytest.raises(RunError, match=rf"a\.npy: cannot be written: .*{says}"):
        raise error


def test_what_cannot_be_finished_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    save_json(path, [1])
    script = (
        "import signal, sys, resource, numpy\n"
        "from pathlib import Path\n"
        "from lrpdyn.files.atomic import save_pieces\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "save_pieces(Path(sys.argv[1]), (5000,), float, [numpy.zeros(5000)])\n"
    )
    found = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True,
                           check=False)  # fmt: skip
    assert "larger than a file may be here" in found.stderr
    assert os.listdir(tmp_path) == ["a.json"]
    assert path.read_text() == "[1]\n"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_an_error_of_the_caller_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="mine"), whole_file(tmp_path / "a"):
        raise KeyError("mine")
    assert os.listdir(tmp_path) == []


def test_a_path_that_is_too_long_is_one_line(
    mlp_folder: Path, vectors: Vectors, tmp_path: Path
) -> None:
    with pytest.raises(
        RunError, match=r"its path is too long for the file system; choose a shorter"
    ):
        mlp_run(mlp_folder, vectors, tmp_path / ("n" * 300) / "run")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_standard_output_that_is_full_is_one_line() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        found = subprocess.run([sys.executable, "-m", "lrpdyn", "rules"], stdout=full, text=True,
                               stderr=subprocess.PIPE, check=False)  # fmt: skip
    assert found.returncode == 1
    assert found.stderr.startswith("Error: No space left on device")
    assert "Traceback" not in found.stderr


def test_json_and_its_seal_never_lie_in_memory_as_a_whole(tmp_path: Path) -> None:
    entries = [{"step": step, "path": f"series/net_{step}.pt", 7: None} for step in range(20_000)]
    value = {"checkpoints": entries, "b": {"x": [1, 2], "a": (), "n": {}}, "a": [], "text": "é"}
    plain = json.loads(json.dumps(value))
    tracemalloc.start()
    save_json(tmp_path / "a.json", value)
    sealed = seal(value)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    content = (tmp_path / "a.json").read_text()
    assert len(content) > 20_000 * 50
    assert peak < 200_000
    assert json.loads(content) == plain
    assert content.splitlines()[2] == '  {"step": 0, "path": "series/net_0.pt", "7": null},'
    assert sealed == hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()
    assert seal(plain | {"sha256": sealed}) == sealed
    assert seal({}) == hashlib.sha256(b"{}").hexdigest()


def test_what_a_killed_process_left_is_deleted_and_nothing_else(tmp_path: Path) -> None:
    killed = [tmp_path / name for name in (".a.png.0123abcd.tmp", ".a.png.89abcdef.tmp")]
    others = [tmp_path / name for name in (".a.png.mine", ".b.png.0123abcd.tmp", ".a.png.x y.tmp")]
    for path in (*killed, *others):
        path.write_text("")
    with whole_file(tmp_path / "a.png") as file:
        (alive,) = {*tmp_path.glob(".a.png.*.tmp")} - {*killed, *others}
        for path in (*killed, *others, alive):
            os.utime(path, (1, 1))
        os.utime(killed[1])  # made just now: it may be about to get its lock
        delete_killed(tmp_path / "a.png")
        assert not killed[0].exists()
        assert killed[1].exists()
        assert alive.exists()
        file.write("whole")
    assert all(path.exists() for path in others)
    assert (tmp_path / "a.png").read_text() == "whole"


def test_a_table_is_what_the_csv_module_writes_of_its_cells(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    special = [0.0, -0.0, 5e-324, 1e-05, 1e16, 2.0**-44, np.inf, -np.inf, np.nan, 1e22, 0.1 + 0.2]
    floats = [*special, *random.integers(0, 2**63, 3 * BLOCK_ROWS).view(np.float64).tolist()]
    texts = ["plain", "", "a,b", 'the "best"', "two\nlines", "two\rlines", " é "]
    rows = [
        (
            number, n, 2**70 + n, n % 3 == 0, texts[n % len(texts)], None if n % 5 else n,
            [number, None, n, True, "x,y"][n % 5], np.float64(number), np.bool_(n % 2),
        )
        for n, number in enumerate(floats)
    ]  # fmt: skip
    names = ("floats", "n", "large", "is", "name, or none", "some", "mixed", "numpy", "numpy is")
    save_table(tmp_path / "a.csv", names, blocks_of(rows))
    with (tmp_path / "a.csv").open(encoding="utf-8", newline="") as file:
        header, *found = csv.reader(file)

    def expected(value: object) -> str:
        if value is None or value != value:
            return ""
        if isinstance(value, bool | np.bool_):
            return "1" if value else "0"
        return repr(float(value)) if isinstance(value, float) else str(value)

    assert header == list(names)
    assert found == [[expected(value) for value in row] for row in rows]
    back = np.array([float(row[0] or "nan") for row in found])
    finite = ~np.isnan(floats)
    assert back[finite].tobytes() == np.array(floats)[finite].tobytes()
    # No more is in quotes than the csv module has in quotes.
    with (tmp_path / "b.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\r\n").writerows([header, *found])
    written = (tmp_path / "b.csv").read_bytes().replace(b"\r\n", b"\n")
    assert (tmp_path / "a.csv").read_bytes() == written


def test_a_table_without_rows_has_its_header(tmp_path: Path) -> None:
    save_table(tmp_path / "a.csv", ("a", "b"), blocks_of(()))
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n"
