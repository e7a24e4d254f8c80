"""How a task is written down: a function that yields items, registered in a `Family`.

An item is ``(text, right, wrong)``. `wrong` lists candidates, the most wanted first; as many as
the task has options are taken from it. Everything random comes from the generator that is handed
in. Nothing here knows a fact, a language model or a prompt template.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeVar

from thermometer.types import Question, Task

Item = tuple[str, str, Iterable[str]]
Recipe = Callable[[Random], Iterator[Item]]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Family:
    """Tasks that are siblings of each other.

    Args:
        name: The part of the task names before the slash.
        recipes: Number of options and item function of each task; filled by `task`.

    Example:
        >>> signs = Family("signs")
        >>> @signs.task(options=2)
        ... def minus(rng):
        ...     for number in shuffled(rng, range(9)):
        ...         yield f"The negative of {number + 1}?", f"-{number + 1}", [f"{number + 1}"]
        >>> signs.make("minus", 3, seed=0).questions[2].options
        ('8', '-8')
    """

    name: str
    recipes: dict[str, tuple[int, Recipe]] = field(default_factory=dict)

    def task(self, options: int) -> Callable[[Recipe], Recipe]:
        """Register a function as the task of its name, with `options` options per question."""

        def register(recipe: Recipe) -> Recipe:
            self.recipes[recipe.__name__] = (options, recipe)
            return recipe

        return register

    def make(self, task: str, n_questions: int, seed: int) -> Task:
        """The first `n_questions` of a task, or the whole pool; more only appends to fewer."""
        name = f"{self.name}/{task}"
        options, recipe = self.recipes[task]
        rng = Random(f"{seed}/{name}")
        questions: list[Question] = []
        seen: set[str] = set()
        for text, right, wrong in recipe(rng):
            if len(questions) == n_questions:
                break
            if text not in seen:
                seen.add(text)
                answer = rng.randrange(options)
                texts = _distinct(wrong, options - 1, right)
                texts.insert(answer, right)
                questions.append(Question(f"{name}/{len(questions)}", text, tuple(texts), answer))
        return Task(name, tuple(questions))


def _distinct(candidates: Iterable[str], count: int, right: str) -> list[str]:
    """The first `count` different candidates that are not the right option."""
    chosen: list[str] = []
    for candidate in candidates:
        if len(chosen) == count:
            break
        if candidate != right and candidate not in chosen:
            chosen.append(candidate)
    return chosen


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """A shuffled copy."""
    return rng.sample(items, len(items))


def grid(rng: Random, first: Sequence[T], second: Sequence[U]) -> Iterator[tuple[T, U]]:
    """All pairs of two sequences in random order; of very many pairs, 5000."""
    n_pairs = len(first) * len(second)
    for index in rng.sample(range(n_pairs), min(n_pairs, 5000)):
        yield first[index // len(second)], second[index % len(second)]


def balanced(rng: Random, *groups: Sequence[T]) -> list[T]:
    """Equally many items of each group, all of the smallest one, in random order."""
    count = min(map(len, groups))
    return shuffled(rng, [item for group in groups for item in rng.sample(group, count)])


def near(rng: Random, right: int, steps: Sequence[int], floor: int = 0) -> Iterator[str]:
    """Different wrong numbers, each a step off, none below `floor`; see `around`."""
    sizes = sorted(set(steps) - {0})
    below = [str(right - size) for size in sizes if right - size >= floor]
    return around(rng, below, [str(right + size) for size in sizes])


def around(rng: Random, below: Sequence[str], above: Sequence[str]) -> Iterator[str]:
    """Wrong options from both sides of the right one, so that its rank is uniform.

    The more lie on one side already, the likelier the next one lies there too (Pólya's urn);
    with independent draws the right option would mostly be the middle one.
    """
    sides = [shuffled(rng, below), shuffled(rng, above)]
    weights = [1, 1]
    while any(sides):
        side = rng.choices((0, 1), weights)[0]
        weights[side] += 1
        yield (sides[side] or sides[1 - side]).pop()


def table(text: str) -> tuple[tuple[str, ...], ...]:
    """Rows of a text; a semicolon or a line break ends a row, a comma ends a cell.

    >>> table("cat, kitten; dog, puppy")
    (('cat', 'kitten'), ('dog', 'puppy'))
    """
    rows = text.replace("\n", ";").split(";")
    return tuple(tuple(cell.strip() for cell in row.split(",")) for row in rows if row.strip())


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


def a(noun: str) -> str:
    """The noun after its indefinite article; for nouns that are spelled as they sound."""
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
