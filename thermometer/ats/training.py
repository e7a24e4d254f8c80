"""Train an ATS head for a language model on prompts with responses."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml

from thermometer import _checks
from thermometer.ats.calibrator import AtsCalibrator
from thermometer.ats.config import AtsTraining
from thermometer.ats.data import Pair, PairFormat, TokenPair, token_pairs
from thermometer.ats.loop import Training, fit
from thermometer.ats.network import AtsConfig, AtsHead
from thermometer.ats.reading import TokenReader
from thermometer.llm.language_model import LanguageModel


def train(
    lm: LanguageModel | TokenReader,
    pairs: Sequence[Pair] | Sequence[TokenPair],
    network: AtsConfig | None = None,
    training: AtsTraining | None = None,
    *,
    style: PairFormat | None = None,
    trainer: Mapping[str, Any] | None = None,
    log_dir: str | Path | None = None,
) -> AtsCalibrator:
    """Train a head for a language model, which stays as it is.

    The head starts at the one temperature that suits the training tokens, and the weights kept are
    those of the best validation, the start included: with `monitor` at ``nll`` the result is never
    worse on the validation pairs than one temperature. If it is the start, a warning says so.

    Args:
        lm: A causal model, which is moved to the device of training; or a reader of one, so that
            several trainings share what it has read.
        pairs: At least two; `TokenPair` for tokens made elsewhere, which `style` does not touch.
        network: Shape of the head.
        training: How to train.
        style: How pairs are written; as a chat if the tokenizer has a template, by default.
        trainer: Keywords of `lightning.Trainer`: accelerator, precision, … One device.
        log_dir: Folder for loss curves (CSV) and the state of training. A run that was killed goes
            on from its last validation when it is called again with the same arguments.

    Returns:
        A calibrator, ready to use and to save.

    Raises:
        ValueError: For fewer than two pairs, a model that ATS cannot read, or a `log_dir` with the
            state of another training.
    """
    network, training = network or AtsConfig(), training or AtsTraining()
    reader = lm if isinstance(lm, TokenReader) else TokenReader(lm, training.cache_bytes)
    lm = reader.lm
    style = style or PairFormat(chat=bool(getattr(lm.tokenizer, "chat_template", None)))
    if len(pairs) < 2:
        raise _checks.fail("pairs", "at least two", len(pairs))
    tokens = token_pairs(lm.tokenizer, pairs, style)
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        head = AtsHead(network, lm.n_features)
        order = torch.randperm(len(tokens)).tolist()
        cut = min(max(1, round(len(tokens) * training.validation_fraction)), len(tokens) - 1)
        kept, seen = [tokens[i] for i in order[:cut]], [tokens[i] for i in order[cut:]]
        module = Training(head, reader, seen, kept, training)
        fit(module, trainer or {}, None if log_dir is None else Path(log_dir))
    if not head.output.weight.any():
        warnings.warn(
            "No validation was better than the start: the head predicts the one temperature "
            f"{module.pooled_temperature:.3f} for all tokens",
            stacklevel=2,
        )
    settings = {
        "network": asdict(network),
        "training": asdict(training),
        "pairs": len(tokens),
        "trainer": json.loads(json.dumps(dict(trainer or {}), default=repr)),
    }
    return AtsCalibrator(
        head.float().cpu(),
        provenance=AtsCalibrator.provenance_of(lm, style),
        pooled_temperature=module.pooled_temperature,
        train_tasks=sorted({pair.task for pair in pairs if isinstance(pair, Pair) and pair.task}),
        training=yaml.safe_dump(settings, sort_keys=False),
        language_model=lm,
    )
