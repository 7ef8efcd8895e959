"""Weights of a network that is being trained: in a file of the run until they are not needed any more."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lrpdyn.checkpoints.formats import safetensors
from lrpdyn.errors import CheckpointError
from lrpdyn.files.atomic import whole_file

#: What journal and manifest call the format of weights that were never a checkpoint.
LIVE = "live"
_NAMES = {dtype: name for name, dtype in safetensors.DTYPES.items()}

#: No entry of a folder is recognised as one: the file is named by the run that wrote it.
READER = replace(safetensors.READER, format=LIVE, recognise=lambda entry: False, suffixes=())


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write weights as a safetensors file: the same bytes for the same weights.

    Raises
    ------
    CheckpointError
        A tensor is of a type that safetensors does not have.
    RunError
        The file cannot be written.
    """
    entries, contents, end = {}, [], 0
    for key, tensor in weights.items():
        if tensor.dtype not in _NAMES or tensor.layout != torch.strided:
            raise CheckpointError(
                f"{key}: its weights are {tensor.layout} {tensor.dtype}, expected dense ones of "
                f"{', '.join(_NAMES.values())}"
            )
        content = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        offsets = [end, end := end + content.nbytes]
        entries[key] = {
            "dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets,
        }  # fmt: skip
        contents.append(content)
    header = json.dumps(entries, separators=(",", ":")).encode()
    with whole_file(path, "wb", settled=False) as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for content in contents:
            file.write(content)
