"""Run language models over tasks and write output tables, resumably, on any number of devices.

A plan that depends on the questions and the settings only is cut into parts, which go to the ranks
of Lightning's `Trainer.predict`. Each part becomes one file named by its place in the plan, so the
same command after a kill, on more or fewer devices, completes the same table. The only collectives
are one sum and one barrier at the end; rank 0 writes the manifest last.
"""

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter, RichProgressBar, TQDMProgressBar
from rich.console import Console
from torch.utils.data import DataLoader

from thermometer import _checks, _files, language_model, planning, table_files
from thermometer._lightning import quiet, shows_progress, terminable
from thermometer.forward import Summary, Work
from thermometer.language_model import LanguageModel
from thermometer.planning import Unit
from thermometer.tables import OutputTable
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.tokenization import TokenStore, TokenTree, check_lengths, extending_note
from thermometer.types import Task, unique_ids


class _Extraction(LightningModule):
    """Computes parts (units of work by file name); no parameter of `lm` belongs to Lightning."""

    def __init__(
        self,
        lm: LanguageModel,
        trees: Sequence[TokenTree],
        rows: Sequence[Mapping[str, Any]],
        parts: Mapping[str, Sequence[Unit]],
        plan: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self._lm = lm
        self._trees = trees
        self._rows = rows
        self._parts = parts
        self._wanted = {name: made is not None for name, made in plan["provenance"].items()}
        self._feature_dtype = plan["feature_dtype"]
        self._work = Work()
        self._seconds = 0.0

    @property
    def wanted(self) -> str:
        """What is computed, in a word or three."""
        return " and ".join(name for name, wanted in self._wanted.items() if wanted)

    def setup(self, stage: str) -> None:
        """Place the language model on this rank's device."""
        self._lm.to(self.device)

    def own_summary(self) -> Summary:
        """What this rank has computed so far."""
        work, device = self._work, self._lm.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        return Summary(work, self._seconds, self._lm.size.operations(work), (name,))

    def summary(self) -> Summary:
        """What all ranks have computed; every rank must call this."""
        own = self.own_summary()
        counts = [float(getattr(own.work, field.name)) for field in fields(Work)]
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        numbers = [*counts, own.seconds, own.operations]
        tensor = torch.tensor(numbers, dtype=dtype, device=self.device)
        *total, seconds, operations = self.trainer.strategy.reduce(tensor, reduce_op="sum").tolist()
        devices = own.devices * self.trainer.world_size
        return Summary(Work(*map(round, total)), seconds, operations, devices)

    def predict_step(self, batch: str | None) -> dict[str, Any] | None:
        """The columns of one part."""
        if batch is None:
            return None
        units = self._parts[batch]
        start = time.perf_counter()
        outputs = self._lm.compute(self._trees, units, **self._wanted)
        self._seconds += time.perf_counter() - start
        self._work += outputs.work
        index = planning.rows_of(units)
        trees = [self._trees[i] for i in index]
        columns: dict[str, Any] = {
            "name": batch,
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
            with np.errstate(over="ignore"):
                stored = outputs.features.astype(self._feature_dtype)
            if (bad := ~np.isfinite(stored).all(axis=1)).any():
                raise ValueError(
                    f"Expected finite features, but got NaN, infinity or an overflow of "
                    f"{self._feature_dtype} for question {columns['id'][int(bad.argmax())]}"
                )
            columns["features"] = stored
        return columns


class _PartWriter(BasePredictionWriter):
    """Writes each part when it is computed, and shows this rank's speed beside the progress bar."""

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self._folder = folder

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any
    ) -> None:
        """Write one part under its name in the plan."""
        if prediction is not None:
            table_files.write_part(self._folder / prediction.pop("name"), prediction)
            assert isinstance(pl_module, _Extraction)
            speed = pl_module.own_summary().tokens_per_second
            text, bar = f"{pl_module.wanted}, {speed:,.0f} tokens/s", trainer.progress_bar_callback
            if isinstance(bar, RichProgressBar):
                if bar.progress is not None and bar.predict_progress_bar_id is not None:
                    bar.progress.update(bar.predict_progress_bar_id, description=text)
            elif isinstance(bar, TQDMProgressBar):
                bar.predict_progress_bar.set_postfix_str(text, refresh=False)


PLAN = "plan.json"
SUMMARY = "summary.json"
LOW_OPTION_MASS = 0.5
"""Mean option mass below which letters are probably not what the model wants to answer with."""
_CHUNK = 256  # prompts that exist as text at one time

Encoded = dict[tuple[str, str], TokenStore]
"""Token trees by tokenizer and template, for models that share both."""


def extract(
    lm: LanguageModel,
    tasks: Task | Sequence[Task],
    out_dir: str | Path,
    *,
    template: Template | None = None,
    features: bool = True,
    scores: bool = True,
    feature_dtype: Literal["float16", "float32"] = "float32",
    trainer: Mapping[str, Any] | None = None,
    encoded: Encoded | None = None,
) -> OutputTable:
    """Compute features and option scores of all questions of some tasks.

    Running it again with the same arguments resumes an extraction that was cut short, with the
    token budget that it was begun with, and returns the table at once if it is finished. What was
    computed, and how fast, is in ``summary.json``.

    Args:
        lm: The model.
        tasks: One task or several; ids are unique over all of them.
        out_dir: Folder of the table.
        template: How to render questions; letters by default.
        features: Whether to write features.
        scores: Whether to write option scores and option mass.
        feature_dtype: How features are stored; float16 halves the file and holds up to 65,504.
        trainer: Keywords of `lightning.Trainer`: devices, strategy, num_nodes, …
        encoded: Keeps token trees for the next model with the same tokenizer and template.

    Returns:
        The table, questions in the order of the tasks.

    Raises:
        ValueError: For no or repeated questions, prompts longer than the model's context, NaN
            scores, features that overflow float16, or a folder that holds another extraction.
        MemoryError: If there is not enough memory for a single question.
    """
    if not (features or scores):
        raise _checks.fail("features", "True where `scores` is False", "False for both")
    _checks.instance("lm", lm, LanguageModel, "`LanguageModel.from_pretrained` loads one")
    if scores:
        lm.require_scores()
    _checks.one_of("feature_dtype", feature_dtype, ("float16", "float32"))
    if "precision" in (trainer or {}):
        raise _checks.fail("trainer", "without `precision` (use the model's dtype)", trainer)
    chosen, folder = template or Template(), Path(out_dir)
    _checks.instance("template", chosen, Template, 'as `Template("cloze")`')
    tasks = [tasks] if isinstance(tasks, Task) else list(tasks)
    for task in tasks:
        _checks.instance("tasks", task, Task, "`load_tasks` reads them")
    questions = [question for task in tasks for question in task.questions]
    if not questions:
        raise _checks.fail("tasks", "at least one task", "none")
    unique_ids(questions, "the tasks")
    rows = [question_row(q, task.name) for task in tasks for q in task.questions]
    begun = _files.read_json(folder / PLAN) if (folder / PLAN).is_file() else None
    provenance = lm.provenance(chosen)
    wanted = {"features": features, "scores": scores}
    plan = {
        "digest": table_files.questions_digest(rows),
        "provenance": {name: provenance if want else None for name, want in wanted.items()},
        "token_budget": lm.token_budget or _budget(begun, lm, trainer or {}),
        "feature_dtype": feature_dtype,
    }
    if not _is_finished(folder, plan, begun):
        trees = _encode(lm, tasks, chosen, encoded)
        if scores and (note := extending_note(trees)):
            warnings.warn(note, stacklevel=2)
        _write(lm, trees, rows, folder, plan, trainer or {})
    del rows  # of many questions there need not be two copies
    table = OutputTable.open(folder)
    _warn_if_low(table, chosen)
    return table


def _write(
    lm: LanguageModel,
    trees: TokenStore,
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    plan: Mapping[str, Any],
    trainer: Mapping[str, Any],
) -> None:
    """Compute what is missing of a table and declare it finished."""
    lm, provenance = lm.with_token_budget(plan["token_budget"]), plan["provenance"]
    units = lm.plan(trees, scores=provenance["scores"] is not None)
    planned = planning.plan_parts(units, planning.default_rows_per_part(len(trees)))
    parts = {f"part-{number:05d}.parquet": part for number, part in enumerate(planned)}
    folder.mkdir(parents=True, exist_ok=True)
    _files.write_text(folder / PLAN, json.dumps(plan, indent=2) + "\n")
    todo: list[str | None] = [name for name in parts if not (folder / name).is_file()]
    module = _Extraction(lm, trees, rows, parts, plan)
    defaults = {"devices": 1, "logger": False, "enable_checkpointing": False}
    keywords: dict[str, Any] = {**defaults, "enable_model_summary": False, **trainer}
    given = keywords.pop("callbacks", None) or []
    callbacks = [*given] if isinstance(given, list | tuple) else [given]
    with quiet(), terminable():
        run = Trainer(**keywords, callbacks=[*callbacks, _PartWriter(folder)])
        todo += [None] * max(0, run.world_size - len(todo))  # no rank is left without a batch
        loader: DataLoader[str | None] = DataLoader(todo, batch_size=None)  # type: ignore[arg-type]
        run.predict(module, loader, return_predictions=False)
    summary = module.summary()  # waits for all ranks, so that the manifest comes after the parts
    if run.is_global_zero:
        table_files.write_questions(folder, rows)
        sizes = {name: len(planning.rows_of(part)) for name, part in parts.items()}
        table_files.finish(folder, sizes, provenance, plan["digest"])
        _files.write_text(folder / SUMMARY, json.dumps(summary.to_dict(), indent=2) + "\n")
        if run.progress_bar_callback is not None:
            Console().print(f"{module.wanted}: {summary}", highlight=False)
    run.strategy.barrier()


def _encode(
    lm: LanguageModel, tasks: Sequence[Task], template: Template, encoded: Encoded | None
) -> TokenStore:
    """Token trees of all questions, those of another model if it has the same tokenizer."""
    encoded = {} if encoded is None else encoded
    key = (lm.tokenizer_digest, template.digest)
    if key in encoded:
        check_lengths(encoded[key], lm.max_length)
        return encoded[key]
    store = TokenStore()
    for task in tasks:
        for start in range(0, len(task), _CHUNK):
            some = task.questions[start : start + _CHUNK]
            for tree in lm.encode(template.render_task(replace(task, questions=some)), template):
                store.append(tree)
    encoded[key] = store
    return store


def _budget(begun: Any, lm: LanguageModel, trainer: Mapping[str, Any]) -> int:
    """The token budget of an extraction that was begun, else one that suits the device."""
    found = (begun or {}).get("token_budget")
    if isinstance(found, int):
        return found
    on_gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    device = "cuda" if on_gpu and torch.cuda.is_available() else "cpu"
    return language_model.suitable_token_budget(lm.model, torch.device(device))


def _is_finished(folder: Path, plan: Mapping[str, Any], begun: Any) -> bool:
    """Whether the folder holds the whole table; refuses one that belongs to another extraction."""
    finished = (folder / table_files.MANIFEST).is_file()
    if begun is None and finished:
        raise ValueError(f"{folder} holds a table that another program made; choose another")
    if begun is not None and (differing := sorted(_differences(plan, begun))):
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


def _warn_if_low(table: OutputTable, template: Template) -> None:
    """Warn where the prompt names the letters and the model wants to answer with something else."""
    # With `cloze` any other wording of an answer takes its share: a low mass says nothing.
    if table.option_mass is None or template.style == "cloze":
        return
    mass = float(table.option_mass.mean())
    if mass < LOW_OPTION_MASS:
        other = ", shots, or style='cloze'" if template.style == "letter" else ""
        warnings.warn(
            f"The option letters hold only {mass:.0%} of the model's probability on average: the "
            f"template may not suit this model (try chat={not template.chat}{other})",
            stacklevel=3,
        )


FEATURES, SCORES, ONE = "features", "scores", "outputs"
"""Folders of the tables: two of them, or one where one model gives both."""
REFERENCE = "reference"
"""Folder of the reference model's scores, where there is one."""

_Extract = Callable[..., OutputTable]


def extract_both(
    small: LanguageModel,
    large: LanguageModel,
    tasks: Task | Sequence[Task],
    out_dir: str | Path,
    *,
    template: Template | None = None,
    small_template: Template | None = None,
    feature_dtype: Literal["float16", "float32"] = "float32",
    trainer: Mapping[str, Any] | None = None,
) -> OutputTable:
    """Write a table of the small model's features and one of the large model's scores; join them.

    The tables are the folders ``features`` and ``scores`` of `out_dir`, and ``summary.json`` says
    what each of them cost. Where `small` is `large` and reads the same prompts, one pass over the
    questions gives both, in the folder ``outputs``. Running it again resumes.

    Args:
        small: Gives features.
        large: Gives scores.
        tasks: One task or several; ids are unique over all of them.
        out_dir: Folder of both tables.
        template: How to render questions; letters by default.
        small_template: How to render them for `small`; as `template` by default.
        feature_dtype: See `extract`.
        trainer: Keywords of `lightning.Trainer`, for both.

    Returns:
        Features and scores, questions in the order of the tasks.

    Raises:
        ValueError: As `extract`.
        MemoryError: Likewise.
    """
    chosen = template or Template()
    for_small = small_template or chosen
    one = small is large and for_small == chosen
    options: dict[str, Any] = {"trainer": trainer, "feature_dtype": feature_dtype}
    features = partial(extract, small, tasks, template=for_small, scores=False, **options)
    if not one:
        del options["feature_dtype"]
    scores = partial(extract, large, tasks, template=chosen, **options)
    return joined(features, scores, out_dir, trainer, one=one)


def joined(
    small: _Extract,
    large: _Extract,
    out_dir: str | Path,
    trainer: Mapping[str, Any] | None = None,
    *,
    one: bool,
) -> OutputTable:
    """The tables that `extract_both` describes, from two functions that write or open one.

    Args:
        small: Given a folder and `encoded` of `extract`, returns the table of the features.
        large: Given them and `features` of `extract`, that of the scores.
        out_dir: Folder of both tables.
        trainer: As in `extract_both`: without a progress bar nothing is printed about costs.
        one: Whether both are the same: `large` then makes one table of features and scores.
    """
    folder = Path(out_dir)
    if one:
        return large(folder / ONE)
    encoded: Encoded = {}  # tokenised once, if both models have one tokenizer and template
    features = small(folder / FEATURES, encoded=encoded)
    scores = large(folder / SCORES, features=False, encoded=encoded)
    report_costs(folder, show=shows_progress(trainer))
    return features.join(scores)


def report_costs(out_dir: str | Path, *, show: bool = False) -> dict[str, Any] | None:
    """What the tables ``features`` and ``scores`` of a folder cost, written to its summary.

    ``features_share`` is the part of the small model in the seconds and the operations of both, in
    [0, 1], for the runs that finished the tables. If one has no summary the result is `None`.
    """
    folder = Path(out_dir)
    files = {name: folder / name / SUMMARY for name in (FEATURES, SCORES)}
    if not all(file.is_file() for file in files.values()):
        return None
    found = {name: _files.read_json(file) for name, file in files.items()}
    shares = {}
    for name in ("seconds", "operations"):
        small, large = (float(found[table][name]) for table in (FEATURES, SCORES))
        shares[name] = round(small / (small + large), 4) if small + large else None
    costs = {**found, "features_share": shares}
    _files.write_text(folder / SUMMARY, json.dumps(costs, indent=2) + "\n")
    if show and shares["seconds"] is not None:
        Console().print(
            f"features took {shares['seconds']:.1%} of the time, {shares['operations']:.1%} of the "
            "operations",
            highlight=False,
        )
    return costs
