"""Whether two answers mean the same, as a model of natural language inference sees it."""

from collections.abc import Sequence
from typing import Any, Self

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from thermometer import _checks

_BATCH = 32


class Entailment:
    """Two answers are equivalent if each entails the other (Kuhn, Gal and Farquhar 2023).

    Both are read after the question. "Entails" is that the class of this name is the most probable.
    Give one to `consistency` as its `equivalence`.

    Args:
        model: A transformers sequence classifier, one of whose labels is "entailment".
        tokenizer: Its tokenizer.

    Raises:
        ValueError: If no label, or more than one, is "entailment".
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        labels = {int(i): str(label).lower() for i, label in model.config.id2label.items()}
        found = [i for i, label in labels.items() if label == "entailment"]
        if len(found) != 1:
            raise _checks.fail(
                "model", "a classifier with one label 'entailment'", sorted(labels.values())
            )
        self._entailment = found[0]

    @classmethod
    def from_pretrained(cls, name: str, *, revision: str | None = None) -> Self:
        """Load a classifier from a hub or a folder, such as ``microsoft/deberta-large-mnli``."""
        model = AutoModelForSequenceClassification.from_pretrained(name, revision=revision)
        return cls(model, AutoTokenizer.from_pretrained(name, revision=revision))

    def __call__(self, question: str, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether the two answers of each pair mean the same as answers to the question."""
        there = [(f"{question} {a}", f"{question} {b}") for a, b in pairs]
        entailed = self._entails([*there, *((b, a) for a, b in there)])
        return [a and b for a, b in zip(entailed, entailed[len(pairs) :], strict=False)]

    @torch.inference_mode()
    def _entails(self, texts: list[tuple[str, str]]) -> list[bool]:
        verdicts: list[bool] = []
        for start in range(0, len(texts), _BATCH):
            premises, hypotheses = zip(*texts[start : start + _BATCH], strict=True)
            inputs = self.tokenizer(
                list(premises),
                list(hypotheses),
                padding=True,
                truncation=True,
                return_tensors="pt",
            )
            logits = self.model(**inputs.to(self.model.device)).logits
            verdicts += (logits.argmax(dim=1) == self._entailment).tolist()
        return verdicts
