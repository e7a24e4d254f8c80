"""A language model that answers with a confidence one can believe: an LM and a calibrator."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thermometer import _checks
from thermometer.answered_by import scores_template, verify_template, wrong_calibrator
from thermometer.calibrator import Calibrator, Level
from thermometer.free_form.answering import answered, verified
from thermometer.free_form.answers import Answer, FreeFormAnswer
from thermometer.free_form.question_inputs import (
    Context,
    answers_to,
    with_options,
    without_options,
)
from thermometer.free_form.questions import FreeFormQuestion, FreeFormTask
from thermometer.free_form.verdict_shift import shift_of, shifted
from thermometer.llm.generation import MAX_NEW_TOKENS, Line
from thermometer.llm.language_model import LanguageModel
from thermometer.origins import check_same_origin
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.types import Calibration, Task


class CalibratedLM:
    """A large language model whose option scores are divided by a thermometer's temperatures.

    Args:
        lm: The answering model.
        calibrator: Trained for models of its family: on questions with options, to `classify`; on
            answers in words, to `answer` and `verify`.
    """

    def __init__(self, lm: LanguageModel, calibrator: Calibrator) -> None:
        how = "`CalibratedLM.from_pretrained` takes names"
        _checks.instance("lm", lm, LanguageModel, how)
        _checks.instance("calibrator", calibrator, Calibrator, how)
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
        if not isinstance(calibrator, Calibrator):
            calibrator = Calibrator.from_pretrained(calibrator)
        return cls(LanguageModel.from_pretrained(model, **options), calibrator)

    def __repr__(self) -> str:
        return f"CalibratedLM({self.lm}, {self.calibrator})"

    @property
    def template(self) -> Template:
        """The template of the scores that the calibrator was trained for."""
        return scores_template(self.calibrator)

    @property
    def reads_itself(self) -> bool:
        """Whether the thermometer reads hidden states of the answering model itself.

        Then one forward pass gives both features and scores.
        """
        if "features" not in self.calibrator.reads or not self.calibrator.features:
            return False
        try:
            made = self.lm.provenance(self.template)
            check_same_origin("features", self.calibrator.features, made)
        except ValueError:
            return False
        return True

    def calibrate(
        self, task: Task, *, level: Level = "sample", token_budget: int = 4096
    ) -> Calibration:
        """Calibrated probabilities of the options of a task's questions.

        Args:
            task: Labels are not needed.
            level: See `Calibrator.calibrate`.
            token_budget: Largest number of tokens, padding included, in one forward pass.
        """
        template, one_forward = self.template, self.reads_itself
        made = self.lm.provenance(template)
        outputs = self.lm.outputs(
            template.render_task(task), template, features=one_forward, token_budget=token_budget
        )
        assert outputs.scores is not None
        shift = shift_of(self.calibrator.target)
        scores = shifted(outputs.scores, shift) if shift else outputs.scores
        if not one_forward:
            budget = {"token_budget": token_budget}
            return self.calibrator.calibrate(task, scores, level=level, answered_by=made, **budget)
        table = OutputTable.from_arrays(
            [question.id for question in task.questions],
            [task.name] * len(task),
            scores=scores,
            features=outputs.features,
            provenance={"features": made, "scores": made},
        )
        reference, origin = None, self.calibrator.origins["reference_scores"]
        if "reference_scores" in self.calibrator.reads:
            prompts = origin.template.render_task(task)
            reference = origin.outputs(prompts, token_budget, features=False).scores
        return self.calibrator.calibrate(table, level=level, reference_scores=reference)

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
            ValueError: For an empty list, fewer than two options, options that are alike or have
                the same tokens, a prompt over the model's context, or a calibrator that was trained
                on answers in words.
        """
        questions = Task(task, with_options(prompts, options))
        if self.template.style == "verify":
            raise wrong_calibrator("questions with options", self.template)
        result = self.calibrate(questions, level=level, token_budget=token_budget)
        assert result.probs is not None
        return [
            Answer(
                question.options[choice],
                float(confidence),
                dict(zip(question.options, map(float, probs), strict=False)),
                temperature,
                result.warnings,
            )
            for question, choice, confidence, probs, temperature in zip(
                questions.questions,
                result.prediction,
                result.confidence,
                result.probs,
                _divisors(result, level),
                strict=True,
            )
        ]

    def answer(
        self,
        questions: FreeFormTask | Sequence[str],
        context: Context = None,
        *,
        max_new_tokens: int = MAX_NEW_TOKENS,
        level: Level = "sample",
        token_budget: int = 4096,
    ) -> list[FreeFormAnswer]:
        """Answer in words, ask the model whether that is correct, and calibrate what it says.

        The confidence is the calibrated probability of "Yes, it is correct". Answers are generated
        greedily and end with the line.

        Args:
            questions: Texts without a frame, or a task.
            context: A passage for all texts, or one for each; a task brings its own.
            max_new_tokens: Where an answer is cut that does not end.
            level: See `Calibrator.calibrate`.
            token_budget: Largest number of tokens, padding included, in one forward pass.

        Returns:
            One answer per question, in order. An empty one has no confidence, and says so.

        Raises:
            TypeError: If `questions` is one string.
            ValueError: For an empty list, a prompt over the model's context, or a calibrator that
                was not trained on answers in words.
        """
        asked = without_options(questions, context)
        return self._answer(asked, max_new_tokens, level, token_budget)

    def answer_stream(
        self,
        questions: FreeFormTask | Sequence[str],
        context: Context = None,
        *,
        window: int = 256,
        max_new_tokens: int = MAX_NEW_TOKENS,
        level: Level = "sample",
        token_budget: int = 4096,
    ) -> Iterator[FreeFormAnswer]:
        """As `answer`, some questions at a time: for long lists, and to show progress.

        A thermometer that reads the task as a whole sees one window of it, so that confidences
        differ a little from those of `answer`.

        Args:
            questions: As for `answer`.
            context: As for `answer`.
            window: Number of questions that are answered together.
            max_new_tokens: As for `answer`.
            level: As for `answer`.
            token_budget: As for `answer`.

        Yields:
            One answer per question, in order.
        """
        asked = without_options(questions, context)
        _checks.integer("window", window)
        for start in range(0, len(asked), window):
            piece = asked[start : start + window]
            yield from self._answer(piece, max_new_tokens, level, token_budget)

    def verify(
        self,
        questions: FreeFormTask | Sequence[str],
        answers: Sequence[str],
        context: Context = None,
        *,
        level: Level = "sample",
        token_budget: int = 4096,
    ) -> list[FreeFormAnswer]:
        """How confident the model is of answers that are at hand, its own or another's.

        Args:
            questions: As for `answer`.
            answers: One text per question.
            context: As for `answer`.
            level: See `Calibrator.calibrate`.
            token_budget: Largest number of tokens, padding included, in one forward pass.

        Returns:
            The answers with their confidence, in order.

        Raises:
            TypeError: If `questions` or `answers` is one string.
            ValueError: As `answer`, and if there are not as many answers as questions.
        """
        verify_template(self.calibrator)
        asked = without_options(questions, context)
        texts = answers_to(asked, answers)
        return self._verify(asked, [Line(text) for text in texts], level, token_budget)

    def _answer(
        self,
        asked: Sequence[FreeFormQuestion],
        max_new_tokens: int,
        level: Level,
        token_budget: int,
    ) -> list[FreeFormAnswer]:
        lines = answered(
            self.lm,
            asked,
            verify_template(self.calibrator),
            max_new_tokens=max_new_tokens,
            token_budget=token_budget,
        )
        return self._verify(asked, lines, level, token_budget)

    def _verify(
        self,
        asked: Sequence[FreeFormQuestion],
        lines: Sequence[Line],
        level: Level,
        token_budget: int,
    ) -> list[FreeFormAnswer]:
        def calibrate(task: Task) -> tuple[Calibration, list[float]]:
            result = self.calibrate(task, level=level, token_budget=token_budget)
            return result, _divisors(result, level)

        return verified(asked, lines, calibrate)


def _divisors(result: Calibration, level: Level) -> list[float]:
    """The temperatures that the rows of a calibration were divided by."""
    if level == "sample":
        return list(map(float, result.temperature))
    return [result.task_temperature] * result.n_prompts
