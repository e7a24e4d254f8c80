"""Load tasks from JSON lines, from a `datasets` repository or folder, or the built-in ones."""

import glob
import random
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Protocol, TypeVar

from thermometer import _checks, _files
from thermometer.types import Identified, OptionsError, Question, Task, unique_ids


@dataclass(frozen=True)
class Columns:
    """Which column of a data set holds what. A dot reaches into a column: ``choices.text``.

    Args:
        question: The wording.
        options: Column with the list of option texts, or several columns with one text each.
        answer: Index of the right option (from 0), or its label if `labels` is given, or a boolean
            if `texts` is given. `None` for a data set without answers.
        labels: Column with the labels of the options, such as ``choices.label``.
        texts: The option texts if they are the same in every row and have no column.
        task: Column whose value names the task; without it each configuration is one task.
        context: Column with a passage.
        id: Column with a unique id; without it rows are numbered.
        configs: Configurations of the repository to load.
        repository: Hub id, if it is not the name under which the mapping is used.
        split: Split to load unless the config says otherwise.
    """

    question: str = "question"
    options: tuple[str, ...] = ("choices",)
    answer: str | None = "answer"
    labels: str | None = None
    texts: tuple[str, ...] | None = None
    task: str | None = None
    context: str | None = None
    id: str | None = None
    configs: tuple[str, ...] = ()
    repository: str | None = None
    split: str = "test"

    def __post_init__(self) -> None:
        for name in ("options", "texts", "configs"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, _checks.strings(name, getattr(self, name)))


_ARC = Columns(
    options=("choices.text",),
    labels="choices.label",
    answer="answerKey",
    id="id",
    configs=("ARC-Easy", "ARC-Challenge"),
    repository="allenai/ai2_arc",
)
READY: Mapping[str, Columns] = {
    "mmlu": Columns(task="subject", configs=("all",), repository="cais/mmlu"),
    "arc": _ARC,
    "openbookqa": replace(
        _ARC, question="question_stem", configs=("main",), repository="allenai/openbookqa"
    ),
    "commonsense_qa": replace(
        _ARC, configs=(), repository="tau/commonsense_qa", split="validation"
    ),
    "boolq": Columns(
        texts=("no", "yes"), context="passage", repository="google/boolq", split="validation"
    ),
}
"""Benchmarks whose columns are known."""


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
            got = repr(self.demonstrations)
            raise _checks.fail("demonstrations", "another split than `split`", got)


class _AnyTask(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def questions(self) -> Sequence[Identified]: ...
    def __len__(self) -> int: ...


T = TypeVar("T", bound=_AnyTask)
Q = TypeVar("Q", bound=Identified)

_BUILTIN = Path(__file__).with_name("builtin_tasks.jsonl.gz")


def load_tasks(source: str | Path | TaskSource, **options: Any) -> list[Task]:
    """Load tasks, sorted by name.

    Rows that are no question with two or more different options (MMLU has ten) are left out, with a
    warning that says how many and which is the first.

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
    chosen = task_source(source, options)
    if chosen.columns is not None or chosen.source in READY:
        return choose_tasks(_dataset_tasks(chosen), chosen)
    kind, _, family = chosen.source.partition(":")
    files = [_BUILTIN] if kind == "builtin" else matching_files(chosen.source)
    read = read_files(files, chosen, _parse)
    tasks = [
        Task(name, tuple(asked), tuple(shown)) for name, (asked, shown) in read.items() if asked
    ]
    if kind == "builtin" and ":" in chosen.source and tasks:
        found = [task for task in tasks if task.name.startswith(f"{family}/")]
        if not found:
            families = ", ".join(sorted({task.name.partition("/")[0] for task in tasks}))
            expected = f"'builtin:' with one of {families}"
            raise _checks.fail("source", expected, f"'builtin:{family}'")
        tasks = found
    return choose_tasks(tasks, chosen)


def load_task(source: str | Path | TaskSource, **options: Any) -> Task:
    """The one task of a source; as `load_tasks`, but several tasks raise `ValueError`."""
    tasks = load_tasks(source, **options)
    if len(tasks) > 1:
        names = ", ".join(task.name for task in tasks[:5])
        raise _checks.fail("source", "one task (choose with `names`)", f"{len(tasks)}: {names}…")
    return tasks[0]


def _dataset_tasks(chosen: TaskSource) -> list[Task]:
    """Tasks of a data set."""
    source, demonstrations = chosen.source, chosen.demonstrations
    mapping = READY[source] if chosen.columns is None else chosen.columns
    split, repository = chosen.split or mapping.split, mapping.repository or source
    if demonstrations == split:
        raise _checks.fail("demonstrations", "another split than `split`", repr(demonstrations))
    prefix = source if source in READY else Path(source).name
    tasks: list[Task] = []
    for config in mapping.configs or (None,):
        name = f"{prefix}/{config}" if config and len(mapping.configs) > 1 else prefix
        asked = _by_task(load_split(repository, config, split), mapping, name, split)
        shown = {}
        if demonstrations is not None:
            rows = load_split(repository, config, demonstrations)
            shown = _by_task(rows, mapping, name, demonstrations)
        tasks += [Task(t, tuple(q), tuple(shown.get(t, ()))) for t, q in asked.items()]
    return tasks


def load_split(repository: str, config: str | None, split: str) -> Any:
    """The rows of a split of a `datasets` repository or folder."""
    import datasets

    folder = Path(repository)
    if (folder / "dataset_dict.json").is_file() or (folder / "dataset_info.json").is_file():
        loaded = datasets.load_from_disk(repository)
        if isinstance(loaded, datasets.Dataset):
            return loaded
    else:
        loaded = datasets.load_dataset(repository, config)
    if split not in loaded:
        raise _checks.fail("split", f"one of {sorted(loaded)} of {repository}", repr(split))
    return loaded[split]


def _by_task(
    rows: Iterable[dict[str, Any]], mapping: Columns, name: str, split: str
) -> dict[str, list[Question]]:
    tasks: dict[str, list[Question]] = {}
    skipped = []
    for number, row in enumerate(rows):
        try:
            task = name if mapping.task is None else f"{name}/{_value(row, mapping.task)}"
            identifier = f"{split}/{number}" if mapping.id is None else _value(row, mapping.id)
            options = _options(row, mapping)
            text = _value(row, mapping.question)
            context = None if mapping.context is None else _value(row, mapping.context)
            answer = _answer(row, mapping, options)
            question = Question(f"{name}/{identifier}", text, options, answer, context)
        except OptionsError as error:
            skipped.append(f"row {number}: {error}")
            continue
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}, split {split!r}, row {number}: {error}") from error
        tasks.setdefault(task, []).append(question)
    _say_left_out(f"{name}, split {split!r}", skipped)
    return tasks


def _say_left_out(where: str, skipped: Sequence[str]) -> None:
    """Warn of rows among whose options nobody can choose."""
    if skipped:
        warnings.warn(
            f"{where}: left out {len(skipped)} rows with equal, empty or fewer than two options, "
            f"the first of them {skipped[0]}",
            stacklevel=5,
        )


def _options(row: Mapping[str, Any], mapping: Columns) -> tuple[str, ...]:
    if mapping.texts is not None:
        return mapping.texts
    values = [_value(row, column) for column in mapping.options]
    if len(values) == 1:
        return _checks.strings(mapping.options[0], values[0])
    return tuple("" if value is None else str(value) for value in values)


def _answer(row: Mapping[str, Any], mapping: Columns, options: Sequence[str]) -> int | None:
    if mapping.answer is None:
        return None
    answer = _value(row, mapping.answer)
    if answer in (None, -1, ""):  # what data sets write where the answer is withheld
        return None
    if mapping.labels is not None:
        labels = list(_value(row, mapping.labels))
        if len(labels) != len(options):
            raise _checks.fail(mapping.labels, f"{len(options)} labels, as options", labels)
        if labels.count(answer) != 1:
            raise _checks.fail(mapping.answer, f"one of {labels}", repr(answer))
        return labels.index(answer)
    if not isinstance(answer, int) or (isinstance(answer, bool) and mapping.texts is None):
        raise _checks.fail(mapping.answer, "an index, a boolean or a label", repr(answer))
    return int(answer)


def _value(row: Mapping[str, Any], column: str) -> Any:
    value: Any = row
    for key in column.split("."):
        if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
            value = {name: [item[name] for item in value] for name in (value or [{}])[0]}
        if not isinstance(value, Mapping) or key not in value:
            raise _checks.fail("columns", f"names among {sorted(row)}", repr(column))
        value = value[key]
    return value


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


def task_source(source: str | Path | TaskSource, options: Mapping[str, Any]) -> TaskSource:
    """A source with some of its fields given as options."""
    if isinstance(source, TaskSource):
        return replace(source, **options)
    return TaskSource(str(source), **options)


def choose_tasks(tasks: Sequence[T], chosen: TaskSource) -> list[T]:
    """Those tasks that a source names, with no more questions than its limit, sorted."""
    names, exclude = chosen.names, chosen.exclude
    if not tasks:
        where = f"in {chosen.source}" + (f" of split {chosen.split!r}" if chosen.split else "")
        raise _checks.fail("source", "one with questions", f"none {where}")
    found = [
        task
        for task in tasks
        if (names is None or any(fnmatchcase(task.name, pattern) for pattern in names))
        and not any(fnmatchcase(task.name, pattern) for pattern in exclude)
    ]
    if not found:
        some = ", ".join(task.name for task in tasks[:5])
        given = f"names {names}, exclude {exclude} of {len(tasks)} tasks ({some}…)"
        raise _checks.fail("names and exclude", "patterns that leave a task", given)
    unique_ids([question for task in found for question in task.questions], chosen.source)
    if chosen.limit is not None:
        found = [_sample(task, chosen.limit, chosen.seed) for task in found]
    return sorted(found, key=lambda task: task.name)


def _sample(task: T, limit: int, seed: int) -> T:
    if len(task) <= limit:
        return task
    rows = sorted(random.Random(f"{seed}/{task.name}").sample(range(len(task)), limit))
    chosen = tuple(task.questions[row] for row in rows)
    return replace(task, questions=chosen)  # type: ignore[type-var]


def matching_files(source: str) -> list[Path]:
    """The JSON lines files that a source means; raises `FileNotFoundError` if there are none."""
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


def read_files(
    files: Sequence[Path], chosen: TaskSource, parse: Callable[[dict[str, Any], str], Q]
) -> dict[str, tuple[list[Q], list[Q]]]:
    """The questions and the demonstrations of JSON lines files, by task.

    Args:
        files: To read.
        chosen: Its `split` and `demonstrations` are kept.
        parse: Makes a question of a row and an id.

    Raises:
        ValueError: For a row that cannot be parsed; the message names file and line.
    """
    found: dict[str, tuple[list[Q], list[Q]]] = {}
    skipped = []
    for file in files:
        default = file.name.removesuffix(".gz").removesuffix(".jsonl")
        for number, row in _files.read_lines(file):
            task, identifier, split = (
                str(row.get("task") or default),
                row.get("id"),
                row.get("split"),
            )
            try:
                question = parse(row, f"{task}/{number}" if identifier is None else str(identifier))
            except OptionsError as error:
                skipped.append(f"{file}, line {number}: {error}")
                continue
            except (ValueError, TypeError) as error:
                raise ValueError(f"{file}, line {number}: {error}") from error
            if chosen.demonstrations is not None and split == chosen.demonstrations:
                found.setdefault(task, ([], []))[1].append(question)
            elif chosen.split is None or split == chosen.split:
                found.setdefault(task, ([], []))[0].append(question)
    _say_left_out(chosen.source, skipped)
    return found


def _parse(row: dict[str, Any], identifier: str) -> Question:
    if "choices" not in row:
        kind = "a free-form row" if "answers" in row else f"fields {sorted(row)}"
        raise _checks.fail("row", "multiple choice, with `choices`", kind)
    answer, choices = row.get("answer"), _checks.strings("choices", row["choices"])
    if answer is not None and (type(answer) is not int or answer < 0):
        expected = "the index of the right choice, from 0 (left out where nobody knows it)"
        plain = [choice.strip() for choice in choices]
        said = answer.strip() if isinstance(answer, str) else answer
        place = f", which is index {plain.index(said)}" if plain.count(said) == 1 else ""
        raise _checks.fail("answer", expected, f"{answer!r}{place}")
    return Question(identifier, text_of(row), choices, answer, row.get("context"))


def text_of(row: dict[str, Any]) -> str:
    """The text of the question in a row."""
    text = row.get("question")
    if not isinstance(text, str):
        got = repr(text) if "question" in row else f"fields {sorted(row)}"
        raise _checks.fail("question", "a string", got)
    return text
