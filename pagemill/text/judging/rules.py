"""Rules that leave out a page or a book: a figure, a bound it must not pass, exceptions, and a reason in words."""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Collection, Mapping

from pagemill.records import PageQuality, Quality

Figure = float | str | None
Figures = Mapping[str, Figure]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CONDITIONS = ("above", "below", "any_of", "none_of")
_DIGITS = 4  # behind the point, as figures have them


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """What holds of a figure: it is above a number, or below one; or it is one of some values, or none of them.

    A figure that is not known holds nothing.
    """

    figure: str
    above: float | None = None
    below: float | None = None
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_condition(self)

    def holds(self, figures: Figures) -> bool:
        """Say whether this holds of the figures of a page or a book."""
        value = figures.get(self.figure)
        if value is None:
            return False
        if isinstance(value, str):
            return value in self.any_of or (bool(self.none_of) and value not in self.none_of)
        return (self.above is not None and value > self.above) or (self.below is not None and value < self.below)

    def describe(self, figures: Figures) -> str:
        """Return the condition with the figure it looks at: "garbage_score 0.72 is above 0.4"."""
        value = figures.get(self.figure)
        shown = value if isinstance(value, str | None) else _number(value)
        return f"{self.figure} {shown} is {_bound(self)}"


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """A named condition under which a page or a book is left out, unless one of the exceptions holds."""

    name: str
    figure: str
    reason: str
    above: float | None = None
    below: float | None = None
    any_of: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()
    unless: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} cannot be a rule's name; write small letters, digits and _")
        if not self.reason.strip():
            raise ValueError("the rule has no reason; say in words why such pages or books are not wanted")
        _check_condition(self)

    def broken_by(self, figures: Figures) -> str:
        """Return why the figures of a page or a book break this rule, "" if they do not."""
        condition = Condition(self.figure, self.above, self.below, self.any_of, self.none_of)
        if not condition.holds(figures) or any(exception.holds(figures) for exception in self.unless):
            return ""
        return condition.describe(figures)


def first_broken(rules: Collection[Rule], figures: Figures) -> tuple[str, str]:
    """Return the name of the first rule that figures break and why, ("", "") if they break none."""
    found = ((rule.name, rule.broken_by(figures)) for rule in rules)
    return next(((name, why) for name, why in found if why), ("", ""))


def figure_types(row: type[PageQuality] | type[Quality]) -> dict[str, type]:
    """Return the figures that a row has, each with the type of its values: int, float or str."""
    return {name: _value_type(hint) for name, hint in typing.get_type_hints(row).items()}


def _value_type(hint: typing.Any) -> type:
    if isinstance(hint, types.UnionType):
        (hint,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    return typing.cast(type, hint)


def _check_condition(condition: Condition | Rule) -> None:
    given = [name for name in _CONDITIONS if getattr(condition, name) not in (None, ())]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        raise ValueError(f"a condition is needed, found {found}; give one of {', '.join(_CONDITIONS)}")
    number = condition.above if condition.above is not None else condition.below
    if number is not None and not math.isfinite(number):
        raise ValueError(f"{given[0]} is {number}; give a finite number")


def _bound(condition: Condition) -> str:
    if condition.any_of:
        return f"one of {', '.join(condition.any_of)}"
    if condition.none_of:
        return f"none of {', '.join(condition.none_of)}"
    if condition.above is not None:
        return f"above {_number(condition.above)}"
    return f"below {_number(condition.below or 0.0)}"


def _number(value: float) -> str:
    rounded = round(value, _DIGITS)
    return str(int(rounded)) if rounded == int(rounded) else str(rounded)
