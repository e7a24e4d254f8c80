"""Verb forms: past tenses, participles and forms in -ing.

Wrong options follow another rule than the right one or have another vowel. Knows nothing about
scoring; the verbs stand in `_verb_forms`.
"""

import re
from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, around, shuffled
from thermometer.families._verb_forms import (
    FOR_ING,
    IRREGULAR,
    MORE_REGULAR,
    REGULAR,
    ing,
    regular_past,
)

family = Family("verbs")

_FIRST_VOWELS = re.compile("[aeiou]+|y(?!$)")
_LAST_VOWELS = re.compile("[aeiou]+(?=[^aeiou]+e?$)")
_N_PAST = 82  # the irregular verbs of `past_irregular`; the others stand in `yesterday`


@family.task(options=4)
def past_irregular(rng: Random) -> Iterator[Item]:
    """Irregular verbs, against the regular form, the participle and other vowels."""
    for verb, past, participle in shuffled(rng, IRREGULAR[:_N_PAST]):
        yield f"What is the past tense of {verb}?", past, _wrong_past(rng, verb, past, participle)


@family.task(options=3)
def past_regular(rng: Random) -> Iterator[Item]:
    """Regular verbs, against wrong spellings and other vowels."""
    for verb in shuffled(rng, REGULAR):
        past = regular_past(verb)
        yield f"Put the verb {verb} into the past tense.", past, _wrong_regular(rng, verb, past)


@family.task(options=4)
def yesterday(rng: Random) -> Iterator[Item]:
    """Other verbs, irregular and regular, in a sentence."""
    irregular = [(row[0], row[1], row[2]) for row in IRREGULAR[_N_PAST:]]
    for verb, past, participle in shuffled(rng, irregular + [(v, "", "") for v in MORE_REGULAR]):
        right = past or regular_past(verb)
        if past:
            wrong = _wrong_past(rng, verb, past, participle)
        else:
            wrong = _wrong_regular(rng, verb, right)
        yield f"Today they {verb}. Yesterday they what?", right, wrong


@family.task(options=3)
def participle(rng: Random) -> Iterator[Item]:
    """Past participles of irregular verbs."""
    for verb, past, right in shuffled(rng, IRREGULAR):
        yield f"What is the past participle of {verb}?", right, _wrong_past(rng, verb, right, past)


@family.task(options=4)
def ing_form(rng: Random) -> Iterator[Item]:
    """Forms in -ing, against wrong spellings and other vowels."""
    for verb in shuffled(rng, FOR_ING):
        right = ing(verb)
        wrong = [f"{verb}ing", f"{verb}{verb[-1]}ing", f"{verb[:-1]}ing", f"{verb}eing"]
        mixed = shuffled(rng, wrong)[:3] + rng.sample(_vowels(_FIRST_VOWELS, right), 2)
        yield f"What is the -ing form of {verb}?", right, shuffled(rng, mixed) + wrong


def _wrong_past(rng: Random, verb: str, right: str, other: str) -> list[str]:
    regular = f"{verb}d" if verb[-1] == "e" else f"{verb}ed"
    vowels = _vowels(_LAST_VOWELS, right)
    return shuffled(rng, [regular, other, *rng.sample(vowels, 2)]) + vowels


def _wrong_regular(rng: Random, verb: str, right: str) -> list[str]:
    stem = verb.removesuffix("e")
    endings = ("", "d", "ed", "t", "en", f"{stem[-1]}ed", "ied", "eded")
    forms = {f"{stem}{ending}" for ending in endings} | {*_vowels(_FIRST_VOWELS, right)}
    below = [form for form in sorted(forms) if form < right]
    return list(around(rng, below, [form for form in sorted(forms) if form > right]))


def _vowels(place: re.Pattern[str], form: str) -> list[str]:
    """The form with each of the vowels at that place."""
    return [place.sub(vowel, form, count=1) for vowel in "aeiou"]
