"""Run language models over tasks and write output tables, resumably, on any number of devices.

Parts of a plan that depends on the questions and the settings only go to the ranks; each becomes
one file named by its place in the plan, so the same command after a kill, on more or fewer devices,
completes the same table. Rank 0 writes the manifest last.
"""

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console

from thermometer import _checks, _files, table_files
from thermometer.llm import memory, planning
from thermometer.llm.language_model import LanguageModel
from thermometer.llm.token_store import TokenStore
from thermometer.predicting import Extraction, predict
from thermometer.tables import OutputTable
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.types import Task, unique_ids

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
    provenance = lm.provenance(chosen)
    made_by = {
        "features": provenance if features else None,
        "scores": provenance if scores else None,
    }
    plan = {
        "digest": table_files.questions_digest(rows),
        "provenance": made_by,
        "token_budget": lm.token_budget or _budget(folder, lm, trainer or {}),
        "feature_dtype": feature_dtype,
    }
    if not _is_finished(folder, plan):
        _write(lm, _encode(lm, tasks, chosen, encoded), rows, folder, plan, trainer or {})
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
    lm, made_by = lm.with_token_budget(plan["token_budget"]), plan["provenance"]
    features, scores = (made_by[name] is not None for name in ("features", "scores"))
    units = lm.plan(trees, scores=scores)
    parts = {
        f"part-{number:05d}.parquet": part
        for number, part in enumerate(
            planning.plan_parts(units, planning.default_rows_per_part(len(trees)))
        )
    }
    folder.mkdir(parents=True, exist_ok=True)
    _files.write_text(folder / PLAN, json.dumps(plan, indent=2) + "\n")
    todo = [name for name in parts if not (folder / name).is_file()]
    module = Extraction(lm, trees, rows, parts, features, scores, plan["feature_dtype"])
    predict(module, folder, todo, trainer)
    summary = module.summary()
    if module.is_first_rank:
        table_files.write_questions(folder, rows)
        sizes = {name: len(planning.rows_of(part)) for name, part in parts.items()}
        table_files.finish(folder, sizes, made_by, plan["digest"])
        _files.write_text(folder / SUMMARY, json.dumps(summary.to_dict(), indent=2) + "\n")
        if module.has_progress_bar:
            Console().print(f"{module.wanted}: {summary}", highlight=False)
    module.wait_for_all()


def _encode(
    lm: LanguageModel, tasks: Sequence[Task], template: Template, encoded: Encoded | None
) -> TokenStore:
    """Token trees of all questions, those of another model if it has the same tokenizer."""
    encoded = {} if encoded is None else encoded
    key = (lm.tokenizer_digest, template.digest)
    if key in encoded:
        lm.refuse_long(encoded[key])
        return encoded[key]
    store = TokenStore()
    for task in tasks:
        for start in range(0, len(task), _CHUNK):
            some = task.questions[start : start + _CHUNK]
            prompts = [template.render(q, task.name, task.demonstrations) for q in some]
            for tree in lm.encode(prompts, template):
                store.append(tree)
    encoded[key] = store
    return store


def _budget(folder: Path, lm: LanguageModel, trainer: Mapping[str, Any]) -> int:
    """The token budget of an extraction that was begun, else one that suits the device."""
    if (folder / PLAN).is_file():
        found = _files.read_json(folder / PLAN).get("token_budget")
        if isinstance(found, int):
            return found
    on_gpu = trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda")
    device = "cuda" if on_gpu and torch.cuda.is_available() else "cpu"
    return memory.token_budget(lm.model, torch.device(device))


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


def _warn_if_low(table: OutputTable, template: Template) -> None:
    """Warn where the prompt names the letters and the model wants to answer with something else.

    With `cloze` any other wording of an answer takes its share: a low mass says nothing.
    """
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
