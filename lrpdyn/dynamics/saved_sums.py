"""The sums of a stretch of places in files: what a shard of a run leaves for the merge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from lrpdyn.dynamics.tree_sums import Node
from lrpdyn.errors import RunError
from lrpdyn.files.atomic import save_json, save_pieces
from lrpdyn.files.json_data import read_json
from lrpdyn.files.stored import Maps, Stored, pieces

_SUMMARY = "sums.json"
_FIRST, _LAST = "first_map", "last_map"


@dataclass(frozen=True)
class Part:
    """What is known of a stretch of places besides its arrays.

    Attributes
    ----------
    begin, end
        The first place, and the one after the last.
    steps, transitions
        How many finite steps and transitions are in it.
    first
        The first finite step of the run, None where there was none up to `end`.
    last
        The last finite step of the stretch, None where it has none.
    nodes
        The subtrees that it is made of, see `lrpdyn.dynamics.tree_sums`.
    """

    begin: int
    end: int
    steps: int
    transitions: int
    first: int | None
    last: int | None
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class SavedPart:
    """A part and the folder of its arrays."""

    folder: Path
    part: Part

    def of_node(self, name: str, node: Node) -> Stored:
        """Return the sums of a subtree."""
        return Stored(_node_path(self.folder, name, node))

    def array(self, name: str) -> Stored:
        """Return an array of the whole stretch."""
        return Stored(self.folder / f"{name}.npy")

    @property
    def first_map(self) -> Maps:
        """The maps of the first finite step of the run."""
        return self.array(_FIRST)

    @property
    def last_map(self) -> Maps:
        """The maps of the last finite step of the stretch."""
        return self.array(_LAST)


def save_part(
    folder: Path,
    part: Part,
    arrays: dict[str, Callable[[slice], NDArray[Any]]],
    nodes: dict[tuple[str, Node], Callable[[slice], NDArray[Any]]],
    ends: tuple[Maps | None, Maps | None],
    samples: int,
) -> None:
    """Write a part; its summary last.

    `arrays` and `nodes` give some samples of an array, `ends` are the maps of `Part.first` and
    `Part.last`.
    """
    files = {folder / f"{name}.npy": read for name, read in arrays.items()}
    files |= {_node_path(folder, name, node): read for (name, node), read in nodes.items()}
    for name, maps in zip((_FIRST, _LAST), ends, strict=True):
        if maps is not None:
            files[folder / f"{name}.npy"] = maps.__getitem__
    for path, read in files.items():
        example = read(slice(0, 1))
        shape = (samples, *example.shape[1:])
        save_pieces(path, shape, example.dtype, map(read, pieces(shape)))
    save_json(folder / _SUMMARY, asdict(part))


def read_part(folder: Path) -> SavedPart:
    """Open a part.

    Raises
    ------
    RunError
        There is none, or its summary is damaged.
    """
    try:
        found = read_json(folder / _SUMMARY)
        nodes = tuple((int(level), int(index)) for level, index in found.pop("nodes"))
        return SavedPart(folder, Part(**found, nodes=nodes))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RunError(
            f"{folder / _SUMMARY}: cannot be read ({error}); compute the shard again"
        ) from error


def _node_path(folder: Path, name: str, node: Node) -> Path:
    return folder / f"{name}_{node[0]}_{node[1]}.npy"
