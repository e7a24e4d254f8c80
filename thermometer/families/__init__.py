"""Built-in tasks, written from facts and rules: families of siblings, no files, no network.

The families serve for demonstrations and tests, so that an unseen task has relatives among the
seen ones. They are no benchmark of what a model knows. Nothing here knows prompts or models.
"""

import difflib
from collections.abc import Sequence

from thermometer import _checks
from thermometer.families import (
    animals,
    arithmetic,
    categories,
    countries,
    elements,
    letters,
    meaning,
    measures,
    morphology,
    numbers,
    reasoning,
    translation,
)
from thermometer.types import Task

__all__ = ["FAMILIES", "generate_task", "generate_tasks"]

_FAMILIES = {
    family.name: family
    for family in (
        arithmetic.family,
        numbers.family,
        measures.family,
        reasoning.family,
        letters.family,
        morphology.family,
        meaning.family,
        translation.family,
        categories.family,
        animals.family,
        countries.family,
        elements.family,
    )
}

FAMILIES: dict[str, tuple[str, ...]] = {
    name: tuple(f"{name}/{task}" for task in family.recipes) for name, family in _FAMILIES.items()
}
"""Family name -> names of its tasks."""


def generate_task(name: str, n_questions: int = 100, seed: int = 0) -> Task:
    """One built-in task; the same arguments give the same questions everywhere.

    Args:
        name: A task of `FAMILIES`, such as ``"arithmetic/add_two_digits"``.
        n_questions: How many different questions. Fewer give the first ones of more.
        seed: Another seed gives other questions, options and positions.

    Raises:
        ValueError: For an unknown `name`, with close matches, or more questions than the task has.

    Example:
        >>> task = generate_task("countries/capital", n_questions=2)
        >>> task.questions[0].id, len(task.questions[0].options)
        ('countries/capital/0', 4)
    """
    family, _, recipe = name.partition("/")
    if name not in FAMILIES.get(family, ()):
        known = [task for tasks in FAMILIES.values() for task in tasks]
        raise _unknown("name", "the name of a built-in task", name, known)
    _checks.integer("n_questions", n_questions)
    _checks.integer("seed", seed, minimum=0)
    return _FAMILIES[family].make(recipe, n_questions, seed)


def generate_tasks(
    families: Sequence[str] | None = None, n_questions: int = 100, seed: int = 0
) -> list[Task]:
    """All built-in tasks of some families.

    Args:
        families: Names in `FAMILIES`; `None` for all.
        n_questions: How many different questions for each task.
        seed: As in `generate_task`; a task does not depend on what else is generated.

    Raises:
        ValueError: For an unknown family, or more questions than a task has.

    Example:
        >>> [task.name for task in generate_tasks(["translation"], n_questions=1)][:2]
        ['translation/to_spanish', 'translation/to_french']
    """
    names = list(FAMILIES) if families is None else _checks.strings("families", families)
    for name in names:
        if name not in FAMILIES:
            raise _unknown("families", "names of built-in families", name, list(FAMILIES))
    return [generate_task(task, n_questions, seed) for name in names for task in FAMILIES[name]]


def _unknown(argument: str, expected: str, name: str, known: list[str]) -> ValueError:
    matches = difflib.get_close_matches(name, known, n=5, cutoff=0.5) or known[:5]
    close = ", ".join(map(repr, matches))
    return _checks.fail(argument, f"{expected} (close matches: {close})", repr(name))
