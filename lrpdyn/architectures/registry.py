"""Which network the weights belong to: by name, by recognition, or the user's own."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from lrpdyn.architectures import mlp
from lrpdyn.architectures.entry_points import load_entry_points
from lrpdyn.architectures.frameworks import (
    catch,
    cifar_cnn,
    cleanrl,
    cleanrl_distributional,
    cleanrl_procgen,
    cleanrl_trxl,
    cleanrl_vectors,
    hugging_face,
    pfrl,
    rllib,
    sample_factory,
    sb3,
    sb3_actors,
    sb3_contrib,
    sb3_multi_input,
    sb3_recurrent,
    tianshou,
    tianshou_actor_critic,
    tianshou_vectors,
    timm_models,
    torchrl,
    torchvision_models,
)
from lrpdyn.architectures.model import (
    INSIDE,
    UNKNOWN,
    Architecture,
    Arguments,
    Family,
    Preprocessing,
    never,
)
from lrpdyn.architectures.names import unknown_architecture
from lrpdyn.architectures.own import own_architecture
from lrpdyn.architectures.shapes import on_meta, shapes_of
from lrpdyn.checkpoints.keys import IDENTITY, KeyMapping, candidates, is_copy
from lrpdyn.checkpoints.model import Header, Shapes
from lrpdyn.errors import ArchitectureError, UsageError
from lrpdyn.files.reasons import as_text, reason_of
from lrpdyn.files.text import first_line

_T = TypeVar("_T")
#: So many differences are named where weights do not fit.
_MOST_NAMED = 3

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        *sb3.ARCHITECTURES,
        *sb3_contrib.ARCHITECTURES,
        *sb3_multi_input.ARCHITECTURES,
        *sb3_recurrent.ARCHITECTURES,
        *sb3_actors.ARCHITECTURES,
        *cleanrl.ARCHITECTURES,
        *cleanrl_vectors.ARCHITECTURES,
        *cleanrl_distributional.ARCHITECTURES,
        *cleanrl_procgen.ARCHITECTURES,
        *cleanrl_trxl.ARCHITECTURES,
        sample_factory.ARCHITECTURE,
        *tianshou.ARCHITECTURES,
        *tianshou_actor_critic.ARCHITECTURES,
        *tianshou_vectors.ARCHITECTURES,
        *pfrl.ARCHITECTURES,
        *torchrl.ARCHITECTURES,
        *rllib.ARCHITECTURES,
        cifar_cnn.ARCHITECTURE,
        catch.ARCHITECTURE,
        mlp.ARCHITECTURE,
    )
}

#: Packages whose architectures ``--arch`` names by their prefix.
FAMILIES: tuple[Family, ...] = (
    hugging_face.FAMILY,
    torchvision_models.FAMILY,
    timm_models.FAMILY,
)


#: Hints that name classes of the user's own.
_CLASSES = ("policy_class", "features_extractor")
#: The hint, and what the user may say, on whether images were divided by 255.
_SCALED = "normalize_images"
#: Hints of what a network computes, which all checkpoints of a run share.
_FUNCTION = ("activation", *_CLASSES, "network", "config", _SCALED)
#: Hints of what goes into it and what comes out, which they share too.
_SPACES = ("observation_space", "action_space")
#: The hint that what a file does not say has its default.
_WHOLE = "metadata"


@functools.cache
def _load_entry_points() -> None:
    load_entry_points(_register)


def architectures() -> dict[str, Architecture]:
    """Return the registered architectures by name, those of other packages included."""
    _load_entry_points()
    return ARCHITECTURES


@dataclass(frozen=True)
class Resolved:
    """An architecture with its arguments filled in, and how keys of the weights become its own.

    `also` names others whose keys and shapes fit too; `hints` are what the file and the user say of
    the network besides its weights, `given` the part of it that the user says, `assumed` what nobody
    says.
    """

    architecture: Architecture
    arguments: Arguments
    _: KW_ONLY
    mapping: KeyMapping = IDENTITY
    also: tuple[str, ...] = ()
    hints: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def others(self) -> tuple[str, ...]:
        """Classes and networks that the file names and that need not compute what this one does."""
        if self.architecture.recognise is never:
            return ()
        classes = [self.hints[name] for name in _CLASSES if name in self.hints]
        network = self.hints.get("network")
        if network is not None and torchvision_models.is_another(network, self.architecture.name):
            classes.append(network)
        return tuple(classes)

    @property
    def assumed(self) -> tuple[str, ...]:
        """What of the network's function is assumed, in sentences."""
        name = self.architecture.name
        word = [f"{' and '.join(self.others)}, which the file names, computes what {name} does"]
        return (
            *(word if self.others else []),
            *self.architecture.assumes(self.arguments, self.hints),
        )

    def build(self) -> nn.Module:
        """Return a new network.

        Raises
        ------
        ArchitectureError
            The factory does not take these arguments, or gives no network.
        """
        arguments = dict(self.arguments)
        if self.architecture.preprocessing.expected is not None:
            arguments.pop(_SCALED, None)  # a matter of the pixels, not of the network
        try:
            network = self.architecture.factory(**arguments)
        except TypeError as error:
            raise ArchitectureError(
                f"architecture {self.architecture.name} does not take {as_text(self.arguments)}: "
                f"{reason_of(error)}; give its arguments with --arch-arg KEY=VALUE"
            ) from error
        if not isinstance(network, nn.Module):
            raise ArchitectureError(
                f"architecture {self.architecture.name} gave a {type(network).__name__}, expected "
                "a torch.nn.Module"
            )
        return network.eval()


def register_architecture(
    name: str,
    factory: Callable[..., nn.Module],
    *,
    recognise: Callable[[Shapes, Mapping[str, Any]], Arguments | None] = never,
    preprocessing: Preprocessing = UNKNOWN,
    source: str = "",
) -> None:
    """Make `name` known to ``--arch`` and, with `recognise`, to recognition.

    See `lrpdyn.architectures.model.Architecture` for the parameters.

    Raises
    ------
    ValueError
        The name is taken.
    """
    _register(
        Architecture(
            name=name,
            factory=factory,
            recognise=recognise,
            preprocessing=preprocessing,
            source=source,
        )
    )


def _register(architecture: Architecture) -> None:
    if architecture.name in ARCHITECTURES:
        raise ValueError(f"an architecture is called '{architecture.name}' already")
    ARCHITECTURES[architecture.name] = architecture


def parse_arguments(pairs: tuple[str, ...]) -> Arguments:
    """Read ``KEY=VALUE`` pairs; values are Python literals, or else text."""
    arguments: Arguments = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key.isidentifier():
            raise UsageError(f"--arch-arg '{pair}': expected KEY=VALUE, such as activation=tanh")
        try:
            arguments[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            arguments[key] = value
    return arguments


def resolve(
    name: str | None, given: Arguments, header: Header, where: str, prefix: str | None = None
) -> Resolved:
    """Return the architecture called `name`, or the one whose weights these are.

    What the user gives counts as a hint of the file too: weights that do not suffice alone are then
    recognised. Wrappers in keys (``module.``, ``_orig_mod.``) are taken off, and a prefix where keys
    and shapes then fit exactly; `prefix` says which.

    Raises
    ------
    UsageError
        No architecture has this name.
    ArchitectureError
        No architecture fits the weights; the message shows what was seen.
    """
    proposed = (
        list(candidates(header.shapes, whole=name is None))
        if prefix is None
        else [KeyMapping(prefix=prefix), KeyMapping(wrappers=False, prefix=prefix)]
    )
    if name is not None:
        return _resolve_named(named(name), given, header, where, proposed)
    hints = {**header.hints, **given}
    nearest: ArchitectureError | None = None
    for mapping in proposed:
        unbuilt: ArchitectureError | None = None
        named_otherwise: Resolved | None = None
        for proposing in (_all_registered, *(family.recognised for family in FAMILIES)):
            try:
                tried = _tried(proposing, mapping, header.shapes, hints, given, where)
            except ArchitectureError as error:
                nearest = nearest or ArchitectureError(f"{where}: {error}")
                continue
            unbuilt, nearest = unbuilt or tried.unbuilt, nearest or tried.nearest
            if tried.fitting and not tried.fitting[0].others:
                others = tuple(resolved.architecture.name for resolved in tried.fitting[1:])
                return replace(tried.fitting[0], also=others)
            named_otherwise = named_otherwise or next(iter(tried.fitting), None)
        if named_otherwise is not None:
            _refuse_others(named_otherwise, where)
        # What takes less of the weights might be built, and be another network.
        if unbuilt is not None:
            raise unbuilt
    if nearest is not None:
        raise nearest
    families = "".join(
        f", or one of {f.owner} with --arch {f.prefix}NAME"
        + (f" ({f.to_install})" if f.to_install else "")
        for f in FAMILIES
    )
    raise ArchitectureError(
        f"{where}: no registered architecture has these weights: {_seen(header.shapes)}; give your own with "
        "--arch FILE.py:CALLABLE (a function or class that returns the torch.nn.Module; lrpdyn "
        f"architectures --template prints one to fill in){families}"
    )


@dataclass(frozen=True, kw_only=True)
class _Tried:
    """Those of some architectures that fit, why one was not built, and how another differs."""

    fitting: list[Resolved]
    unbuilt: ArchitectureError | None
    nearest: ArchitectureError | None


def _tried(
    proposing: Callable[[Shapes, Mapping[str, Any]], Sequence[Architecture]],
    mapping: KeyMapping,
    saved: Shapes,
    hints: Mapping[str, Any],
    given: Arguments,
    where: str,
) -> _Tried:
    shapes = mapping.apply(saved)
    fitting: list[Resolved] = []
    unbuilt: ArchitectureError | None = None
    nearest: ArchitectureError | None = None
    for architecture in proposing(shapes, hints):
        recognised = _recognised(architecture, shapes, hints)
        if recognised is None:
            continue
        resolved = Resolved(
            architecture=_as_hinted(architecture, hints),
            arguments={**recognised, **given},
            mapping=mapping,
            hints=hints,
            given=given,
        )
        try:
            differing = _differing(_shapes_of(resolved, where), _used(architecture, shapes))
        except ArchitectureError as error:  # an argument is missing, or it does not take
            unbuilt = unbuilt or error
            continue
        if not differing:
            fitting.append(resolved)
        else:
            nearest = nearest or _misfit(resolved, differing, where)
    return _Tried(fitting=fitting, unbuilt=unbuilt, nearest=nearest)


def _all_registered(shapes: Shapes, hints: Mapping[str, Any]) -> Sequence[Architecture]:
    return list(architectures().values())


def _resolve_named(
    architecture: Architecture,
    given: Arguments,
    header: Header,
    where: str,
    proposed: list[KeyMapping],
) -> Resolved:
    """Return the first proposed mapping by which `architecture` fits; copies of it come last."""
    nearest: ArchitectureError | None = None
    hints = {**header.hints, **given}
    fixed = architecture.recognise is never
    named_alone = Resolved(architecture=architecture, arguments=given)
    expected = _shapes_of(named_alone, where) if fixed else {}
    fitting: list[Resolved] = []
    for mapping in proposed:
        shapes = mapping.apply(header.shapes)
        try:
            read = None if fixed else _recognised(architecture, shapes, hints)
        except ArchitectureError as error:  # under a prefix they may be of another's
            nearest = nearest or error
            continue
        if read is None and not fixed and not given:
            continue
        resolved = Resolved(
            architecture=_as_hinted(architecture, hints),
            arguments={**(read or {}), **given},
            mapping=mapping,
            hints=hints,
            given=given,
        )
        wanted = expected if fixed else _shapes_of(resolved, where)
        differing = _differing(wanted, _used(architecture, shapes))
        if not differing and (not mapping.prefix or len({m.prefix for m in proposed}) == 1):
            return resolved
        if not differing:
            fitting.append(resolved)
        nearest = nearest or _misfit(resolved, differing, where)
    own = [resolved for resolved in fitting if not is_copy(resolved.mapping.prefix)] or fitting
    if len(own) > 1:
        prefixes = ", ".join(resolved.mapping.prefix for resolved in own[:6])
        raise ArchitectureError(
            f"{where}: the weights fit architecture {architecture.name} under several prefixes, "
            f"{prefixes}; choose one with --prefix"
        )
    if own:
        return own[0]
    raise nearest or ArchitectureError(
        f"{where}: these are not the weights of architecture {architecture.name}: "
        f"{_seen(header.shapes)}; leave --arch out to have it recognised, or give another"
    )


def _used(architecture: Architecture, entries: Mapping[str, _T]) -> Mapping[str, _T]:
    """Return the weights, or their shapes, that an architecture is built with."""
    if not architecture.unused:
        return entries
    unused = re.compile(architecture.unused)
    return {key: value for key, value in entries.items() if not unused.match(key)}


def _recognised(
    architecture: Architecture, shapes: Shapes, hints: Mapping[str, Any]
) -> Arguments | None:
    try:
        return architecture.recognise(shapes, hints)
    except (IndexError, KeyError, ValueError, TypeError):
        # A key of this architecture with a shape that no weight of it can have.
        return None


def load_weights(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    resolved: Resolved,
    where: str,
    path: nn.Module | None = None,
) -> None:
    """Copy `weights` into `network`, in place; with a `path` through it, only what that goes through.

    Raises
    ------
    ArchitectureError
        Keys or shapes differ.
    """
    mapped = _used(resolved.architecture, resolved.mapping.apply(weights))
    own = _own_tensors(network)
    expected = {key: tuple(value.shape) for key, value in own.items()}
    differing = _differing(expected, {key: tuple(value.shape) for key, value in mapped.items()})
    if differing:
        raise _misfit(resolved, differing, where)
    if not _loads_plainly(network):
        network.load_state_dict(mapped)
        return
    # Buffers are small, and a path may read them without having them.
    used = None if path is None else {id(parameter) for parameter in path.parameters()}
    with torch.no_grad():
        for key, tensor in own.items():
            if used is None or id(tensor) in used or not isinstance(tensor, nn.Parameter):
                # Torch keeps pinned memory until it is copied, so that nobody has to wait.
                now = mapped[key]
                tensor.copy_(now, non_blocking=tensor.is_cuda and now.is_pinned())


#: By network: what `load_state_dict` would collect anew for each of thousands of checkpoints.
_OWN: WeakKeyDictionary[nn.Module, dict[str, Tensor]] = WeakKeyDictionary()


def _own_tensors(network: nn.Module) -> dict[str, Tensor]:
    if network not in _OWN:
        _OWN[network] = dict(network.state_dict(keep_vars=True))
    return _OWN[network]


def _loads_plainly(network: nn.Module) -> bool:
    """Tell whether loading is copying: no module has a say in it, but torch's own."""
    return not any(
        module._load_state_dict_pre_hooks
        or module._load_state_dict_post_hooks
        or (
            type(module)._load_from_state_dict is not nn.Module._load_from_state_dict
            and not type(module).__module__.startswith("torch.nn.modules.")
        )
        or type(module).set_extra_state is not nn.Module.set_extra_state
        for module in network.modules()
    )


def heads_of(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the outputs that can be explained, the default first."""
    return tuple(getattr(network, "heads", ("logits",)))


def path_of(network: nn.Module, head: str | None) -> tuple[str, nn.Module]:
    """Return the name of the head and the module from the observation to its outputs.

    Raises
    ------
    UsageError
        The network has no such head.
    """
    heads = heads_of(network)
    chosen = heads[0] if head is None else head
    if chosen not in heads:
        raise UsageError(f"--head {chosen}: the network's heads are {', '.join(heads)}")
    path = getattr(network, "path", None)
    return chosen, network if path is None else path(chosen)


def _seen(shapes: Shapes) -> str:
    """Return the first ten keys with their shapes."""
    seen = ", ".join(f"{key} {shape}" for key, shape in list(shapes.items())[:10])
    return f"{seen} and {len(shapes) - 10} more" if len(shapes) > 10 else seen


def _as_hinted(architecture: Architecture, hints: Mapping[str, Any]) -> Architecture:
    """Respect ``normalize_images=False``: the network then saw pixels of 0..255."""
    scaled = hints.get(_SCALED, True)
    if not isinstance(scaled, bool):
        raise UsageError(f"--arch-arg {_SCALED}={scaled}: expected True or False")
    if not scaled and architecture.preprocessing.expected:
        return replace(architecture, preprocessing=INSIDE)
    return architecture


def _refuse_others(resolved: Resolved, where: str) -> None:
    """Raise ArchitectureError where the file names what only looks like this architecture."""
    if resolved.others:
        raise ArchitectureError(
            f"{where}: the file names {' and '.join(resolved.others)}, and weights do not tell what "
            "that computes; give the network with --arch FILE.py:CALLABLE, or if it computes what "
            f"{resolved.architecture.name} does, say --arch {resolved.architecture.name}"
        )


def function_hints(hints: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of the hints that `check_function` compares."""
    return {name: hints[name] for name in (*_FUNCTION, _WHOLE) if name in hints}


def check_function(resolved: Resolved, header: Header, where: str) -> None:
    """Check that a further checkpoint's file says of its network what the first one's does.

    Raises
    ------
    ArchitectureError
        It names another activation, class or network, or images that are scaled otherwise.
    """
    if resolved.architecture.recognise is never:
        return
    for name in _FUNCTION:
        told = [name in hints or hints.get(_WHOLE) for hints in (resolved.hints, header.hints)]
        first, found = (hints.get(name) for hints in (resolved.hints, header.hints))
        if all(told) and first != found and name not in resolved.given:
            raise ArchitectureError(
                f"{where}: its {name} is {_or_default(found)}, that of the first checkpoint is "
                f"{_or_default(first)}: they are not of one network; choose with --pattern"
            )


def check_spaces(resolved: Resolved, header: Header, where: str) -> None:
    """Check that a further checkpoint's file has the spaces of the first one's.

    Raises
    ------
    ArchitectureError
        Its observations or its actions are others.
    """
    for name in _SPACES:
        first, found = (hints.get(name) or {} for hints in (resolved.hints, header.hints))
        known = [key for key in first if None not in (first[key], found.get(key))]
        differing = [key for key in known if first[key] != found[key]]
        if differing:
            shown = [
                f"{space['kind']} with {differing[0]} {space[differing[0]]}"
                if differing[0] != "kind" else space["kind"] for space in (found, first)
            ]  # fmt: skip
            raise ArchitectureError(
                f"{where}: its {name.replace('_', ' ')} is {shown[0]}, that of the first checkpoint is "
                f"{shown[1]}: they are not of one run; choose with --pattern"
            )


def _or_default(said: Any) -> Any:
    return "the default" if said is None else said


def named(name: str) -> Architecture:
    """Return the architecture that ``--arch`` names.

    Raises
    ------
    UsageError
        There is none, or the user's module cannot be imported.
    """
    registered = architectures()
    if name in registered:
        return registered[name]
    for family in FAMILIES:
        if name.startswith(family.prefix):
            return family.named(name)
    if ":" not in name:
        raise unknown_architecture(name, tuple(registered))
    return own_architecture(name)


def is_own(name: str) -> bool:
    """Tell whether what ``--arch`` names is code of the user's own, not a registered architecture."""
    registered = name in architectures() or any(name.startswith(f.prefix) for f in FAMILIES)
    return ":" in name and not registered


def _shapes_of(resolved: Resolved, where: str) -> dict[str, tuple[int, ...]]:
    # On "meta" nothing is allocated or initialised, however large the network is.
    try:
        with on_meta():
            return shapes_of(resolved.build())
    except ArchitectureError as error:
        raise ArchitectureError(f"{where}: {error}") from error
    except (RuntimeError, ValueError, AssertionError, OverflowError, MemoryError) as error:
        raise ArchitectureError(
            f"architecture {resolved.architecture.name} cannot be built with {as_text(resolved.arguments)}: "
            f"{first_line(error)}"
        ) from error


def _differing(expected: Shapes, found: Shapes) -> list[str]:
    lines = []
    for key in [*expected, *(key for key in found if key not in expected)]:
        if expected.get(key) != found.get(key):
            wanted = expected.get(key, "nothing")
            lines.append(f"{key} expected {wanted}, found {found.get(key, 'nothing')}")
    return lines


def _misfit(resolved: Resolved, differing: list[str], where: str) -> ArchitectureError:
    more = f"; and {len(differing) - _MOST_NAMED} more" if len(differing) > _MOST_NAMED else ""
    return ArchitectureError(
        f"{where}: the weights do not fit architecture {resolved.architecture.name}: "
        f"{'; '.join(differing[:_MOST_NAMED])}{more}; if it is of another training, skip it with --pattern, "
        "and otherwise say which network it is with --arch"
    )
