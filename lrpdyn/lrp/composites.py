"""Which layer gets which rule: one rule for all, a composite by name, or a user's rules file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean, similar_path
from lrpdyn.files.reasons import reason_of
from lrpdyn.files.toml_files import read_toml
from lrpdyn.lrp.registry import (
    ALIASES,
    ATTENTION,
    LINEAR,
    RULES,
    STOCK,
    Rule,
    as_registered,
    make_rule,
    parse_rule,
)

if TYPE_CHECKING:
    from torch import nn

    from lrpdyn.lrp.canonical.layers import Layer

KINDS = ("linear", "convolution", "average-pooling", "max-pooling", "sum", "activation", "scaling",
         "normalisation", "product", "matrix-product", "softmax")  # fmt: skip
_KEYS = ("rule", "name", "type", "first", "last")
_WILDCARDS = "*?["


@dataclass(frozen=True)
class Assignment:
    """A rule, and the layers that it is for.

    Parameters
    ----------
    rule
        The rule.
    name
        A pattern of layer names, as ``manifest.json`` shows them.
    type
        One of `KINDS`, or the name of a class such as ``Conv2d``.
    first, last
        Only the first (last) of the layers that fit the rest, in order of their call.

    Only linear layers are meant, unless `type` or the whole name of a layer says otherwise.
    """

    rule: Rule
    name: str | None = None
    type: str | None = None
    first: bool = False
    last: bool = False

    @property
    def whole_name(self) -> bool:
        return self.name is not None and not any(c in self.name for c in _WILDCARDS)

    def fits(self, name: str, layer: Layer) -> bool:
        """Return whether a layer is meant, whatever its place is."""
        if self.name is not None and not fnmatchcase(name, self.name):
            return False
        if self.type is not None:
            return self.type in (layer.kind, called(layer))
        return layer.kind in LINEAR or self.whole_name


@dataclass(frozen=True)
class Composite:
    """Assignments in order of precedence, under the name that the user gave.

    The name ends in ``+attnlrp`` where that is the rule of products and softmax that `assignments`
    leave out, and in ``+cp-lrp`` where the user said so.
    """

    name: str
    assignments: tuple[Assignment, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the form that ``--rule`` takes."""
        linear, attention = split_attention(self.name)
        if linear in RULES:
            return f"{Rule(name=linear, parameters=dict(self.parameters))}{attention}"
        return self.name

    @property
    def attention(self) -> str:
        """The rule of products and softmax that no assignment is for."""
        return split_attention(self.name)[1].removeprefix("+") or ATTENTION

    @property
    def exact_rule(self) -> str | None:
        """The rule here that does what Captum's own of this name says; None for other rules."""
        return STOCK.get(self.name)

    def about(self) -> dict[str, Any]:
        """Return what a reader of a run has to know of a rule; nothing is known of other composites."""
        linear, _ = split_attention(self.name)
        return Rule(name=linear, parameters=self.parameters).about() if linear in RULES else {}

    def claims(self, name: str, module: nn.Module) -> bool:
        """Return whether a module is given a rule as a whole, by its whole name or its class."""
        return any(
            (a.whole_name and a.name == name) or a.type == type(module).__name__
            for a in self.assignments
        )


@dataclass(frozen=True, kw_only=True)
class NamedComposite:
    """A composite that ``--rule`` takes by its name: what it does, in a line, and its source."""

    summary: str
    source: str
    entries: tuple[Mapping[str, Any], ...]


_FLAT_FIRST = {"rule": "flat", "first": True}
_ZPLUS = {"rule": "zplus", "type": "convolution"}
_ALPHA2_BETA1 = {"rule": "alpha2beta1", "type": "convolution"}
_EPSILON = {"rule": "epsilon"}
COMPOSITES: dict[str, NamedComposite] = {
    "epsilon-plus": NamedComposite(
        summary="zplus in convolutions, epsilon in Linear layers",
        source="Kohlbrenner et al. 2020",
        entries=(_ZPLUS, _EPSILON),
    ),
    "epsilon-plus-flat": NamedComposite(
        summary="epsilon-plus, with flat in the first layer",
        source="Kohlbrenner et al. 2020",
        entries=(_FLAT_FIRST, _ZPLUS, _EPSILON),
    ),
    "epsilon-alpha2-beta1": NamedComposite(
        summary="alphabeta:2,1 in convolutions, epsilon in Linear layers",
        source="Kohlbrenner et al. 2020",
        entries=(_ALPHA2_BETA1, _EPSILON),
    ),
    "epsilon-alpha2-beta1-flat": NamedComposite(
        summary="epsilon-alpha2-beta1, with flat in the first layer",
        source="Kohlbrenner et al. 2020",
        entries=(_FLAT_FIRST, _ALPHA2_BETA1, _EPSILON),
    ),
    "epsilon-gamma-box": NamedComposite(
        summary="zbox in the first convolution, gamma:0.25 in the others, epsilon in Linear layers; "
        "bounds as zbox:LOW,HIGH takes them",
        source="Montavon et al. 2019; Anders et al. 2021",
        entries=(
            {"rule": "zbox", "type": "convolution", "first": True},
            {"rule": "gamma", "type": "convolution"},
            _EPSILON,
        ),
    ),
}


def called(layer: Layer) -> str:
    """Return the name of the class or function that a layer stands for."""
    # Loads torch, which names of rules do not need.
    from lrpdyn.lrp.canonical.layers import Weighted

    return type(layer.module).__name__ if isinstance(layer, Weighted) else layer.called


def split_attention(text: str) -> tuple[str, str]:
    """Return what ``--rule`` takes without a rule for attention at its end, and that with its plus.

    >>> split_attention("gamma:0.5+attnlrp"), split_attention("epsilon:1e+3")
    (('gamma:0.5', '+attnlrp'), ('epsilon:1e+3', ''))
    """
    linear, plus, attention = text.rpartition("+")
    attention = as_registered(attention)
    known = plus and attention in RULES and RULES[attention].linear is not None
    return (linear, f"+{attention}") if known else (text, "")


def is_file(text: str) -> bool:
    """Return whether ``--rule`` is given a rules file."""
    return split_attention(text)[0].endswith(".toml")


def parse_composite(text: str) -> Composite:
    """Read what ``--rule`` takes: NAME[:VALUES], a composite's name, or FILE.toml.

    Each with ``+attnlrp`` or ``+cp-lrp`` where products and softmax are to have these; alone they
    have a rule for linear layers of their own.

    Raises
    ------
    UsageError
        There is no such rule or file, or its values do not fit.
    """
    linear, attention = split_attention(text)
    if attention:
        if linear.startswith("captum:"):
            exact = STOCK.get(linear, "epsilon")
            raise UsageError(
                f"--rule {text}: Captum has no rule for attention; use --rule {exact}{attention}"
            )
        name = as_registered(linear)
        alone = name in RULES and RULES[name].linear is not None
        if alone or not linear or split_attention(linear)[1]:
            raise UsageError(
                f"--rule {text}: expected a rule for linear layers before {attention}, found "
                f"{linear or 'nothing'}"
            )
        found = _without_attention(linear)
        return replace(found, name=f"{found.name}{attention}")
    before, plus, after = text.rpartition("+")
    if plus and after[:1].isalpha() and not text.endswith(".toml"):
        known = " or ".join(f"+{name}" for name, rule in RULES.items() if rule.linear)
        raise UsageError(
            f"--rule {text}: expected {known} after {before}, found +{after}"
            + did_you_mean(after, [name for name, rule in RULES.items() if rule.linear])
        )
    return _without_attention(text)


def _without_attention(text: str) -> Composite:
    if text.endswith(".toml"):
        return _from_file(Path(text))
    if text.startswith("captum:"):
        if text not in STOCK:
            hint = did_you_mean(text, STOCK)
            raise UsageError(f"--rule {text}: expected one of {', '.join(STOCK)}{hint}")
        return Composite(name=text, assignments=())
    text = as_registered(text, COMPOSITES)
    name, _, values = text.partition(":")
    if name in COMPOSITES:
        return _named(name, values)
    plain, _, _ = ALIASES.get(text, text).partition(":")
    rule = parse_rule(text, (*COMPOSITES, *STOCK, "FILE.toml"))
    if rule.definition.linear is not None:
        return parse_composite(f"{rule.definition.linear}+{plain}")
    if rule.definition.above is not None:
        above = Assignment(parse_rule(rule.definition.above))
        return Composite(
            name=plain,
            assignments=(Assignment(rule, first=True), above),
            parameters=rule.parameters,
        )
    if plain == "pass":
        raise UsageError(
            "rule pass is for single layers: give it in a rules file, --rule FILE.toml"
        )
    return Composite(name=plain, assignments=(Assignment(rule),), parameters=rule.parameters)


def _named(name: str, values: str) -> Composite:
    entries = [dict(entry) for entry in COMPOSITES[name].entries]
    parameters: dict[str, Any] = {}
    if values:
        if entries[0]["rule"] != "zbox":
            raise UsageError(f"rule '{name}:{values}': {name} takes no parameter")
        entries[0]["rule"] = f"zbox:{values}"
    assignments = tuple(assignment(entry, name) for entry in entries)
    if values:
        parameters = dict(assignments[0].rule.parameters)
    return Composite(name=name, assignments=assignments, parameters=parameters)


def _from_file(path: Path) -> Composite:
    try:
        found = read_toml(path)
    except FileNotFoundError as error:
        raise UsageError(f"--rule {path}: no such file{similar_path(str(path))}") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"--rule {path}: cannot be read as TOML: {reason_of(error)}") from error
    entries = found.get("layers")
    if set(found) != {"layers"} or not isinstance(entries, list) or not entries:
        raise UsageError(
            f"--rule {path}: expected tables [[layers]], each with a rule and any of name, type, "
            f"first, last; found {', '.join(found) or 'nothing'}"
        )
    return composite_of(str(path), entries)


def composite_of(name: str, entries: Sequence[Any]) -> Composite:
    """Return the composite of the tables of a rules file, which has this name.

    Raises
    ------
    UsageError
        A table has no rule, or a key or value that makes no sense.
    """
    assignments = tuple(
        assignment(entry, f"{name}, [[layers]] {number}")
        for number, entry in enumerate(entries, start=1)
    )
    return Composite(name=name, assignments=assignments, parameters={"layers": entries})


def assignment(entry: Any, where: str) -> Assignment:
    """Read one table of a rules file; `where` names it in errors.

    Raises
    ------
    UsageError
        It has no rule, or a key or value that makes no sense.
    """
    if not isinstance(entry, Mapping) or not isinstance(entry.get("rule"), str):
        raise UsageError(f'--rule {where}: expected rule = "NAME[:VALUES]"')
    given = dict(entry)
    text = given.pop("rule")
    place = {key: given.pop(key) for key in _KEYS if key in given}
    for key, kind in (("name", str), ("type", str), ("first", bool), ("last", bool)):
        if key in place and not isinstance(place[key], kind):
            raise UsageError(
                f"--rule {where}: {key} must be {'text' if kind is str else 'true or false'}, "
                f"found {place[key]}"
            )
    if text.startswith("captum:"):
        raise UsageError(f"--rule {where}: {text} is for the whole network: --rule {text}")
    try:
        # Bounds for each channel are easier to read as a list: low = [0, 0, 0].
        rule = make_rule(as_registered(text), given) if given else parse_rule(text)
    except UsageError as error:
        raise UsageError(f"--rule {where}: {error}") from error
    return Assignment(rule, **place)
