"""What a command loads is not searched for garbage, and the search goes on afterwards."""

import gc
import subprocess
import sys

import pytest

from lrpdyn.cli.imports import loading


@pytest.mark.parametrize("enabled", [True, False])
def test_collection_stops_and_is_as_it_was_afterwards(enabled: bool) -> None:
    def fail() -> None:
        with loading():
            assert not gc.isenabled()
            raise ZeroDivisionError

    (gc.enable if enabled else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError):
            fail()
        assert gc.isenabled() is enabled
    finally:
        gc.enable()
        gc.unfreeze()


def test_what_is_loaded_is_set_aside() -> None:
    code = (
        "import gc\nfrom lrpdyn.cli.imports import loading\n"
        "with loading():\n    import lrpdyn.pipeline.compute\n"
        "print(gc.get_freeze_count() > 100_000 > 10 * len(gc.get_objects()))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "True\n"
