"""The plain data of this room: an architecture, and what its network takes as observations."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from torch import nn

from lrpdyn.checkpoints.model import Shapes
from lrpdyn.errors import UsageError

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Preprocessing:
    """What is done to pixels before the network sees them.

    `divisor` is what uint8 observations are divided by outside of the network (1: the network does
    it itself, None: unknown), `expected` the range that the network then takes.
    """

    divisor: float | None = None
    expected: tuple[float, float] | None = None


#: Stable-Baselines3 divides images by 255 before its networks.
OUTSIDE = Preprocessing(divisor=255.0, expected=(0.0, 1.0))
#: CleanRL's Atari networks divide by 255 inside ``forward``.
INSIDE = Preprocessing(divisor=1.0, expected=(0.0, 255.0))
UNKNOWN = Preprocessing()


def nothing(arguments: Arguments, hints: Mapping[str, Any]) -> tuple[str, ...]:
    """Assume nothing: the weights and the file tell all of the network."""
    return ()


def always(sentence: str) -> Callable[[Arguments, Mapping[str, Any]], tuple[str, ...]]:
    """Return what says this `sentence`: the weights never tell it, and the file never does."""
    return lambda arguments, hints: (sentence,)


@dataclass(frozen=True)
class Architecture:
    """A registered architecture.

    Parameters
    ----------
    name
        What ``--arch`` takes.
    factory
        Gives the network for keyword arguments. The network may have ``heads``, a tuple of names
        (the first is the default), and ``path(head)``, which gives the module from observation to
        the outputs (N, units) of that head; otherwise its only head is ``logits``. It may have
        ``initialise()``, which gives it the weights that training begins with, where they differ
        from those of its construction; ``action_space``, what the outputs of its policy are, as
        ``--actions`` has it; ``left_out``, what follows the outputs that a head is explained at.
    recognise
        Reads the arguments from the shapes of a state dict and the hints of its file; None where
        the weights are not of this architecture.
    preprocessing
        What happens to pixels before the network.
    source
        Where the network is defined.
    assumes
        Says in sentences what of the function is neither in the weights nor in the hints, for these
        arguments, and is therefore assumed. What the user gives is among the hints.
    unused
        A pattern of keys of weights that take no part in its heads, such as those of critics that see
        the action too. The network is built without them.
    """

    name: str
    factory: Callable[..., nn.Module]
    recognise: Callable[[Shapes, Mapping[str, Any]], Arguments | None]
    preprocessing: Preprocessing = UNKNOWN
    source: str = ""
    assumes: Callable[[Arguments, Mapping[str, Any]], tuple[str, ...]] = nothing
    unused: str = ""


@dataclass(frozen=True)
class Family:
    """All architectures of a package, of which ``--arch PREFIX:NAME`` names one.

    Parameters
    ----------
    owner
        Whose they are, in the genitive, as messages have it.
    package, extra
        The package, and the extra of lrpdyn that installs it.
    recognised
        Returns those that weights and hints may be of, where no registered architecture fits; they
        compute the same. It raises ArchitectureError where it knows that they are of this package and
        cannot tell which one.
    """

    prefix: str
    owner: str
    package: str
    extra: str
    named: Callable[[str], Architecture]
    recognised: Callable[[Shapes, Mapping[str, Any]], Sequence[Architecture]]

    @property
    def to_install(self) -> str:
        """How its package is installed; empty where it is."""
        return "" if is_installed(self.package) else f"pip install 'lrpdyn[{self.extra}]'"


def unknown_network(asked: str, name: str, known: Sequence[str], says: str) -> UsageError:
    """Return the error on a name that no network of a package has, with the nearest that there are."""
    near = difflib.get_close_matches(name, known, n=3) or known[:3]
    prefix, _, _ = asked.partition(":")
    nearest = ", ".join(f"{prefix}:{other}" for other in near)
    return UsageError(f"--arch {asked}: {says} of this name; the nearest are {nearest}")


def is_installed(package: str) -> bool:
    """Tell whether a package can be imported, without importing it."""
    return find_spec(package) is not None


def never(shapes: Shapes, hints: Mapping[str, Any]) -> Arguments | None:
    """Recognise nothing: an architecture that is only used when the user names it."""
    return None
