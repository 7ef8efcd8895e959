"""metrics.csv written and read: seconds and peak memory next to the `csv` module and pyarrow.

Run by hand: ``python tests/benchmarks/tables.py [--rows 10000000] [--samples 4] [--rounds 1] [--ways
lrpdyn]``. Each measurement has a process of its own, the ways in turn. It compares the bytes of lrpdyn's
files with those of the `csv` module, and the numbers that every way reads. pyarrow, where it is
installed, writes other bytes (``0.00001`` for ``1e-05``) and takes several threads to read. The files are
in a temporary folder (`TMPDIR`), 240 bytes a row.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from lrpdyn.dynamics.columns import columns_of, names_of
from lrpdyn.run.tables import read_table, save_values

WAYS = ("csv", "lrpdyn", "pyarrow")
#: Steps whose values differ; those of more steps are the same in turn.
DIFFERENT = 20
NAMES, SAME = names_of("step"), ("step", "sample", "from_step_zero")
#: Columns that are empty at most steps, or in most runs.
EMPTY = ("faithfulness",)
KINDS = {column.name: column.dtype for column in columns_of("step")}


def steps(rows: int, samples: int) -> Iterator[dict[str, Any]]:
    """Yield the values of `rows` / `samples` steps: float32 maps' sums, units, some of them unknown."""
    random = np.random.default_rng(0)

    def values(name: str) -> list[Any]:
        if name in EMPTY:
            return [float("nan")] * samples
        if KINDS[name] == "i8":
            return random.integers(0, 6, samples).tolist()
        scale = random.lognormal(sigma=3) if name.startswith("relevance") else 1
        return (scale * random.normal(size=samples)).tolist()

    different = [
        {name: values(name) for name in NAMES if name not in SAME} for _ in range(DIFFERENT)
    ]
    for step in range(rows // samples):
        yield {"step": 1000 * step, "from_step_zero": True, **different[step % DIFFERENT]}


def write(way: str, path: Path, rows: int, samples: int) -> None:
    """Write the table in one of `WAYS`."""
    of_steps = steps(rows, samples)
    if way == "lrpdyn":
        save_values(path, "samples", NAMES, of_steps)
    elif way == "csv":
        with path.open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(NAMES)
            for values in of_steps:
                columns = (_column(name, values, samples) for name in NAMES)
                writer.writerows(map(_texts, zip(*columns, strict=True)))
    else:
        import pyarrow
        import pyarrow.csv

        kinds = {"i8": pyarrow.int64(), "f8": pyarrow.float64(), "?": pyarrow.int64()}
        schema = pyarrow.schema([(name, kinds[KINDS[name]]) for name in NAMES])
        with pyarrow.csv.CSVWriter(path, schema) as writer:
            while several := list(islice(of_steps, -(-4096 // samples))):
                arrays = [
                    pyarrow.array(
                        [
                            int(value) if name == "from_step_zero" else value
                            for values in several
                            for value in _column(name, values, samples)
                        ],
                        schema.field(name).type,
                        from_pandas=True,
                    )
                    for name in NAMES
                ]
                writer.write_batch(pyarrow.record_batch(arrays, schema=schema))


def _column(name: str, values: dict[str, Any], samples: int) -> Any:
    if name == "sample":
        return range(samples)
    return repeat(values[name], samples) if name in SAME else values[name]


def _texts(row: tuple[Any, ...]) -> list[str]:
    """Return the cells of a row as lrpdyn 0.2 made them."""
    return [
        ""
        if value is None or value != value
        else "01"[value]
        if isinstance(value, bool | np.bool_)
        else repr(float(value))
        if isinstance(value, float | np.floating)
        else str(value)
        for value in row
    ]


def read(way: str, path: Path) -> Any:
    """Return the table as a structured array, read in one of `WAYS`."""
    if way == "lrpdyn":
        with path.open("rb") as file:
            return read_table(file, NAMES)
    table = np.empty(0, dtype=list(KINDS.items()))
    if way == "csv":
        with path.open(newline="") as file:
            rows = csv.reader(file)
            next(rows)
            while several := list(islice(rows, 4096)):
                start = len(table)
                table.resize(start + len(several), refcheck=False)
                for name, cells in zip(NAMES, zip(*several, strict=True), strict=True):
                    of, unknown = (float, "nan") if KINDS[name] == "f8" else (int, "-1")
                    known = [cell or unknown for cell in cells] if "" in cells else cells
                    table[name][start:] = list(map(of, known))
        return table
    import pyarrow.csv

    kinds = {"i8": pyarrow.int64(), "f8": pyarrow.float64(), "?": pyarrow.bool_()}
    options = pyarrow.csv.ConvertOptions(
        column_types={name: kinds[kind] for name, kind in KINDS.items()}
    )
    for batch in pyarrow.csv.open_csv(path, convert_options=options):
        start = len(table)
        table.resize(start + len(batch), refcheck=False)
        for name in NAMES:
            table[name][start:] = batch[name].to_numpy(zero_copy_only=False)
    return table


def measured(do: str, way: str, path: Path, rows: int, samples: int) -> dict[str, Any]:
    """Do one thing in a process of its own; return its seconds, MiB at most, and digest."""
    command = [sys.executable, __file__, "--child", do, way, str(path), str(rows), str(samples)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def child(do: str, way: str, name: str, rows: str, samples: str) -> None:
    """Print what `measured` returns."""
    path = Path(name)
    begin, cpu, clock = _peak(), time.process_time(), time.perf_counter()
    table = write(way, path, int(rows), int(samples)) if do == "write" else read(way, path)
    found = {"cpu": time.process_time() - cpu, "clock": time.perf_counter() - clock}
    found |= {"MiB": _peak(), "over": _peak() - begin}
    if table is None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    else:
        found["over"] -= table.nbytes / 2**20
        digest = hashlib.sha256(np.asarray(table).view(np.uint8).data).hexdigest()
    print(json.dumps({**found, "digest": digest}))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Print a line for each way to write and to read."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", default=",".join(WAYS))
    chosen = parser.parse_args()
    ways = [
        way
        for way in chosen.ways.split(",")
        if way != "pyarrow" or importlib.util.find_spec("pyarrow")
    ]
    with tempfile.TemporaryDirectory() as folder:
        paths = {way: Path(folder) / f"{way}.csv" for way in ways}
        source = paths["csv" if "csv" in ways else "lrpdyn"]
        for do in ("write", "read"):
            found: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
            for _ in range(chosen.rounds):
                for way in ways:
                    path = paths[way] if do == "write" else source
                    found[way].append(measured(do, way, path, chosen.rows, chosen.samples))
            first = [one["cpu"] for one in found[ways[0]]]
            for way, ones in found.items():
                cpu = [one["cpu"] for one in ones]
                print(
                    f"{do:5s} {chosen.rows:10,d} rows, {way:7s} {median(cpu):7.2f} s of CPU "
                    f"({min(cpu):.2f} to {max(cpu):.2f}), {median(one['clock'] for one in ones):7.2f} "
                    f"by the clock, {median(a / b for a, b in zip(first, cpu, strict=True)):5.2f} "
                    f"times as fast; peak {max(one['MiB'] for one in ones):7.1f} MiB, "
                    f"{max(one['over'] for one in ones):6.1f} without imports and table",
                    flush=True,
                )
            same = [way for way in ways if way != "pyarrow" or do == "read"]
            assert len({one["digest"] for way in same for one in found[way]}) == 1, do
        print(f"{os.path.getsize(source) / 1e6:,.0f} MB; {len(NAMES)} columns")


if __name__ == "__main__":
    child(*sys.argv[2:]) if sys.argv[1:2] == ["--child"] else main()
