"""Run a language model over tasks and write an output table, resumably, on any number of devices.

Lightning's `Trainer.predict` hands parts of the plan to the ranks; each part becomes one file named
by its place in the plan, so the same command after a kill, on more or fewer devices, completes the
same table. The only collective is one barrier at the end; then rank 0 writes the manifest.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch.utils.data import DataLoader, Dataset

from thermometer import _checks, _files, planning, table_files
from thermometer._lightning import quiet
from thermometer.language_model import LanguageModel
from thermometer.tables import OutputTable
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.tokenization import TokenTree
from thermometer.types import Task, unique_ids

PLAN = "plan.json"
LOW_OPTION_MASS = 0.5
"""Mean option mass below which letters are probably not what the model wants to answer with."""


def extract(
    lm: LanguageModel,
    tasks: Task | Sequence[Task],
    out_dir: str | Path,
    *,
    template: Template | None = None,
    features: bool = True,
    scores: bool = True,
    token_budget: int = 4096,
    feature_dtype: Literal["float16", "float32"] = "float32",
    trainer: Mapping[str, Any] | None = None,
) -> OutputTable:
    """Compute features and option scores of all questions of some tasks.

    Running it again with the same arguments resumes an extraction that was cut short, and returns
    the table at once if it is finished.

    Args:
        lm: The model.
        tasks: One task or several; ids are unique over all of them.
        out_dir: Folder of the table.
        template: How to render questions; letters by default.
        features: Whether to write features.
        scores: Whether to write option scores and option mass.
        token_budget: Largest number of tokens, padding included, in one forward pass.
        feature_dtype: How features are stored; float16 halves the file and holds up to 65,504.
        trainer: Keywords of `lightning.Trainer`: devices, strategy, num_nodes, …

    Returns:
        The table, questions in the order of the tasks.

    Raises:
        ValueError: For no or repeated questions, prompts longer than the model's context, NaN
            scores, features that overflow float16, or a folder that holds another extraction.
    """
    if not (features or scores):
        raise _checks.fail("features", "True where `scores` is False", "False for both")
    if scores:
        lm.require_scores()
    _checks.one_of("feature_dtype", feature_dtype, ("float16", "float32"))
    if "precision" in (trainer or {}):
        raise _checks.fail("trainer", "without `precision` (use the model's dtype)", trainer)
    chosen = template or Template()
    tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
    questions = [question for task in tasks for question in task.questions]
    if not questions:
        raise _checks.fail("tasks", "at least one task", "none")
    unique_ids(questions, "the tasks")
    rows = [question_row(q, task.name) for task in tasks for q in task.questions]
    provenance = lm.provenance(chosen)
    made_by = {
        "features": provenance if features else None,
        "scores": provenance if scores else None,
    }
    digest = table_files.questions_digest(rows)
    plan = {
        "digest": digest,
        "provenance": made_by,
        "token_budget": token_budget,
        "feature_dtype": feature_dtype,
    }
    folder = Path(out_dir)
    if not _is_finished(folder, plan):
        trees = lm.encode([p for task in tasks for p in chosen.render_task(task)], chosen)
        units = lm.plan(trees, scores=scores, token_budget=token_budget)
        parts = planning.plan_parts(units, planning.default_rows_per_part(len(trees)))
        index = {
            f"part-{number:05d}.parquet": [row for unit in part for row in unit]
            for number, part in enumerate(parts)
        }
        folder.mkdir(parents=True, exist_ok=True)
        _files.write_text(folder / PLAN, json.dumps(plan, indent=2) + "\n")
        todo = [(name, part) for name, part in index.items() if not (folder / name).is_file()]
        module = _Extraction(lm, trees, rows, features, scores, token_budget, feature_dtype)
        _predict(module, _PartWriter(folder), todo, trainer or {})
        if module.is_first_rank:
            sizes = {name: len(part) for name, part in index.items()}
            table_files.write_questions(folder, rows)
            table_files.finish(folder, sizes, made_by, digest)
        module.wait_for_all()
    table = OutputTable.open(folder)
    _warn_if_low(table, chosen)
    return table


def _is_finished(folder: Path, plan: Mapping[str, Any]) -> bool:
    """Whether the folder holds the whole table; refuses one that belongs to another extraction."""
    finished = (folder / table_files.MANIFEST).is_file()
    if not (folder / PLAN).is_file():
        if finished:
            raise ValueError(f"{folder} holds a table that another program made; choose another")
        return False
    found = _files.read_json(folder / PLAN)
    if differing := sorted(_differences(plan, found)):
        raise ValueError(
            f"{folder} holds another extraction: {', '.join(differing)} differ. "
            "Choose another `out_dir` or delete the folder"
        )
    return finished


def _differences(wanted: Any, found: Any, name: str = "") -> Iterator[str]:
    """Dotted names of the values that differ in two nested dicts."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        for key in sorted({*wanted, *found}):
            inner = f"{name}.{key}" if name else key
            yield from _differences(wanted.get(key), found.get(key), inner)
    elif wanted != found:
        yield name


def _predict(
    module: "_Extraction",
    writer: "_PartWriter",
    todo: list[tuple[str, list[int]]],
    keywords: Mapping[str, Any],
) -> None:
    defaults = {"devices": 1, "logger": False, "enable_checkpointing": False}
    chosen: dict[str, Any] = {**defaults, "enable_model_summary": False, **keywords}
    given = chosen.pop("callbacks", None) or []
    callbacks = [*given] if isinstance(given, list | tuple) else [given]
    with quiet():
        trainer = Trainer(**chosen, callbacks=[*callbacks, writer])
        loader = DataLoader(_Parts(todo, trainer.world_size), batch_size=None, collate_fn=None)
        trainer.predict(module, loader, return_predictions=False)


class _Parts(Dataset[tuple[str, list[int]] | None]):
    """Parts to compute, filled up with nothing so that no rank is left without a batch."""

    def __init__(self, parts: list[tuple[str, list[int]]], world_size: int) -> None:
        self._parts: list[tuple[str, list[int]] | None] = [*parts]
        self._parts += [None] * max(0, world_size - len(parts))

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, index: int) -> tuple[str, list[int]] | None:
        return self._parts[index]


class _Extraction(LightningModule):
    """Holds the language model in a plain attribute: no parameter of it belongs to Lightning."""

    def __init__(
        self,
        lm: LanguageModel,
        trees: Sequence[TokenTree],
        rows: Sequence[Mapping[str, Any]],
        features: bool,
        scores: bool,
        token_budget: int,
        feature_dtype: str,
    ) -> None:
        super().__init__()
        self._lm = lm
        self._trees = trees
        self._rows = rows
        self._wanted = {"features": features, "scores": scores, "token_budget": token_budget}
        self._feature_dtype = feature_dtype

    @property
    def is_first_rank(self) -> bool:
        """Whether this process writes the manifest."""
        return bool(self.trainer.is_global_zero)

    def wait_for_all(self) -> None:
        """Return when every rank has called this."""
        self.trainer.strategy.barrier()

    def setup(self, stage: str) -> None:
        """Place the language model on this rank's device."""
        self._lm.to(self.device)

    def predict_step(self, batch: tuple[str, list[int]] | None) -> dict[str, Any] | None:
        """The columns of one part."""
        if batch is None:
            return None
        name, index = batch
        trees = [self._trees[i] for i in index]
        outputs = self._lm.compute(trees, **self._wanted)  # type: ignore[arg-type]
        columns: dict[str, Any] = {
            "name": name,
            "id": [self._rows[i]["id"] for i in index],
            "task": [self._rows[i]["task"] for i in index],
            "label": [self._rows[i].get("answer") for i in index],
            "n_prompt_tokens": [tree.n_prompt_tokens for tree in trees],
        }
        if outputs.scores is not None:
            sizes = [len(tree.branches) for tree in trees]
            columns["scores"] = [
                row[:size].tolist() for row, size in zip(outputs.scores, sizes, strict=True)
            ]
            columns["option_mass"] = outputs.option_mass
        if outputs.features is not None:
            columns["features"] = self._stored(outputs.features, columns["id"])
        return columns

    def _stored(self, features: Any, ids: Sequence[str]) -> Any:
        with np.errstate(over="ignore"):
            stored = features.astype(self._feature_dtype)
        if (bad := ~np.isfinite(stored).all(axis=1)).any():
            raise ValueError(
                f"Expected finite features, but got NaN, infinity or an overflow of "
                f"{self._feature_dtype} for question {ids[int(np.flatnonzero(bad)[0])]}"
            )
        return stored


class _PartWriter(BasePredictionWriter):
    """Writes each part as soon as it is computed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self._folder = folder

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any
    ) -> None:
        """Write one part under its name in the plan."""
        if prediction is not None:
            table_files.write_part(self._folder / prediction.pop("name"), prediction)

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for all ranks, so that the manifest is written after the last part."""
        trainer.strategy.barrier()


def _warn_if_low(table: OutputTable, template: Template) -> None:
    if table.option_mass is None or template.style != "letter":
        return
    mass = float(table.option_mass.mean())
    if mass < LOW_OPTION_MASS:
        warnings.warn(
            f"The option letters hold only {mass:.0%} of the model's probability on average: the "
            "template may not suit this model (try chat=True, shots, or style='cloze')",
            stacklevel=3,
        )
