"""Short inferences: what follows from a sentence or two, and what comes next in a row.

No knowledge of the world is needed. Knows nothing about scoring.
"""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from thermometer.families._family import Family, Item, grid, near, shuffled, words

family = Family("reasoning")

_NAMES = words("Anna Ben Carl Dora Emma Frank Grace Henry Jack Kate Lucy Mark Nina Paul Rose Tom")
_THINGS = words("cat dog sun red blue car tree one two up down fish bird cup hat star")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# comparative, superlative of the same side, superlative of the other side
_SCALES = (
    ("taller", "tallest", "shortest"),
    ("older", "oldest", "youngest"),
    ("faster", "fastest", "slowest"),
    ("richer", "richest", "poorest"),
)


@family.task(options=3)
def ranking(rng: Random) -> Iterator[Item]:
    """Who is first or last of three, from two comparisons in either order."""
    for _ in range(1000):
        people = rng.sample(_NAMES, 3)
        more, most, least = rng.choice(_SCALES)
        facts = shuffled(rng, list(pairwise(people)))
        story = " ".join(f"{one} is {more} than {other}." for one, other in facts)
        last = rng.random() < 0.5
        text = f"{story} Who is the {least if last else most}?"
        yield text, people[2 if last else 0], shuffled(rng, people)


@family.task(options=2)
def who_has_more(rng: Random) -> Iterator[Item]:
    """Two people, two numbers; more or fewer."""
    for (one, other), (few, many) in grid(
        rng,
        [(one, other) for one in _NAMES for other in _NAMES if one != other],
        [(few, few + extra) for few in range(2, 10) for extra in range(1, 9)],
    ):
        more = rng.random() < 0.5
        counts = shuffled(rng, [few, many])
        story = f"{one} has {counts[0]} apples and {other} has {counts[1]}."
        right = one if (counts[0] == many) == more else other
        yield f"{story} Who has {'more' if more else 'fewer'}?", right, [one, other]


@family.task(options=4)
def next_number(rng: Random) -> Iterator[Item]:
    """A row of numbers with equal steps."""
    for start, step in grid(rng, range(1, 41), (1, 2, 3, 4, 5, 10)):
        row = [start + step * place for place in range(4)]
        shown = ", ".join(map(str, row[:3]))
        wrong = [text for text in near(rng, row[3], (1, 2, 3, 5, 10)) if int(text) not in row]
        yield f"What comes next: {shown}?", str(row[3]), wrong


@family.task(options=4)
def next_letter(rng: Random) -> Iterator[Item]:
    """Letters in equal steps, forwards or backwards."""
    for start, step in grid(rng, range(26), (-4, -3, -2, -1, 1, 2, 3, 4)):
        row = [start + step * place for place in range(4)]
        if min(row) >= 0 and max(row) < 26:
            shown = ", ".join(_ALPHABET[place] for place in row[:3])
            places = map(int, near(rng, row[3], (1, 2, 3, 4, 5)))
            near_by = [_ALPHABET[place] for place in places if place < 26 and place not in row]
            wrong = near_by + shuffled(rng, sorted(set(_ALPHABET) - {*shown}))
            yield f"Which letter comes next: {shown}?", _ALPHABET[row[3]], wrong


@family.task(options=3)
def pattern(rng: Random) -> Iterator[Item]:
    """Three words in a repeating order."""
    for _ in range(1000):
        words = rng.sample(_THINGS, 3)
        length = rng.randrange(5, 8)
        shown = " ".join(words[place % 3] for place in range(length))
        yield f"What comes next: {shown}?", words[length % 3], shuffled(rng, words)
