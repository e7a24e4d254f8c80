"""Answers in words with a confidence, as rows of a file or a frame."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from thermometer.calibrated_lm import Answer


@dataclass(frozen=True, slots=True)
class FreeFormAnswer:
    """What a calibrated model says to one question without options.

    Args:
        id: Of the question.
        question: Its text.
        answer: What the model says; empty if it says nothing.
        confidence: Calibrated probability, in [0, 1], that the model gives to its answer being
            correct. `None` if there is no answer: no number stands for "unknown".
        probs: Calibrated probability of `Yes` and `No`; empty if there is no answer.
        temperature: By which the scores were divided, or `None`.
        warnings: What the user should know before trusting the confidence.
    """

    id: str
    question: str
    answer: str
    confidence: float | None
    probs: dict[str, float]
    temperature: float | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**asdict(self), "warnings": list(self.warnings)}


def answers_frame(answers: Sequence[Answer] | Sequence[FreeFormAnswer]) -> Any:
    """Answers as a pandas frame, one row each, a column for each field.

    A missing confidence is NaN. `probs` stay dicts, since prompts may have other options.

    Raises:
        ImportError: If pandas is not installed.

    Example:
        >>> frame = answers_frame([Answer("Paris", 0.8, {"Paris": 0.8, "Rome": 0.2}, 1.5)])
        >>> list(frame.columns), float(frame.confidence[0])
        (['answer', 'confidence', 'probs', 'temperature', 'warnings'], 0.8)
    """
    try:
        pandas = import_module("pandas")
    except ImportError as error:
        raise ImportError("answers_frame needs pandas: install it, or use to_dict") from error
    frame = pandas.DataFrame([answer.to_dict() for answer in answers])
    numbers = {"confidence": "float64", "temperature": "float64"}
    return frame.astype({name: kind for name, kind in numbers.items() if name in frame})
