"""One ``samples_*.jsonl`` of lm-evaluation-harness: log-likelihoods of options, and which is right.

lm-eval writes the raw log-likelihoods but not always the index of the right option, so several ways
to read it are tried, and one is believed only if it explains every accuracy in the file. Nothing
here knows other files or tables.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks, _files

LoggedNorm = Literal["none", "char", "byte", "unconditional"]
METRICS: dict[LoggedNorm, str] = {
    "none": "acc",
    "char": "acc_norm",
    "byte": "acc_bytes",
    "unconditional": "acc_mutual_info",
}
"""The accuracy of lm-eval whose answers have the highest score with each normalisation."""

_WITH_LABEL = ("brier_score", "f1", "mcc", "likelihood")  # metrics logged as [label, …]


@dataclass(frozen=True, slots=True)
class Sample:
    """One document.

    Args:
        line: Of the file, from 1.
        doc_id: Of the document in its task.
        contexts: (K,) what the model read before each option.
        continuations: (K,) what was scored, the delimiter included.
        loglikelihoods: (K,) of the continuations.
        unconditional: (K,) the same after nothing, or empty if it was not logged.
        target: The right answer in words, as an index, or else.
        metrics: Values by name.
    """

    line: int
    doc_id: str
    contexts: tuple[str, ...]
    continuations: tuple[str, ...]
    loglikelihoods: tuple[float, ...]
    unconditional: tuple[float, ...]
    target: str
    metrics: Mapping[str, Any]

    @property
    def options_in_context(self) -> bool:
        """Whether contexts differ and the continuation is one, as in Winogrande."""
        return len(set(self.contexts)) > 1

    def options(self, delimiter: str) -> tuple[str, ...]:
        """(K,) texts of the options, without `delimiter` if all continuations begin with it."""
        if all(text.startswith(delimiter) for text in self.continuations):
            return tuple(text.removeprefix(delimiter) for text in self.continuations)
        return self.continuations

    def scores(self, norm: LoggedNorm, delimiter: str) -> NDArray[np.float64] | None:
        """(K,) scores with a normalisation, as lm-eval defines it; `None` if it cannot be.

        `char` and `byte` divide by the length of the option, `unconditional` subtracts.
        """
        raw = np.array(self.loglikelihoods)
        if norm == "none":
            return raw
        if norm == "unconditional":
            return raw - np.array(self.unconditional) if self.unconditional else None
        texts = self.options(delimiter)
        sizes = np.array([len(text if norm == "char" else text.encode()) for text in texts])
        return None if self.options_in_context or not sizes.all() else raw / sizes


def read_samples(path: Path) -> tuple[str, list[Sample]]:
    """The documents of a file of a multiple-choice task and the name of the filter they went by.

    A document that stands twice with the same numbers is read once. Where several filters were
    logged, it is the one called ``none``.

    Raises:
        OSError: If it cannot be read.
        ValueError: For a line that is no JSON or lacks something, a number that is none, documents
            that stand twice with different numbers, or several filters. The message names file
            and line.
    """
    found: dict[str, dict[str, Sample]] = {}
    for number, row in _files.read_lines(path):
        try:
            sample = _sample(number, row)
            kept = found.setdefault(str(row.get("filter", "none")), {})
            first = kept.setdefault(sample.doc_id, sample)
            if (first.contexts, first.loglikelihoods) != (sample.contexts, sample.loglikelihoods):
                raise _checks.fail("doc_id", "unique", f"{sample.doc_id} as in line {first.line}")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
    if not found:
        raise ValueError(f"{path}: no documents")
    name = "none" if "none" in found else min(found)
    if name not in found or (len(found) > 1 and name != "none"):
        raise ValueError(f"{path}: expected one filter or 'none', but got {sorted(found)}")
    return name, list(found[name].values())


def labels_of(samples: Sequence[Sample], delimiter: str) -> list[int]:
    """(N,) index of the right option of each document.

    Raises:
        ValueError: If nothing says which option is right, or no reading of it agrees with the
            accuracies in the file; the message has both numbers.
    """
    if not any(metric in samples[0].metrics for metric in METRICS.values()):
        raise _checks.fail("metrics", f"among {', '.join(METRICS.values())}", "none of them")
    first = samples[0]
    problem = f"nothing says which option is right: target {first.target!r} in line {first.line}"
    readings: list[Callable[[Sample], int | None]] = [
        _label_in_metric,
        _label_as_index,
        lambda sample: _label_as_text(sample, delimiter),
        _label_by_outcome,
    ]
    for read in readings:
        labels = [label for sample in samples if (label := read(sample)) is not None]
        if len(labels) == len(samples):
            wrong = _disagreement(samples, labels, delimiter)
            if wrong is None:
                return labels
            problem = wrong
            if read is _label_in_metric:  # which leaves no doubt
                break
    raise ValueError(problem)


def recomputed(
    samples: Sequence[Sample], labels: Sequence[int], delimiter: str
) -> dict[str, NDArray[np.bool_]]:
    """(N,) whether the highest score is right, by lm-eval's name of each accuracy that it logged.

    Example:
        >>> asked, said = ("Is it?", "Is it?"), (" yes", " no")
        >>> sample = Sample(1, "0", asked, said, (-2.0, -1.5), (), "0", {"acc": 1.0})
        >>> {name: right.tolist() for name, right in recomputed([sample], [0], " ").items()}
        {'acc': [False]}
    """
    found = {}
    for norm, metric in METRICS.items():
        scores = [s.scores(norm, delimiter) for s in samples if metric in s.metrics]
        if len(scores) == len(samples) and all(row is not None for row in scores):
            answers = [int(np.argmax(row)) for row in scores if row is not None]
            found[metric] = np.array(answers) == np.array(labels)
    return found


def _disagreement(samples: Sequence[Sample], labels: Sequence[int], delimiter: str) -> str | None:
    """What is wrong with labels, in words; `None` if they explain every accuracy."""
    checks = recomputed(samples, labels, delimiter)
    for metric, right in checks.items():
        logged = np.array([_zero_or_one(sample, metric) for sample in samples])
        if (wrong := np.flatnonzero(logged != right)).size:
            return (
                f"recomputed {metric} of {right.mean():.4g} disagrees with {logged.mean():.4g} "
                f"in the file, first in line {samples[wrong[0]].line}"
            )
    return None


def _zero_or_one(sample: Sample, metric: str) -> bool:
    value = sample.metrics[metric]
    if value not in (0, 1):
        raise ValueError(f"line {sample.line}: expected {metric} to be 0 or 1, but got {value!r}")
    return bool(value)


def _label_in_metric(sample: Sample) -> int | None:
    for name in _WITH_LABEL:
        value = sample.metrics.get(name)
        if isinstance(value, list) and value:
            return _index(str(value[0]), len(sample.loglikelihoods))
    return None


def _label_as_index(sample: Sample) -> int | None:
    return None if sample.options_in_context else _index(sample.target, len(sample.loglikelihoods))


def _label_as_text(sample: Sample, delimiter: str) -> int | None:
    texts = sample.options(delimiter)
    if sample.options_in_context or sample.target not in texts:
        return None
    return texts.index(sample.target)


def _label_by_outcome(sample: Sample) -> int | None:
    """The answer if it was right; of two options, the other if it was wrong."""
    if not sample.options_in_context or "acc" not in sample.metrics:
        return None
    answer = int(np.argmax(sample.loglikelihoods))
    if _zero_or_one(sample, "acc"):
        return answer
    return 1 - answer if len(sample.loglikelihoods) == 2 else None


def _index(text: str, size: int) -> int | None:
    return int(text) if text.isdecimal() and int(text) < size else None


def _sample(number: int, row: Mapping[str, Any]) -> Sample:
    for key in ("doc_id", "arguments", "filtered_resps", "target"):
        if key not in row:
            raise ValueError(f"the key {key!r} is missing")
    requests = list(_requests(row["arguments"]))
    if not isinstance(row["filtered_resps"], list):
        raise _checks.fail("filtered_resps", "a list", f"{row['filtered_resps']!r:.60}")
    values = [_loglikelihood(response) for response in row["filtered_resps"]]
    if len(values) != len(requests):
        got = f"{len(values)} for {len(requests)} requests"
        raise _checks.fail("filtered_resps", "one for each request", got)
    pairs = list(zip(requests, values, strict=True))
    size = sum(context != "" for context, _ in requests) or len(pairs)
    asked, alone = pairs[:size], pairs[size:]
    if len(asked) < 2:
        raise _checks.fail("arguments", "at least two options", len(asked))
    if alone and [text for (_, text), _ in alone] != [text for (_, text), _ in asked]:
        raise _checks.fail("arguments", "the same options without a context", "others")
    return Sample(
        number,
        str(row["doc_id"]),
        tuple(context for (context, _), _ in asked),
        tuple(text for (_, text), _ in asked),
        tuple(value for _, value in asked),
        tuple(value for _, value in alone),
        str(row["target"]),
        {key: value for key, value in row.items() if key in (*METRICS.values(), *_WITH_LABEL)},
    )


def _requests(arguments: Any) -> Iterator[tuple[str, str]]:
    """Context and continuation of each request, in the order of their numbers."""
    if not isinstance(arguments, dict):
        raise ValueError("arguments of a log that lm-eval older than 0.4.3 wrote; run it again")
    for number in range(len(arguments)):
        match arguments.get(f"gen_args_{number}"):
            case {"arg_0": str(context), "arg_1": str(text)}:
                yield context, text
            case other:
                raise _checks.fail(f"gen_args_{number}", "two texts", f"{other!r:.60}")


def _loglikelihood(response: Any) -> float:
    """The number in ``["-5.84375", "False"]``."""
    try:
        if not isinstance(response, list):
            raise TypeError
        value = float(response[0])
    except (TypeError, ValueError, IndexError):
        raise _checks.fail("filtered_resps", "numbers with a flag", f"{response!r:.60}") from None
    if not np.isfinite(value):
        raise _checks.fail("filtered_resps", "finite", value)
    return value
