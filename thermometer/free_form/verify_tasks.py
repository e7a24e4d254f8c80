"""Free-form tasks as training data: a model answers them, its answers are judged.

What comes out are ordinary tasks of questions with two options, "is this answer correct?", which
are extracted, trained on and evaluated like any other.
"""

from collections.abc import Sequence
from pathlib import Path

from rich.progress import Progress

from thermometer import _checks
from thermometer.free_form.answer_files import GrowingLines
from thermometer.free_form.judging import JUDGES, Judge, is_right
from thermometer.free_form.questions import FreeFormTask, verify_question
from thermometer.llm.generation import MAX_NEW_TOKENS, lines_of
from thermometer.llm.language_model import LanguageModel
from thermometer.table_files import questions_digest
from thermometer.tasks import free_form_row, load_tasks, question_row
from thermometer.templates import Template
from thermometer.types import Task, unique_ids

_WINDOW = 128


def verify_tasks(
    lm: LanguageModel,
    tasks: FreeFormTask | Sequence[FreeFormTask],
    out: str | Path,
    *,
    template: Template | None = None,
    judge: Judge = "match",
    max_new_tokens: int = MAX_NEW_TOKENS,
    progress: bool = True,
) -> list[Task]:
    """Answer labelled free-form questions, judge the answers, and ask whether they are correct.

    Running it again with the same arguments goes on where it was stopped. Extract and train on what
    it returns with the same template: ``extract(lm, verify_tasks(lm, tasks, out), …)``.

    Args:
        lm: The answering model, whose confidence is to be calibrated.
        tasks: One task or several; every question has accepted answers.
        out: JSON lines to write: the questions with two options, as `load_tasks` reads them.
        template: Of the style `verify`, which is the default.
        judge: The rule that decides which answers are right, see `judging.is_right`.
        max_new_tokens: Where an answer is cut that does not end.
        progress: Show a progress bar.

    Returns:
        The tasks, sorted by name. The label is 0 (Yes) where the answer is right. Questions that
        the model had no answer to are left out: nothing can be asked of it.

    Raises:
        ValueError: For a question without an accepted answer or over the model's context, repeated
            ids, a template of another style, a file that something else made, or no answers at all.
    """
    chosen = template or Template("verify")
    _checks.one_of("judge", judge, JUDGES)
    if chosen.style != "verify":
        raise _checks.fail("template", "of the style 'verify'", chosen)
    tasks = [tasks] if isinstance(tasks, FreeFormTask) else list(tasks)
    pairs = [(task.name, question) for task in tasks for question in task.questions]
    unique_ids([question for _, question in pairs], "the tasks")
    for _, question in pairs:
        if not question.answers:
            raise _checks.fail("answers", "known", f"none for question {question.id}")
    made_by = {
        "questions": questions_digest([free_form_row(q, task) for task, q in pairs]),
        "model": lm.provenance(chosen),
        "judge": judge,
        "max_new_tokens": max_new_tokens,
    }
    with (
        GrowingLines(out, [question.id for _, question in pairs], made_by) as lines,
        Progress(disable=not progress, transient=True) as bar,
    ):
        shown = bar.add_task("answering", total=len(pairs), completed=lines.n_done)
        for start in range(lines.n_done, len(pairs), _WINDOW):
            piece = pairs[start : start + _WINDOW]
            prompts = [chosen.render_open(question) for _, question in piece]
            said = lines_of(lm, prompts, max_new_tokens=max_new_tokens)
            lines.append(
                question_row(
                    verify_question(
                        question, line.text, is_right(line.text, question.answers, judge)
                    ),
                    task,
                )
                for (task, question), line in zip(piece, said, strict=True)
                if line.text
            )
            bar.advance(shown, len(piece))
    if not Path(out).stat().st_size:
        chat = "" if chosen.chat else " (a model tuned to chat wants a template with `chat: true`)"
        expected = f"answered by the model{chat}"
        raise _checks.fail("tasks", expected, f"{len(pairs)} empty answers")
    return load_tasks(out)
