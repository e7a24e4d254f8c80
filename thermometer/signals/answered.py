"""Questions with the answers that signals are wanted of, checked and paired."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thermometer.free_form.question_inputs import Context, answers_to, without_options
from thermometer.free_form.questions import FreeFormQuestion, FreeFormTask

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answered:
    """N questions, and the answer to each; an empty one has no signal.

    Args:
        questions: At least one.
        answers: As many, without white space around them.
    """

    questions: tuple[FreeFormQuestion, ...]
    answers: tuple[str, ...]

    @classmethod
    def of(
        cls,
        questions: FreeFormTask | Sequence[str],
        answers: Sequence[str],
        context: Context = None,
    ) -> "Answered":
        """Pair questions and answers.

        Raises:
            TypeError: If one string stands where several are meant.
            ValueError: For no questions, or as many answers or passages as do not fit.
        """
        asked = without_options(questions, context)
        return cls(asked, tuple(text.strip() for text in answers_to(asked, answers)))

    def given(self) -> list[tuple[FreeFormQuestion, str]]:
        """The questions whose answer is not empty."""
        pairs = zip(self.questions, self.answers, strict=True)
        return [(question, answer) for question, answer in pairs if answer]

    def spread(self, values: ArrayLike) -> Vector:
        """(N,) float64 out of the values of `given`; NaN where the answer is empty."""
        result = np.full(len(self.answers), np.nan)
        result[[bool(answer) for answer in self.answers]] = values
        return result
