"""Extraction on a cluster: a class for `map_batches` of Ray Data.

Rows are questions as in the JSON lines format, and come back with features and scores, in any
order; `table_writer.write_table` makes an output table of them. Nothing here imports Ray: the same
object also serves `datasets.Dataset.map`, or a loop.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch

from thermometer import _checks
from thermometer.adapters.tables import question_rows
from thermometer.language_model import LanguageModel
from thermometer.templates import Template
from thermometer.types import Question


class Extractor:
    """Computes features and option scores of batches of questions; keeps nothing but its model.

    The arguments travel to the workers, which load the model when they start. The results equal
    those of `thermometer.extract`.

    Args:
        model: As for `LanguageModel.from_pretrained`; each worker must find it under this name.
        template: How to render questions; letters by default.
        demonstrations: Answered questions by the name of the task, for a template with shots.
        features: Whether to compute features.
        scores: Whether to compute option scores and option mass.
        feature_dtype: How features travel.
        device: Where to put the model: by default the GPU that Ray assigned, else the CPU.
        **options: Of `LanguageModel.from_pretrained`: `dtype`, `num_layers`, `token_budget`, …

    Raises:
        ValueError: If neither `features` nor `scores` are wanted, or scores of a model cut to its
            first layers.

    Example:
        A dataset `questions` with the columns `id`, `task`, `question` and `choices`::

            done = questions.map_batches(
                Extractor,
                fn_constructor_args=("meta-llama/Llama-3.2-1B-Instruct",),
                fn_constructor_kwargs={"scores": False, "dtype": "bfloat16"},
                compute=ray.data.ActorPoolStrategy(size=8), batch_size=256, num_gpus=1,
            )
            write_table(done.iter_batches(batch_size=1024), "outputs/features")
    """

    def __init__(
        self,
        model: str,
        *,
        template: Template | None = None,
        demonstrations: Mapping[str, Sequence[Question]] | None = None,
        features: bool = True,
        scores: bool = True,
        feature_dtype: Literal["float16", "float32"] = "float32",
        device: str | None = None,
        **options: Any,
    ) -> None:
        if not (features or scores):
            raise _checks.fail("features", "True where `scores` is False", "False for both")
        _checks.one_of("feature_dtype", feature_dtype, ("float16", "float32"))
        self._lm = LanguageModel.from_pretrained(model, **options)
        if scores:
            self._lm.require_scores()
        self._lm.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self._template = template or Template()
        self._demonstrations = demonstrations or {}
        self._features, self._scores = features, scores
        self._feature_dtype = feature_dtype
        made_by = self._lm.provenance(self._template)
        provenance = {
            "features": made_by if features else None,
            "scores": made_by if scores else None,
        }
        self._provenance = json.dumps(provenance, sort_keys=True)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The columns of a batch, and those that were computed.

        Args:
            batch: B questions as columns: `id`, `task`, `question`, `choices`, and `context` where
                there is any. Other columns are passed through.

        Returns:
            Also `n_prompt_tokens` (B,); `features` (B, D); `scores`, B rows of as many float32 as
            the question has options; `option_mass` (B,); and `provenance` (B,), JSON texts.

        Raises:
            ValueError: For prompts longer than the model's context, options that tokenize alike, or
                scores that are not finite. The message names the question.
        """
        prompts = []
        for row in question_rows(batch):
            question = Question(
                row["id"], row["question"], row["choices"], context=row.get("context")
            )
            shots = self._demonstrations.get(row["task"], ())
            prompts.append(self._template.render(question, row["task"], shots))
        trees = self._lm.encode(prompts, self._template)
        outputs = self._lm.compute(trees, features=self._features, scores=self._scores)
        columns = dict(batch)
        columns["n_prompt_tokens"] = np.array([tree.n_prompt_tokens for tree in trees])
        columns["provenance"] = np.array([self._provenance] * len(trees), dtype=object)
        if outputs.features is not None:
            columns["features"] = outputs.features.astype(self._feature_dtype)
        if outputs.scores is not None and outputs.option_mass is not None:
            columns["scores"] = np.empty(len(trees), dtype=object)
            for number, tree in enumerate(trees):
                columns["scores"][number] = outputs.scores[number, : len(tree.branches)]
            columns["option_mass"] = outputs.option_mass
        return columns
