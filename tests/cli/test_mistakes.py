"""Mistyped command lines, as users type them: one line each, with what was meant, at once."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import lrpdyn

MISTAKES = [
    ("compte ckpts obs.npy", "did you mean compute?"),
    ("outlier", "did you mean outliers?"),
    ("ckpts obs.npy", "lrpdyn compute ckpts"),
    ("lrpdyn-run", "lrpdyn outliers lrpdyn-run"),
    ("help plt", "did you mean plot?"),
    ("compute ckpt obs.npy", "did you mean ckpts/?"),
    ("compute ckpts ob.npy", "did you mean obs.npy?"),
    ("compute ckpts obs.npz", "did you mean obs.npy?"),
    ("compute obs.npy ckpts", "lrpdyn compute ckpts obs.npy"),
    ("compute lrpdyn-run obs.npy", "is a run"),
    ("compute ckpts lrpdyn-run", "is a run"),
    ("compute ckpts/a_1.zip ckpts/b_2.zip obs.npy", "a glob in quotes"),
    ("compute ckpts ckpts", "expected observations"),
    ("compute ckpts", "lrpdyn compute ckpts/ obs.npy"),
    ("compute ckpts obs.npy --rule gamma=0.25", "--rule gamma:0.25"),
    ("compute ckpts obs.npy --rule zpluss", "did you mean zplus?"),
    ("compute ckpts obs.npy --rule gamma:abc", "rule gamma: gamma must be"),
    ("compute ckpts obs.npy --rule alphabeta:beta=1,alpha=2", "--rule alphabeta:2,1"),
    ("compute ckpts obs.npy --ruel zplus", "did you mean --rule?"),
    ("compute ckpts obs.npy -rule zplus", "did you mean --rule?"),
    ("compute ckpts obs.npy --batch_size 3", "did you mean --batch-size?"),
    ("compute ckpts obs.npy --target arg_max", "did you mean argmax?"),
    ("compute ckpts obs.npy --contrast maen", "did you mean mean?"),
    ("compute ckpts obs.npy --device gpu", "did you mean cuda?"),
    ("compute ckpts obs.npy --workers two", "a whole number of 1 or more"),
    ("compute ckpts obs.npy --layout nchv", "did you mean NCHW?"),
    ("compute ckpts obs.npy --fill blurr", "did you mean blurred?"),
    ("compute ckpts obs.npy --reference mode", "did you mean modal?"),
    ("compute ckpts obs.npy --baseline randon:2", "did you mean random?"),
    ("compute ckpts obs.npy --faithfulness al", "did you mean all?"),
    ("compute ckpts obs.npy --select spred:3", "did you mean spread?"),
    ("compute ckpts obs.npy --samples a", "such as 0,3,7"),
    ("compute ckpts obs.npy --scale imagnet", "did you mean imagenet?"),
    ("compute ckpts obs.npy --arch sb3-cnm", "did you mean sb3-cnn?"),
    ("compute ckpts obs.npy --arch net.py", "net.py:NAME"),
    ("compute ckpts obs.npy --regions maks.npz", "did you mean masks.npz?"),
    ("compute ckpts obs.npy --config lrpdyn.tml", "no such file"),
    ("compute ckpts obs.npy --every", "expected a value"),
    ("compute ckpts obs.npy --shard 3", "expected K/N"),
    ("plot ckpts", "lrpdyn compute ckpts OBSERVATIONS"),
    ("plot obs.npy", "holds no run"),
    ("plot lrpdyn-rn", "did you mean lrpdyn-run/?"),
    ("plot lrpdyn-run/dynamics.npy", "give its folder, lrpdyn-run"),
    ("plot --rule zplus", "it is one of lrpdyn compute"),
    ("outliers ckpts", "a folder of checkpoints"),
    ("outliers --format jsn", "did you mean json?"),
    ("outliers --kind step", "did you mean steps?"),
    ("export", "--to: expected zarr|hdf5|csv"),
    ("record ckpts/a_1.zip CartPole-v1", "lrpdyn record CartPole-v1 ckpts/a_1.zip"),
    ("record CartPole-v1 ckpts/a_2.zip", "did you mean"),
    ("inspect obs.npz", "did you mean obs.npy?"),
]
REPRS = re.compile(r"Path\(|\[Errno|Traceback|\['|\{'|\('")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the names that a user has there."""
    folder = tmp_path_factory.mktemp("place")
    for name in ("ckpts/a_1.zip", "ckpts/b_2.zip", "obs.npy", "masks.npz",
                 "lrpdyn-run/manifest.json", "lrpdyn-run/journal.jsonl",
                 "lrpdyn-run/dynamics.npy"):  # fmt: skip
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    return folder


def test_each_mistake_is_answered_in_a_line_at_once(place: Path) -> None:
    """In one process of its own, without torch: half a minute less than one for each."""
    code = (
        "import contextlib, io, sys\n"
        "from lrpdyn.cli import main\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    sys.argv = ['lrpdyn', *line.split()]\n"
        "    said = io.StringIO()\n"
        "    with contextlib.redirect_stderr(said):\n"
        "        code = main._run({'verbose': 0})\n"
        "    print(code, said.getvalue().strip())\n"
        "assert 'torch' not in sys.modules\n"
    )
    lines = "\n".join(line for line, _ in MISTAKES)
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=place, input=lines,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = done.stdout.splitlines()
    assert len(answers) == len(MISTAKES), done.stdout
    for (line, says), answer in zip(MISTAKES, answers, strict=True):
        code_, _, said = answer.partition(" ")
        assert code_ in ("1", "2"), (line, answer)
        assert said.startswith("Error: "), (line, answer)
        assert says in said, (line, answer)
        assert not REPRS.search(said), (line, answer)
    plot = answers[[line for line, _ in MISTAKES].index("plot ckpts")]
    assert "-o ckpts" not in plot


def test_a_mistyped_rule_takes_less_than_half_a_second(place: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = lrpdyn("compute", "x", "y", "--rule", "foo", cwd=place)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "no rule is called" in done.stderr
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < 0.5
