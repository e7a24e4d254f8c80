"""Counting in the calendar: weekdays and months, forwards and backwards.

Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, grid, shuffled, words

family = Family("dates")

_DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
_MONTHS = words("""
January February March April May June July August September October November December
""")
# no full rounds, after which the day or month would be the same
_DAY_STEPS = [step for step in range(1, 14) if step != 7]
_MONTH_STEPS = range(1, 12)


@family.task(options=4)
def days_after(rng: Random) -> Iterator[Item]:
    """The weekday some days after another."""
    for day, step in grid(rng, range(7), _DAY_STEPS):
        text = f"What day is {_count(step, 'day')} after {_DAYS[day]}?"
        yield text, _DAYS[(day + step) % 7], shuffled(rng, _DAYS)


@family.task(options=5)
def days_before(rng: Random) -> Iterator[Item]:
    """The weekday some days before another."""
    for day, step in grid(rng, range(7), _DAY_STEPS):
        text = f"Which weekday comes {_count(step, 'day')} before {_DAYS[day]}?"
        yield text, _DAYS[(day - step) % 7], shuffled(rng, _DAYS)


@family.task(options=4)
def months_after(rng: Random) -> Iterator[Item]:
    """The month some months after another."""
    for month, step in grid(rng, range(12), _MONTH_STEPS):
        text = f"What month is {_count(step, 'month')} after {_MONTHS[month]}?"
        yield text, _MONTHS[(month + step) % 12], shuffled(rng, _MONTHS)


@family.task(options=3)
def months_before(rng: Random) -> Iterator[Item]:
    """The month some months before another."""
    for month, step in grid(rng, range(12), _MONTH_STEPS):
        text = f"Which month comes {_count(step, 'month')} before {_MONTHS[month]}?"
        yield text, _MONTHS[(month - step) % 12], shuffled(rng, _MONTHS)


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"
