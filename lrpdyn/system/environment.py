"""What last bits depend on: versions, and what the arithmetic is done on."""

from __future__ import annotations

import platform

import numpy as np
import torch

from lrpdyn.version import __version__


def environment_of(device: torch.device) -> dict[str, str]:
    """Return the versions, the kind of `device`, and the name of a GPU or what a CPU's kernels are for."""
    if device.type == "cuda":
        processor = torch.cuda.get_device_name(device)
    else:
        processor = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return {
        "lrpdyn": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": device.type,
        "processor": processor,
    }
