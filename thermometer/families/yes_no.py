"""Statements to be confirmed or denied: on kinds, capitals, letters, sums and primes.

Half of the right answers are yes. Knows nothing about scoring.
"""

from collections.abc import Iterator, Sequence
from random import Random

from thermometer.families import _kinds
from thermometer.families._country_facts import COUNTRIES, the
from thermometer.families._family import Family, Item, a, balanced, shuffled, words

family = Family("yes_no")

_WORDS = words("""
anchor arrow autumn basket blanket bottle bridge candle carpet castle circle cotton dinner dragon
engine feather garden hammer island jacket kettle ladder market needle office painter rocket saddle
""")


@family.task(options=2)
def kind(rng: Random) -> Iterator[Item]:
    """Whether an animal or object is of a kind."""
    groups = (_kinds.ANIMALS, _kinds.OBJECTS)
    entries = [(group, name, word) for group in groups for name in group for word in group[name]]
    true = [f"Is {a(word)} {a(name)}?" for _, name, word in entries]
    false = [
        f"Is {a(word)} {a(rng.choice(_kinds.others(group, name)))}?"
        for group, name, word in entries
    ]
    return _items(rng, true, false)


@family.task(options=2)
def capital(rng: Random) -> Iterator[Item]:
    """Whether a city is the capital or another city of its country."""
    rows = shuffled(rng, [row for part in COUNTRIES.values() for row in part])
    true = [f"Is {row[1]} the capital of {the(row[0])}?" for row in rows[::2]]
    false = [f"Is {row[2]} the capital of {the(row[0])}?" for row in rows[1::2]]
    return _items(rng, true, false)


@family.task(options=2)
def letter(rng: Random) -> Iterator[Item]:
    """Whether a letter occurs in a word; the letters are the common ones."""
    true, false = (
        [
            f"Does the word {word} contain the letter {letter}?"
            for word in _WORDS
            for letter in "aeinorst"
            if (letter in word) == present
        ]
        for present in (True, False)
    )
    return _items(rng, true, false)


@family.task(options=2)
def total(rng: Random) -> Iterator[Item]:
    """Whether a sum of small numbers is right."""
    pairs = [(x, y) for x in range(2, 13) for y in range(2, 13)]
    true = [f"Is {x} + {y} equal to {x + y}?" for x, y in pairs]
    slips = (-2, -1, 1, 2)
    false = [f"Is {x} + {y} equal to {x + y + rng.choice(slips)}?" for x, y in pairs]
    return _items(rng, true, false)


@family.task(options=2)
def prime(rng: Random) -> Iterator[Item]:
    """Whether an odd number that does not end in five is prime."""
    numbers = [number for number in range(11, 600) if number % 10 in (1, 3, 7, 9)]
    composite = {n for n in numbers if any(n % factor == 0 for factor in range(3, n, 2))}
    true, false = (
        [f"Is {n} a prime number?" for n in numbers if (n in composite) == divisible]
        for divisible in (False, True)
    )
    return _items(rng, true, false)


def _items(rng: Random, true: Sequence[str], false: Sequence[str]) -> Iterator[Item]:
    pairs = [[(text, right) for text in texts] for texts, right in ((true, "yes"), (false, "no"))]
    for text, right in balanced(rng, *pairs):
        yield text, right, ["yes", "no"]
