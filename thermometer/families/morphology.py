"""English word forms: plurals, past tenses, comparatives, negations, articles.

Wrong options apply another rule than the right one. Words with two accepted forms are left out.
Knows nothing about scoring; the words stand in `_word_forms`.
"""

import re
from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, around, balanced, shuffled
from thermometer.families._word_forms import (
    A_NOUNS,
    ADJECTIVES,
    AN_NOUNS,
    NEGATIONS,
    PAST_TENSES,
    PLURALS,
)

family = Family("morphology")

_LAST_VOWEL = re.compile("[aeiou]+(?=[^aeiou]+e?$)")
_PREFIXES = ("un", "in", "im", "il", "ir", "dis", "mis")


@family.task(options=3)
def plural(rng: Random) -> Iterator[Item]:
    """Irregular plurals and the ones with a spelling rule."""
    for noun, right in shuffled(rng, PLURALS):
        stem = noun[:-1]
        forms = [f"{noun}s", f"{noun}es", f"{stem}ies", f"{stem}ves", f"{noun}en", noun]
        yield f"What is the plural of {noun}?", right, shuffled(rng, forms[:2]) + forms[2:]


@family.task(options=4)
def past_tense(rng: Random) -> Iterator[Item]:
    """Irregular verbs, against the regular form, the participle and other vowels."""
    for verb, past, participle in shuffled(rng, PAST_TENSES):
        regular = f"{verb}d" if verb[-1] == "e" else f"{verb}ed"
        vowels = [_LAST_VOWEL.sub(vowel, past) for vowel in "aeiou"]
        wrong = shuffled(rng, [regular, participle, *rng.sample(vowels, 2)]) + vowels
        yield f"What is the past tense of {verb}?", past, wrong


@family.task(options=3)
def comparative(rng: Random) -> Iterator[Item]:
    """Comparatives in -er, against other degrees and wrong spellings."""
    for adjective, stem in shuffled(rng, ADJECTIVES):
        right = f"{stem}er"
        forms = [f"{adjective}er", f"{adjective}{adjective[-1]}er", f"{adjective}r"]
        forms += [f"{stem}est", f"{stem}eer", f"{stem}ar", f"{stem}ur", f"{stem}ir"]
        wrong = around(rng, [x for x in forms if x < right], [x for x in forms if x > right])
        yield f"What is the comparative form of {adjective}?", right, wrong


@family.task(options=4)
def negation(rng: Random) -> Iterator[Item]:
    """The negating prefix of an adjective."""
    for adjective, prefix in shuffled(rng, NEGATIONS):
        wrong = [f"{other}{adjective}" for other in shuffled(rng, _PREFIXES)]
        yield f"Which word means not {adjective}?", f"{prefix}{adjective}", wrong


@family.task(options=2)
def article(rng: Random) -> Iterator[Item]:
    """A or an; in half of the words spelling misleads about the sound."""
    for noun in balanced(rng, A_NOUNS, AN_NOUNS):
        pair = shuffled(rng, [f"a {noun}", f"an {noun}"])
        right = f"a {noun}" if noun in A_NOUNS else f"an {noun}"
        yield f"Which is correct, {pair[0]} or {pair[1]}?", right, pair
