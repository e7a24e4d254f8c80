"""Questions without options: answered in words, with the calibrated confidence of the answer.

The model that answered is asked whether its answer is correct. That is an ordinary `Question` with
the options Yes and No, so that tables, training and calibration are those of multiple choice.
`verify_tasks` makes training data of questions with accepted answers; `answer` answers new ones.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from rich.progress import Progress
from scipy.optimize import brentq
from scipy.special import expit

from thermometer import _checks
from thermometer._files import GrowingLines
from thermometer.calibrated_lm import Answer, CalibratedLM, divisors, wrong_calibrator
from thermometer.calibrator import Calibrator, scores_template
from thermometer.generation import MAX_NEW_TOKENS, Line, lines_of
from thermometer.language_model import LanguageModel
from thermometer.posterior import Per
from thermometer.recalibrators.confidence import fit_line, soft_targets
from thermometer.scaling import VERDICT_SHIFT, shifted
from thermometer.table_files import questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import (
    TaskSource,
    choose_tasks,
    load_tasks,
    matching_files,
    question_row,
    read_files,
    task_source,
    text_of,
)
from thermometer.templates import VERDICTS, Prompt, Template, short_answer
from thermometer.types import Question, Task, check_questions, check_wording, unique_ids


@dataclass(frozen=True, slots=True)
class FreeFormQuestion:
    """A question that is answered in words.

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
        questions = task.questions
        accepted = [() if q.answer is None else (q.options[q.answer],) for q in questions]
        rows = zip(questions, accepted, strict=True)
        return cls(task.name, tuple(FreeFormQuestion(q.id, q.text, a, q.context) for q, a in rows))

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
    return choose_tasks([FreeFormTask(name, tuple(q)) for name, (q, _) in read.items()], chosen)


def _parse(row: dict[str, Any], identifier: str) -> FreeFormQuestion:
    if "choices" in row:
        raise _checks.fail("row", "free form, without `choices`", "a multiple-choice row")
    answers = _checks.strings("answers", row.get("answers") or ())
    return FreeFormQuestion(identifier, text_of(row), answers, row.get("context"))


def free_form_row(question: FreeFormQuestion, task: str) -> dict[str, Any]:
    """A free-form question as a row of the JSON lines format; what is unknown is left out."""
    row: dict[str, Any] = {"id": question.id, "task": task, "question": question.text}
    row |= {"context": question.context, "answers": list(question.answers) or None}
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


Judge = Literal["match", "contains", "rouge_l"]
JUDGES: tuple[Judge, ...] = get_args(Judge)

# Signs that belong to a number (-3, 2.5) stay: the usual normalisation would make 25 of 2.5.
_DROPPED = re.compile(r"(?<=[^\W\d])\.|\.(?!\d)|(?<=\w)-|-(?![\d.])")
_ARTICLES = re.compile(r"\b(a|an|the)\b")


def normalised(text: str) -> str:
    """A text without case, punctuation, articles and superfluous blanks.

    As for SQuAD (Rajpurkar, Zhang, Lopyrev and Liang 2016), but the minus sign and the decimal
    point of a number stay, and Unicode's compatible forms are made one.

    Example:
        >>> normalised("The  Eiffel-Tower, Paris!"), normalised("-1,398.5.")
        ('eiffeltower paris', '-1398.5')
    """
    folded = unicodedata.normalize("NFKC", text).casefold().replace("\N{MINUS SIGN}", "-")
    signs = _DROPPED.sub("", folded)
    plain = "".join(s for s in signs if s in "-." or unicodedata.category(s)[0] != "P")
    return " ".join(_ARTICLES.sub(" ", plain).split())


def is_right(answer: str, accepted: Sequence[str], judge: Judge = "match") -> bool:
    """Whether an answer is right by a rule.

    Args:
        answer: What was answered.
        accepted: At least one accepted answer.
        judge: `match`: the normalised texts are equal. `contains`: the words of an accepted answer
            stand in the answer, in one piece. `rouge_l`: the longest common subsequence of words is
            not empty, which is ROUGE-L > 0, the rule of Shen et al. (2024), here without stemming;
            it is lenient: one common word is enough.

    Raises:
        ValueError: For an unknown rule or no accepted answer.

    Example:
        >>> said = "It was Goethe, in 1808"
        >>> [is_right(said, ["Goethe"], judge) for judge in ("match", "contains", "rouge_l")]
        [False, True, True]
        >>> [is_right(said, ["Wolfgang Goethe"], judge) for judge in ("contains", "rouge_l")]
        [False, True]
    """
    _checks.one_of("judge", judge, JUDGES)
    if not _checks.strings("accepted", accepted):
        raise _checks.fail("accepted", "at least one answer", "none")
    own = normalised(answer).split()
    for words in (normalised(text).split() for text in accepted):
        size = len(words)
        if judge == "match" and own and own == words:
            return True
        if judge == "contains" and size and words in (own[i : i + size] for i in range(len(own))):
            return True
        if judge == "rouge_l" and not set(own).isdisjoint(words):  # one word is a subsequence
            return True
    return False


_WINDOW = 128


def verify_tasks(
    lm: LanguageModel,
    tasks: FreeFormTask | Sequence[FreeFormTask],
    out: str | Path,
    *,
    template: Template | None = None,
    judge: Judge = "match",
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: bool = True,
) -> list[Task]:
    """Answer labelled free-form questions, judge the answers, and ask whether they are correct.

    Called again with the same arguments, a run that was stopped goes on. Extract and train on what
    it returns with the same template: ``extract(lm, verify_tasks(lm, tasks, out), …)``.

    Args:
        lm: The answering model, whose confidence is to be calibrated.
        tasks: One task or several; every question has accepted answers.
        out: JSON lines to write: the questions with two options, as `load_tasks` reads them.
        template: Of the style `verify`, which is the default.
        judge: The rule that decides which answers are right, see `is_right`.
        max_new_tokens: Where an answer is cut that does not end.
        progress: Show a progress bar.

    Returns:
        The tasks, sorted by name. The label is 0 (Yes) where the answer is right. Questions that
        the model had no answer to are left out: nothing can be asked of it.

    Raises:
        ValueError: For a question without an accepted answer or over the model's context, repeated
            ids, a template of another style, a file that something else made, or no answers at all.
    """
    chosen = template or Template("verify")
    _checks.one_of("judge", judge, JUDGES)
    if chosen.style != "verify":
        raise _checks.fail("template", "of the style 'verify'", chosen)
    tasks = [tasks] if isinstance(tasks, FreeFormTask) else list(tasks)
    pairs = [(task.name, question) for task in tasks for question in task.questions]
    unique_ids([question for _, question in pairs], "the tasks")
    for _, question in pairs:
        if not question.answers:
            raise _checks.fail("answers", "known", f"none for question {question.id}")
    digest = questions_digest([free_form_row(q, task) for task, q in pairs])
    rule = {"judge": judge, "max_new_tokens": max_new_tokens}
    provenance = {"questions": digest, "model": lm.provenance(chosen), **rule}
    with (
        GrowingLines(out, [question.id for _, question in pairs], provenance) as lines,
        Progress(disable=not progress, transient=True) as bar,
    ):
        shown = bar.add_task("answering", total=len(pairs), completed=lines.n_done)
        for start in range(lines.n_done, len(pairs), _WINDOW):
            piece = pairs[start : start + _WINDOW]
            prompts = [render_question(question, chosen) for _, question in piece]
            said = lines_of(lm, prompts, max_new_tokens=max_new_tokens)
            lines.append(
                question_row(verify_question(q, a.text, is_right(a.text, q.answers, judge)), task)
                for (task, q), a in zip(piece, said, strict=True)
                if a.text
            )
            bar.advance(shown, len(piece))
    if not Path(out).stat().st_size:
        hint = "" if chosen.chat else " (a model tuned to chat wants a template with `chat: true`)"
        raise _checks.fail("tasks", f"answered by the model{hint}", f"{len(pairs)} empty answers")
    return load_tasks(out)


@dataclass(frozen=True, slots=True)
class FreeFormAnswer:
    """A model's answer to one question without options, and its calibrated confidence.

    Args:
        id: Of the question.
        question: Its text.
        answer: What the model says; empty if it says nothing.
        confidence: Calibrated probability, in [0, 1], that the answer is correct; `None` if there
            is no answer.
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
    return frame.astype({k: "float64" for k in ("confidence", "temperature") if k in frame})


Context = str | Sequence[str | None] | None
"""A passage for all questions, or one for each (`None` where there is none), or none at all."""


def answers_to(questions: Sequence[FreeFormQuestion], answers: Sequence[str]) -> tuple[str, ...]:
    """Texts, as many as questions; `TypeError` or `ValueError` for anything else.

    Example:
        >>> answers_to(without_options(["Who?", "When?"]), ["Goethe", "1808"])
        ('Goethe', '1808')
    """
    texts = _checks.strings("answers", answers)
    if len(texts) != len(questions):
        raise _checks.fail("answers", f"of length {len(questions)} (as `questions`)", len(texts))
    return texts


def without_options(
    questions: FreeFormTask | Sequence[str], context: Context = None
) -> tuple[FreeFormQuestion, ...]:
    """Free-form questions: those of a task, or plain texts, numbered from 1.

    Raises:
        TypeError: If `questions` is one string.
        ValueError: For no questions, an empty one, passages that are not as many, or passages for a
            task, whose questions have their own.

    Example:
        >>> [question.id for question in without_options(["Who?", "When?"])]
        ['question 1', 'question 2']
    """
    if isinstance(questions, FreeFormTask):
        if context is not None:
            raise _checks.fail("context", "None where `questions` are a task", repr(context))
        return questions.questions
    texts = _checks.strings("questions", questions)
    if not texts:
        raise _checks.fail("questions", "at least one question", "none")
    passages = [context] * len(texts) if context is None or isinstance(context, str) else context
    if len(passages) != len(texts):
        raise _checks.fail("context", f"of length {len(texts)} (as `questions`)", len(passages))
    return tuple(
        FreeFormQuestion(f"question {number}", text, context=passage)
        for number, (text, passage) in enumerate(zip(texts, passages, strict=True), start=1)
    )


EMPTY = "The answer is empty: there is nothing to be confident of."


def answer(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    context: Context = None,
    *,
    max_new_tokens: int = MAX_NEW_TOKENS,
    per: Per = "sample",
) -> list[FreeFormAnswer]:
    """Answer in words, ask the model whether that is correct, and calibrate what it says.

    The confidence is the calibrated probability of "Yes, it is correct". Answers are generated
    greedily and end with the line.

    Args:
        lm: A language model, with a calibrator that was trained on answers in words.
        questions: Texts, or a task.
        context: A passage for all texts, or one for each; a task brings its own.
        max_new_tokens: Where an answer is cut that does not end.
        per: See `Calibrator.calibrate`.

    Returns:
        One answer per question, in order. An empty one has no confidence, and says so.

    Raises:
        TypeError: If `questions` is one string.
        ValueError: For an empty list, a prompt over the model's context, or a calibrator that was
            not trained on answers in words.
    """
    asked = without_options(questions, context)
    template = verify_template(lm.calibrator)
    prompts = [render_question(question, template) for question in asked]
    return _verify(lm, asked, lines_of(lm.lm, prompts, max_new_tokens=max_new_tokens), per)


def answer_stream(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    context: Context = None,
    *,
    window: int = 256,
    max_new_tokens: int = MAX_NEW_TOKENS,
    per: Per = "sample",
) -> Iterator[FreeFormAnswer]:
    """As `answer`, some questions at a time: for long lists, and to show progress.

    A thermometer that reads the task as a whole sees one window of it, so that confidences differ a
    little from those of `answer`. `window` is the number of questions that are answered together.

    Yields:
        One answer per question, in order.
    """
    asked = without_options(questions, context)
    _checks.integer("window", window)
    for start in range(0, len(asked), window):
        piece = FreeFormTask("questions", asked[start : start + window])
        yield from answer(lm, piece, max_new_tokens=max_new_tokens, per=per)


def verify(
    lm: CalibratedLM,
    questions: FreeFormTask | Sequence[str],
    answers: Sequence[str],
    context: Context = None,
    *,
    per: Per = "sample",
) -> list[FreeFormAnswer]:
    """How confident the model is of given answers, one per question, its own or another's.

    Arguments and errors are those of `answer`; it is also an error if `answers` is one string, or
    there are not as many answers as questions.
    """
    verify_template(lm.calibrator)
    asked = without_options(questions, context)
    return _verify(lm, asked, [Line(text) for text in answers_to(asked, answers)], per)


def verify_template(calibrator: Calibrator) -> Template:
    """The template of the verdicts that a calibrator of answers in words was trained for.

    Raises:
        ValueError: If it was trained on questions with options, or names no template.
    """
    template = scores_template(calibrator.target)
    if template.style != "verify":
        raise wrong_calibrator("answers in words (template style 'verify')", template)
    return template


def _verify(
    lm: CalibratedLM, asked: Sequence[FreeFormQuestion], lines: Sequence[Line], per: Per
) -> list[FreeFormAnswer]:
    """Answers with the calibrated probability that the model gives to their being correct."""
    pairs = list(zip(asked, lines, strict=True))
    given = [verify_question(question, line.text) for question, line in pairs if line.text.strip()]
    calibrated: dict[str, tuple[dict[str, float], float | None]] = {}
    warnings: tuple[str, ...] = ()
    if given:
        result = lm.calibrate(Task("questions", tuple(given)), per=per)
        assert result.probs is not None
        warnings = result.warnings
        for one, row, divisor in zip(given, result.probs, divisors(result, per), strict=True):
            calibrated[one.id] = dict(zip(VERDICTS, map(float, row), strict=True)), divisor
    answers = []
    for question, line in pairs:
        probs, temperature = calibrated.get(question.id, ({}, None))
        notes = warnings if probs else (EMPTY,)
        if line.cut_at is not None:
            notes = (*notes, f"The answer was cut at {line.cut_at} tokens.")
        verdict = probs.get(VERDICTS[0]), probs, temperature, notes
        answers.append(FreeFormAnswer(question.id, question.text, line.text, *verdict))
    return answers


_SLOPE = 0.05
"""Least slope in log-odds: verdicts that say nothing, or the contrary, count as this weak."""


def shift_verdicts(table: OutputTable) -> OutputTable:
    """A table of verdicts whose score of Yes is shifted by a fit to its own labels.

    With d = s_Yes - s_No, P(right) = sigmoid(a d + c) is fitted by maximum likelihood (Platt 1999),
    a >= 0.05, and c / a is added to s_Yes. At temperature 1 / a the shifted scores then have that
    probability; what remains for a thermometer is how the temperature differs between questions.
    The shift is noted in the provenance of the scores, so that a checkpoint carries it and
    `CalibratedLM` adds it to new verdicts. Shift before `train`:
    ``train(shift_verdicts(table))``; to measure on other tasks use `add_shift`.

    Args:
        table: Labelled scores of two options, Yes and No, as `extract` makes them of
            `verify_tasks`; not shifted yet.

    Raises:
        ValueError: If rows have no label or not two options, or the scores are shifted already.

    Example:
        >>> scores = [[2.0, 0.0], [2.5, 0.0], [1.5, 0.0], [2.0, 0.0]] * 50  # Yes to everything
        >>> labels = [0, 1, 1, 1] * 50  # and right once in four times
        >>> ids = [str(i) for i in range(200)]
        >>> table = shift_verdicts(OutputTable.from_arrays(ids, ["t"] * 200, labels, scores))
        >>> bool(table.scores[0, 0] < table.scores[0, 1])
        True
    """
    if not table.labelled:
        raise _checks.fail("table", "labelled in every row", table)
    scores = table.require("scores")
    right = (table.labels == 0).astype(np.float64)
    odds = shifted(scores, 0.0) @ (1.0, -1.0)
    slope, intercept = fit_line(odds, right)
    if slope < _SLOPE:
        line, mean = _SLOPE * odds, float(soft_targets(right).mean())
        edge = float(np.abs(line).max()) + 40.0
        c = brentq(lambda c: float(expit(line + c).mean()) - mean, -edge, edge)
        slope, intercept = _SLOPE, float(c)
    return add_shift(table, intercept / slope)


def add_shift(table: OutputTable, shift: float) -> OutputTable:
    """A table of verdicts with a given shift of the score of Yes, as a checkpoint holds it.

    Raises:
        ValueError: If rows have not two options, or the scores are shifted already.
    """
    source = dict(table.provenance.get("scores") or {})
    if VERDICT_SHIFT in source:
        got = f"{VERDICT_SHIFT} {source[VERDICT_SHIFT]}"
        raise _checks.fail("table", "of scores as the model gave them", got)
    provenance = {**table.provenance, "scores": {**source, VERDICT_SHIFT: float(shift)}}
    return replace(table, scores=shifted(table.require("scores"), shift), provenance=provenance)
