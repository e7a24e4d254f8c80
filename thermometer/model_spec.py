"""Where features or scores come from: a language model that is run, or an output table on disk."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from thermometer import _checks
from thermometer.llm.language_model import LanguageModel, Position
from thermometer.recorded import load_table
from thermometer.segmentation.question_columns import read_questions
from thermometer.table_files import QUESTIONS, questions_digest
from thermometer.tables import OutputTable
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.types import Task


@dataclass(frozen=True)
class Source:
    """A language model and how it reads the questions, or a table of what one has said of them.

    Args:
        model: Hub id, local folder, GGUF file, or ``bundled:smollm2``.
        table: Output table, a folder or a file as `load_table` reads them; in place of `model`.
            All other fields are of models only.
        revision: Branch, tag or commit of a hub id.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        num_layers: Run only the first so many blocks (features only).
        layer: Hidden state that is the feature: -1 is the last, after the final norm.
        position: Take it at the ``last`` token of the prompt, or as the ``mean`` over its tokens.
        device_map: For a model larger than one device, as transformers has it.
        gguf_file: A GGUF file inside the repository or folder.
        template: How questions are rendered for this model, if not as the experiment says.
        token_budget: Largest number of tokens, padding included, in one forward pass; by default
            what suits the device.

    Raises:
        ValueError: If not exactly one of `model` and `table` is given, or a table with a field that
            is of models.

    Example:
        >>> Source(table="outputs/imported").name
        'outputs/imported'
    """

    model: str | None = None
    table: str | None = None
    revision: str | None = None
    dtype: str = "auto"
    num_layers: int | None = None
    layer: int = -1
    position: Position = "last"
    device_map: str | None = None
    gguf_file: str | None = None
    template: Template | None = None
    token_budget: int | None = None

    def __post_init__(self) -> None:
        if (self.model is None) == (self.table is None):
            raise _checks.fail("model", "given, or else `table`", "both" if self.model else None)
        if self.table is not None:
            for field in fields(self):
                if field.name != "table" and getattr(self, field.name) != field.default:
                    expected = f"left out, as it is of models and {self.table} is a table"
                    raise _checks.fail(field.name, expected, getattr(self, field.name))

    @property
    def name(self) -> str:
        """The model or the table."""
        return str(self.table or self.model)

    def require_model(self, name: str) -> str:
        """The model; raises `ValueError`, naming the argument, if this is a table."""
        if self.model is None:
            raise _checks.fail(f"{name}.model", "given, as a model is to be run", self.table)
        return self.model

    def require_whole(self, name: str) -> None:
        """Raise `ValueError`, naming the argument, if the model is cut: it could not answer."""
        if self.num_layers is not None:
            expected = "None: an answering model is whole"
            raise _checks.fail(f"{name}.num_layers", expected, self.num_layers)

    def load(self) -> LanguageModel:
        """Load the model."""
        return LanguageModel.from_pretrained(
            self.require_model("source"),
            revision=self.revision,
            dtype=self.dtype,
            num_layers=self.num_layers,
            layer=self.layer,
            position=self.position,
            device_map=self.device_map,
            gguf_file=self.gguf_file,
            token_budget=self.token_budget,
        )

    def asks(self, template: Template) -> tuple[object, ...]:
        """Which model is asked, and how; `template` is that of the experiment."""
        return self.name, self.revision, self.gguf_file, self.template or template

    @property
    def questions(self) -> Path | None:
        """The file with the questions of the table, if it is a folder that has them."""
        file = Path(self.table or "") / QUESTIONS
        return file if self.table and file.is_file() else None

    def open(self, tasks: Sequence[Task] | None = None) -> OutputTable:
        """Read the table; if tasks are given, only the rows of their questions, in that order.

        Raises:
            FileNotFoundError: If there is no such table.
            ValueError: As `load_table`, and if a question of the tasks is missing, or has another
                task, label or text.
        """
        table = load_table(self.name)
        if tasks is None:
            return table
        asked = [question_row(q, task.name) for task in tasks for q in task.questions]
        place = {identifier: row for row, identifier in enumerate(table.ids)}
        if missing := [row["id"] for row in asked if row["id"] not in place]:
            got = f"{len(missing)} of {len(asked)} that it lacks, first {missing[0]}"
            raise _checks.fail("tasks", f"questions of {self.name}", got)
        chosen = table.select([place[row["id"]] for row in asked])
        labels = np.array([row.get("answer", -1) for row in asked])
        other = (chosen.labels != labels) | (chosen.tasks != [row["task"] for row in asked])
        if self.questions is not None:
            found = {row["id"]: row for row in read_questions(self.name)}
            other |= np.array([found[row["id"]] != row for row in asked])
            chosen = replace(chosen, digest=questions_digest(asked))
        if other.any():
            first = chosen.ids[int(other.argmax())]
            got = f"{int(other.sum())} with another text, task or label, first {first}"
            raise _checks.fail("tasks", f"questions as {self.name} has them", got)
        return chosen
