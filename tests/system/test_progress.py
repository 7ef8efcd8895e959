"""Bars where a person sees them, and nowhere else; a notebook's are in tests/docs/test_notebook.py."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from lrpdyn.system.progress import in_notebook, progress_bar


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_has_a_bar_a_pipe_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for file, quiet, seen in (
        (_Terminal(), False, True), (_Terminal(), True, False), (io.StringIO(), False, False),
    ):  # fmt: skip
        monkeypatch.setattr(sys, "stderr", file)
        entries = progress_bar(range(3), quiet=quiet, desc="explaining", file=file)
        assert list(entries) == [0, 1, 2]
        assert ("explaining" in file.getvalue()) is seen
    assert not in_notebook()


def test_outside_of_a_notebook_neither_asyncio_nor_ipython_is_imported() -> None:
    code = (
        "import sys; from lrpdyn.system.progress import progress_bar\n"
        "list(progress_bar([1], quiet=False)); print({'asyncio', 'IPython'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
