"""Logs of lm-evaluation-harness as an output table."""

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks, _files, table_files
from thermometer.tables import OutputTable
from thermometer.types import OptionsError, plain_options

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
    """One document, with K options."""

    line: int  # of the file, from 1
    doc_id: str
    contexts: tuple[str, ...]  # what the model read before each option
    continuations: tuple[str, ...]  # what was scored, the delimiter included
    loglikelihoods: tuple[float, ...]
    unconditional: tuple[float, ...]  # the same after nothing; empty if it was not logged
    target: str  # the right answer in words, as an index, or else
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

    A document that stands twice with the same numbers is read once. Of several filters it is the
    one called ``none``. `ValueError` names file and line of what is damaged.
    """
    found: dict[str, dict[str, Sample]] = {}
    for number, row in _files.read_lines(path):
        try:
            sample = _sample(number, row)
            of_filter = found.setdefault(str(row.get("filter", "none")), {})
            first = of_filter.setdefault(sample.doc_id, sample)
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

    `ValueError` if nothing says which it is, or no reading agrees with the accuracies in the file.
    """
    if not any(metric in samples[0].metrics for metric in METRICS.values()):
        raise _checks.fail("metrics", f"among {', '.join(METRICS.values())}", "none of them")
    first = samples[0]
    problem = f"nothing says which option is right: target {first.target!r} in line {first.line}"
    for read in (_label_in_metric, _label_as_index, _label_as_text, _label_by_outcome):
        found = [read(sample, delimiter) for sample in samples]
        labels = [label for label in found if label is not None]
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
    for metric, right in recomputed(samples, labels, delimiter).items():
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


def _label_in_metric(sample: Sample, _: str) -> int | None:
    for name in _WITH_LABEL:
        value = sample.metrics.get(name)
        if isinstance(value, list) and value:
            return _index(str(value[0]), len(sample.loglikelihoods))
    return None


def _label_as_index(sample: Sample, _: str) -> int | None:
    return None if sample.options_in_context else _index(sample.target, len(sample.loglikelihoods))


def _label_as_text(sample: Sample, delimiter: str) -> int | None:
    texts = sample.options(delimiter)
    if sample.options_in_context or sample.target not in texts:
        return None
    return texts.index(sample.target)


def _label_by_outcome(sample: Sample, _: str) -> int | None:
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
    if value > np.log(_checks.MOST_MASS):
        raise _checks.fail("filtered_resps", "log-likelihoods of at most 0", value)
    return value


SOURCE = "lm-evaluation-harness"
_STAMP = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?"
_SAMPLES = re.compile(rf"samples_(?P<task>.+)_(?P<stamp>{_STAMP})\.jsonl")
_RESULTS = re.compile(rf".+_(?P<stamp>{_STAMP})\.json")
_ONE_MODEL = ("model_name", "model_source", "chat_template_sha", "system_instruction_sha")
_COARSE = ("torch.bfloat16", "torch.float16")


@dataclass(frozen=True, eq=False)
class _Log:
    """One samples file, the results beside it, and what was found in them."""

    path: Path
    task: str
    results: Mapping[str, Any]
    samples: Sequence[Sample]
    labels: Sequence[int]
    delimiter: str

    @property
    def name(self) -> str:
        """Of the task in the table: the group that it was measured with stands before it."""
        group = _group_of(self.task, _inner(self.results, "group_subtasks"))
        return f"{group}/{self.task}" if group else self.task


def import_lm_eval(
    source: str | Path, out: str | Path, *, norm: LoggedNorm = "none"
) -> OutputTable:
    """Turn logs of lm-evaluation-harness into an output table with scores and labels.

    Args:
        source: The folder that ``lm_eval --output_path source --log_samples`` wrote; or one results
            file in it, to leave other runs out.
        out: Folder of the table. An earlier import is replaced.
        norm: What is done to the raw log-likelihoods that lm-eval logs, so that it is the scores
            behind the accuracy you report: `none` (its acc), `char` (acc_norm), `byte` (acc_bytes)
            or `unconditional` (acc_mutual_info). It is kept in the table's provenance.

    Returns:
        The table; also on disk, for `OutputTable.open` and the commands. Ids are ``task/doc_id``;
        a task of a group is called ``group/task``. The text of a question is the context as the
        model read it, few-shot examples and chat template included.

    Raises:
        FileNotFoundError: If there is no such path, no samples, or no results file to a samples
            file.
        ValueError: If a file is damaged or cut short, its recomputed accuracy disagrees with that
            of the log, a task was measured twice, there are several models, or `norm` cannot be had
            of a task. The message names the file.

    Example:
        >>> from tempfile import mkdtemp
        >>> table = import_lm_eval("tests/data/lm_eval/facts", mkdtemp())
        >>> table.task_names[0], table.provenance["scores"]["lm_eval_version"]
        ('facts/antonyms_verbs', '0.4.13')
    """
    _checks.one_of("norm", norm, tuple(METRICS))
    target = Path(out)
    if not _files.is_vacant(target):
        finished = (target / table_files.MANIFEST).is_file()
        manifest = table_files.read_manifest(target) if finished else {}
        if _inner(manifest, "provenance", "scores").get("source") != SOURCE:
            raise _checks.fail("out", "a new folder, or one of an earlier import", target)
    logs, left_out = _read(Path(source))
    if left_out:
        warnings.warn(f"left out, not multiple choice: {', '.join(left_out)}", stacklevel=2)
    columns, questions = _columns(logs, norm)
    provenance = {"features": None, "scores": _provenance(logs, norm)}
    part = "part-00000.parquet"
    with _files.replaced_folder(target) as folder:
        table_files.write_part(folder / part, columns)
        digest = table_files.write_questions(folder, questions)
        table_files.finish(folder, {part: len(questions)}, provenance, digest)
    table = OutputTable.open(target)
    table_files.warn_of_ties(table.tasks, table.scores)
    return table


def _read(source: Path) -> tuple[list[_Log], list[str]]:
    """All logs of multiple-choice tasks, sorted by task, and the names of the other tasks."""
    logs: dict[str, _Log] = {}
    left_out = []
    results: dict[Path, Mapping[str, Any]] = {}
    for path, task, results_path in _files_of(source):
        if results_path not in results:
            results[results_path] = _files.read_json(results_path, constants=True)
            _check_same_model(results)
        config = _inner(results[results_path], "configs", task)
        kind = config.get("output_type", "multiple_choice")
        if kind != "multiple_choice":
            left_out.append(f"{task} ({kind})")
            continue
        if task in logs:
            raise ValueError(
                f"{task} was measured twice: {logs[task].path} and {path}. Move one away, or pass "
                "the results file of the run that you mean"
            )
        delimiter = str(config.get("target_delimiter", " "))
        logs[task] = _log(path, task, results[results_path], delimiter)
    if not logs:
        raise _checks.fail("source", "logs of multiple-choice tasks", left_out or source)
    return [logs[task] for task in sorted(logs)], sorted(left_out)


def _files_of(source: Path) -> Iterator[tuple[Path, str, Path]]:
    """Samples file, task and results file of everything in a folder, or of one run."""
    stamp = _RESULTS.fullmatch(source.name)
    if source.is_file() and stamp is None:
        raise _checks.fail("source", "a folder or a results_….json of lm-eval", source)
    if not source.exists():
        raise FileNotFoundError(f"Expected logs of lm-eval, but there is no {source}")
    folder = source.parent if source.is_file() else source
    found = 0
    for path in sorted(folder.rglob("samples_*.jsonl")):
        match = _SAMPLES.fullmatch(path.name)
        if match is None or (source.is_file() and match["stamp"] != stamp["stamp"]):  # type: ignore[index]
            continue
        found += 1
        beside = sorted(path.parent.glob(f"*_{match['stamp']}.json"))
        if not beside:
            raise FileNotFoundError(f"{path}: no results_{match['stamp']}.json beside it")
        yield path, match["task"], beside[0]
    if not found:
        raise FileNotFoundError(f"No samples_….jsonl in {folder}: run lm_eval with --log_samples")


def _log(path: Path, task: str, results: Mapping[str, Any], delimiter: str) -> _Log:
    """One samples file, compared with the results."""
    used, samples = read_samples(path)
    expected = _inner(results, "n-samples", task).get("effective", len(samples))
    if expected != len(samples):
        raise ValueError(f"{path}: expected {expected} documents, but got {len(samples)}")
    try:
        labels = labels_of(samples, delimiter)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    measured = _inner(results, "results", task)
    checked = 0
    for metric, right in recomputed(samples, labels, delimiter).items():
        logged = measured.get(f"{metric},{used}")
        if isinstance(logged, int | float):
            checked += 1
            if not abs(logged - right.mean()) < 1e-6:
                raise ValueError(
                    f"{path}: recomputed {metric} of {right.mean():.6g} disagrees with "
                    f"{logged:.6g} in the results file"
                )
    if not checked:
        raise ValueError(f"{path}: the results file has no accuracy of {task} to compare with")
    return _Log(path, task, results, samples, labels, delimiter)


def _columns(logs: Sequence[_Log], norm: LoggedNorm) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Columns of the part, and rows of the questions."""
    questions: list[dict[str, Any]] = []
    scores, masses = [], []
    left_out, begun = [], []
    for log in logs:
        for sample, label in zip(log.samples, log.labels, strict=True):
            where = f"{log.path}, line {sample.line}"
            identifier = f"{log.task}/{sample.doc_id}"
            own = sample.scores(norm, log.delimiter)
            if own is None:
                raise ValueError(f"{where}: norm {norm!r} cannot be had of this task")
            try:
                text, choices = _question(sample, log)
                choices = plain_options(choices, identifier)
                masses.append(_mass(sample))
            except OptionsError as error:
                left_out.append(f"{where}: {error}")
                continue
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if not sample.options_in_context and _begins_another(choices):
                begun.append(where)
            scores.append(own.tolist())
            row = {"id": identifier, "task": log.name, "question": text, "choices": list(choices)}
            questions.append({**row, "answer": label})
    if left_out:
        said = f"left out {len(left_out)} documents, the first of them {left_out[0]}"
        warnings.warn(said, stacklevel=3)
    if not questions:
        raise _checks.fail("source", "logs with questions", left_out[0])
    if begun:
        warnings.warn(
            f"in {len(begun)} documents an option begins another one, whose score may hold the "
            f"longer one's (first in {begun[0]})",
            stacklevel=3,
        )
    columns: dict[str, Any] = {
        "id": [question["id"] for question in questions],
        "task": [question["task"] for question in questions],
        "label": [question["answer"] for question in questions],
        "scores": scores,
        "n_prompt_tokens": [None] * len(questions),
    }
    if None not in masses:
        columns["option_mass"] = masses
    return columns, questions


def _mass(sample: Sample) -> float | None:
    """Probability of all options; of one text after several contexts the sum is no probability."""
    if sample.options_in_context:
        return None
    if sample.unconditional:
        _checks.mass(sample.continuations, sample.unconditional, " without a context")
    return _checks.mass(sample.continuations, sample.loglikelihoods, "")


def _begins_another(options: Sequence[str]) -> bool:
    """Whether an option begins another one where no word goes on, as 1 begins 10."""
    longer = _checks.extensions(options).items()
    return any(not text[len(short)].isalpha() for text, begun in longer for short in begun)


def _question(sample: Sample, log: _Log) -> tuple[str, Sequence[str]]:
    """Text and choices of a question. Where options are in the contexts, what these share first."""
    if not sample.options_in_context:
        return sample.contexts[0], sample.options(log.delimiter)
    columns = enumerate(zip(*sample.contexts, strict=False))
    end = next((i for i, letters in columns if len(set(letters)) > 1), 0)
    shared = sample.contexts[0][: sample.contexts[0].rfind(" ", 0, end) + 1]
    pairs = zip(sample.contexts, sample.continuations, strict=True)
    choices = [f"{context}{text}".removeprefix(shared) for context, text in pairs]
    return shared.strip() or sample.target, choices


def _provenance(logs: Sequence[_Log], norm: LoggedNorm) -> dict[str, Any]:
    """What made the scores, and the hash and version of every task."""
    results = logs[0].results
    config = _inner(results, "config")
    arguments = config.get("model_args")
    dtype = str(config.get("model_dtype") or "")
    softmax = arguments.get("softmax_dtype") if isinstance(arguments, dict) else None
    if dtype in _COARSE and "softmax_dtype" not in str(arguments):
        warnings.warn(
            f"log-likelihoods of {results.get('model_name')} were computed in {dtype}, so that "
            "they lie on a coarse grid: run lm_eval with --model_args …,softmax_dtype=float32",
            stacklevel=3,
        )
    return {
        "model": results.get("model_name"),
        "revision": config.get("model_sha") or config.get("model_revision") or None,
        "dtype": dtype.removeprefix("torch.") or None,
        "softmax_dtype": softmax,
        "norm": norm,
        "source": SOURCE,
        "lm_eval_version": results.get("lm_eval_version"),
        "model_source": results.get("model_source"),
        "model_args": arguments,
        "chat_template_sha": results.get("chat_template_sha"),
        "system_instruction_sha": results.get("system_instruction_sha"),
        "tasks": {
            log.name: {
                "file": log.path.name,
                "hash": _inner(log.results, "task_hashes").get(log.task),
                "version": _inner(log.results, "versions").get(log.task),
                "n_shot": _inner(log.results, "n-shot").get(log.task),
            }
            for log in logs
        },
    }


def _group_of(task: str, subtasks: Mapping[str, Any]) -> str:
    """The outermost group of a task; empty if it is in none."""
    groups = {name: members for name, members in subtasks.items() if isinstance(members, list)}
    path = [task]
    while parents := sorted(name for name, members in groups.items() if path[-1] in members):
        if parents[0] in path:
            break
        path.append(parents[0])
    return path[-1] if len(path) > 1 else ""


def _check_same_model(results: Mapping[Path, Mapping[str, Any]]) -> None:
    items = list(results.items())
    (first, expected), (last, got) = items[0], items[-1]
    for key in _ONE_MODEL:
        if expected.get(key) != got.get(key):
            raise ValueError(
                f"Expected logs of one model, but {key} is {expected.get(key)!r} in {first} and "
                f"{got.get(key)!r} in {last}; import them one by one"
            )


def _inner(content: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object in an object in … `content`; an empty one where there is none."""
    for name in names:
        value = content.get(name)
        content = value if isinstance(value, dict) else {}
    return content
