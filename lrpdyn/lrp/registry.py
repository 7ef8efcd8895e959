"""The rules by name: what ``--rule`` takes, with parameters and their defaults."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from lrpdyn.errors import UsageError
from lrpdyn.files.nearby import did_you_mean, plain_word
from lrpdyn.lrp.stabiliser import STABILISER

if TYPE_CHECKING:
    from torch import Tensor

    from lrpdyn.lrp.rules import RuleFunction

#: A number, one number for each channel, or None: taken from the architecture's preprocessing.
Value = float | tuple[float, ...] | None
Parameters = Mapping[str, Value]

LINEAR = ("linear", "convolution")
_PRODUCTS = ("product", "matrix-product", "softmax")
ANY = ("linear", "convolution", "average-pooling", "max-pooling", "sum", "activation", "scaling",
       "normalisation", "opaque")  # fmt: skip


@dataclass(frozen=True)
class _Function:
    """A function of `lrpdyn.lrp.rules`, which loads torch: it is imported when it is used."""

    name: str

    @property
    def itself(self) -> Callable[..., Any]:
        from lrpdyn.lrp import rules

        found: Callable[..., Any] = getattr(rules, self.name)
        return found

    def __call__(self, *arguments: Any, **parameters: Any) -> Any:
        return self.itself(*arguments, **parameters)


class _Functions:
    """The functions of `lrpdyn.lrp.rules` by name, so that names and parameters load no torch."""

    def __getattr__(self, name: str) -> _Function:
        return _Function(name)


rules = _Functions()


def first_line(function: Callable[..., Any]) -> str:
    """Return the first line of a function's docstring."""
    own = function.itself if isinstance(function, _Function) else function
    return (inspect.getdoc(own) or "").partition("\n")[0]


@dataclass(frozen=True, kw_only=True)
class RuleDefinition:
    """A registered rule, and all that other rooms need to know of it.

    Parameters
    ----------
    function
        Called with (call, relevance, **parameters).
    parameters
        Names with their defaults.
    source
        Paper and equation.
    kinds
        The kinds of layers (`lrpdyn.lrp.canonical.layers`) that it can be given to.
    check
        Raises UsageError where the values make no sense together.
    title
        Its name in a sentence; the name that ``--rule`` takes where there is none.
    usual_sum
        What sum|R| / |score| usually is under it, in words; None where the rule alone does not say.
    terms_cancel
        Whether contributions of both signs cancel in its denominators, so that maps are noisy.
    shows_support_only
        Whether it shares a score among what speaks for it alone; or says so of its parameters.
    denominator
        Gives what relevance is divided by at each output of a linear layer, from (call,
        **parameters); None for a rule that does not divide so.
    bounded
        Whether its parameters are ``low`` and ``high``, bounds that all observations lie within, and
        it is for the layer that sees these.
    unstabilised
        Whether it divides with no stabiliser; layers without weights then do, too.
    above
        The rule of all other layers, where ``--rule`` gives it to the first linear layer alone.
    linear
        The rule of linear layers, where ``--rule`` names one that is for products and softmax.
    """

    function: RuleFunction | _Function
    parameters: Parameters = field(default_factory=dict)
    source: str = ""
    kinds: tuple[str, ...] = LINEAR
    check: Callable[[Parameters], None] | None = None
    title: str | None = None
    usual_sum: str | None = None
    terms_cancel: bool = False
    shows_support_only: bool | Callable[[Parameters], bool] = False
    denominator: Callable[..., Tensor] | None = None
    bounded: bool = False
    unstabilised: bool = False
    above: str | None = None
    linear: str | None = None

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return first_line(self.function)


@dataclass(frozen=True)
class Rule:
    """A rule as the user requested it, with every parameter filled in."""

    name: str
    parameters: Parameters

    @property
    def definition(self) -> RuleDefinition:
        """What is registered under its name."""
        return RULES[self.name]

    @property
    def shows_support_only(self) -> bool:
        """Whether it shares a score among what speaks for it alone."""
        shows = self.definition.shows_support_only
        return shows if isinstance(shows, bool) else shows(self.parameters)

    def about(self) -> dict[str, Any]:
        """Return what a reader of a run has to know of the rule, as plain data."""
        definition = self.definition
        return {
            "title": definition.title or self.name,
            "usual_sum": definition.usual_sum,
            "terms_cancel": definition.terms_cancel,
            "shows_support_only": self.shows_support_only,
        }

    def __str__(self) -> str:
        """Return the form that ``--rule`` takes."""
        values = [_text(value) for value in self.parameters.values() if value is not None]
        return f"{self.name}:{','.join(values)}" if values else self.name


def _text(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{entry:g}" for entry in value)
    return f"{value:g}"


def _check_epsilon(parameters: Parameters) -> None:
    if parameters["epsilon"] == 0:
        raise UsageError("rule epsilon: epsilon must be above 0; lrp0 is the rule without it")


def _check_alphabeta(parameters: Parameters) -> None:
    alpha, beta = parameters["alpha"], parameters["beta"]
    assert isinstance(alpha, float | int)
    assert isinstance(beta, float | int)
    if abs(alpha - beta - 1) > 1e-9:
        raise UsageError(
            f"rule alphabeta:{alpha:g},{beta:g}: alpha - beta must be 1, found {alpha - beta:g}; "
            "otherwise relevance is not conserved"
        )


def _check_box(parameters: Parameters) -> None:
    low, high = parameters["low"], parameters["high"]
    if (low is None) != (high is None):
        raise UsageError("rule zbox: expected both bounds, zbox:LOW,HIGH, or none")
    if low is None or high is None:
        return
    lows, highs = (v if isinstance(v, tuple) else (v,) for v in (low, high))
    lows *= len(highs) if len(lows) == 1 else 1
    highs *= len(lows) if len(highs) == 1 else 1
    if len(lows) != len(highs):
        raise UsageError(f"rule zbox: found {len(lows)} lower and {len(highs)} upper bounds")
    if any(a >= b for a, b in zip(lows, highs, strict=True)):
        raise UsageError("rule zbox: each lower bound must lie below its upper one")


_NEARLY_ALL = "1, less what biases take"
_CANCELLING = "100 and more, for terms of both signs cancel"
_WITH_SUMS = (*LINEAR, "average-pooling", "sum")

RULES: dict[str, RuleDefinition] = {
    "zplus": RuleDefinition(
        function=rules.zplus, kinds=(*_WITH_SUMS, "matrix-product"), title="z-plus", usual_sum=_NEARLY_ALL,
        shows_support_only=True, denominator=rules.positive_part,
        source="Bach et al. 2015, eq. 60; Montavon et al. 2017, eq. 15",
    ),
    "epsilon": RuleDefinition(
        function=rules.epsilon, parameters={"epsilon": STABILISER}, check=_check_epsilon,
        kinds=_WITH_SUMS, usual_sum=_CANCELLING, terms_cancel=True,
        denominator=rules.whole_output, source="Bach et al. 2015, eq. 58",
    ),
    "gamma": RuleDefinition(
        function=rules.gamma, parameters={"gamma": 0.25}, usual_sum="1 to 6",
        denominator=rules.favoured_output,
        source="Montavon et al. 2019, sec. 10.2.3; Andeol et al. 2021",
    ),
    "lrp0": RuleDefinition(
        function=rules.lrp0, usual_sum=_CANCELLING, terms_cancel=True,
        denominator=rules.whole_output, unstabilised=True, source="Bach et al. 2015, eq. 56",
    ),
    "alphabeta": RuleDefinition(
        function=rules.alphabeta, parameters={"alpha": 2.0, "beta": 1.0}, check=_check_alphabeta,
        shows_support_only=lambda parameters: parameters["beta"] == 0,
        denominator=rules.positive_part, source="Bach et al. 2015, eq. 60",
    ),
    "zbox": RuleDefinition(
        function=rules.zbox, parameters={"low": None, "high": None}, check=_check_box, bounded=True,
        above="zplus",  # as deep Taylor decomposition has it
        usual_sum=_NEARLY_ALL, source="Montavon et al. 2017, eq. 14",
    ),
    "wsquare": RuleDefinition(
        function=rules.wsquare, usual_sum=_NEARLY_ALL, source="Montavon et al. 2017, eq. 12"
    ),
    "flat": RuleDefinition(
        function=rules.flat, usual_sum=_NEARLY_ALL, source="Lapuschkin et al. 2019, supplement"
    ),
    "pass": RuleDefinition(function=rules.pass_through, kinds=ANY, source="Bach et al. 2015"),
    "norm": RuleDefinition(
        function=rules.norm, kinds=ANY, usual_sum=_CANCELLING, terms_cancel=True,
        source="Bach et al. 2015, eq. 58",
    ),
    "cp-lrp": RuleDefinition(
        function=rules.cp_lrp, kinds=_PRODUCTS, title="CP-LRP", linear="zplus",
        source="Ali et al. 2022; Arras et al. 2017, 2019",
    ),
    "attnlrp": RuleDefinition(
        function=rules.attnlrp, kinds=_PRODUCTS, title="AttnLRP", linear="epsilon",
        source="Achtibat et al. 2024, prop. 3.1 to 3.3",
    ),
}  # fmt: skip
#: The rule of products and softmax where none is given.
ATTENTION = "cp-lrp"
#: Names that stand for a rule with its parameters.
ALIASES = {"alpha2beta1": "alphabeta:2,1", "alpha1beta0": "alphabeta:1,0"}
#: How a name may be written besides, but for capitals, hyphens and the like.
_WRITTEN = {"w2": "wsquare", "zb": "zbox", "zbeta": "zbox", "eps": "epsilon", "identity": "pass",
            "zero": "lrp0"}  # fmt: skip
_LETTERS = str.maketrans({"ε": "epsilon", "ϵ": "epsilon", "γ": "gamma", "α": "alpha", "β": "beta",
                          "+": "plus", "²": "2", "⁺": "plus"})  # fmt: skip
#: Captum's own rules, as they are, and the rule here that does exactly what the name says.
STOCK = {
    "captum:alpha1beta0": "zplus",
    "captum:epsilon": "epsilon:1e-9",
    "captum:gamma": "gamma:0.25",
}

_ENTRY_POINTS = "lrpdyn.rules"
_loaded_entry_points = False


def register_rule(
    name: str,
    function: RuleFunction,
    *,
    parameters: Mapping[str, float] | None = None,
    source: str = "",
    kinds: tuple[str, ...] = ANY,
    usual_sum: str | None = None,
    shows_support_only: bool = False,
) -> None:
    """Make `name` known to ``--rule`` and to rules files.

    Parameters
    ----------
    name
        What ``--rule`` takes; letters, digits and hyphens.
    function
        Called with (call, relevance, **parameters): `lrpdyn.lrp.rules.Call` has the layer, its
        inputs and output; relevance has the shape of the output. Gives the relevance of the input,
        in its shape, or one for each input of a layer that joins branches.
    parameters
        Names with their defaults, in the order in which ``--rule NAME:VALUE,VALUE`` gives them.
    source
        Paper and equation, shown by ``lrpdyn rules``.
    kinds
        The kinds of layers that it can be given to.
    usual_sum
        What sum|R| / |score| usually is under it, in words, for the closing lines of ``compute``.
    shows_support_only
        Whether it shares a score among what speaks for it alone, as z-plus does. The report then
        looks for negative scores, and for scores that hardly anything speaks for.

    Raises
    ------
    ValueError
        The name is taken.
    """
    there = RULES.get(name)
    if name in ALIASES or (there is not None and not _same_source(there.function, function)):
        raise ValueError(f"a rule is called '{name}' already")
    RULES[name] = RuleDefinition(
        function=function,
        parameters=dict(parameters or {}),
        source=source,
        kinds=kinds,
        usual_sum=usual_sum,
        shows_support_only=shows_support_only,
    )


def _same_source(one: RuleFunction, two: RuleFunction) -> bool:
    """Return whether a file that registers a rule was merely run again."""
    return (
        inspect.isfunction(one)
        and inspect.isfunction(two)
        and (one.__qualname__, one.__code__.co_filename)
        == (two.__qualname__, two.__code__.co_filename)
    )


def rule_definitions() -> dict[str, RuleDefinition]:
    """Return all rules by name, those of installed packages included.

    An entry point of the group ``lrpdyn.rules`` is called without arguments and registers.
    """
    global _loaded_entry_points
    if not _loaded_entry_points:
        _loaded_entry_points = True
        for point in entry_points(group=_ENTRY_POINTS):
            point.load()()
    return RULES


def _definition(name: str) -> RuleDefinition:
    # Installed packages are read only for a name that is not known.
    definition = RULES.get(name) or rule_definitions().get(name)
    if definition is None:
        raise _unknown_rule(name, ())
    return definition


def shows_support_only(text: str) -> bool:
    """Return whether the rule of a layer, as a manifest writes it, shows support alone.

    >>> shows_support_only("alphabeta:1,0"), shows_support_only("gamma:0.25")
    (True, False)
    >>> shows_support_only("winner-takes-all")
    False
    """
    return text.partition(":")[0] in RULES and parse_rule(text).shows_support_only


def as_registered(text: str, others: Iterable[str] = ()) -> str:
    """Return ``NAME[:VALUES]`` with the registered name (or one of `others`) that a name stands for.

    Capitals, hyphens, underscores, a plus for the word and Greek letters do not matter, nor do LRP
    before the name and Rule after it. A name that stands for none stays.

    >>> as_registered("z+"), as_registered("Alpha2_Beta1"), as_registered("LRP-γ:0.5")
    ('zplus', 'alpha2beta1', 'gamma:0.5')
    """
    name, colon, values = text.partition(":")
    if name in RULES or name in ALIASES or name in others:
        return text
    known = {plain_word(known): known for known in (*RULES, *ALIASES, *others)}
    word = plain_word(name.casefold().translate(_LETTERS))
    for plain in (word, word.removeprefix("lrp"), word.removesuffix("rule")):
        found = known.get(plain) or _WRITTEN.get(plain)
        if found is not None:
            return f"{found}{colon}{values}"
    return text


def _unknown_rule(text: str, others: tuple[str, ...]) -> UsageError:
    """Return the error for a text whose name nothing is registered under."""
    values = re.search(r"(?:[=(\[ ,_]+|-)?([-+.\d][-+.,/ \de]*)[)\]]?$", text)
    if values is not None:
        name = as_registered(text[: values.start()], others)
        if name in RULES and RULES[name].parameters:
            written = f"{name}:{values[1].replace(' ', '')}"
            parse_rule(written)
            return UsageError(
                f"--rule {text}: the values of a rule follow a colon: --rule {written}"
            )
    known = sorted({*RULES, *ALIASES, *others})
    name = text.partition(":")[0]
    return UsageError(
        f"--rule {text}: no rule is called {name}{did_you_mean(name, known)}; the rules are: "
        f"{', '.join(known)}"
    )


def parse_rule(text: str, others: tuple[str, ...] = ()) -> Rule:
    """Read ``NAME[:VALUE[,VALUE...]]``; a value for each channel is written ``A/B/C``.

    Raises
    ------
    UsageError
        The name is not registered (the message also lists `others`), or the values do not fit it.
    """
    text = as_registered(text)
    text = ALIASES.get(text, text)
    name, _, values = text.partition(":")
    if name not in RULES and name not in rule_definitions():
        raise _unknown_rule(text, others)
    given, names = [v for v in values.split(",") if v.strip()], list(_definition(name).parameters)
    named = [value.rpartition("=")[::2] for value in given]
    if any(key for key, _ in named):
        by_name = {key.strip(): value.strip() for key, value in named}
        known = set(by_name) == set(names[: len(by_name)])
        values = ",".join(by_name[key] if known else key.upper() for key in names[: len(by_name)])
        raise UsageError(
            f"--rule {text}: values are given in their order, without names: --rule {name}:{values}"
        )
    if len(given) > len(names):
        takes = ", ".join(names) or "no parameter"
        raise UsageError(f"rule {text}: {name} takes {takes}, found {len(given)} values")
    return make_rule(name, dict(zip(names, given, strict=False)))


def make_rule(name: str, given: Mapping[str, object]) -> Rule:
    """Return the rule called `name` with the parameters that are given, numbers or text.

    Raises
    ------
    UsageError
        A parameter is not known, or its value makes no sense.
    """
    definition = _definition(name)
    unknown = [key for key in given if key not in definition.parameters]
    if unknown:
        takes = ", ".join(definition.parameters) or "no parameter"
        raise UsageError(f"rule {name} takes {takes}, found {', '.join(unknown)}")
    signed = definition.bounded
    read = {key: _value(name, key, value, signed=signed) for key, value in given.items()}
    parameters = {**definition.parameters, **read}
    if definition.check is not None:
        definition.check(parameters)
    return Rule(name=name, parameters=parameters)


def _value(rule: str, key: str, value: object, *, signed: bool) -> Value:
    given = value.split("/") if isinstance(value, str) else value
    entries = list(given) if isinstance(given, list | tuple) else [given]
    numbers = []
    for entry in entries:
        try:
            number = float(entry)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or (number < 0 and not signed):
            least = "a number" if signed else "a number of 0 or more"
            raise UsageError(f"rule {rule}: {key} must be {least}, found {value}")
        numbers.append(number)
    if len(numbers) > 1 and not signed:
        raise UsageError(f"rule {rule}: {key} takes one number, found {value}")
    return tuple(numbers) if len(numbers) > 1 else numbers[0]
