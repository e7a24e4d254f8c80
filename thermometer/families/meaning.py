"""Antonyms, synonyms and analogies, all read from one table of opposed word fields.

Knows nothing about scoring; the words stand in `_word_fields`.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, balanced, shuffled
from thermometer.families._word_fields import FIELDS

family = Family("meaning")

Entry = tuple[str, str, list[str], list[str]]  # word, its opposite, words alike, wrong words


@family.task(options=4)
def antonym(rng: Random) -> Iterator[Item]:
    """The opposite, among unrelated words."""
    for word, opposite, _, others in _entries(rng):
        yield f"What is the opposite of {word}?", opposite, others


@family.task(options=4)
def synonym(rng: Random) -> Iterator[Item]:
    """A word of the same meaning, among unrelated words."""
    for word, _, alike, others in _entries(rng):
        if alike:
            yield f"Which word means the same as {word}?", alike[0], others


@family.task(options=2)
def same_or_opposite(rng: Random) -> Iterator[Item]:
    """Whether two words are synonyms or antonyms."""
    entries = [entry for entry in _entries(rng) if entry[2]]
    same = [(word, alike[0], "same") for word, _, alike, _ in entries[::2]]
    other = [(word, opposite, "opposite") for word, opposite, _, _ in entries[1::2]]
    for first, second, right in balanced(rng, same, other):
        text = f"Do {first} and {second} have the same or the opposite meaning?"
        yield text, right, ["same", "opposite"]


@family.task(options=4)
def analogy(rng: Random) -> Iterator[Item]:
    """Word is to opposite as another word is to its opposite."""
    entries = list(_entries(rng))
    for (first, second, _, _), (word, opposite, alike, others) in zip(
        entries, entries[1:] + entries[:1], strict=True
    ):
        text = f"{first.capitalize()} is to {second} as {word} is to what?"
        wrong = alike[:1] + [other for other in others if other not in (first, second)]
        yield text, opposite, wrong


def _entries(rng: Random) -> Iterator[Entry]:
    """Every word once, with wrong words from other fields of the same word class."""
    keys = [
        (word_class, index, side, place)
        for word_class, fields in FIELDS.items()
        for index, field in enumerate(fields)
        for side in (0, 1)
        for place in range(len(field[side]))
    ]
    for word_class, index, side, place in shuffled(rng, keys):
        fields = FIELDS[word_class]
        words, opposites = fields[index][side], fields[index][1 - side]
        alike = shuffled(rng, [word for word in words if word != words[place]])
        others = [
            word
            for other, field in enumerate(fields)
            if other != index
            for word in field[0] + field[1]
        ]
        yield words[place], opposites[min(place, len(opposites) - 1)], alike, shuffled(rng, others)
