"""Letters in words: first, last, how many, backwards.

Hard for models that read tokens instead of letters. Knows nothing about scoring.
"""

from collections.abc import Iterator
from random import Random

from thermometer.families._family import Family, Item, balanced, near, shuffled, words

family = Family("letters")

_WORDS = words("""
anchor apple arrow autumn banana basket beach blanket bottle bread bridge brother bucket butter
button candle carpet castle chair cherry circle cloud coffee cotton cousin dinner doctor dragon
eagle engine evening family farmer feather finger flower forest friend garden giraffe glass guitar
hammer harbor honey horse hotel hunter island jacket jungle kettle kitchen ladder lemon letter lion
market meadow mirror monkey morning mother mountain needle number ocean office onion orange painter
paper parrot pencil pepper picture pillow planet pocket potato prince rabbit river rocket saddle
sailor school season shadow silver sister soldier spider spring square station stone summer sunset
table teacher temple thunder tiger tomato tower train turtle umbrella uncle valley village violin
wagon water weather window winter wizard yellow zebra
""")
_SHORT = words("""
arm axe bag bat bear bed bell belt bike bird boat bone book boot bowl box bus cake car cat city
clay coat corn cow crab crow cup deer desk dog door drop drum duck ear farm fire fish flag fork
fox frog game gate goat gold hair hand hat hen hill home hook jam key king kite lake lamp leaf leg
milk mint moon nail nest nose oven owl park pear pen pig plum pond rain ring road rope rose salt
sand seat seed ship shoe shop sky snow soap sock song star sun tail tent tree wall wasp wind wing
wolf wood
""")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


@family.task(options=4)
def first_letter(rng: Random) -> Iterator[Item]:
    """The first letter, among the other letters of the word."""
    for word in shuffled(rng, _WORDS):
        yield f"What is the first letter of {word}?", word[0], _letters(rng, word)


@family.task(options=4)
def last_letter(rng: Random) -> Iterator[Item]:
    """The last letter, among the other letters of the word."""
    for word in shuffled(rng, _WORDS):
        yield f"Which letter does {word} end with?", word[-1], _letters(rng, word)


@family.task(options=5)
def how_many(rng: Random) -> Iterator[Item]:
    """The length of a word."""
    for word in shuffled(rng, _WORDS + _SHORT):
        wrong = near(rng, len(word), (1, 2, 3, 4), floor=2)
        yield f"How many letters are in {word}?", str(len(word)), wrong


@family.task(options=2)
def contains(rng: Random) -> Iterator[Item]:
    """Whether a letter occurs in a word; the letters are the common ones."""
    pairs = [(word, letter) for word in _WORDS for letter in "aeinorst"]
    present = [pair for pair in pairs if pair[1] in pair[0]]
    absent = [pair for pair in pairs if pair[1] not in pair[0]]
    for word, letter in balanced(rng, present, absent):
        right = "yes" if letter in word else "no"
        yield f"Does {word} contain the letter {letter}?", right, ["yes", "no"]


@family.task(options=3)
def backwards(rng: Random) -> Iterator[Item]:
    """A short word spelled backwards; wrong options swap or rotate letters."""
    for word in shuffled(rng, _SHORT):
        right = word[::-1]
        mixed = {right[1:] + right[0], right[-1] + right[:-1], right[1] + right[0] + right[2:]}
        mixed |= {right[:-2] + right[-1] + right[-2]}
        wrong = shuffled(rng, sorted(mixed - {word}))
        yield f"What is {word} spelled backwards?", right, wrong


def _letters(rng: Random, word: str) -> list[str]:
    """Letters of the word in random order, then any others."""
    return shuffled(rng, sorted(set(word))) + shuffled(rng, _ALPHABET)
