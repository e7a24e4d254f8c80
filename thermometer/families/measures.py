"""Calendar and units of measurement.

Weekdays, leap years, centuries, metric prefixes and units of time. Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, balanced, grid, near, shuffled, words

family = Family("measures")

_DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
# larger unit, smaller unit, power of ten between them
_METRIC = (
    ("kilometers", "meters", 3),
    ("meters", "centimeters", 2),
    ("centimeters", "millimeters", 1),
    ("kilograms", "grams", 3),
    ("liters", "milliliters", 3),
    ("dollars", "cents", 2),
)
_TIMES = (
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
)


@family.task(options=4)
def weekday(rng: Random) -> Iterator[Item]:
    """The weekday some days before or after another."""
    for day, shift in grid(rng, range(7), [*range(-6, 0), *range(1, 10)]):
        amount = "1 day" if abs(shift) == 1 else f"{abs(shift)} days"
        text = f"What day is {amount} {'after' if shift > 0 else 'before'} {_DAYS[day]}?"
        yield text, _DAYS[(day + shift) % 7], shuffled(rng, _DAYS)


@family.task(options=2)
def leap_year(rng: Random) -> Iterator[Item]:
    """Leap years; most of the others are even, so that parity does not tell."""
    leap = [year for year in range(1600, 2100) if _is_leap(year)]
    others = [year for year in range(1600, 2100, 2) if not _is_leap(year)] + [*range(1601, 2100, 8)]
    for year in balanced(rng, leap, others):
        yield f"Is {year} a leap year?", "yes" if _is_leap(year) else "no", ["yes", "no"]


@family.task(options=4)
def century(rng: Random) -> Iterator[Item]:
    """The century of a year, one more than its first digits say."""
    for year in shuffled(rng, [year for year in range(901, 2000) if year % 100]):
        right = year // 100 + 1
        wrong = map(int, near(rng, right, (1, 2, 3), floor=4))
        yield f"The year {year} was in which century?", _ordinal(right), map(_ordinal, wrong)


@family.task(options=3)
def metric(rng: Random) -> Iterator[Item]:
    """Metric units and money; wrong options are off by a power of ten."""
    for (big, small, power), count in grid(rng, _METRIC, range(2, 26)):
        lowest = max(0, power - rng.randrange(3))
        wrong = [str(count * 10 ** (lowest + shift)) for shift in shuffled(rng, range(3))]
        yield f"How many {small} are in {count} {big}?", str(count * 10**power), wrong


@family.task(options=4)
def time_units(rng: Random) -> Iterator[Item]:
    """Units of time, which do not go by tens."""
    for (big, small, factor), count in grid(rng, _TIMES, range(2, 26)):
        right = count * factor
        wrong = near(rng, right, (count, 2 * count, factor, 2 * factor, 10, 20), floor=1)
        yield f"{count} {big} is how many {small}?", str(right), wrong


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def _ordinal(number: int) -> str:
    ending = {21: "st", 22: "nd", 23: "rd"}.get(number, "th")
    return f"{number}{ending}"
