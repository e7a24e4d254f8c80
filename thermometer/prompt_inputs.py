"""What was handed over as prompts: how many, their ids, their tasks, and how a model reads them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer import _checks
from thermometer.tables import OutputTable
from thermometer.templates import Prompt, Template
from thermometer.types import Task

Prompts = Task | OutputTable | Sequence[str]


def size_of(prompts: Prompts) -> int:
    """Number of prompts; one string where many are meant is refused."""
    if isinstance(prompts, Task | OutputTable):
        return len(prompts)
    return len(_checks.strings("prompts", prompts))


def ids_of(prompts: Prompts) -> tuple[str, ...]:
    """Ids of a table or task; plain strings are numbered.

    Example:
        >>> ids_of(["Is it so?", "Why?"])
        ('prompt 1', 'prompt 2')
    """
    if isinstance(prompts, OutputTable):
        return prompts.ids
    if isinstance(prompts, Task):
        return tuple(question.id for question in prompts.questions)
    return tuple(f"prompt {number}" for number in range(1, len(prompts) + 1))


def groups_of(prompts: Prompts) -> NDArray[np.int64]:
    """(N,) the task of each prompt, from 0: by name in a table, one for all otherwise."""
    if isinstance(prompts, OutputTable):
        return np.unique(prompts.tasks, return_inverse=True)[1].astype(np.int64)
    return np.zeros(size_of(prompts), dtype=np.int64)


def scores_of(prompts: Prompts, scores: ArrayLike | None) -> NDArray[np.float64] | None:
    """Checked (N, K) scores: those given, or those of the table, or `None`."""
    if scores is None and isinstance(prompts, OutputTable):
        scores = prompts.scores
    if scores is None:
        return None
    matrix = _checks.score_matrix("scores", scores)
    if len(matrix) != size_of(prompts):
        raise _checks.fail("scores", f"of length {size_of(prompts)} (as `prompts`)", len(matrix))
    return matrix


def rendered(prompts: Task | Sequence[str], template: Template) -> list[Prompt]:
    """A task by the template; strings are complete prompts already."""
    if isinstance(prompts, Task):
        return template.render_task(prompts)
    texts = _checks.strings("prompts", prompts)
    if not texts:
        raise _checks.fail("prompts", "at least one prompt", "none")
    return [
        Prompt(identifier, text, chat=template.chat)
        for identifier, text in zip(ids_of(texts), texts, strict=True)
    ]
