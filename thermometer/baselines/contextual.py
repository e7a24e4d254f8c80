"""Contextual calibration: the model's tendency, learned from questions that ask nothing.

It reads option scores. `content_free_task` makes the questions; a `LanguageModel` scores them.
"""

from collections.abc import Sequence

from thermometer import _checks
from thermometer.baselines.prior import PriorCalibration
from thermometer.types import Question, Task

CONTENT_FREE = ("N/A", "[MASK]", "-")
"""Zhao et al. used "N/A", "[MASK]" and the empty string, for which a dash stands here: a
`Question` has a text."""


class ContextualCalibration(PriorCalibration):
    """Divide option probabilities by those of content-free questions (Zhao 2021).

    Fit it on the scores of `content_free_task(task)`, made with the template of the task, and
    predict the scores of the task. Formula, arguments and errors are those of `PriorCalibration`:
    **the answer may change**. (The authors need only the answer, and leave the quotients
    unnormalised.)

    Zhao, Wallace, Feng, Klein and Singh, "Calibrate before use: improving few-shot performance of
    language models" (2021, arXiv 2102.09690).

    Example:
        >>> of_nothing, of_questions = [[2.0, 0.0]], [[2.0, 0.0], [3.0, 0.0]]
        >>> calibration = ContextualCalibration().fit(of_nothing)
        >>> calibration.predict_proba(of_questions).round(3).tolist()
        [[0.5, 0.5], [0.731, 0.269]]
    """


def content_free_task(task: Task, texts: Sequence[str] = CONTENT_FREE, max_lists: int = 20) -> Task:
    """Questions that ask nothing, with the options and demonstrations of a task.

    Every text is combined with every different list of options, of which for each number of options
    the first `max_lists` count. A task whose questions share their options so becomes
    ``len(texts)`` questions. Passages are left out; nothing is labelled.

    Args:
        task: Labelled or not.
        texts: What to ask instead of the questions.
        max_lists: Most lists of options for each number of options.

    Example:
        >>> task = Task("capitals", (Question("q1", "Capital of France?", ("Paris", "Rome")),))
        >>> [question.text for question in content_free_task(task).questions]
        ['N/A', '[MASK]', '-']
    """
    texts = _checks.strings("texts", texts)
    lists = option_lists(task, max_lists)
    questions = tuple(
        Question(f"{task.name}/content-free {i * len(texts) + j}", text, options)
        for i, options in enumerate(lists)
        for j, text in enumerate(texts)
    )
    return Task(f"{task.name} (content-free)", questions, task.demonstrations)


def option_lists(task: Task, max_lists: int) -> list[tuple[str, ...]]:
    """The different lists of options of a task, for each number of options the first few."""
    max_lists = _checks.integer("max_lists", max_lists)
    different = dict.fromkeys(question.options for question in task.questions)
    kept: dict[int, list[tuple[str, ...]]] = {}
    for options in different:
        kept.setdefault(len(options), []).append(options)
    return [options for lists in kept.values() for options in lists[:max_lists]]
