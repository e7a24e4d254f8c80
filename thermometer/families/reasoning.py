"""Short inferences: what follows from a sentence or two, and what comes next in a row.

No knowledge of the world is needed. Knows nothing about scoring.
"""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from thermometer.families._family import Family, Item, balanced, grid, near, shuffled, words

family = Family("reasoning")

_NAMES = words("Anna Ben Carl Dora Emma Frank Grace Henry Jack Kate Lucy Mark Nina Paul Rose Tom")
_THINGS = words("cat dog sun red blue car tree one two up down fish bird cup hat star")
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIRECTIONS = words("north east south west")
_TURNS = (("right", 1), ("left", -1), ("around", 2))
_TRUTH = ("false", "true")
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
def turning(rng: Random) -> Iterator[Item]:
    """The direction someone faces after one or two turns."""
    turns = [[turn] for turn in _TURNS] + [[first, second] for first in _TURNS for second in _TURNS]
    for name, steps in grid(rng, _NAMES, turns):
        start = rng.randrange(4)
        end = (start + sum(step for _, step in steps)) % 4
        path = " and then ".join(f"turns {side}" for side, _ in steps)
        text = f"{name} faces {_DIRECTIONS[start]} and {path}. Which way does {name} face?"
        yield text, _DIRECTIONS[end], shuffled(rng, _DIRECTIONS)


@family.task(options=2)
def truth(rng: Random) -> Iterator[Item]:
    """Truth of (x and y) or z, with negations; both values are equally frequent."""
    groups: tuple[list[str], list[str]] = ([], [])
    for code in range(128):
        x, y, z, not_pair, not_z, inner_and, outer_and = (bool(code >> bit & 1) for bit in range(7))
        pair = (x and y) if inner_and else (x or y)
        left, right = pair != not_pair, z != not_z
        value = (left and right) if outer_and else (left or right)
        inner = f"({_TRUTH[x]} {'and' if inner_and else 'or'} {_TRUTH[y]})"
        outer = f"{'not ' * not_z}{_TRUTH[z]}"
        text = f"{'not ' * not_pair}{inner} {'and' if outer_and else 'or'} {outer}"
        groups[value].append(text)
    for text in balanced(rng, *groups):
        yield f"Is this true or false: {text}?", _TRUTH[text in groups[True]], _TRUTH


@family.task(options=4)
def next_number(rng: Random) -> Iterator[Item]:
    """A row of numbers with equal steps, upwards or downwards."""
    for start, step in grid(rng, range(1, 80), [*range(-9, -1), *range(2, 13)]):
        row = [start + step * place for place in range(5)]
        if min(row) >= 0:
            shown = ", ".join(map(str, row[:4]))
            size = abs(step)
            wrong = near(rng, row[4], (1, 2, size, size + 1, size - 1, 10))
            yield f"Which number comes next: {shown}?", str(row[4]), wrong


@family.task(options=4)
def next_letter(rng: Random) -> Iterator[Item]:
    """Letters in equal steps, forwards or backwards."""
    for start, step in grid(rng, range(26), [-4, -3, -2, -1, 1, 2, 3, 4]):
        row = [start + step * place for place in range(4)]
        if min(row) >= 0 and max(row) < 26:
            shown = ", ".join(_ALPHABET[place] for place in row[:3])
            shifts = shuffled(rng, [-3, -2, -1, 1, 2, 3])
            wrong = [_ALPHABET[(row[3] + shift) % 26] for shift in shifts]
            yield f"Which letter comes next: {shown}?", _ALPHABET[row[3]], wrong


@family.task(options=3)
def pattern(rng: Random) -> Iterator[Item]:
    """Three words in a repeating order."""
    for _ in range(1000):
        words = rng.sample(_THINGS, 3)
        length = rng.randrange(5, 8)
        shown = " ".join(words[place % 3] for place in range(length))
        yield f"What comes next: {shown}?", words[length % 3], shuffled(rng, words)
