"""The commands for answers in words: `ask` makes training data of them, `answer` gives confidence.

Both write JSON lines as they go and, run again after a kill, go on where they were stopped.
"""

from rich.progress import Progress

from thermometer import _files
from thermometer.calibrator import Calibrator, Level
from thermometer.commands.placing import placed
from thermometer.free_form import answering
from thermometer.free_form.answer_files import GrowingLines
from thermometer.free_form.judging import Judge
from thermometer.free_form.questions import FreeFormTask
from thermometer.free_form.verify_tasks import verify_tasks
from thermometer.llm.generation import MAX_NEW_TOKENS
from thermometer.llm.loading import fingerprint
from thermometer.model_spec import Source
from thermometer.table_files import questions_digest
from thermometer.tasks import TaskSource, free_form_row, load_free_form
from thermometer.templates import Template


def answer(
    checkpoint: str,
    model: Source,
    questions: str,
    out: str,
    max_new_tokens: int = MAX_NEW_TOKENS,
    window: int = 256,
    level: Level = "sample",
) -> None:
    """Answer free-form questions, with a calibrated confidence.

    Args:
        checkpoint: Folder or hub id of a thermometer that was trained on answers in words.
        model: The answering model.
        questions: File of JSON lines with `question`, and perhaps `id`, `task` and `context`.
        out: JSON lines to write, one per question.
        max_new_tokens: Where an answer is cut that does not end.
        window: Questions of a task that are answered, calibrated and written together.
        level: Divide each question's scores by its own temperature or by its window's.
    """
    model.require_model("model")
    model.require_whole("model")
    _files.require_place(out)  # before a model is loaded, as the questions are read
    tasks = load_free_form(questions)
    calibrator = Calibrator.from_pretrained(checkpoint)
    answering.verify_template(calibrator)
    large = placed(model, calibrator)
    rows = [free_form_row(question, task.name) for task in tasks for question in task.questions]
    made_by = {
        "questions": questions_digest(rows),
        "checkpoint": fingerprint(calibrator.thermometer),
        "model": large.lm.provenance(large.template),
        "max_new_tokens": max_new_tokens,
        "window": window,
        "level": level,
    }
    pieces = [
        FreeFormTask(task.name, task.questions[start : start + window])
        for task in tasks
        for start in range(0, len(task), window)
    ]
    ids = [row["id"] for row in rows]
    with GrowingLines(out, ids, made_by) as lines, Progress(transient=True) as bar:
        shown = bar.add_task("answering", total=len(ids), completed=lines.n_done)
        end = 0
        for piece in pieces:
            end += len(piece)
            if (n_missing := min(len(piece), end - lines.n_done)) > 0:
                found = answering.answer(large, piece, max_new_tokens=max_new_tokens, level=level)
                lines.append({"task": piece.name, **a.to_dict()} for a in found[-n_missing:])
                bar.advance(shown, n_missing)
    print(f"{len(ids)} questions answered: {out}")  # noqa: T201


def ask(
    model: Source,
    tasks: TaskSource,
    out: str,
    judge: Judge = "match",
    max_new_tokens: int = MAX_NEW_TOKENS,
) -> None:
    """Answer labelled free-form questions and judge the answers: tasks to train on.

    Args:
        model: The answering model; its template, if one is given, is of the style `verify`.
        tasks: JSON lines with `question` and `answers`.
        out: JSON lines to write: questions whether an answer is correct, with the options Yes and
            No. Name it as `tasks.source` of an experiment whose template has the style `verify`.
        judge: What is right: `match` (equal but for case, punctuation and articles), `contains` (an
            accepted answer stands in the answer) or `rouge_l` (a word in common).
        max_new_tokens: Where an answer is cut that does not end.
    """
    model.require_model("model")
    model.require_whole("model")
    _files.require_place(out)
    asked = load_free_form(tasks)
    lm = model.load().to_accelerator()
    made = verify_tasks(
        lm,
        asked,
        out,
        template=model.template or Template("verify"),
        judge=judge,
        max_new_tokens=max_new_tokens,
    )
    right = [question.answer == 0 for task in made for question in task.questions]
    silent = sum(map(len, asked)) - len(right)
    print(  # noqa: T201
        f"{len(right)} answers, {sum(right) / len(right):.0%} of them right"
        f"{f', {silent} questions without an answer' if silent else ''}: {out}"
    )
