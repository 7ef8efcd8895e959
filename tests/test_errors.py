"""Each kind of error is one of lrpdyn's, with the exit code that a shell sees."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from lrpdyn import errors
from lrpdyn.errors import LrpdynError, UnreadableRunsError, UsageError


def test_every_error_is_caught_as_one_of_lrpdyn() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert len(kinds) > 5
    for kind in kinds:
        with pytest.raises(LrpdynError, match="what, where") as caught:
            raise kind(
                {Path("run"): "what, where"} if kind is UnreadableRunsError else "what, where"
            )
        assert caught.value.exit_code == (2 if kind is UsageError else 1)


def test_of_several_unreadable_runs_the_first_is_said_and_the_others_are_counted() -> None:
    error = UnreadableRunsError({Path("a"): "a: is cut", Path("b"): "b: is lost"})
    assert str(error) == "a: is cut (and 1 more)"
    assert pickle.loads(pickle.dumps(error)).reasons == error.reasons


def test_a_shell_sees_one_line_and_the_exit_code_of_the_kind(tmp_path: Path) -> None:
    found = subprocess.run([sys.executable, "-m", "lrpdyn", "verify", "none"], cwd=tmp_path,
                           capture_output=True, text=True, check=False)  # fmt: skip
    assert found.returncode == 1
    assert found.stderr.startswith("Error: none: holds no run of lrpdyn")
    assert found.stderr.count("\n") == 1
