"""Domain-context calibration: the model's tendency, learned from random words of the task.

It reads option scores. `domain_text_task` makes the texts; a `LanguageModel` scores them.
"""

import random

from thermometer import _checks
from thermometer.baselines.contextual import option_lists
from thermometer.baselines.prior import PriorCalibration
from thermometer.types import Question, Task


class DomainContextCalibration(PriorCalibration):
    """Divide option probabilities by those of random in-domain words (Fei 2023).

    Fit it on the scores of `domain_text_task(task)`, made with the template of the task, and
    predict the scores of the task. Formula, arguments and errors are those of `PriorCalibration`:
    **the answer may change**.

    Fei, Hou, Chen and Bosselut, "Mitigating label biases for in-context learning" (ACL 2023).

    Example:
        >>> calibration = DomainContextCalibration().fit([[1.0, 0.0], [3.0, 0.0]])
        >>> bool(calibration.predict_proba([[2.0, 0.0]])[0, 0] < 0.6)
        True
    """


def domain_text_task(task: Task, n: int = 20, seed: int = 0, max_lists: int = 20) -> Task:
    """Texts of random words from the questions of a task, as long as these are on average.

    The words are those of texts and passages, drawn with replacement, so that frequent words stay
    frequent. The n texts take the different lists of options in turn, separately for each number
    of options, of which the first `max_lists` count. Demonstrations are kept; nothing is labelled.

    Args:
        task: Labelled or not.
        n: Number of texts for each number of options.
        seed: Equal seeds give equal texts.
        max_lists: Most lists of options for each number of options.

    Example:
        >>> task = Task("capitals", (Question("q1", "Capital of France?", ("Paris", "Rome")),))
        >>> made = domain_text_task(task, n=5)
        >>> len(made), {len(question.text.split()) for question in made.questions}
        (5, {3})
    """
    n = _checks.integer("n", n)
    rng = random.Random(_checks.integer("seed", seed, minimum=0))  # noqa: S311
    texts = [f"{question.context or ''} {question.text}".split() for question in task.questions]
    words = [word for text in texts for word in text]
    length = max(1, round(len(words) / len(texts)))
    lists: dict[int, list[tuple[str, ...]]] = {}
    for options in option_lists(task, max_lists):
        lists.setdefault(len(options), []).append(options)
    questions = tuple(
        Question(
            f"{task.name}/random words {k} {i}",
            " ".join(rng.choices(words, k=length)),
            of_k[i % len(of_k)],
        )
        for k, of_k in lists.items()
        for i in range(n)
    )
    return Task(f"{task.name} (random words)", questions, task.demonstrations)
