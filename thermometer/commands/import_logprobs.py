"""The `import-logprobs` command: what an API's batch answered becomes an output table."""

from pathlib import Path
from string import ascii_uppercase
from typing import Any, Literal

from thermometer import _checks, _files
from thermometer.logprobs import option_probabilities
from thermometer.logprobs.formats import field, opened
from thermometer.table_writer import write_table
from thermometer.tasks import TaskSource, load_tasks
from thermometer.types import Question


def import_logprobs(
    responses: str,
    tasks: TaskSource,
    out: str,
    replies: Literal["letter", "text"] = "letter",
    after: str | None = None,
    model: str | None = None,
) -> None:
    """Turn responses with log-probabilities into an output table with scores.

    Args:
        responses: JSON lines as OpenAI's Batch API writes them: `custom_id`, the id of a question,
            and `response`.
        tasks: The questions that were asked; labels are kept.
        out: Folder of the table; must not hold anything yet.
        replies: What the model was asked for: the letter of an option, A for the first, or its
            text.
        after: Text of the reply behind which the answer begins.
        model: Name of the model that answered; by default what the first response says.
    """
    asked = {q.id: (task.name, q) for task in load_tasks(tasks) for q in task.questions}
    answered = _by_id(Path(responses))
    if set(answered) != set(asked):
        odd = sorted(set(answered) ^ set(asked))
        missing = ", ".join(map(repr, odd[:3]))
        raise _checks.fail(
            "responses", "one for each question", f"{len(answered)}; without a partner: {missing}"
        )
    known = [asked[key] for key in answered]
    options = [_options(question, replies) for _, question in known]
    found = option_probabilities(list(answered.values()), options, after=after)
    name = model or field(opened(next(iter(answered.values()))), "model") or "an API"
    batch = {
        "id": list(answered),
        "task": [task for task, _ in known],
        "question": [question.text for _, question in known],
        "choices": [list(question.options) for _, question in known],
        "answer": [-1 if q.answer is None else q.answer for _, q in known],
        "context": [question.context for _, question in known],
        "scores": found.scores,
        "option_mass": found.mass,
    }
    provenance = {"scores": {"model": name, "replies": replies}}
    table = write_table([batch], out, provenance=provenance, order=list(asked))
    for warning in found.warnings:
        print(f"warning     {warning}")  # noqa: T201
    print(f"{len(table)} answers of {name}: {out}")  # noqa: T201


def _options(question: Question, replies: str) -> tuple[str, ...]:
    if replies == "text":
        return question.options
    return tuple(ascii_uppercase[: len(question.options)])


def _by_id(path: Path) -> dict[str, Any]:
    """Responses by the id of their question, in the order of the file."""
    found: dict[str, Any] = {}
    for number, row in _files.read_lines(path):
        key = row.get("custom_id")
        if not isinstance(key, str):
            there = ", ".join(row)
            raise ValueError(
                f"{path}, line {number}: no custom_id that is a text (there are {there})"
            )
        if key in found:
            raise ValueError(f"{path}, line {number}: {key!r} stands twice")
        found[key] = row
    if not found:
        raise ValueError(f"{path}: expected at least one response, got none")
    return found
