"""What an ATS head makes of tokens: temperatures, calibrated probabilities, option scores.

Functions of a reader and a head, in batches of like length, results in the order given. Nothing
here knows about files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thermometer import _checks
from thermometer.ats.data import TokenPair
from thermometer.ats.network import AtsHead
from thermometer.ats.objective import token_losses, token_statistics
from thermometer.ats.reading import Reading, TokenReader
from thermometer.llm import planning
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.types import Task


@dataclass(frozen=True, slots=True, eq=False)
class ResponseTokens:
    """The P tokens of the responses of some pairs, each predicted from all that stands before it.

    Args:
        pair: (P,) int64 index of the pair.
        temperature: (P,) float64, by which the logits were divided.
        logprob: (P,) float64 log-probability of the token that came.
        confidence: (P,) float64 probability of the most probable token.
        correct: (P,) float64, 1 where that is the token that came, else 0.
    """

    pair: NDArray[np.int64]
    temperature: NDArray[np.float64]
    logprob: NDArray[np.float64]
    confidence: NDArray[np.float64]
    correct: NDArray[np.float64]


def next_temperatures(
    reader: TokenReader, head: AtsHead, rows: Sequence[Sequence[int]]
) -> NDArray[np.float64]:
    """(N,) temperature of the token that follows each row of tokens."""
    found = np.empty(len(rows))
    for unit, _, b in _batches(reader, head, rows):
        found[unit] = b.neg().exp().double().cpu().numpy()
    return found


def next_logprobs(
    reader: TokenReader, head: AtsHead, rows: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """(N, V) calibrated log-probabilities of every token after each row of tokens."""
    found: NDArray[np.float32] | None = None
    for unit, reading, b in _batches(reader, head, rows):
        logits = torch.cat(list(reader.logits(reading)), dim=1)
        logprobs = (logits * b.to(logits.device).exp()[:, None]).log_softmax(dim=1).cpu().numpy()
        if found is None:
            found = np.empty((len(rows), logprobs.shape[1]), dtype=np.float32)
        found[unit] = logprobs
    assert found is not None
    return found


def response_tokens(
    reader: TokenReader,
    head: AtsHead,
    pairs: Sequence[TokenPair],
    temperature: float | None,
) -> ResponseTokens:
    """What the model says of the tokens of responses; see `AtsCalibrator.responses`."""
    if temperature is not None:
        _checks.number("temperature", temperature, maximum=1e3, strict=True)
    pieces: list[NDArray[np.float64]] = [np.empty((4, 0))] * len(pairs)
    for unit in planning.plan_units([len(pair.ids) for pair in pairs], reader.lm.budget):
        reading = reader.pairs([pairs[i] for i in unit.rows])
        if temperature is None:
            b = _log_inverse(head, reading)
        else:
            b = torch.full_like(reading.targets, -np.log(temperature), dtype=torch.float32)
        table = _measured(reader, reading, b)
        owners = reading.sources[:, 0].cpu().numpy()
        for row, index in enumerate(unit.rows):
            pieces[index] = table[:, owners == row]
    owner = np.repeat(np.arange(len(pairs)), [piece.shape[1] for piece in pieces])
    return ResponseTokens(owner, *np.concatenate(pieces, axis=1))


def option_table(
    reader: TokenReader,
    head: AtsHead,
    tasks: Sequence[Task],
    template: Template,
) -> OutputTable:
    """Calibrated option scores; see `AtsCalibrator.table`."""
    lm = reader.lm
    named = [(task.name, question) for task in tasks for question in task.questions]
    prompts = [prompt for task in tasks for prompt in template.render_task(task)]
    trees = lm.encode(prompts, template)
    for tree in trees:
        if tree.tail or any(len(branch) > 1 for branch in tree.branches):
            got = f"several in question {tree.id}"
            raise _checks.fail("template", "one whose options are one token each", got)
    logprobs = next_logprobs(reader, head, [tree.prefix for tree in trees])
    scores = np.full((len(trees), max(len(tree.branches) for tree in trees)), -np.inf)
    for row, tree in enumerate(trees):
        ids = [branch[0] for branch in tree.branches]
        scores[row, : len(ids)] = logprobs[row, ids]
    labels = [-1 if question.answer is None else question.answer for _, question in named]
    return OutputTable(
        tuple(question.id for _, question in named),
        np.array([name for name, _ in named]),
        np.array(labels, dtype=np.int64),
        scores,
        option_mass=np.exp(scores).sum(axis=1).astype(np.float32),
        provenance={"scores": {**lm.provenance(template), "recalibrated": "ats"}},
    )


def _batches(
    reader: TokenReader, head: AtsHead, rows: Sequence[Sequence[int]]
) -> Iterator[tuple[list[int], Reading, Tensor]]:
    """Which rows, what the model makes of them, and b after the last token of each."""
    for unit in planning.plan_units([len(row) for row in rows], reader.lm.budget):
        reading = reader.prompts([rows[i] for i in unit.rows])
        yield list(unit.rows), reading, _log_inverse(head, reading)


@torch.no_grad()
def _log_inverse(head: AtsHead, reading: Reading) -> Tensor:
    head.to(reading.hidden.device)
    return reading.at_sources(head.log_inverse(reading.hidden, reading.mask))


def _measured(reader: TokenReader, reading: Reading, b: Tensor) -> NDArray[np.float64]:
    """(4, P) temperature, log-probability, confidence and correctness of the tokens."""
    statistics = token_statistics(reader.logits(reading), reading.targets, b)
    nll, _ = token_losses(statistics, b)
    confidence = (b.exp() * statistics.top - statistics.log_norm).exp()
    columns = (b.neg().exp(), -nll, confidence.clamp(max=1.0), statistics.correct)
    return torch.stack([column.double() for column in columns]).cpu().numpy()
