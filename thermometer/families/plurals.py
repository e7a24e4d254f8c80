"""Plurals of nouns: animals, things, people and food, nature and ideas.

Wrong options follow another rule than the right one. Knows nothing about scoring; the nouns stand
in `_nouns`.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families import _nouns
from thermometer.families._family import Family, Item, around, shuffled

family = Family("plurals")

Nouns = tuple[tuple[str, str], ...]


@family.task(options=3)
def animals(rng: Random) -> Iterator[Item]:
    """Animals."""
    return _items(rng, "What is the plural of {}?", _nouns.ANIMALS)


@family.task(options=3)
def things(rng: Random) -> Iterator[Item]:
    """Things."""
    return _items(rng, "What is the plural form of the noun {}?", _nouns.THINGS)


@family.task(options=4)
def people_and_food(rng: Random) -> Iterator[Item]:
    """People and food."""
    return _items(rng, "How do you write more than one {}?", _nouns.PEOPLE_AND_FOOD)


@family.task(options=4)
def one_and_two(rng: Random) -> Iterator[Item]:
    """Nature and ideas, in a phrase to be completed."""
    return _items(rng, "One {}, but two what?", _nouns.NATURE_AND_IDEAS)


def _items(rng: Random, template: str, nouns: Nouns) -> Iterator[Item]:
    for noun, right in shuffled(rng, nouns):
        stem = noun[:-1]
        forms = {f"{noun}{ending}" for ending in ("", "s", "es", "en", "ses", "zes")}
        forms |= {f"{stem}{ending}" for ending in ("ies", "ves")}
        below = [form for form in sorted(forms) if form < right]
        above = [form for form in sorted(forms) if form > right]
        singular = [noun] if rng.random() < 0.4 else []  # else the right one is often the shortest
        yield template.format(noun), right, [*singular, *around(rng, below, above)]
