"""Capitals, continents, currencies and languages of countries.

Knows nothing about scoring; the facts stand in `_country_facts`.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._country_facts import COUNTRIES
from thermometer.families._family import Family, Item, shuffled

family = Family("countries")

_CONTINENTS = sorted({row[3] for row in COUNTRIES if row[3]})
_WITH_ARTICLE = {"United States", "Philippines", "Gambia", "Dominican Republic"}


@family.task(options=4)
def capital(rng: Random) -> Iterator[Item]:
    """The capital, among capitals of the same part of the world."""
    for row in shuffled(rng, COUNTRIES):
        others = [other for other in shuffled(rng, COUNTRIES) if other[0] != row[0]]
        others.sort(key=lambda other: other[3] != row[3])
        yield f"What is the capital of {_the(row[0])}?", row[1], [other[1] for other in others]


@family.task(options=2)
def capital_or_city(rng: Random) -> Iterator[Item]:
    """The capital, against another large city of the same country."""
    for row in shuffled(rng, COUNTRIES):
        yield f"Which city is the capital of {_the(row[0])}?", row[1], [row[2]]


@family.task(options=5)
def continent(rng: Random) -> Iterator[Item]:
    """The continent of a country; countries on two continents are left out."""
    for row in shuffled(rng, COUNTRIES):
        if row[3]:
            yield f"Which continent is {_the(row[0])} in?", row[3], shuffled(rng, _CONTINENTS)


@family.task(options=4)
def currency(rng: Random) -> Iterator[Item]:
    """The currency, among currencies as frequent as they are in the world."""
    for row in shuffled(rng, COUNTRIES):
        wrong = [other[4] for other in shuffled(rng, COUNTRIES) if other[4]]
        if row[4]:
            yield f"What is the currency of {_the(row[0])}?", row[4], wrong


@family.task(options=4)
def language(rng: Random) -> Iterator[Item]:
    """A main language; no other language of the country is offered."""
    for row in shuffled(rng, COUNTRIES):
        others = [other[5] for other in shuffled(rng, COUNTRIES) if other[5]]
        if row[5]:
            wrong = [word for word in others if word not in row[5:]]
            yield f"What is a main language of {_the(row[0])}?", row[5], wrong


def _the(country: str) -> str:
    """The name as it stands in a sentence."""
    return f"the {country}" if country in _WITH_ARTICLE else country
