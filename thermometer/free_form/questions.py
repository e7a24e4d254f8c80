r"""Questions without options, and how an answer to one becomes a question with two.

The model that answered is asked whether its answer is correct; that is an ordinary `Question` with
the options Yes and No, so that extraction, training and evaluation need to know nothing of free
form. Nothing here knows about models or files.
"""

from dataclasses import dataclass

from thermometer import _checks
from thermometer.types import Question, Task, check_questions, check_wording

VERDICTS = ("Yes", "No")
"""Options of the question whether an answer is correct; the first one is the confidence."""


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
