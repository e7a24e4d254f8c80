"""A language model that answers with a calibrated confidence: an LM and a calibrator."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thermometer import _checks
from thermometer.calibrator import Calibrator, check_same_origin, scores_template
from thermometer.language_model import LanguageModel
from thermometer.posterior import Per
from thermometer.scaling import VERDICT_SHIFT, shifted
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.tokenization import extending_note
from thermometer.types import Calibration, Question, Task


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a calibrated model to one prompt with options.

    Args:
        answer: The most probable option.
        confidence: Its calibrated probability, in [0, 1].
        probs: Calibrated probability of every option, in their order.
        temperature: By which the scores were divided.
        warnings: See `Calibration.warnings`.
    """

    answer: str
    confidence: float
    probs: dict[str, float]
    temperature: float
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {**asdict(self), "warnings": list(self.warnings)}


class CalibratedLM:
    """A large language model whose option scores are divided by a thermometer's temperatures.

    Args:
        lm: The answering model.
        calibrator: Trained for models of its family: on questions with options, to `classify`; on
            answers in words, for the functions of `free_form`.
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
        return scores_template(self.calibrator.target)

    @property
    def reads_itself(self) -> bool:
        """Whether the features that are read are those of the answering model itself."""
        expected = self.calibrator.record.features
        if "features" not in self.calibrator.reads or not expected:
            return False
        try:
            check_same_origin("features", expected, self.lm.provenance(self.template))
        except ValueError:
            return False
        return True

    def calibrate(self, task: Task, *, per: Per = "sample") -> Calibration:
        """Calibrated probabilities of the options of a task's questions.

        Args:
            task: Labels are not needed.
            per: See `Calibrator.calibrate`.
        """
        template, one_forward = self.template, self.reads_itself
        provenance = self.lm.provenance(template)
        trees = self.lm.encode(template.render_task(task), template)
        outputs = self.lm.compute(trees, features=one_forward)
        assert outputs.scores is not None
        shift = self.calibrator.target.get(VERDICT_SHIFT)
        scores = shifted(outputs.scores, shift) if shift else outputs.scores
        if not one_forward:
            result = self.calibrator.calibrate(task, scores, per=per, answered_by=provenance)
        else:
            table = OutputTable.from_arrays(
                [question.id for question in task.questions],
                [task.name] * len(task),
                scores=scores,
                features=outputs.features,
                provenance={"features": provenance, "scores": provenance},
            )
            reference = None
            if "reference_scores" in self.calibrator.reads:
                origin = self.calibrator.origins["reference_scores"]
                prompts = origin.template.render_task(task)
                reference = origin.outputs(prompts, features=False, scores=True).scores
            result = self.calibrator.calibrate(table, per=per, reference_scores=reference)
        note = extending_note(trees)
        return replace(result, warnings=(*result.warnings, note)) if note else result

    def classify(
        self,
        prompts: Sequence[str],
        options: Sequence[str] | Sequence[Sequence[str]],
        *,
        task: str = "questions",
        per: Per = "sample",
    ) -> list[Answer]:
        """Choose among options, with a calibrated confidence.

        Args:
            prompts: Questions, without options or frames: the template of the training adds them.
            options: The same for all prompts, or one sequence per prompt.
            task: Name of the task, which some templates show.
            per: See `Calibrator.calibrate`.

        Returns:
            One answer per prompt, in order.

        Raises:
            TypeError: If `prompts` is one string.
            ValueError: For an empty list, fewer than two options, options that are alike or have
                the same tokens, a prompt over the model's context, or a calibrator that was trained
                on answers in words.
        """
        questions = Task(task, questions_of(prompts, options))
        if self.template.style == "verify":
            raise wrong_calibrator("questions with options", self.template)
        result = self.calibrate(questions, per=per)
        assert result.probs is not None
        answers = []
        for row, (question, temperature) in enumerate(
            zip(questions.questions, divisors(result, per), strict=True)
        ):
            probs = dict(zip(question.options, map(float, result.probs[row]), strict=False))
            best = question.options[result.prediction[row]]
            answers.append(Answer(best, probs[best], probs, temperature, result.warnings))
        return answers


def divisors(result: Calibration, per: Per) -> list[float]:
    """The temperatures that the rows of a calibration were divided by."""
    if per == "sample":
        return list(map(float, result.temperature))
    return [result.task_temperature] * result.n_prompts


def wrong_calibrator(expected: str, template: Template) -> ValueError:
    """The error for a calibrator that was trained on something else; the caller raises it."""
    return _checks.fail("calibrator", f"trained on {expected}", f"one for {template}")


def questions_of(
    prompts: Sequence[str], options: Sequence[str] | Sequence[Sequence[str]]
) -> tuple[Question, ...]:
    """Questions numbered from 1; options are the same for all, or one sequence per prompt.

    Example:
        >>> [question.id for question in questions_of(["Is it?", "Was it?"], ["yes", "no"])]
        ['prompt 1', 'prompt 2']
    """
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
