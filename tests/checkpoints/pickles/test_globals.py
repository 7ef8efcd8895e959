"""Which names in a pickle are harmless, and what stands in for them."""

from __future__ import annotations

from collections import OrderedDict

import pytest

from lrpdyn.checkpoints.pickles.globals import dangerous, is_data, stand_ins


@pytest.mark.parametrize(
    "name",
    ["torch._utils._rebuild_tensor_v2", "torch.FloatStorage", "collections.OrderedDict",
     "argparse.Namespace", "pathlib.PosixPath", "numpy._core.multiarray.scalar"],
)  # fmt: skip
def test_tensors_and_settings_are_harmless(name: str) -> None:
    assert dangerous([name]) == ()


@pytest.mark.parametrize(
    "name",
    ["os.system", "builtins.eval", "builtins.getattr", "torch.load", "torch._utils._rebuild",
     "numpy.load", "pathlibx.Path", "xargparse.Namespace", "builtins.int\nos.system"],
)  # fmt: skip
def test_everything_else_is_dangerous(name: str) -> None:
    assert dangerous([name, "torch.Size"]) == (name,)
    assert not is_data(name)


def test_stand_ins_take_what_they_are_given_and_do_nothing() -> None:
    found = {name: kind for kind, name in stand_ins(
        ["argparse.Namespace", "builtins.dict", "os.system", "torch.Size",
         "lightning.fabric.utilities.data.AttributeDict"]
    )}  # fmt: skip
    assert "os.system" not in found
    assert found["lightning.fabric.utilities.data.AttributeDict"] is OrderedDict
    assert found["builtins.dict"]("any") == {}
    made = found["argparse.Namespace"](1, two=2)
    made.__setstate__({"path": "/etc"})
    assert not vars(made)
