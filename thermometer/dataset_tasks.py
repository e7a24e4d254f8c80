"""Tasks from Hugging Face `datasets`: a hub repository or a local folder, read by column names.

`READY` maps the usual benchmarks. Any other data set needs a `Columns` in the config.
"""

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thermometer import _checks
from thermometer.types import Question, Task


@dataclass(frozen=True)
class Columns:
    """Which column of a data set holds what. A dot reaches into a column: ``choices.text``.

    Args:
        question: The wording.
        options: Column with the list of option texts, or several columns with one text each.
        answer: Index of the right option (from 0), or its label if `labels` is given, or a boolean.
            `None` for a data set without answers.
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


READY: Mapping[str, Columns] = {
    "mmlu": Columns(task="subject", configs=("all",), repository="cais/mmlu"),
    "arc": Columns(
        options=("choices.text",),
        labels="choices.label",
        answer="answerKey",
        id="id",
        configs=("ARC-Easy", "ARC-Challenge"),
        repository="allenai/ai2_arc",
    ),
    "openbookqa": Columns(
        question="question_stem",
        options=("choices.text",),
        labels="choices.label",
        answer="answerKey",
        id="id",
        configs=("main",),
        repository="allenai/openbookqa",
    ),
    "commonsense_qa": Columns(
        options=("choices.text",),
        labels="choices.label",
        answer="answerKey",
        id="id",
        repository="tau/commonsense_qa",
        split="validation",
    ),
    "boolq": Columns(
        texts=("no", "yes"), context="passage", repository="google/boolq", split="validation"
    ),
}
"""Benchmarks whose columns are known."""


def dataset_tasks(
    source: str, columns: Columns | None, split: str | None, demonstrations: str | None
) -> list[Task]:
    """Tasks of a data set.

    Rows that are no question with two or more different options (MMLU has ten) are left out, with a
    warning that says how many.

    Args:
        source: Hub id, local folder, or a name of `READY`.
        columns: How to read it; `None` only for `READY`.
        split: Overrides `columns.split`.
        demonstrations: Split of the few-shot demonstrations, if any.

    Raises:
        ValueError: If a column is missing or a row is malformed; the message names both.
    """
    mapping = READY[source] if columns is None else columns
    if demonstrations is not None and demonstrations == (split or mapping.split):
        raise _checks.fail("demonstrations", "another split than `split`", repr(demonstrations))
    repository = mapping.repository or source
    prefix = source if source in READY else Path(source).name
    tasks: list[Task] = []
    for config in mapping.configs or (None,):
        name = f"{prefix}/{config}" if config and len(mapping.configs) > 1 else prefix
        chosen = split or mapping.split
        asked = _by_task(_load_split(repository, config, chosen), mapping, name, chosen)
        shown = {}
        if demonstrations is not None:
            rows = _load_split(repository, config, demonstrations)
            shown = _by_task(rows, mapping, name, demonstrations)
        tasks += [Task(t, tuple(q), tuple(shown.get(t, ()))) for t, q in asked.items()]
    return tasks


def _load_split(repository: str, config: str | None, split: str) -> Any:
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
            if len({option for option in options if option.strip()}) < max(2, len(options)):
                skipped.append(number)
                continue
            question = Question(
                f"{name}/{identifier}",
                text,
                options,
                _answer(row, mapping),
                None if mapping.context is None else _value(row, mapping.context),
            )
        except (ValueError, TypeError) as error:
            raise ValueError(f"{name}, split {split!r}, row {number}: {error}") from error
        tasks.setdefault(task, []).append(question)
    if skipped:
        warnings.warn(
            f"{name}, split {split!r}: left out {len(skipped)} rows with equal, empty or fewer "
            f"than two options, the first of them row {skipped[0]}",
            stacklevel=4,
        )
    return tasks


def _options(row: Mapping[str, Any], mapping: Columns) -> tuple[str, ...]:
    if mapping.texts is not None:
        return mapping.texts
    values = [_value(row, column) for column in mapping.options]
    if len(values) == 1:
        return _checks.strings(mapping.options[0], values[0])
    return tuple(map(str, values))


def _answer(row: Mapping[str, Any], mapping: Columns) -> int | None:
    if mapping.answer is None:
        return None
    answer = _value(row, mapping.answer)
    if answer in (None, -1, ""):  # what data sets write where the answer is withheld
        return None
    if mapping.labels is not None:
        labels = list(_value(row, mapping.labels))
        if answer not in labels:
            raise _checks.fail(mapping.answer, f"one of {labels}", repr(answer))
        return labels.index(answer)
    if isinstance(answer, float):
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
