"""A language model that answers with a confidence one can believe: an LM and a calibrator."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thermometer import _checks
from thermometer.calibrator import Calibrator, Level
from thermometer.language_model import LanguageModel
from thermometer.templates import Template
from thermometer.types import Calibration, Question, Task


@dataclass(frozen=True, slots=True)
class Answer:
    """What a calibrated model says to one prompt.

    Args:
        answer: The most probable option.
        confidence: Its calibrated probability, in [0, 1].
        probs: Calibrated probability of every option, in their order.
        temperature: By which the scores were divided.
    """

    answer: str
    confidence: float
    probs: dict[str, float]
    temperature: float


class CalibratedLM:
    """A large language model whose option scores are divided by a thermometer's temperatures.

    Args:
        lm: The answering model.
        calibrator: Trained for models of its family.
    """

    def __init__(self, lm: LanguageModel, calibrator: Calibrator) -> None:
        self.lm = lm
        self.calibrator = calibrator

    @classmethod
    def from_pretrained(
        cls, model: str, calibrator: Calibrator | str | Path, **options: Any
    ) -> "CalibratedLM":
        """Load the answering model and, if a folder or hub id is given, the calibrator.

        Args:
            model: As for `LanguageModel.from_pretrained`.
            calibrator: A calibrator, or where to load one from.
            **options: Of `LanguageModel.from_pretrained`.
        """
        loaded = (
            calibrator
            if isinstance(calibrator, Calibrator)
            else Calibrator.from_pretrained(calibrator)
        )
        return cls(LanguageModel.from_pretrained(model, **options), loaded)

    def __repr__(self) -> str:
        return f"CalibratedLM({self.lm}, {self.calibrator})"

    @property
    def _template(self) -> Template:
        fields = self.calibrator.target.get("template")
        if fields is None:
            raise ValueError(
                "Expected a calibrator of scores made by this package, but its checkpoint names no "
                "template; call `calibrator.calibrate` with the scores"
            )
        return Template(**fields)

    def calibrate(
        self, task: Task, *, level: Level = "sample", token_budget: int = 4096
    ) -> Calibration:
        """Calibrated probabilities of the options of a task's questions.

        Args:
            task: Labels are not needed.
            level: See `Calibrator.calibrate`.
            token_budget: Largest number of tokens, padding included, in one forward pass.
        """
        template = self._template
        outputs = self.lm.outputs(
            template.render_task(task), template, features=False, token_budget=token_budget
        )
        assert outputs.scores is not None
        return self.calibrator.calibrate(
            task, outputs.scores, level=level, token_budget=token_budget
        )

    def classify(
        self,
        prompts: Sequence[str],
        options: Sequence[str] | Sequence[Sequence[str]],
        *,
        task: str = "questions",
        level: Level = "sample",
        token_budget: int = 4096,
    ) -> list[Answer]:
        """Choose among options, with a calibrated confidence.

        Args:
            prompts: Questions, without options or frames: the template of the training adds them.
            options: The same for all prompts, or one sequence per prompt.
            task: Name of the task, which some templates show.
            level: See `Calibrator.calibrate`.
            token_budget: Largest number of tokens, padding included, in one forward pass.

        Returns:
            One answer per prompt, in order.

        Raises:
            TypeError: If `prompts` is one string.
            ValueError: For an empty list, fewer than two options, or options that are alike.
        """
        questions = Task(task, _questions(prompts, options))
        result = self.calibrate(questions, level=level, token_budget=token_budget)
        assert result.probs is not None
        used = result.temperature if level == "sample" else [result.task_temperature] * len(prompts)
        return [
            Answer(
                question.options[choice],
                float(confidence),
                dict(zip(question.options, map(float, probs), strict=False)),
                float(divisor),
            )
            for question, choice, confidence, probs, divisor in zip(
                questions.questions,
                result.prediction,
                result.confidence,
                result.probs,
                used,
                strict=True,
            )
        ]


def _questions(
    prompts: Sequence[str], options: Sequence[str] | Sequence[Sequence[str]]
) -> tuple[Question, ...]:
    texts = _checks.strings("prompts", prompts)
    if not texts:
        raise _checks.fail("prompts", "at least one prompt", "none")
    if isinstance(options, str):
        raise TypeError(f"Expected `options` to be a list of strings, but got {options!r}")
    if all(isinstance(option, str) for option in options):
        choices: Sequence[Any] = [options] * len(texts)
    elif len(options) == len(texts):
        choices = options
    else:
        raise _checks.fail("options", f"of length {len(texts)} (as `prompts`)", len(options))
    return tuple(
        Question(f"prompt {number}", text, _checks.strings("options", own))
        for number, (text, own) in enumerate(zip(texts, choices, strict=True), start=1)
    )
