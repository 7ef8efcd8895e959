"""The numbers in a name: what each of them says, by the words next to it and by its form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation

#: The unit of a number that follows or precedes one of these words.
_UNITS = {
    **dict.fromkeys(("step", "steps", "timestep", "timesteps", "globalstep", "envsteps", "nsteps", "iter",
                     "iters", "iteration", "iterations", "it", "its", "itr", "itrs", "update", "updates",
                     "frame", "frames", "batch", "batches"), "steps"),
    **dict.fromkeys(("epoch", "epochs"), "epochs"),
    **dict.fromkeys(("episode", "episodes"), "episodes"),
    "ep": "ep",
}  # fmt: skip
#: Words whose number is no step: results, settings, and which of several runs.
_OTHERS = frozenset(re.findall(r"\S+", """
    reward rewards rew rews return returns ret rets score scores acc accuracy loss losses val valid
    validation mean avg average std max min median error err metric metrics top f1 top1 top5 r2 map50 auc
    auroc map miou iou ap bleu rouge ppl perplexity psnr ssim fid kl dice mse mae rmse wer cer success
    winrate elo rating precision recall seed seeds fold rank worker gpu gpus lr gamma eps epsilon temp
    temperature alpha beta lambda entropy ent dim size width depth hidden layer layers bs batchsize
    dropout wd momentum rate prob
"""))  # fmt: skip
NO_STEP = "no step"
#: Words whose number says in which part of a training, or in which of several, steps are counted.
PARTS = frozenset(
    [
        "stage",
        "phase",
        "part",
        "task",
        "round",
        "cycle",
        "level",
        "lesson",
        "run",
        "trial",
        "repeat",
    ]
)
#: Words between a label and its number.
_FILLERS = frozenset(
    ("num", "no", "nr", "number", "n", "idx", "index", "count", "total", "at", "value")
)
#: By which a letter behind a number multiplies it, as in the names of the model hub: 100k, 1mm, 2.5M.
_FACTORS = {"": 1, "k": 10**3, "m": 10**6, "mm": 10**6, "b": 10**9}
#: Words between a number and what it counts: 100_env_steps.
_QUALIFIERS = frozenset(("env", "global", "time", "training", "total"))
_WORD = r"(?-i:[A-Z]?[a-z]+|[A-Z]+(?![a-z]))"
_TOKEN = re.compile(
    # Versions, identifiers and hashes say nothing of the step.
    r"(?P<skip>-v\d+(?![a-z\d])"
    r"|(?<![a-z\d])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![a-z\d])"
    r"|(?<![a-z\d])(?!\d+(?:\.\d+)?e\d{1,2}(?![a-z\d]))(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7,}(?![a-z\d])"
    r"|(?<![a-z\d])(?=(?:[a-z]*\d+[a-z]+){2})(?![a-z\d]*(?:ep|it|st|fr|ba|up))[a-z\d]{8}(?![a-z\d]))"
    r"|(?P<word>(?<![a-z\d])(?:f1|top[15]|r2|map50)(?![a-z\d])|" + _WORD + r")"
    # A hyphen behind another separator is a sign.
    r"|(?P<number>(?:(?:(?<=[_=:.@(/ ])|^)-)?\d+(?:\.\d+(?!\.?\d))?(?:e[+-]?\d{1,2}(?![a-z\d]))?"
    r"(?:(?:mm|k|m|b)(?![a-z\d])|(?:k|m|b)(?=(?:time)?(?:steps?|iter|frames)))?)",
    re.I,
)  # fmt: skip
_PFRL = re.compile(r"\d+_(?:checkpoint|except|finish)")
_GROUPED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:(?:_\d{3})+|(?:,\d{3})+)(?![\d.,])")
_DATE = re.compile(
    r"(?<![\d.])((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)"
    r"(?:(?:[T_ .-]|__)?(\d\d)(?:(\d\d)(\d\d)?|[-_:.h](\d\d)(?:[-_:.m](\d\d))?)(?:\.(\d{3})|[._-](\d{6}))?)?"
    r"Z?(?!\d)"
)
SECONDS, MILLISECONDS = "seconds since 1970", "milliseconds since 1970"
_LARGEST = 1 << 62


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number in a name.

    `value` is None where it is no whole number; `unit` is empty where nothing tells what it counts;
    `label` is the word that names it; `start` and `end` say where in the name it is.
    """

    text: str
    value: int | None
    start: int
    end: int
    unit: str = ""
    label: str = ""


def whole_number(text: str) -> int | None:
    """Return the whole number that a text says, or None.

    >>> [whole_number(text) for text in ("-1", "1e6", "2.5M", "500k", "1_000", "0.5", "x")]
    [-1, 1000000, 2500000, 500000, 1000, None, None]
    """
    plain = text.lower().replace("_", "")
    digits = plain.rstrip("kmb")
    try:
        value = Decimal(digits) * _FACTORS[plain.removeprefix(digits)]
    except (InvalidOperation, KeyError):
        return None
    return int(value) if abs(value) < _LARGEST and value == int(value) else None


def without_groups(names: Sequence[str]) -> list[str]:
    """Return names in which ``1,048,576`` is one number, and ``1_000_000`` where all such end in zeros."""
    found = [group for name in names for group in _GROUPED.findall(name)]
    if not found or not all("," in group or group.endswith("_000") for group in found):
        return list(names)
    return [_GROUPED.sub(lambda group: re.sub("[_,]", "", group[0]), name) for name in names]


def template(name: str) -> str:
    """Return `name` with ``#`` for numbers and without versions: files of one series share it.

    >>> template("epoch=3-loss=0.25-v1.ckpt") == template("epoch=10-loss=1.ckpt")
    True
    """
    return _TOKEN.sub(
        lambda token: (
            token[0] if token["word"] else "#" if token["number"] else "~" * (token[0][0] != "-")
        ),
        name,
    )


def numbers_in(name: str) -> list[Number]:
    """Return the numbers of a name, versions and hashes left out.

    >>> [(n.value, n.unit) for n in numbers_in("episode_100_reward_-21")]
    [(100, 'episodes'), (-21, 'no step')]
    """
    tokens = [token for token in _TOKEN.finditer(name) if not token["skip"]]
    places = [place for place, token in enumerate(tokens) if token["number"]]
    labels = _labels(name, tokens, places)
    found = []
    for place in places:
        token, label = tokens[place], labels.get(place, "")
        unit = _unit(label)
        value = whole_number(token[0])
        if not unit and "." in token[0] and not token[0][-1].isalpha():
            unit = NO_STEP
        found.append(Number(text=token[0], value=value, start=token.start(), end=token.end(),
                            unit=unit, label=label))  # fmt: skip
    if _PFRL.fullmatch(name):
        return [replace(found[0], unit="steps", label=name.rpartition("_")[2])]
    return found


def with_dates(name: str, numbers: Sequence[Number]) -> list[Number]:
    """Return the numbers of a name, where a date and its time of day are one number."""
    found = list(numbers)
    for date in _DATE.finditer(name):
        inside = [n for n in found if n.start < date.end() and n.end > date.start()]
        value, unit = _moment(date)
        if value is not None and inside and all(n.unit in ("", NO_STEP) for n in inside):
            at = found.index(inside[0])
            found[at : at + len(inside)] = [
                Number(text=date[0], value=value, start=date.start(), end=date.end(), unit=unit,
                       label="date")
            ]  # fmt: skip
    return found


def _moment(date: re.Match[str]) -> tuple[int | None, str]:
    """Return the time since 1970 that a date says, and its unit; None where there is no such day."""
    fields = (date[1], date[3], date[4], date[5], date[6] or date[8], date[7] or date[9])
    year, month, day, hour, minute, second = (int(field or 0) for field in fields)
    try:
        seconds = int(datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp())
    except ValueError:
        return None, ""
    if date[10] or date[11]:
        return 1000 * seconds + int(date[10] or date[11][:3]), MILLISECONDS
    return seconds, SECONDS


def _unit(label: str) -> str:
    return _UNITS.get(label) or (NO_STEP if label in _OTHERS else "")


def _labels(name: str, tokens: Sequence[re.Match[str]], places: Sequence[int]) -> dict[int, str]:
    """Return the word that names each number, by the number's place among the tokens.

    A word is before its number (``step_100``) or behind it (``100_steps``). Between two numbers it
    belongs to the second, unless it is written together with the first, or words are behind numbers
    up to the end of the name. A word for steps there that could belong to either is given to none.
    """

    def word(place: int) -> str:
        return (tokens[place]["word"] or "").lower() if 0 <= place < len(tokens) else ""

    def gap(place: int) -> str | None:
        """Return what separates the tokens at `place` and after it; None where they lie apart."""
        if not 0 <= place < len(tokens) - 1:
            return None
        between = name[tokens[place].end() : tokens[place + 1].start()]
        return between if len(between) <= 2 and "/" not in between else None

    def before(place: int) -> int:
        at = place - 1
        while word(at) in _FILLERS and word(at - 1) and gap(at - 1) is not None:
            at -= 1
        return at if gap(place - 1) is not None else -1

    def behind(place: int) -> int:
        at = place + 1
        while word(at) in _QUALIFIERS and gap(at) is not None:
            at += 1
        return at if gap(place) is not None else -1

    all_behind = bool(places) and _unit(word(behind(places[-1]))) != ""
    found: dict[int, str] = {}
    taken = {-1}
    for place in places:
        first, last = before(place), behind(place)
        if first not in taken and (_unit(word(first)) or gap(place - 1) in ("", "=")):
            found[place] = word(first)
            continue
        found[place] = "" if first in taken else word(first)
        if not _unit(word(last)):
            continue
        end = last  # of the words between this number and the next
        while word(end + 1) and gap(end) is not None:
            end += 1
        shared = end + 1 in places and gap(end) is not None
        is_step = _unit(word(last)) != NO_STEP
        if not shared or gap(place) == "" or all_behind or (is_step and end > last):
            found[place] = word(last)
            taken.add(last)
        elif (
            is_step
            and gap(last) not in ("", "=")
            and (word(last).endswith("s") or not found[place])
        ):
            taken.add(last)
    return found
