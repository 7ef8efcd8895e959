"""A small part of the campaign in tests/faults/fuzz_checkpoints.py, the same at every run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.fuzz_checkpoints import CONTAINERS, campaign


@pytest.mark.parametrize("kind", CONTAINERS)
def test_mutated_files_do_no_harm(kind: str, tmp_path: Path) -> None:
    look = campaign(kind, 150, 20240, tmp_path)
    assert look.outcomes["refused"] > 10
    assert look.outcomes["read"] > 0 or kind == "shared"
