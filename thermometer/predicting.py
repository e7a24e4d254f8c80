"""Lightning's part of an extraction: parts of the plan go to the ranks, and each writes its own.

The only collectives are one sum and one barrier at the end.
"""

import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.throughput import get_available_flops
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BasePredictionWriter,
    RichProgressBar,
    TQDMProgressBar,
)
from torch.utils.data import DataLoader, Dataset

from thermometer import table_files
from thermometer._lightning import quiet, terminable
from thermometer.llm import planning
from thermometer.llm.language_model import LanguageModel
from thermometer.llm.planning import Unit
from thermometer.llm.tokenization import TokenTree
from thermometer.llm.work import Device, Summary, Work


def device_of(device: torch.device) -> Device:
    """A device's own name, and its bfloat16 peak as Lightning lists it, if it does.

    Example:
        >>> device_of(torch.device("cpu"))
        Device(name='cpu', peak=None)
    """
    if device.type != "cuda":
        return Device(device.type)
    peak = None
    with suppress(IndexError), warnings.catch_warnings():  # names that it cannot take apart
        warnings.simplefilter("ignore")  # and those that it does not know
        peak = get_available_flops(device, torch.bfloat16)
    return Device(torch.cuda.get_device_name(device), peak)


class Extraction(LightningModule):
    """Holds the language model in a plain attribute: no parameter of it belongs to Lightning.

    Args:
        lm: The model.
        trees: Of all questions.
        rows: The same questions as rows of the JSON lines format.
        parts: Units of work by the name of the file that they go to.
        features: Whether features are wanted.
        scores: Whether scores are.
        feature_dtype: How features are stored.
    """

    def __init__(
        self,
        lm: LanguageModel,
        trees: Sequence[TokenTree],
        rows: Sequence[Mapping[str, Any]],
        parts: Mapping[str, Sequence[Unit]],
        features: bool,
        scores: bool,
        feature_dtype: str,
    ) -> None:
        super().__init__()
        self._lm = lm
        self._trees = trees
        self._rows = rows
        self._parts = parts
        self._wanted = {"features": features, "scores": scores}
        self._feature_dtype = feature_dtype
        self._before = lm.work
        self._seconds = 0.0

    @property
    def wanted(self) -> str:
        """What is computed, in a word or three."""
        return " and ".join(name for name, wanted in self._wanted.items() if wanted)

    @property
    def is_first_rank(self) -> bool:
        """Whether this process writes the manifest."""
        return bool(self.trainer.is_global_zero)

    @property
    def has_progress_bar(self) -> bool:
        """Whether the user sees how the work goes on."""
        return self.trainer.progress_bar_callback is not None

    def wait_for_all(self) -> None:
        """Return when every rank has called this."""
        self.trainer.strategy.barrier()

    def setup(self, stage: str) -> None:
        """Place the language model on this rank's device."""
        self._lm.to(self.device)

    def own_summary(self) -> Summary:
        """What this rank has computed so far."""
        work = self._lm.work - self._before
        operations = self._lm.size.operations(work)
        return Summary(work, self._seconds, operations, (device_of(self._lm.device),))

    def summary(self) -> Summary:
        """What all ranks have computed; every rank must call this."""
        own = self.own_summary()
        counts = [float(getattr(own.work, field.name)) for field in fields(Work)]
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        numbers = torch.tensor(
            [*counts, own.seconds, own.operations], dtype=dtype, device=self.device
        )
        summed = self.trainer.strategy.reduce(numbers, reduce_op="sum").tolist()
        *total, seconds, operations = summed
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


def predict(
    module: Extraction, folder: Path, names: Sequence[str], keywords: Mapping[str, Any]
) -> None:
    """Compute parts, each written into a folder under its name, on the devices of a `Trainer`."""
    defaults = {"devices": 1, "logger": False, "enable_checkpointing": False}
    chosen: dict[str, Any] = {**defaults, "enable_model_summary": False, **keywords}
    given = chosen.pop("callbacks", None) or []
    callbacks = [*given] if isinstance(given, list | tuple) else [given]
    with quiet(), terminable():
        trainer = Trainer(**chosen, callbacks=[*callbacks, _PartWriter(folder)])
        loader = DataLoader(_Names(names, trainer.world_size), batch_size=None, collate_fn=None)
        trainer.predict(module, loader, return_predictions=False)


class _Names(Dataset[str | None]):
    """Parts to compute, filled up with nothing so that no rank is left without a batch."""

    def __init__(self, names: Sequence[str], world_size: int) -> None:
        self._names: list[str | None] = [*names]
        self._names += [None] * max(0, world_size - len(names))

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> str | None:
        return self._names[index]


class _PartWriter(BasePredictionWriter):
    """Writes each part as soon as it is computed, and says how fast that goes."""

    def __init__(self, folder: Path) -> None:
        super().__init__(write_interval="batch")
        self._folder = folder

    def write_on_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, prediction: Any, *_: Any
    ) -> None:
        """Write one part under its name in the plan."""
        if prediction is not None:
            table_files.write_part(self._folder / prediction.pop("name"), prediction)
            assert isinstance(pl_module, Extraction)
            speed = pl_module.own_summary().tokens_per_second
            _show(trainer.progress_bar_callback, f"{pl_module.wanted}, {speed:,.0f} tokens/s")

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Wait for all ranks, so that the manifest is written after the last part."""
        trainer.strategy.barrier()


def _show(bar: Any, text: str) -> None:
    """Put what is computed, and this rank's speed, beside the progress bar and its time to go."""
    if isinstance(bar, RichProgressBar):
        if bar.progress is not None and bar.predict_progress_bar_id is not None:
            bar.progress.update(bar.predict_progress_bar_id, description=text)
    elif isinstance(bar, TQDMProgressBar):
        bar.predict_progress_bar.set_postfix_str(text, refresh=False)
