"""Signals of one answer: read off probabilities, or stated by a model in words."""

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

from thermometer import _checks
from thermometer.free_form import (
    Context,
    FreeFormQuestion,
    FreeFormTask,
    answers_to,
    render_question,
    verify_question,
    without_options,
)
from thermometer.generation import lines_of
from thermometer.language_model import LanguageModel
from thermometer.scaling import scale_scores
from thermometer.templates import Prompt, Template

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Answered:
    """N >= 1 questions, and the answer to each without space around it; if empty, no signal."""

    questions: tuple[FreeFormQuestion, ...]
    answers: tuple[str, ...]

    @classmethod
    def of(
        cls,
        questions: FreeFormTask | Sequence[str],
        answers: Sequence[str],
        context: Context = None,
    ) -> "Answered":
        """Pair questions and answers; errors are those of `without_options` and `answers_to`."""
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


def largest_probability(scores: ArrayLike) -> Vector:
    """(N,) probability of the most probable option, max_k p_k, in [1/K, 1].

    Args:
        scores: (N, K) unnormalised, ``-inf`` in short rows; p is their softmax.

    Raises:
        ValueError: For scores that are not finite, or fewer than two options.

    Example:
        >>> largest_probability([[np.log(3.0), 0.0]]).round(2).tolist()
        [0.75]
    """
    largest: Vector = _option_probs(scores).max(axis=1)
    return largest


def margin(scores: ArrayLike) -> Vector:
    """(N,) probability of the most probable option less that of the second, in [0, 1].

    Errors are those of `largest_probability`.

    Example:
        >>> margin([[np.log(3.0), 0.0]]).round(2).tolist()
        [0.5]
    """
    second, first = np.partition(_option_probs(scores), -2, axis=1)[:, -2:].T
    difference: Vector = first - second
    return difference


def option_certainty(scores: ArrayLike) -> Vector:
    """(N,) one minus the entropy over its largest value, 1 + sum_k p_k log p_k / log K, in [0, 1].

    K is the number of options of the row. Errors are those of `largest_probability`.

    Example:
        >>> option_certainty([[0.0, 0.0, -np.inf], [9.0, 0.0, 0.0]]).round(2).tolist()
        [0.0, 1.0]
    """
    matrix = _checks.score_matrix("scores", scores)
    probs = scale_scores(matrix, 1.0)
    n_options = np.isfinite(matrix).sum(axis=1)
    certainty: Vector = 1 + xlogy(probs, probs).sum(axis=1) / np.log(n_options)
    return certainty.clip(0, 1)


def _option_probs(scores: ArrayLike) -> Vector:
    return scale_scores(_checks.score_matrix("scores", scores), 1.0)


def p_true(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    chat: bool = False,
) -> Vector:
    """P(Yes) of Yes and No to "is this answer correct?" (P(True) of Kadavath et al. 2022).

    It is what `free_form.verify` calibrates, at temperature 1.

    Args:
        lm: The model that is asked.
        questions: Texts without a frame, or a task.
        answers: One for each question, of the same model or another.
        context: A passage for all texts, or one for each; a task brings its own.
        chat: Ask as the user of a chat.

    Returns:
        (N,) float64 in [0, 1]; NaN where the answer is empty.

    Raises:
        TypeError: If `questions` or `answers` is one string.
        ValueError: For no questions, another number of answers, or a prompt over the model's
            context.
    """
    pairs = Answered.of(questions, answers, context)
    template = Template("verify", chat=chat)
    prompts = [template.render(verify_question(*pair)) for pair in pairs.given()]
    if not prompts:
        return pairs.spread([])
    scores = lm.outputs(prompts, template, features=False).scores
    assert scores is not None
    return pairs.spread(scale_scores(scores, 1.0)[:, 0])


def sequence_probability(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    normalised: bool = True,
    chat: bool = False,
) -> Vector:
    """(N,) how probable the tokens of each answer are after its question, in [0, 1].

    With t_1 ... t_L the tokens of the answer, exp(sum_l log p(t_l | question, t_<l) / L), their
    geometric mean (Malinin and Gales 2021, "Uncertainty Estimation in Autoregressive Structured
    Prediction"). If not `normalised`, there is no division by L, and long answers are unlikely as
    such. The end of the answer is not counted. The question is asked as
    `free_form.answer` asks it. The other arguments and the errors are those of `p_true`.
    """
    pairs = Answered.of(questions, answers, context)
    template = Template("verify", chat=chat)
    prompts = []
    for question, answer in pairs.given():
        asked = render_question(question, template)
        prompts.append(Prompt(asked.id, asked.text, (answer if chat else f" {answer}",), chat))
    if not prompts:
        return pairs.spread([])
    norm = Template("cloze", norm="token" if normalised else "none", chat=chat)
    scores = lm.outputs(prompts, norm, features=False).scores
    assert scores is not None
    return pairs.spread(np.exp(scores[:, 0].astype(np.float64)))


Scale = Literal["percent", "unit"]
SCALES: tuple[Scale, ...] = get_args(Scale)

_NUMBER = r"[-+]?(?:[0-9]+(?:[.,][0-9]+)*|\.[0-9]+)"
_STATEMENT = re.compile(
    rf"""(?<![\w.,/+-])
    (?: between[ ](?P<a>{_NUMBER})[ ]?%?[ ]and[ ](?P<b>{_NUMBER})
      | (?P<low>{_NUMBER})[ ]?%?[ ]?(?:-|to)[ ]?(?P<high>{_NUMBER})
      | (?P<value>{_NUMBER})
    )
    (?P<unit>[ ]?(?:%|per[ ]?cent\b|pct\b|(?:/|out[ ]of)[ ]?(?P<whole>[0-9]+)))?
    (?![\w/]|[.,][0-9])""",
    re.VERBOSE | re.IGNORECASE,
)
_LABEL = re.compile(r"\b(?:confidence|probability|likelihood|certainty)\b", re.IGNORECASE)
_SAME_PHRASE = re.compile(r"[^.;!?]{0,40}")  # between a label and its number
_DASHES = str.maketrans(dict.fromkeys("\N{MINUS SIGN}\N{EN DASH}\N{EM DASH}", "-"))


def read_confidence(text: str, scale: Scale) -> float | None:
    """The confidence that a text states, in [0, 1], or `None` if there is none or it is not clear.

    Which number counts: the last that follows a word such as "Confidence" in one phrase; else the
    last with a unit; else the only one there is. Several bare numbers are not clear.

    What it means: "90 %", "90 percent", "90/100" and "9 out of 10" say their scale themselves. A
    bare number is meant on the declared scale: 90 in percent and 0.9 in units are 0.9. What does
    not lie on the scale is not read: 90 in units, 120 in percent. Nor is a decimal fraction up to
    one in percent, 0.9, which may be meant either way. "60-70 %" and "between 60 and 70" are their
    middle. A comma is a decimal comma, "87,5", unless it parts thousands, "1,000".

    Args:
        text: A reply.
        scale: `percent` or `unit`: what was asked for.

    Raises:
        ValueError: For an unknown scale.

    Example:
        >>> [read_confidence(text, "percent") for text in ("I am 90 percent sure", "0.9", "Paris")]
        [0.9, None, None]
        >>> [read_confidence(text, "unit") for text in ("about 0.8", "80", "80 %")]
        [0.8, None, 0.8]
    """
    _checks.one_of("scale", scale, SCALES)
    plain = unicodedata.normalize("NFKC", text).translate(_DASHES)
    plain = re.sub(r"[^\S\n]+", " ", plain)
    found = [match for match in _STATEMENT.finditer(plain) if not _is_whole_scale(match)]
    starts = [match.start() for match in found]
    for label in reversed(list(_LABEL.finditer(plain))):
        following = bisect_left(starts, label.end())
        if following < len(found) and _SAME_PHRASE.fullmatch(plain, label.end(), starts[following]):
            return _meant(found[following], scale)
    with_unit = [match for match in found if match["unit"]]
    if with_unit:
        return _meant(with_unit[-1], scale)
    return _meant(found[0], scale) if len(found) == 1 else None


def _texts(match: re.Match[str]) -> list[str]:
    """The number of a statement, or the two bounds."""
    return [text for text in match.group("a", "b", "low", "high", "value") if text]


def _is_whole_scale(match: re.Match[str]) -> bool:
    """Whether it only repeats the scale: "(0-100)"."""
    return [_number(text) for text in _texts(match)] in ([0, 1], [0, 10], [0, 100])


def _meant(match: re.Match[str], scale: Scale) -> float | None:
    """What a statement means on a scale, in [0, 1]; `None` if that is not clear."""
    values = [_number(text) for text in _texts(match)]
    whole = 100.0
    if match["whole"]:
        whole = _number(match["whole"])
        if whole not in (10, 100):  # 50/50, 1/3
            return None
    elif not match["unit"] and scale == "unit":
        whole = 1.0
    elif not match["unit"] and any(
        0 < value <= 1 and not text.isdigit()
        for value, text in zip(values, _texts(match), strict=True)
    ):
        return None
    if not all(0 <= value <= whole for value in values) or values != sorted(values):
        return None
    return sum(values) / len(values) / whole


def _number(text: str) -> float:
    """The value of a number with a decimal point or a decimal comma; NaN if it has two."""
    if re.fullmatch(r"[-+]?[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]+)?", text):
        return float(text.replace(",", ""))
    plain = text.replace(",", ".")
    return float(plain) if plain.count(".") <= 1 else float("nan")


_ASKED: dict[Scale, str] = {
    "percent": "a percentage from 0% (surely wrong) to 100% (surely right)",
    "unit": "a number from 0.00 (surely wrong) to 1.00 (surely right)",
}


@dataclass(frozen=True, slots=True, eq=False)
class Stated:
    """What a model says of its confidence.

    Args:
        confidence: (N,) float64 in [0, 1], NaN where no number could be read.
        replies: (N,) what was said; `None` where the answer is empty, and nothing was asked.
    """

    confidence: Vector
    replies: tuple[str | None, ...]

    @property
    def parse_rate(self) -> float:
        """Share of the replies in which a number could be read; NaN if there are no replies."""
        n_replies = sum(reply is not None for reply in self.replies)
        return int((~np.isnan(self.confidence)).sum()) / n_replies if n_replies else float("nan")


def stated_confidence(
    lm: LanguageModel,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    scale: Scale = "percent",
    chat: bool = False,
    max_new_tokens: int = 24,
) -> Stated:
    """Ask a model in words how likely an answer is to be correct, and read the number.

    One question more for each answer, asked after it (Tian et al. 2023, "Just Ask for Calibration";
    Xiong et al. 2024, "Can LLMs Express Their Uncertainty?"), answered greedily. What models say so
    is mostly too high, and small models say it without looking: recalibrate it.

    The model is asked, and a bare number is read, on the `scale` (see `read_confidence`); an
    unknown one is a `ValueError`. A reply that does not end with its line is cut after
    `max_new_tokens`. The other arguments and the errors are those of `p_true`.
    """
    _checks.one_of("scale", scale, SCALES)
    pairs = Answered.of(questions, answers, context)
    given = pairs.given()
    prompts = [_prompt(question, answer, scale, chat) for question, answer in given]
    said: dict[str, str] = {}
    if prompts:
        lines = lines_of(lm, prompts, max_new_tokens=max_new_tokens)
        said = {prompt.id: line.text for prompt, line in zip(prompts, lines, strict=True)}
    read = [read_confidence(said[question.id], scale) for question, _ in given]
    confidence = pairs.spread([np.nan if value is None else value for value in read])
    return Stated(confidence, tuple(said.get(question.id) for question in pairs.questions))


def _prompt(question: FreeFormQuestion, answer: str, scale: Scale, chat: bool) -> Prompt:
    context = f"Context: {question.context}\n" if question.context else ""
    text = (
        f"{context}Question: {question.text}\nAnswer: {answer}\n\n"
        f"How confident are you that this answer is correct? Write {_ASKED[scale]} and nothing "
        "else."
    )
    text = text if chat else f"{text}\nConfidence:"
    return Prompt(question.id, text, chat=chat)
