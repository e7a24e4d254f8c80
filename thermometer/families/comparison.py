"""Comparing numbers: the larger, the smaller, the largest of three, decimals.

Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, grid, shuffled

family = Family("comparison")


@family.task(options=2)
def larger(rng: Random) -> Iterator[Item]:
    """The larger of two numbers with two digits."""
    for x, y in grid(rng, range(10, 100), range(10, 100)):
        if x != y:
            yield f"Which is larger, {x} or {y}?", str(max(x, y)), [str(min(x, y))]


@family.task(options=2)
def smaller(rng: Random) -> Iterator[Item]:
    """The smaller of two numbers with three digits that start with the same one."""
    for hundred, (x, y) in grid(
        rng, range(100, 1000, 100), [(x, y) for x in range(100) for y in range(100) if x != y]
    ):
        x, y = hundred + x, hundred + y
        yield f"Which number is smaller: {x} or {y}?", str(min(x, y)), [str(max(x, y))]


@family.task(options=3)
def largest(rng: Random) -> Iterator[Item]:
    """The largest of three numbers with two digits."""
    for _ in range(1000):
        numbers = rng.sample(range(10, 100), 3)
        x, y, z = numbers
        wrong = [str(number) for number in numbers if number != max(numbers)]
        yield f"Which is the largest: {x}, {y} or {z}?", str(max(numbers)), shuffled(rng, wrong)


@family.task(options=2)
def decimals(rng: Random) -> Iterator[Item]:
    """A number with one decimal against one with two, so that more digits mean nothing."""
    for (whole, tenth), (other, hundredth) in grid(
        rng,
        [(whole, tenth) for whole in range(10) for tenth in range(1, 10)],
        [(other, hundredth) for other in range(1, 10) for hundredth in range(1, 10)],
    ):
        if tenth != other:
            short, long = f"{whole}.{tenth}", f"{whole}.{other}{hundredth}"
            right, wrong = (short, long) if tenth > other else (long, short)
            one, two = shuffled(rng, [short, long])
            yield f"Which is greater, {one} or {two}?", right, [wrong]
