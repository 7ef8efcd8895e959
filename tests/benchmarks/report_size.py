"""How long the outlier report of a long run takes, and what `lrpdyn outliers` loads.

Run by hand: ``python -m tests.benchmarks.report_size``. A made-up run of 10,000 transitions of 100
samples: its report is built and written as `compute` does, then printed by the command.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lrpdyn.files.atomic import save_json
from tests.outliers.made_up import calm_run, report_on, spiked

COUNT = (
    "import sys, runpy; sys.argv = ['lrpdyn', 'outliers', sys.argv[1]]\n"
    "try:\n    runpy.run_module('lrpdyn', run_name='__main__')\n"
    "except SystemExit:\n    pass\n"
    "heavy = sorted({'torch', 'captum', 'scipy', 'numpy', 'matplotlib'} & set(sys.modules))\n"
    "print('loaded:', ', '.join(heavy) or 'none of torch, captum, scipy, numpy, matplotlib')\n"
)


def main() -> None:
    facts = spiked(spiked(calm_run(10_001, 100), 5000), 7000, 3)
    started = time.perf_counter()
    report = report_on(facts)
    built = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with tempfile.TemporaryDirectory() as folder:
        save_json(Path(folder, "outliers.json"), report)
        size = Path(folder, "outliers.json").stat().st_size / 1e6
        started = time.perf_counter()
        printed = subprocess.run(
            [sys.executable, "-m", "lrpdyn", "outliers", folder], capture_output=True, check=True
        )
        shown = time.perf_counter() - started
        loaded = subprocess.run(
            [sys.executable, "-c", COUNT, folder], capture_output=True, check=True, text=True
        )
    print(f"report built in {built:.1f} s ({memory:.0f} MiB at most), {size:.1f} MB")
    print(f"lrpdyn outliers: {shown:.2f} s, {len(printed.stdout.splitlines())} lines")
    print(loaded.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
