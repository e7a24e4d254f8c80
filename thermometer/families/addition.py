"""Sums: of one digit, in words, of two digits, of round numbers, of three numbers.

Wrong options are a slip away from the right one: a neighbour, a lost carry. Knows nothing about
how the questions are scored.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, grid, near
from thermometer.families._numerals import in_words

family = Family("addition")


@family.task(options=4)
def one_digit(rng: Random) -> Iterator[Item]:
    """Sums up to 10 + 10."""
    for x, y in grid(rng, range(1, 11), range(1, 11)):
        yield f"What is {x} + {y}?", str(x + y), near(rng, x + y, (1, 2, 3, 4))


@family.task(options=3)
def spelled_out(rng: Random) -> Iterator[Item]:
    """Sums up to twelve plus twelve, with all numbers in words."""
    for x, y in grid(rng, range(2, 13), range(2, 13)):
        wrong = (in_words(int(number)) for number in near(rng, x + y, (1, 2, 3)))
        yield f"What is {in_words(x)} plus {in_words(y)}?", in_words(x + y), wrong


@family.task(options=4)
def two_digits(rng: Random) -> Iterator[Item]:
    """Sums of two-digit numbers; wrong options lose or gain a carry."""
    for x, y in grid(rng, range(11, 100), range(11, 100)):
        yield f"What is {x} plus {y}?", str(x + y), near(rng, x + y, (1, 2, 9, 10, 11, 20))


@family.task(options=5)
def round_numbers(rng: Random) -> Iterator[Item]:
    """Sums of multiples of ten; wrong options are multiples of ten too."""
    for x, y in grid(rng, range(10, 300, 10), range(10, 100, 10)):
        wrong = near(rng, x + y, (10, 20, 30, 40, 50))
        yield f"Add {x} and {y}. What do you get?", str(x + y), wrong


@family.task(options=4)
def three_numbers(rng: Random) -> Iterator[Item]:
    """Sums of three one-digit numbers."""
    for (x, y), z in grid(rng, [(x, y) for x in range(2, 10) for y in range(2, 10)], range(2, 10)):
        right = x + y + z
        yield f"{x} + {y} + {z} equals what?", str(right), near(rng, right, (1, 2, 3, 4, 10))
