"""Free-form questions as training data: answer them, judge the answers, keep both in a file."""

import json
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, get_args

from rich.progress import Progress

from thermometer import _checks, _files
from thermometer.free_form.questions import (
    FreeFormTask,
    free_form_row,
    render_question,
    verify_question,
)
from thermometer.generation import MAX_NEW_TOKENS, lines_of
from thermometer.language_model import LanguageModel
from thermometer.table_files import questions_digest
from thermometer.tasks import load_tasks, question_row
from thermometer.templates import Template
from thermometer.types import Task, unique_ids

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
    plain = "".join(
        character
        for character in _DROPPED.sub("", folded)
        if character in "-." or not unicodedata.category(character).startswith("P")
    )
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
    rule = _RULES[_checks.one_of("judge", judge, JUDGES)]
    if not _checks.strings("accepted", accepted):
        raise _checks.fail("accepted", "at least one answer", "none")
    own = normalised(answer).split()
    return any(rule(own, normalised(other).split()) for other in accepted)


def _match(own: list[str], other: list[str]) -> bool:
    return bool(own) and own == other


def _contains(own: list[str], other: list[str]) -> bool:
    size = len(other)
    return bool(other) and any(other == own[i : i + size] for i in range(len(own) - size + 1))


def _rouge_l(own: list[str], other: list[str]) -> bool:
    return not set(own).isdisjoint(other)  # a subsequence of one word is common


_RULES: dict[str, Callable[[list[str], list[str]], bool]] = {
    "match": _match,
    "contains": _contains,
    "rouge_l": _rouge_l,
}


class GrowingLines:
    """A file of JSON objects, one a line, each with an `id`; lines are added and synced to disk.

    A last line that was not written to its end is taken off when the file is opened.

    Args:
        path: The file; made with its folder if it does not exist.
        ids: Of everything that will be written, in this order; some may be left out.
        made_by: JSON values that decide what is written.

    Raises:
        ValueError: If the file has lines that something else made, that are no JSON objects, or
            whose ids do not come in the order of `ids`. The message names what differs.

    Example:
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "answers.jsonl"
        >>> with GrowingLines(path, ["a", "b"], {"model": "x"}) as lines:
        ...     lines.append([{"id": "a"}])
        >>> with GrowingLines(path, ["a", "b"], {"model": "x"}) as lines:
        ...     lines.n_done
        1
    """

    def __init__(self, path: str | Path, ids: Sequence[str], made_by: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._made_by = self.path.with_name(f"{self.path.name}.made_by.json")
        self._check(made_by)
        self.n_done = self._recover(ids)
        """Number of leading `ids` that are dealt with: up to that of the last line."""
        self._file = self.path.open("ab")

    def __enter__(self) -> "GrowingLines":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def append(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows, and return when they are on the disk."""
        text = "".join(f"{json.dumps(row, ensure_ascii=False, allow_nan=False)}\n" for row in rows)
        self._file.write(text.encode())
        self._file.flush()
        os.fsync(self._file.fileno())

    def _check(self, made_by: Mapping[str, Any]) -> None:
        """Raise unless the file is new or was made by the same; note down what makes it."""
        wanted = json.loads(json.dumps(made_by))
        begun = self.path.exists() and self.path.stat().st_size > 0
        if begun and self._made_by.is_file():
            found = _files.read_json(self._made_by)
            keys = sorted({*wanted, *found})
            if differing := [key for key in keys if wanted.get(key) != found.get(key)]:
                raise ValueError(
                    f"{self.path} was made with other {', '.join(differing)}. Choose another file, "
                    f"or delete it and {self._made_by.name}"
                )
        elif begun:
            raise ValueError(f"{self.path} exists already, made by another program")
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _files.write_text(self._made_by, json.dumps(wanted, indent=2) + "\n")

    def _recover(self, ids: Sequence[str]) -> int:
        """Cut off what is no whole line; returns how many leading ids are dealt with."""
        if not self.path.exists():
            return 0
        place = {identifier: number for number, identifier in enumerate(ids, start=1)}
        done = whole = 0
        with self.path.open("rb+") as file:
            for number, line in enumerate(file, start=1):
                if not line.endswith(b"\n"):
                    break
                where = f"{self.path}, line {number}"
                try:
                    row = _files.parse_json(line.decode(), where)
                except UnicodeDecodeError as error:
                    raise ValueError(f"{where}: not UTF-8 ({error})") from error
                identifier = row.get("id") if isinstance(row, dict) else None
                position = place.get(identifier, 0) if isinstance(identifier, str) else 0
                if position <= done:
                    raise ValueError(f"{where}: expected a later id of the questions, got {line!r}")
                done, whole = position, whole + len(line)
            file.truncate(whole)
        return done


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

    Running it again with the same arguments goes on where it was stopped. Extract and train on what
    it returns with the same template: ``extract(lm, verify_tasks(lm, tasks, out), …)``.

    Args:
        lm: The answering model, whose confidence is to be calibrated.
        tasks: One task or several; every question has accepted answers.
        out: JSON lines to write: the questions with two options, as `load_tasks` reads them.
        template: Of the style `verify`, which is the default.
        judge: The rule that decides which answers are right, see `judging.is_right`.
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
    made_by = {
        "questions": questions_digest([free_form_row(q, task) for task, q in pairs]),
        "model": lm.provenance(chosen),
        "judge": judge,
        "max_new_tokens": max_new_tokens,
    }
    with (
        GrowingLines(out, [question.id for _, question in pairs], made_by) as lines,
        Progress(disable=not progress, transient=True) as bar,
    ):
        shown = bar.add_task("answering", total=len(pairs), completed=lines.n_done)
        for start in range(lines.n_done, len(pairs), _WINDOW):
            piece = pairs[start : start + _WINDOW]
            prompts = [render_question(question, chosen) for _, question in piece]
            said = lines_of(lm, prompts, max_new_tokens=max_new_tokens)
            lines.append(
                question_row(
                    verify_question(
                        question, line.text, is_right(line.text, question.answers, judge)
                    ),
                    task,
                )
                for (task, question), line in zip(piece, said, strict=True)
                if line.text
            )
            bar.advance(shown, len(piece))
    if not Path(out).stat().st_size:
        chat = "" if chosen.chat else " (a model tuned to chat wants a template with `chat: true`)"
        expected = f"answered by the model{chat}"
        raise _checks.fail("tasks", expected, f"{len(pairs)} empty answers")
    return load_tasks(out)
