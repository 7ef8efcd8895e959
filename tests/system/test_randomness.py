"""Numbers from a seed, which nobody else notices."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from lrpdyn.system.randomness import seeded


def test_it_draws_as_after_a_seed_and_leaves_no_trace() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with seeded(5):
        assert torch.equal(torch.rand(3), expected)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_card_that_is_not_in_use_keeps_the_seed_that_it_will_get() -> None:
    program = (
        "import torch\n"
        "from lrpdyn.system.randomness import seeded\n"
        "seeds = torch.cuda._lazy_seed_tracker.get_calls\n"
        "with seeded(5): pass\n"
        "assert not seeds() and not torch.cuda.is_initialized()\n"
        "torch.manual_seed(5)\n"
        "assert seeds() or torch.cuda.is_initialized()\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
def test_a_card_in_use_draws_from_the_seed_and_goes_on_as_before() -> None:
    with seeded(5):
        one = torch.rand(3, device="cuda")
    before = torch.cuda.get_rng_state()
    with seeded(5):
        assert torch.equal(torch.rand(3, device="cuda"), one)
    assert torch.equal(torch.cuda.get_rng_state(), before)
