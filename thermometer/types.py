"""Questions, tasks and calibrated results: frozen, and validated when they are made."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks


class OptionsError(ValueError):
    """Options among which nobody can choose. Whoever loads files leaves such a question out."""

    def __init__(self, expected: str, options: Sequence[str], identifier: str) -> None:
        got = f"{tuple(options)!r:.200} in question {identifier}"
        super().__init__(str(_checks.fail("options", expected, got)))


_UNSEEN = "\u00ad\u200b\u2060\ufeff"  # soft hyphen, blank and joiner of no width, byte order mark
_AROUND = "".join(filter(str.isspace, map(chr, range(0x3001)))) + _UNSEEN
WITHOUT_UNSEEN = str.maketrans("", "", _UNSEEN)
"""For `str.translate`: takes signs of no width away."""


def plain_options(options: Sequence[str], identifier: str) -> tuple[str, ...]:
    """Options without blanks and signs of no width around them, as every way in has them.

    Raises:
        OptionsError: If there are fewer than two, one is empty, or two look alike: they differ in
            how Unicode composes their letters, or in signs of no width.
    """
    found = tuple(option.strip(_AROUND) for option in _checks.strings("options", options))
    if len(found) < 2:
        raise OptionsError("at least two texts", found, identifier)
    if not all(found):
        raise OptionsError("non-empty texts", found, identifier)
    seen = {unicodedata.normalize("NFC", option.translate(WITHOUT_UNSEEN)) for option in found}
    if len(seen) < len(found):
        raise OptionsError("different texts", found, identifier)
    return found


@dataclass(frozen=True, slots=True)
class Question:
    """A multiple-choice question.

    Args:
        id: Unique among all questions that are used together; tables are joined by it.
        text: The wording, without option letters or "Question:" frames.
        options: At least two different texts; white space around them is taken off.
        answer: Index of the right option, or `None` where nobody has labelled it.
        context: A passage that the question is about.

    Raises:
        ValueError: For an empty id or text, fewer than two options, options that look alike, text
            that UTF-8 cannot hold, or an `answer` that is not an index of `options`. The message
            names the question; whose options are at fault (`OptionsError`), files are read without.
        TypeError: For an `answer` that is not an integer or a text that is not a string.

    Example:
        >>> Question("q1", "Capital of France?", ("Paris", "Rome"), answer=0).options[0]
        'Paris'
    """

    id: str
    text: str
    options: tuple[str, ...]
    answer: int | None = None
    context: str | None = None

    def __post_init__(self) -> None:
        check_wording(self.id, self.text, self.context)
        object.__setattr__(self, "options", plain_options(self.options, self.id))
        if self.answer is not None:
            try:
                if isinstance(self.answer, bool):
                    raise TypeError("a truth value, not an index,")
                answer = int(index(self.answer))
            except TypeError as error:
                raise TypeError(f"{error} as `answer` of question {self.id}") from error
            if not 0 <= answer < len(self.options):
                expected = f"an index in [0, {len(self.options)})"
                raise _checks.fail("answer", expected, f"{answer} in question {self.id}")
            object.__setattr__(self, "answer", answer)


@dataclass(frozen=True, slots=True)
class Task:
    """Questions of one kind; the unit that is left out when measuring on unseen tasks.

    Args:
        name: Unique among the tasks that are used together.
        questions: At least one; their ids are unique.
        demonstrations: Answered questions to show before each prompt (few-shot). They are never
            scored.

    Raises:
        ValueError: For an empty name or task, repeated ids, or a demonstration without an answer.

    Example:
        >>> capitals = Task("capitals", (Question("q1", "Capital of France?", ("Paris", "Rome")),))
        >>> len(capitals), capitals.labelled
        (1, False)
    """

    name: str
    questions: tuple[Question, ...]
    demonstrations: tuple[Question, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "questions", tuple(self.questions))
        object.__setattr__(self, "demonstrations", tuple(self.demonstrations))
        check_questions(self.name, self.questions)
        for demonstration in self.demonstrations:
            if demonstration.answer is None:
                got = f"no answer in {demonstration.id}"
                raise _checks.fail("demonstrations", "answered questions", got)

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def labelled(self) -> bool:
        """Whether every question has an answer."""
        return all(question.answer is not None for question in self.questions)


class Identified(Protocol):
    """A question of any kind."""

    @property
    def id(self) -> str:
        """Unique among all questions that are used together."""


def check_wording(identifier: str, text: str, context: str | None) -> None:
    """Raise unless a question has an id, a text, and a text or nothing as its passage."""
    for name, value in (("id", identifier), ("text", text), ("context", context)):
        if not isinstance(value, str) and (value is not None or name != "context"):
            raise TypeError(f"Expected `{name}` to be a string, but got {value!r} in {identifier}")
        _checks.encodable(name, value or "")
    if not identifier:
        raise _checks.fail("id", "a non-empty string", repr(identifier))
    if not text.strip():
        raise _checks.fail("text", "a non-empty string", f"{text!r} in question {identifier}")


def check_questions(name: str, questions: Sequence[Identified]) -> None:
    """Raise unless a task has a name and at least one question, each of another id."""
    if not name or not isinstance(name, str):
        raise _checks.fail("name", "a non-empty string", repr(name))
    _checks.encodable("name", name)
    if not questions:
        raise _checks.fail("questions", "at least one question", f"none in task {name!r}")
    unique_ids(questions, f"task {name!r}")


def unique_ids(questions: Sequence[Identified], where: str) -> None:
    """Raise `ValueError` naming the first id that stands twice."""
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            raise _checks.fail("id", "unique", f"{question.id!r} twice in {where}")
        seen.add(question.id)


@dataclass(frozen=True, eq=False)
class Calibration:
    """Temperatures and, where scores were given, calibrated probabilities, in input order.

    Args:
        ids: (N,) question ids.
        temperature: (N,) float64, one per sample, > 0.
        task_temperature: One for the whole set: the harmonic mean of `temperature`, which is the
            arithmetic mean of the inverse temperatures that multiply the scores. With `per="task"`
            the scores of several tasks are divided by that of each.
        probs: (N, K) float64, softmax(scores / temperature); 0 where a row has fewer than K
            options. `None` if no scores were given.
        standard_error: Of the logarithm of `task_temperature`, from how far predictions missed on
            held-out tasks and how far the members of the thermometer disagree; NaN if unknown.
        in_domain: Whether the prompts of every task are as near to the training tasks as these are
            to one another; `None` if unknown.
        distances: By source, how far the farthest task is: above 1 is farther than any of the
            training.
        warnings: What the user should know before trusting the result: that the task or the
            answering model is unlike those of the training, for instance.
    """

    ids: tuple[str, ...]
    temperature: NDArray[np.float64]
    task_temperature: float
    probs: NDArray[np.float64] | None = None
    standard_error: float = float("nan")
    in_domain: bool | None = None
    distances: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = field(default=())

    @property
    def n_prompts(self) -> int:
        """Number of unlabelled prompts over which `task_temperature` is a mean."""
        return len(self.temperature)

    @property
    def prediction(self) -> NDArray[np.int64]:
        """(N,) index of the most probable option."""
        best: NDArray[np.int64] = np.argmax(self._require_probs(), axis=1)
        return best

    @property
    def confidence(self) -> NDArray[np.float64]:
        """(N,) probability of the most probable option."""
        largest: NDArray[np.float64] = np.max(self._require_probs(), axis=1)
        return largest

    def _require_probs(self) -> NDArray[np.float64]:
        if self.probs is None:
            raise ValueError("Expected `scores` to have been given to calibrate, but got none")
        return self.probs
