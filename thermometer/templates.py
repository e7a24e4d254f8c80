r"""How a question becomes the prompt and the option texts whose likelihood is measured.

Three styles. `letter` shows the options and asks for a letter, in the wording of the Thermometer
paper. `cloze` hides them and asks how likely each option's own text is as the continuation.
`verify` shows a free-form answer and asks, also in that wording, whether it is correct.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from string import ascii_uppercase
from typing import Literal

from thermometer import _checks
from thermometer.types import Question, Task

Style = Literal["letter", "cloze", "verify"]
Norm = Literal["none", "char", "byte", "token", "unconditional"]

VERDICTS = ("Yes", "No")
"""Options of the question whether an answer is correct; the first one is the confidence."""

_WORDING = 1
"""Raised whenever a rendered text changes, so that `Template.digest` changes with it."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A rendered question.

    Args:
        id: Of the question.
        text: What the model reads, without special tokens.
        options: Continuations of `text`, each with its leading blank if it needs one. Empty for a
            prompt that is only read, not answered.
        chat: Whether `text` is the content of a user's message, to be wrapped by the tokenizer's
            chat template.
    """

    id: str
    text: str
    options: tuple[str, ...] = ()
    chat: bool = False

    def __post_init__(self) -> None:
        for text in (self.text, *self.options):
            _checks.encodable(f"prompt {self.id!a}", text)


@dataclass(frozen=True)
class Template:
    r"""Renders questions, and says how option scores are made comparable.

    Args:
        style: `letter`, `cloze` or `verify`, see the module.
        norm: What an option's log-likelihood is divided by (`char`acters, UTF-8 `byte`s, `token`s)
            or compared with (`unconditional`: its log-likelihood after the bare prompt "Answer:"
            is subtracted). Only for `cloze`: letters are all alike.
        shots: Number of the task's demonstrations to show before each question; not for `verify`.
        chat: Wrap the prompt as a user's message by the tokenizer's chat template.
        task_name: Whether a `letter` prompt begins with the name of the task, as in the paper.
        show_options: Whether a `cloze` prompt lists the option texts before it asks.

    Raises:
        ValueError: For an unknown style or norm, a negative `shots`, a norm with another style than
            `cloze`, or `shots` with `verify`.

    Example:
        >>> question = Question("q1", "Capital of France?", ("Paris", "Rome"))
        >>> prompt = Template("cloze").render(question)
        >>> prompt.text
        'Question: Capital of France?\nAnswer:'
        >>> prompt.options
        (' Paris', ' Rome')
    """

    style: Style = "letter"
    norm: Norm = "none"
    shots: int = 0
    chat: bool = False
    task_name: bool = True
    show_options: bool = False

    def __post_init__(self) -> None:
        _checks.one_of("style", self.style, ("letter", "cloze", "verify"))
        _checks.one_of("norm", self.norm, ("none", "char", "byte", "token", "unconditional"))
        _checks.integer("shots", self.shots, minimum=0)
        if self.style != "cloze" and self.norm != "none":
            raise _checks.fail("norm", f"'none' for the {self.style} style", repr(self.norm))
        if self.style == "verify" and self.shots:
            raise _checks.fail("shots", "0 for the verify style", self.shots)

    @property
    def digest(self) -> str:
        """Hash of everything that decides the rendered text and the normalisation."""
        payload = json.dumps({"wording": _WORDING, **asdict(self)}, sort_keys=True)
        return hashlib.sha256(payload.encode()).hexdigest()[:16]

    def render(
        self, question: Question, task: str = "", demonstrations: Sequence[Question] = ()
    ) -> Prompt:
        """The prompt of one question, after `shots` of the `demonstrations`.

        Raises:
            ValueError: If there are fewer demonstrations than `shots`, too many options for
                letters, or other options than Yes and No for `verify`.
        """
        if len(demonstrations) < self.shots:
            expected = f"at least {self.shots} answered questions"
            got = f"{len(demonstrations)} for question {question.id}"
            raise _checks.fail("demonstrations", expected, got)
        name = task if self.task_name else ""
        shots = []
        for shot in demonstrations[: self.shots]:
            assert shot.answer is not None  # a Task refuses unanswered demonstrations
            shots.append(f"{self._body(shot, name)} {self._continuations(shot)[shot.answer]}")
        return Prompt(
            question.id,
            "\n\n".join([*shots, self._body(question, name)]),
            # After a chat header the reply starts at once; after "Answer:" it starts with a blank.
            tuple(text if self.chat else f" {text}" for text in self._continuations(question)),
            self.chat,
        )

    def render_task(self, task: Task) -> list[Prompt]:
        """The prompts of a task's questions, in order."""
        return [self.render(q, task.name, task.demonstrations) for q in task.questions]

    def _continuations(self, question: Question) -> tuple[str, ...]:
        return question.options if self.style == "cloze" else letters_of(question)

    def _body(self, question: Question, name: str) -> str:
        if self.style == "cloze":
            context = f"{question.context}\n" if question.context else ""
            shown = f"Options: {', '.join(question.options)}\n" if self.show_options else ""
            return f"{context}Question: {question.text}\n{shown}Answer:"
        if self.style == "verify":
            if question.options != VERDICTS:
                expected = f"{VERDICTS} for the verify style (see `verify_question`)"
                got = f"{question.options} in question {question.id}"
                raise _checks.fail("options", expected, got)
            return (
                f"Choose A, or B,\n {short_answer(question.text, question.context)} \n"
                "Is the above answer correct? \nA. Yes, \nB. No, \nAnswer:"
            )
        letters = letters_of(question)
        lines = [name] if name else []
        lines.append(f"Choose {', '.join(letters[:-1])}, or {letters[-1]}.")
        if question.context:
            lines.append(f"Context:{question.context}.")
        lines.append(f"Question:{question.text}.")
        lines += [f"{a}. {option}." for a, option in zip(letters, question.options, strict=True)]
        return " \n".join([*lines, "Answer:"])


def short_answer(text: str, context: str | None) -> str:
    """The request for a short answer in words that precedes `verify` questions."""
    lines = ["Answer in as few words as possible."]
    if context:
        lines.append(f"Context:{context}.")
    return " \n".join([*lines, f"Question:{text}"])


def letters_of(question: Question) -> tuple[str, ...]:
    """The letters that stand for the options of a question."""
    if len(question.options) > len(ascii_uppercase):
        expected = f"at most {len(ascii_uppercase)} for the letter style"
        got = f"{len(question.options)} in question {question.id}"
        raise _checks.fail("options", expected, got)
    return tuple(ascii_uppercase[: len(question.options)])
