"""Built-in tasks, written from facts and rules: families of siblings, no files, no network.

A family is one skill; its tasks differ in content, wording, size of numbers or number of options,
like the sub-tasks of a benchmark, so that an unseen task has relatives among the seen ones. They
serve for demonstrations and tests and are no benchmark of what a model knows. Nothing here knows
prompts or models.
"""

import difflib
from collections.abc import Sequence

from thermometer import _checks
from thermometer.families import (
    addition,
    antonyms,
    capitals,
    categories,
    comparison,
    dates,
    elements,
    letters,
    multiplication,
    plurals,
    ranking,
    translation,
    verbs,
    yes_no,
)
from thermometer.types import Task

__all__ = ["FAMILIES", "generate_task", "generate_tasks"]

_FAMILIES = {
    family.name: family
    for family in (
        addition.family,
        multiplication.family,
        comparison.family,
        dates.family,
        plurals.family,
        verbs.family,
        antonyms.family,
        translation.family,
        categories.family,
        capitals.family,
        elements.family,
        letters.family,
        ranking.family,
        yes_no.family,
    )
}

FAMILIES: dict[str, tuple[str, ...]] = {
    name: tuple(f"{name}/{task}" for task in family.recipes) for name, family in _FAMILIES.items()
}
"""Family name -> names of its tasks."""


def generate_task(name: str, n_questions: int = 100, seed: int = 0) -> Task:
    """One built-in task; the same arguments give the same questions everywhere.

    Args:
        name: A task of `FAMILIES`, such as ``"addition/two_digits"``.
        n_questions: How many different questions at most; more than the pool (80 or more)
            gives all of them. Fewer are the first ones of more.
        seed: Another seed gives other questions, options and positions.

    Raises:
        ValueError: For an unknown `name`, with close matches, or less than one question.

    Example:
        >>> task = generate_task("capitals/europe", n_questions=2)
        >>> task.questions[0].id, len(task.questions[0].options)
        ('capitals/europe/0', 4)
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
        n_questions: How many different questions at most for each task.
        seed: As in `generate_task`; a task does not depend on what else is generated.

    Raises:
        ValueError: For an unknown family, or less than one question.

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
