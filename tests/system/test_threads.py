from __future__ import annotations

import pytest
import torch

from lrpdyn.system.threads import one_thread


def test_one_thread_is_given_back_after_an_error() -> None:
    def fail() -> None:
        with one_thread():
            raise KeyError(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError, match="1"):
            fail()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
