"""Which names in a pickle are harmless, and what stands in for them while weights are read."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

#: What torch.load needs for tensors and itself allows with ``weights_only=True``.
_TENSORS = re.compile(
    r"torch\._utils\._rebuild_(?:tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)"
    r"|torch\.(?:storage\.)?\w*Storage|torch\.nn\.parameter\.(?:Parameter|Buffer)|torch\.Size"
    r"|torch\.device|torch\.(?:u?int|float|bfloat|complex|q?u?int|bits)\d+(?:x\d)?(?:_\w+)?|torch\.bool"
    r"|torch\._tensor\._rebuild_from_type_v2|torch\.Tensor|torch\.serialization\._get_layout"
    r"|collections\.(?:OrderedDict|Counter)|_codecs\.encode|builtins\.(?:set|bytearray|complex)"
)
#: Settings and logs that frameworks save next to the weights. Nothing of them is needed, so none is
#: imported: an empty stand-in takes their place.
_DATA = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|collections\.(?:deque|defaultdict)"
    r"|builtins\.(?:int|float|str|bool|bytes|list|dict|tuple|frozenset|slice|range)"
    r"|(?:pathlib|datetime|uuid|decimal|fractions|omegaconf|mmengine|lightning|lightning_fabric"
    r"|pytorch_lightning|fairseq|gymnasium|gym)(?:\.\w+)+"
    r"|numpy\.(?:dtype|ndarray|dtypes\.\w+|(?:_?core\.)?(?:multiarray|numeric)\.\w+)"
)
_MAPPINGS = re.compile(r"(?:lightning|lightning_fabric|pytorch_lightning)(?:\.\w+)*\.AttributeDict")


class StandIn:
    """Takes whatever a pickle gives it, and does nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> StandIn:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def stand_ins(names: Iterable[str]) -> list[Any]:
    """Return what `torch.serialization.safe_globals` takes, for the harmless ones of `names`."""
    return [(_stand_in(name), name) for name in sorted(names) if is_data(name)]


def dangerous(names: Iterable[str]) -> tuple[str, ...]:
    """Return those of `names` that are not known to be harmless."""
    return tuple(name for name in sorted(names) if not (_TENSORS.fullmatch(name) or is_data(name)))


def is_data(name: str) -> bool:
    """Tell whether `name` is data that a stand-in can take the place of."""
    return _DATA.fullmatch(name) is not None


def _stand_in(name: str) -> Any:
    if _MAPPINGS.fullmatch(name):
        return OrderedDict
    return _empty_dict if name in ("collections.defaultdict", "builtins.dict") else StandIn


def _empty_dict(*args: Any) -> dict[Any, Any]:
    return {}
