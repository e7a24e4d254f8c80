"""Products: the table in digits and in words, by round numbers, as groups of things.

Wrong options are neighbours in the multiplication table. Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, grid, near
from thermometer.families._numerals import in_words

family = Family("multiplication")


@family.task(options=4)
def digits(rng: Random) -> Iterator[Item]:
    """The multiplication table."""
    for x, y in grid(rng, range(2, 13), range(2, 13)):
        yield f"What is {x} times {y}?", str(x * y), _near(rng, x, y)


@family.task(options=3)
def spelled_out(rng: Random) -> Iterator[Item]:
    """The multiplication table, asked in words and answered in digits."""
    for x, y in grid(rng, range(2, 13), range(2, 13)):
        yield f"What is {in_words(x)} times {in_words(y)}?", str(x * y), _near(rng, x, y)


@family.task(options=5)
def round_numbers(rng: Random) -> Iterator[Item]:
    """One digit by tens or hundreds."""
    for x, (y, unit) in grid(
        rng, range(2, 10), [(y, unit) for y in range(2, 10) for unit in (10, 100)]
    ):
        wrong = near(rng, x * y, (x, y, x + y, 1, 2), floor=1)
        text = f"Multiply {x} by {y * unit}. What is the result?"
        yield text, str(x * y * unit), [str(int(number) * unit) for number in wrong]


@family.task(options=4)
def groups(rng: Random) -> Iterator[Item]:
    """Equal groups of things."""
    for x, y in grid(rng, range(2, 13), range(2, 13)):
        yield f"How many are {x} groups of {y}?", str(x * y), _near(rng, x, y)


def _near(rng: Random, x: int, y: int) -> Iterator[str]:
    return near(rng, x * y, (x, y, x + y, 1, 2, 10))
