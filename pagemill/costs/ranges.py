"""A number that is not known well: its least, likely and greatest value."""

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """Low, likely and high, in this order."""

    low: float
    likely: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.likely <= self.high:
            raise ValueError(f"{self} is not in order")

    @classmethod
    def exactly(cls, value: float) -> "Range":
        """Return a number that is known."""
        return cls(value, value, value)

    @classmethod
    def around(cls, value: float, margin: float) -> "Range":
        """Return a number that is known to a fraction of it."""
        return cls(value * (1 - margin), value, value * (1 + margin))

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    def __mul__(self, factor: "Range | float") -> "Range":
        by = factor if isinstance(factor, Range) else Range.exactly(factor)
        return Range(self.low * by.low, self.likely * by.likely, self.high * by.high)

    def __rtruediv__(self, number: float) -> "Range":
        return Range(number / self.high, number / self.likely, number / self.low)
