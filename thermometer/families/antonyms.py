"""Opposites: of adjectives, qualities, verbs and nouns.

Wrong options are words of other fields of the same kind. Knows nothing about scoring; the words
stand in `_word_fields`.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, shuffled
from thermometer.families._word_fields import FIELDS

family = Family("antonyms")


@family.task(options=4)
def adjectives(rng: Random) -> Iterator[Item]:
    """The commonest adjectives."""
    return _items(rng, "What is the opposite of {}?", "adjective")


@family.task(options=3)
def qualities(rng: Random) -> Iterator[Item]:
    """Other adjectives."""
    return _items(rng, "The word {} is the opposite of what?", "quality")


@family.task(options=4)
def verbs(rng: Random) -> Iterator[Item]:
    """Verbs."""
    return _items(rng, "Which verb is the opposite of {}?", "verb")


@family.task(options=5)
def nouns(rng: Random) -> Iterator[Item]:
    """Nouns."""
    return _items(rng, "Which noun is the antonym of {}?", "noun")


def _items(rng: Random, template: str, kind: str) -> Iterator[Item]:
    """Every word of the kind once."""
    fields = FIELDS[kind]
    entries = [
        (word, sides[1 - side][min(place, len(sides[1 - side]) - 1)], sides)
        for sides in fields
        for side in (0, 1)
        for place, word in enumerate(sides[side])
    ]
    for word, right, sides in shuffled(rng, entries):
        wrong = [other for other, _, others in entries if others is not sides]
        yield template.format(word), right, shuffled(rng, wrong)
