"""A small part of the campaign in tests/faults/fuzz_readers.py, the same at every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fuzz_readers import READERS, campaign


@pytest.mark.parametrize("name", READERS)
def test_mutated_files_do_no_harm(name: str, tmp_path: Path) -> None:
    look = campaign(name, 40 if name in ("manifest", "run") else 120, 20240, tmp_path)
    assert look.outcomes["refused"] > 5
    assert look.outcomes["read"] > 0
