"""Sums, differences, products, quotients and remainders of small whole numbers.

Wrong options are a slip away from the right one: a neighbour, a lost carry, a row of the
multiplication table. Knows nothing about how the questions are scored.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, grid, near, shuffled

family = Family("arithmetic")


@family.task(options=4)
def add_one_digit(rng: Random) -> Iterator[Item]:
    """Sums up to 10 + 10."""
    for x, y in grid(rng, range(1, 11), range(1, 11)):
        yield f"What is {x} + {y}?", str(x + y), near(rng, x + y, (1, 2, 3, 4))


@family.task(options=4)
def add_two_digits(rng: Random) -> Iterator[Item]:
    """Sums of two-digit numbers; wrong options lose or gain a carry."""
    for x, y in grid(rng, range(11, 100), range(11, 100)):
        yield f"What is {x} plus {y}?", str(x + y), near(rng, x + y, (1, 2, 9, 10, 11, 20))


@family.task(options=4)
def add_three_digits(rng: Random) -> Iterator[Item]:
    """Sums of three-digit numbers."""
    for x, y in grid(rng, range(101, 500), range(101, 500)):
        yield f"Calculate {x} + {y}.", str(x + y), near(rng, x + y, (1, 10, 11, 90, 100, 110))


@family.task(options=3)
def subtract(rng: Random) -> Iterator[Item]:
    """Differences of two-digit numbers, never negative."""
    for x, y in grid(rng, range(21, 100), range(11, 90)):
        if x > y + 2:
            yield f"What is {x} minus {y}?", str(x - y), near(rng, x - y, (1, 2, 9, 10, 11))


@family.task(options=4)
def multiply(rng: Random) -> Iterator[Item]:
    """The multiplication table; wrong options are its neighbours."""
    for x, y in grid(rng, range(2, 13), range(2, 13)):
        yield f"What is {x} times {y}?", str(x * y), near(rng, x * y, (x, y, x + y, 1, 2, 10))


@family.task(options=5)
def divide(rng: Random) -> Iterator[Item]:
    """The multiplication table backwards."""
    for x, y in grid(rng, range(2, 13), range(2, 13)):
        yield f"What is {x * y} divided by {y}?", str(x), near(rng, x, (1, 2, 3, 4, 5), floor=1)


@family.task(options=3)
def remainder(rng: Random) -> Iterator[Item]:
    """Remainders by three to nine."""
    for x, y in grid(rng, range(20, 100), range(3, 10)):
        wrong = shuffled(rng, [str(rest) for rest in range(y)])
        yield f"What is the remainder of {x} divided by {y}?", str(x % y), wrong
