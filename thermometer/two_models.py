"""Features of a small model and scores of a large one, in one go.

The questions are tokenised once where both models have the same tokenizer and template, and what
the small one costs is reported as a share of the whole.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from thermometer import _files
from thermometer._lightning import shows_progress
from thermometer.extraction import SUMMARY, Encoded, extract
from thermometer.llm.language_model import LanguageModel
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.types import Task

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
    kept: dict[str, Any] = {"feature_dtype": feature_dtype}
    return joined(
        partial(extract, small, tasks, template=for_small, scores=False, trainer=trainer, **kept),
        partial(extract, large, tasks, template=chosen, trainer=trainer, **(kept if one else {})),
        out_dir,
        trainer,
        one=one,
    )


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
    [0, 1], for the runs that finished the tables.

    Args:
        out_dir: Folder of both tables.
        show: Print the share as one line, too.

    Returns:
        What was written; `None` if one of the tables has no summary.
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
