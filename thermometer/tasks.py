"""Where tasks come from: JSON lines, a `datasets` repository or folder, or the built-in file.

`load_tasks` is the one way in; what `source` names decides which of the three it is. Questions
without options come from JSON lines only, by `load_free_form`.

The built-in tasks, `builtin_tasks.jsonl.gz`, serve demonstrations and tests and are no benchmark of
what a model knows: 5,724 questions of facts and rules in 60 tasks of 14 families. A family is one
skill, so that a task that is held out has relatives among the others, as in a benchmark. The rows
of a task are so ordered that `seed` 2024 and `limit` 80 draw the questions of `configs/demo.yaml`.
"""

import glob
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from thermometer import _checks, _files
from thermometer.dataset_tasks import READY, Columns, dataset_tasks
from thermometer.free_form.questions import FreeFormQuestion, FreeFormTask
from thermometer.types import Question, Task, unique_ids

AnyTask = TypeVar("AnyTask", Task, FreeFormTask)
AnyQuestion = TypeVar("AnyQuestion", Question, FreeFormQuestion)
_Parse = Callable[[dict[str, Any], str], AnyQuestion]

_BUILTIN = Path(__file__).with_name("builtin_tasks.jsonl.gz")


@dataclass(frozen=True)
class TaskSource:
    """Which tasks to load; the `tasks:` section of a config.

    Args:
        source: ``builtin`` (all built-in tasks) or ``builtin:FAMILY`` (``builtin:addition``); a
            ``.jsonl`` or ``.jsonl.gz`` file, a folder of such files or a glob pattern; the name of
            a ready-mapped data set (mmlu, arc, openbookqa, commonsense_qa, boolq); or, with
            `columns`, the id or folder of any other data set.
        names: Keep only tasks whose name matches one of these patterns (``mmlu/*``).
        exclude: Then drop those that match one of these.
        limit: Largest number of questions per task, sampled by `seed`, order kept.
        seed: For `limit`.
        split: Keep only questions of this split. For data sets: the split to load.
        demonstrations: The split that few-shot demonstrations come from; they are never scored.
        columns: How to read a data set that is not ready-mapped.
    """

    source: str
    names: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    limit: int | None = None
    seed: int = 0
    split: str | None = None
    demonstrations: str | None = None
    columns: Columns | None = None

    def __post_init__(self) -> None:
        for name in ("names", "exclude"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _checks.strings(name, getattr(self, name)))
        if self.limit is not None:
            _checks.integer("limit", self.limit)
        if self.demonstrations is not None and self.demonstrations == self.split:
            raise _checks.fail(
                "demonstrations", "another split than `split`", repr(self.demonstrations)
            )


def load_tasks(source: str | Path | TaskSource, **options: Any) -> list[Task]:
    """Load tasks, sorted by name.

    Args:
        source: See `TaskSource`; with a string or path the other fields are `options`.
        **options: Fields of `TaskSource`.

    Raises:
        FileNotFoundError: If a path or pattern matches nothing.
        ValueError: For a malformed row (the message names file and line), repeated ids, or no task
            left.

    Example:
        >>> tasks = load_tasks("builtin:addition", limit=80)
        >>> {len(task) for task in tasks}
        {80}
    """
    chosen = _source(source, options)
    return _chosen(_load(chosen), chosen)


def load_task(source: str | Path | TaskSource, **options: Any) -> Task:
    """The one task of a source; as `load_tasks`, but several tasks raise `ValueError`."""
    tasks = load_tasks(source, **options)
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks[:5])
        raise _checks.fail("source", "one task (choose with `names`)", f"{len(tasks)}: {names}…")
    return tasks[0]


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
    chosen = _source(source, options)
    if chosen.columns is not None or chosen.demonstrations is not None:
        raise _checks.fail("columns and demonstrations", "None for free-form tasks", chosen)
    read = _read_files(_matching(chosen.source), chosen, _parse_open)
    tasks = [FreeFormTask(name, tuple(questions)) for name, (questions, _) in read.items()]
    return _chosen(tasks, chosen)


def question_row(question: Question, task: str) -> dict[str, Any]:
    """A question as a row of the JSON lines format; what is `None` is left out."""
    row = {
        "id": question.id,
        "task": task,
        "question": question.text,
        "context": question.context,
        "choices": list(question.options),
        "answer": question.answer,
    }
    return {key: value for key, value in row.items() if value is not None}


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


def _source(source: str | Path | TaskSource, options: dict[str, Any]) -> TaskSource:
    if isinstance(source, TaskSource):
        return replace(source, **options)
    return TaskSource(str(source), **options)


def _chosen(tasks: list[AnyTask], chosen: TaskSource) -> list[AnyTask]:
    """The wanted tasks, with no more questions than wanted."""
    found, tasks = tasks, [task for task in tasks if _wanted(task.name, chosen)]
    if not tasks:
        raise _nothing_left(found, chosen)
    unique_ids([question for task in tasks for question in task.questions], chosen.source)
    if chosen.limit is not None:
        tasks = [_sample(task, chosen.limit, chosen.seed) for task in tasks]
    return sorted(tasks, key=lambda task: task.name)


def _nothing_left(found: Sequence[AnyTask], chosen: TaskSource) -> ValueError:
    """What kept every question out."""
    if found:
        some = ", ".join(task.name for task in found[:5])
        given = f"names {chosen.names}, exclude {chosen.exclude} of {len(found)} tasks ({some}…)"
        return _checks.fail("names and exclude", "patterns that leave a task", given)
    where = f"in {chosen.source}" + (f" of split {chosen.split!r}" if chosen.split else "")
    return _checks.fail("source", "one with questions", f"none {where}")


def _load(chosen: TaskSource) -> list[Task]:
    if chosen.columns is not None or chosen.source in READY:
        return dataset_tasks(chosen.source, chosen.columns, chosen.split, chosen.demonstrations)
    kind, colon, family = chosen.source.partition(":")
    files = [_BUILTIN] if kind == "builtin" else _matching(chosen.source)
    read = _read_files(files, chosen, _parse)
    tasks = [
        Task(name, tuple(asked), tuple(shown)) for name, (asked, shown) in read.items() if asked
    ]
    return _of_family(tasks, family) if kind == "builtin" and colon else tasks


def _of_family(tasks: Sequence[Task], family: str) -> list[Task]:
    """Those of the built-in tasks that are called ``family/…``."""
    found = [task for task in tasks if task.name.startswith(f"{family}/")]
    if tasks and not found:
        families = ", ".join(sorted({task.name.partition("/")[0] for task in tasks}))
        raise _checks.fail("source", f"'builtin:' with one of {families}", f"'builtin:{family}'")
    return found


def _wanted(name: str, chosen: TaskSource) -> bool:
    if any(fnmatchcase(name, pattern) for pattern in chosen.exclude):
        return False
    return chosen.names is None or any(fnmatchcase(name, pattern) for pattern in chosen.names)


def _sample(task: AnyTask, limit: int, seed: int) -> AnyTask:
    if len(task) <= limit:
        return task
    rows = sorted(random.Random(f"{seed}/{task.name}").sample(range(len(task)), limit))
    return replace(task, questions=tuple(task.questions[row] for row in rows))


def _matching(source: str) -> list[Path]:
    path = Path(source)
    if path.is_dir():
        found = [p for p in path.iterdir() if p.name.endswith((".jsonl", ".jsonl.gz"))]
    elif path.is_file():
        found = [path]
    else:
        found = [Path(p) for p in glob.glob(source, recursive=True) if Path(p).is_file()]
    if not found:
        ready = ", ".join(sorted(READY))
        raise FileNotFoundError(
            f"Expected `source` to be 'builtin', a .jsonl or .jsonl.gz file, a folder or pattern "
            f"of them, or one of {ready}, but nothing was found at {source!r}"
        )
    return sorted(found)


def _read_files(
    files: Sequence[Path], chosen: TaskSource, parse: _Parse[AnyQuestion]
) -> dict[str, tuple[list[AnyQuestion], list[AnyQuestion]]]:
    """By task, the questions and the demonstrations."""
    found: dict[str, tuple[list[AnyQuestion], list[AnyQuestion]]] = {}
    for file in files:
        for name, split, question in _rows(file, parse):
            if chosen.demonstrations is not None and split == chosen.demonstrations:
                found.setdefault(name, ([], []))[1].append(question)
            elif chosen.split is None or split == chosen.split:
                found.setdefault(name, ([], []))[0].append(question)
    return found


def _rows(file: Path, parse: _Parse[AnyQuestion]) -> Iterator[tuple[str, str | None, AnyQuestion]]:
    default = file.name.removesuffix(".gz").removesuffix(".jsonl")
    for number, row in _files.read_lines(file):
        try:
            task, identifier = str(row.get("task") or default), row.get("id")
            named = f"{task}/{number}" if identifier is None else str(identifier)
            yield task, row.get("split"), parse(row, named)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}, line {number}: {error}") from error


def _parse(row: dict[str, Any], identifier: str) -> Question:
    if "choices" not in row:
        kind = "a free-form row" if "answers" in row else f"fields {sorted(row)}"
        raise _checks.fail("row", "multiple choice, with `choices`", kind)
    answer, choices = row.get("answer"), _checks.strings("choices", row["choices"])
    if answer is not None and (type(answer) is not int or answer < 0):
        expected = "the index of the right choice, from 0 (left out where nobody knows it)"
        place = f", which is index {choices.index(answer)}" if answer in choices else ""
        raise _checks.fail("answer", expected, f"{answer!r}{place}")
    return Question(identifier, _text(row), choices, answer, row.get("context"))


def _parse_open(row: dict[str, Any], identifier: str) -> FreeFormQuestion:
    if "choices" in row:
        raise _checks.fail("row", "free form, without `choices`", "a multiple-choice row")
    answers = _checks.strings("answers", row.get("answers") or ())
    return FreeFormQuestion(identifier, _text(row), answers, row.get("context"))


def _text(row: dict[str, Any]) -> str:
    text = row.get("question")
    if not isinstance(text, str):
        got = repr(text) if "question" in row else f"fields {sorted(row)}"
        raise _checks.fail("question", "a string", got)
    return text
