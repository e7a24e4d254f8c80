"""Comparing, reading and recognising numbers.

The size of a number, its Roman form, whether it is prime. Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, balanced, grid, near, shuffled, words

family = Family("numbers")

_ROMAN = ((100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"))
_UNITS = words("zero one two three four five six seven eight nine")
_TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")


@family.task(options=2)
def larger(rng: Random) -> Iterator[Item]:
    """The larger of two numbers with two digits."""
    for x, y in grid(rng, range(10, 100), range(10, 100)):
        if x != y:
            yield f"Which is larger, {x} or {y}?", str(max(x, y)), [str(min(x, y))]


@family.task(options=4)
def digits(rng: Random) -> Iterator[Item]:
    """A number in words, to be written in digits; wrong options swap or change them."""
    for ten, unit in grid(rng, range(2, 10), range(10)):
        for hundred in (0, rng.randrange(1, 10)):
            words = _TENS[ten - 2] + (f"-{_UNITS[unit]}" if unit else "")
            if hundred:
                words = f"{_UNITS[hundred]} hundred and {words}"
            number = 100 * hundred + 10 * ten + unit
            wrong = [100 * hundred + 10 * unit + ten] if unit and unit != ten else []
            wrong += shuffled(rng, [number + 10, number - 10, number + 1, number + 100])
            yield f"How is {words} written in digits?", str(number), map(str, wrong)


@family.task(options=4)
def roman(rng: Random) -> Iterator[Item]:
    """Roman numerals up to 130."""
    for number in shuffled(rng, range(4, 131)):
        wrong = near(rng, number, (1, 2, 5, 10, 20), floor=1)
        yield f"What is {number} in Roman numerals?", _roman(number), map(_roman, map(int, wrong))


@family.task(options=2)
def prime(rng: Random) -> Iterator[Item]:
    """Odd numbers that do not end in five: prime or not."""
    candidates = [number for number in range(11, 600) if number % 10 in (1, 3, 7, 9)]
    primes = [n for n in candidates if all(n % factor for factor in range(3, 25, 2) if factor < n)]
    composites = sorted(set(candidates) - set(primes))
    for number in balanced(rng, primes, composites):
        yield f"Is {number} a prime number?", "yes" if number in primes else "no", ["yes", "no"]


def _roman(number: int) -> str:
    text = ""
    for value, letters in _ROMAN:
        text += letters * (number // value)
        number %= value
    return text + "I" * number
