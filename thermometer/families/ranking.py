"""Who or what is first or last: two, three or four names and comparisons between them.

No knowledge of the world is needed. Knows nothing about scoring.
"""

from collections.abc import Iterator
from itertools import pairwise
from random import Random

from thermometer.families._family import Family, Item, shuffled, words

family = Family("ranking")

Names = tuple[str, ...]


@family.task(options=2)
def taller(rng: Random) -> Iterator[Item]:
    """The taller or shorter of two people."""
    people = words("Anna Ben Carl Dora Emma Frank Grace Henry Jack Kate Lucy Mark Nina Paul")
    for _ in range(1000):
        one, other = rng.sample(people, 2)
        last = rng.random() < 0.5
        text = f"{one} is taller than {other}. Who is {'shorter' if last else 'taller'}?"
        yield text, other if last else one, [one, other]


@family.task(options=3)
def older(rng: Random) -> Iterator[Item]:
    """The oldest or youngest of three people."""
    people = words("Alice Bob Clara David Eve Fred Helen Ivan Julia Kevin Laura Mike Rose Tom")
    return _items(rng, people, 3, "{} is older than {}.", "Who is {}?", ("oldest", "youngest"))


@family.task(options=4)
def faster(rng: Random) -> Iterator[Item]:
    """The fastest or slowest of four people."""
    people = words("Amy Dan Ella Greg Iris Jim Lily Max Olga Peter Ruth Sam Tina Will")
    return _items(rng, people, 4, "{} is faster than {}.", "Who is {}?", ("fastest", "slowest"))


@family.task(options=3)
def heavier(rng: Random) -> Iterator[Item]:
    """The heaviest or lightest of three things."""
    things = words("box bag chair lamp book table stone bottle basket clock bike wheel tent drum")
    story = "The {} is heavier than the {}."
    return _items(rng, things, 3, story, "Which is {}?", ("heaviest", "lightest"))


def _items(
    rng: Random, names: Names, count: int, story: str, question: str, ends: tuple[str, str]
) -> Iterator[Item]:
    """Comparisons of neighbours in a hidden order, told in random order."""
    for _ in range(1000):
        order = rng.sample(names, count)
        facts = shuffled(rng, [story.format(one, other) for one, other in pairwise(order)])
        last = rng.randrange(2)
        text = f"{' '.join(facts)} {question.format(f'the {ends[last]}')}"
        yield text, order[-1 if last else 0], shuffled(rng, order)
