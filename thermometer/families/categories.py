"""What kind of thing something is: animals, food, objects and ideas.

Wrong options are other kinds of the same group. Knows nothing about scoring; the words stand in
`_kinds`.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families import _kinds
from thermometer.families._family import Family, Item, a, shuffled

family = Family("categories")


@family.task(options=5)
def animals(rng: Random) -> Iterator[Item]:
    """Mammal, bird, fish, insect, reptile and so on."""
    for kind, word, wrong in _entries(rng, _kinds.ANIMALS):
        yield f"{a(word).capitalize()} is a kind of what?", kind, wrong


@family.task(options=4)
def food(rng: Random) -> Iterator[Item]:
    """Fruit, vegetable, drink, meat and so on."""
    for kind, word, wrong in _entries(rng, _kinds.FOOD):
        yield f"What type of food or drink is {word}?", kind, wrong


@family.task(options=4)
def objects(rng: Random) -> Iterator[Item]:
    """Tool, vehicle, garment and so on."""
    for kind, word, wrong in _entries(rng, _kinds.OBJECTS):
        yield f"What kind of thing is {a(word)}?", kind, wrong


@family.task(options=3)
def ideas(rng: Random) -> Iterator[Item]:
    """Profession, sport, science, color and so on."""
    for kind, word, wrong in _entries(rng, _kinds.IDEAS):
        yield f"To which category does the word {word} belong?", kind, wrong


def _entries(
    rng: Random, kinds: dict[str, tuple[str, ...]]
) -> Iterator[tuple[str, str, list[str]]]:
    pairs = [(kind, word) for kind, members in kinds.items() for word in members]
    for kind, word in shuffled(rng, pairs):
        yield kind, word, shuffled(rng, _kinds.others(kinds, kind))
