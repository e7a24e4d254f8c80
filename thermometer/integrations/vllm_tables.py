"""Features and option scores by vLLM: what to ask of its engine, and its answers as table rows.

An option must be a single token, as letters are: its log-probability then comes with the first
token that is generated, whichever that is. Nothing here imports vLLM; requests are keywords, and of
responses only documented fields are read (0.33.0). Never run inside vLLM, which needs a GPU.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from thermometer import _checks
from thermometer.llm.tokenization import TokenTree
from thermometer.tasks import question_row
from thermometer.templates import Template
from thermometer.types import Task

MAX_OPTIONS = 128
"""vLLM returns log-probabilities of at most so many tokens that are asked for by name."""


def score_prompt(tree: TokenTree) -> dict[str, list[int]]:
    """The prompt after which options are scored, as vLLM's `TokensPrompt`."""
    return {"prompt_token_ids": list(tree.prefix)}


def score_params(tree: TokenTree) -> dict[str, Any]:
    """Keywords of `SamplingParams` that bring the log-probability of every option.

    The engine must return them as they are: its `logprobs_mode` is to be ``raw_logprobs``, which is
    the default.

    Raises:
        ValueError: For an option of several tokens, or more options than vLLM scores.

    Example:
        >>> score_params(TokenTree("q", (1, 5), ((7,), (8,))))["logprob_token_ids"]
        [7, 8]
    """
    if not 0 < len(tree.branches) <= MAX_OPTIONS:
        got = f"{len(tree.branches)} in question {tree.id}"
        raise _checks.fail("options", f"1 to {MAX_OPTIONS}", got)
    if any(len(branch) > 1 for branch in tree.branches):
        raise _checks.fail(
            "options", "single tokens (use the letter style)", f"others in {tree.id}"
        )
    return {
        "max_tokens": 1,
        "temperature": 0.0,
        "logprob_token_ids": [branch[0] for branch in tree.branches],
        "detokenize": False,
    }


def option_scores(tree: TokenTree, output: Any) -> list[float]:
    """Log-probabilities of the options, in their order.

    Args:
        tree: The tokens of the prompt.
        output: vLLM's `RequestOutput` for `score_prompt` and `score_params`.

    Raises:
        ValueError: If there is none for an option, or one that is no finite log-probability.
    """
    completions = output.outputs
    found = completions[0].logprobs[0] if completions and completions[0].logprobs else {}
    scores = []
    for number, (token, *_) in enumerate(tree.branches):
        value = found[token].logprob if token in found else None
        if value is None or not math.isfinite(value) or value > 0:
            raise ValueError(
                f"Expected a log-probability of option {number} of question {tree.id} "
                f"(token {token}), but got {value}; is the engine's logprobs_mode raw_logprobs?"
            )
        scores.append(float(value))
    return scores


def feature_prompt(tree: TokenTree) -> dict[str, list[int]]:
    """The whole prompt, at whose last token the feature is read."""
    return {"prompt_token_ids": [*tree.prefix, *tree.tail]}


def provenance(model: str, template: Template, **more: Any) -> dict[str, Any]:
    """What identifies features or scores made by vLLM; `more` adds keys such as `dtype`.

    Without a fingerprint of the weights, which vLLM does not give, models are told apart by name:
    use the name by which `LanguageModel.from_pretrained` knows the model.
    """
    return {
        "model": model,
        "num_layers": None,
        "layer": -1,
        "position": "last",
        "template": asdict(template),
        "template_digest": template.digest,
        "engine": "vllm",
        **more,
    }


def batch_of(
    task: Task,
    trees: Sequence[TokenTree],
    *,
    scored: Sequence[Any] | None = None,
    pooled: Sequence[Any] | None = None,
) -> Mapping[str, Any]:
    """The questions of a task and vLLM's responses as a batch for `table_writer.write_table`.

    Args:
        task: Its questions.
        trees: Their tokens, in the same order.
        scored: `RequestOutput`s in the same order, or `None`.
        pooled: `PoolingRequestOutput`s of the whole prompts, or `None`: the last hidden state,
            pooled at the last token and not normalised.

    Raises:
        ValueError: As `option_scores`.
    """
    rows = [question_row(question, task.name) for question in task.questions]
    batch: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("id", "task", "question")
    }
    batch["choices"] = [row["choices"] for row in rows]
    batch["answer"] = [row.get("answer") for row in rows]
    batch["context"] = [row.get("context") for row in rows]
    batch["n_prompt_tokens"] = [tree.n_prompt_tokens for tree in trees]
    if scored is not None:
        batch["scores"] = [option_scores(t, out) for t, out in zip(trees, scored, strict=True)]
        batch["option_mass"] = [math.fsum(map(math.exp, row)) for row in batch["scores"]]
    if pooled is not None:
        batch["features"] = [
            _checks.array("features", out.outputs.data, np.float32) for out in pooled
        ]
    return batch
