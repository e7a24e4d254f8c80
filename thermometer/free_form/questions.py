r"""Questions without options, and how an answer to one becomes a question with two.

The model that answered is asked whether its answer is correct; that is an ordinary `Question` with
the options Yes and No, so that extraction, training and evaluation need to know nothing of free
form. Nothing here knows about models or files.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thermometer import _checks
from thermometer.tasks import (
    TaskSource,
    choose_tasks,
    matching_files,
    read_files,
    task_source,
    text_of,
)
from thermometer.templates import VERDICTS, Prompt, Template, short_answer
from thermometer.types import Question, Task, check_questions, check_wording


@dataclass(frozen=True, slots=True)
class FreeFormQuestion:
    """A question that is answered in words of one's own.

    Args:
        id: Unique among all questions that are used together.
        text: The wording, without a "Question:" frame.
        answers: Accepted answers, the canonical one first; empty where nobody has labelled it.
        context: A passage that the question is about.

    Raises:
        ValueError: For an empty id, text or accepted answer. The message names the question.
        TypeError: For `answers` that are one string, or a `context` that is not a string.

    Example:
        >>> FreeFormQuestion("q1", "Who wrote Faust?", ("Johann Wolfgang Goethe", "Goethe")).id
        'q1'
    """

    id: str
    text: str
    answers: tuple[str, ...] = ()
    context: str | None = None

    def __post_init__(self) -> None:
        check_wording(self.id, self.text, self.context)
        object.__setattr__(self, "answers", _checks.strings("answers", self.answers))
        if any(not answer.strip() for answer in self.answers):
            raise _checks.fail("answers", "non-empty texts", f"{self.answers} in {self.id}")


@dataclass(frozen=True, slots=True)
class FreeFormTask:
    """Free-form questions of one kind; the unit that is left out when measuring on unseen tasks.

    Args:
        name: Unique among the tasks that are used together.
        questions: At least one; their ids are unique.

    Raises:
        ValueError: For an empty name or task, or repeated ids.

    Example:
        >>> task = FreeFormTask("books", (FreeFormQuestion("q1", "Who wrote Faust?"),))
        >>> len(task), task.labelled
        (1, False)
    """

    name: str
    questions: tuple[FreeFormQuestion, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "questions", tuple(self.questions))
        check_questions(self.name, self.questions)

    @classmethod
    def from_task(cls, task: Task) -> "FreeFormTask":
        """The questions of a multiple-choice task, asked without their options.

        The text of the right option is the accepted answer. Questions that point at their options
        ("which of these…") make no sense so.

        Example:
            >>> capitals = Task("c", (Question("q1", "Capital of France?", ("Rome", "Paris"), 1),))
            >>> FreeFormTask.from_task(capitals).questions[0].answers
            ('Paris',)
        """
        return cls(
            task.name,
            tuple(
                FreeFormQuestion(
                    question.id,
                    question.text,
                    () if question.answer is None else (question.options[question.answer],),
                    question.context,
                )
                for question in task.questions
            ),
        )

    def __len__(self) -> int:
        return len(self.questions)

    @property
    def labelled(self) -> bool:
        """Whether every question has an accepted answer."""
        return all(question.answers for question in self.questions)


def load_free_form(source: str | Path | TaskSource, **options: Any) -> list[FreeFormTask]:
    """Load tasks whose questions have no options, sorted by name.

    Args:
        source: As for `load_tasks`, but only JSON lines, with rows that have `answers` (or nothing,
            where nobody has labelled them) in place of `choices` and `answer`.
        **options: Fields of `TaskSource`.

    Raises:
        FileNotFoundError: If a path or pattern matches nothing.
        ValueError: As `load_tasks`, and for rows with choices.

    Example:
        >>> from tempfile import mkdtemp
        >>> file = Path(mkdtemp()) / "books.jsonl"
        >>> size = file.write_text('{"question": "Who wrote Faust?", "answers": ["Goethe"]}')
        >>> [task] = load_free_form(file)
        >>> task.name, task.questions[0].id, task.questions[0].answers
        ('books', 'books/1', ('Goethe',))
    """
    chosen = task_source(source, options)
    if chosen.columns is not None or chosen.demonstrations is not None:
        raise _checks.fail("columns and demonstrations", "None for free-form tasks", chosen)
    read = read_files(matching_files(chosen.source), chosen, _parse)
    tasks = [FreeFormTask(name, tuple(questions)) for name, (questions, _) in read.items()]
    return choose_tasks(tasks, chosen)


def free_form_row(question: FreeFormQuestion, task: str) -> dict[str, Any]:
    """A free-form question as a row of the JSON lines format; what is unknown is left out."""
    row = {
        "id": question.id,
        "task": task,
        "question": question.text,
        "context": question.context,
        "answers": list(question.answers) or None,
    }
    return {key: value for key, value in row.items() if value is not None}


def render_question(question: FreeFormQuestion, template: Template) -> Prompt:
    r"""The prompt that a free-form question is answered to, before the answer is verified.

    Example:
        >>> question = FreeFormQuestion("q1", "Who wrote Faust?")
        >>> render_question(question, Template("verify")).text
        'Answer in as few words as possible. \nQuestion:Who wrote Faust?. \nAnswer:'
    """
    text = f"{short_answer(question.text, question.context)}. \nAnswer:"
    return Prompt(question.id, text, chat=template.chat)


def verify_question(question: FreeFormQuestion, answer: str, right: bool | None = None) -> Question:
    r"""Whether an answer is correct, as a question with two options.

    Args:
        question: What was asked.
        answer: What was answered.
        right: Whether the answer is right, if that is known: it becomes the label.

    Raises:
        ValueError: For an empty answer, of which nothing can be asked.

    Example:
        >>> question = FreeFormQuestion("q1", "Who wrote Faust?", ("Goethe",))
        >>> asked = verify_question(question, "Goethe", right=True)
        >>> asked.text, asked.options, asked.answer
        ('Who wrote Faust?. \nAnswer: Goethe', ('Yes', 'No'), 0)
    """
    if not answer.strip():
        raise _checks.fail("answer", "a non-empty text", f"{answer!r} to question {question.id}")
    label = None if right is None else VERDICTS.index("Yes" if right else "No")
    text = f"{question.text}. \nAnswer: {answer.strip()}"
    return Question(question.id, text, VERDICTS, label, question.context)


def _parse(row: dict[str, Any], identifier: str) -> FreeFormQuestion:
    if "choices" in row:
        raise _checks.fail("row", "free form, without `choices`", "a multiple-choice row")
    answers = _checks.strings("answers", row.get("answers") or ())
    return FreeFormQuestion(identifier, text_of(row), answers, row.get("context"))
