"""Capitals of the countries of four parts of the world, and countries of capitals.

Wrong options are other capitals, or countries, of the same part. Knows nothing about scoring; the
facts stand in `_country_facts`.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._country_facts import COUNTRIES, the
from thermometer.families._family import Family, Item, grid, shuffled

family = Family("capitals")

_WORDINGS = (
    "What is the capital of {}?",
    "Which city is the capital of {}?",
    "Name the capital city of {}.",
)


@family.task(options=4)
def europe(rng: Random) -> Iterator[Item]:
    """European countries."""
    return _items(rng, "Europe")


@family.task(options=4)
def asia(rng: Random) -> Iterator[Item]:
    """Asian countries."""
    return _items(rng, "Asia")


@family.task(options=5)
def africa(rng: Random) -> Iterator[Item]:
    """African countries."""
    return _items(rng, "Africa")


@family.task(options=3)
def americas(rng: Random) -> Iterator[Item]:
    """North, Central and South American countries."""
    return _items(rng, "Americas")


@family.task(options=4)
def country(rng: Random) -> Iterator[Item]:
    """The country of a capital, in all parts of the world."""
    entries = [(row, rows) for rows in COUNTRIES.values() for row in rows]
    for row, others in shuffled(rng, entries):
        wrong = [other[0] for other in shuffled(rng, others)]
        yield f"{row[1]} is the capital of which country?", row[0], wrong


def _items(rng: Random, part: str) -> Iterator[Item]:
    """Every country in every wording."""
    rows = COUNTRIES[part]
    for row, wording in grid(rng, rows, _WORDINGS):
        yield wording.format(the(row[0])), row[1], [other[1] for other in shuffled(rng, rows)]
