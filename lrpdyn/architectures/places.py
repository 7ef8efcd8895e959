"""Put modules and buffers where a state dict's dotted keys have them."""

from __future__ import annotations

from torch import Tensor, nn


def place(root: nn.Module, name: str, module: nn.Module) -> None:
    """Add `module` to `root` under the dotted `name`; under no name, add its children."""
    if not name:
        for child, inner in module.named_children():
            root.add_module(child, inner)
        return
    *folders, last = name.split(".")
    for folder in folders:
        if folder not in dict(root.named_children()):
            root.add_module(folder, nn.Module())
        root = root.get_submodule(folder)
    root.add_module(last, module)


def place_buffer(root: nn.Module, name: str, values: Tensor, *, persistent: bool = True) -> None:
    """Add a buffer to `root` under the dotted `name`."""
    folder, _, last = name.rpartition(".")
    if folder:
        if folder not in dict(root.named_modules()):
            place(root, folder, nn.Module())
        root = root.get_submodule(folder)
    root.register_buffer(last, values, persistent=persistent)
