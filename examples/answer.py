"""Answers in words with a confidence that one can believe, from SmolLM2 alone.

``python examples/answer.py``. SmolLM2 answers questions of seven built-in tasks and says whether
it thinks itself right; a thermometer learns what that is worth. Then it answers new questions. Put
your own JSON lines (``question``, ``answers``) in place of the built-in tasks, by
``load_free_form``, and a larger model: 135M parameters know little of what they know.
"""

import argparse
from pathlib import Path

import thermometer as th
from thermometer.free_form import (
    FreeFormTask,
    answer,
    answers_frame,
    shift_verdicts,
    verify_tasks,
)
from thermometer.training import resolve

TASKS = ("capitals/*", "addition/one_digit", "plurals/animals")
VERIFY = th.Template("verify", chat=True)


def main(out: Path, limit: int) -> None:
    """Ask, judge, extract, train; then answer."""
    lm = th.LanguageModel.from_pretrained("bundled:smollm2", dtype="bfloat16")
    tasks = th.load_tasks("builtin", names=TASKS, limit=limit)
    free = [FreeFormTask.from_task(task) for task in tasks]
    verdicts = verify_tasks(lm, free, out / "verify.jsonl", template=VERIFY, judge="contains")
    table = th.extract(lm, verdicts, out / "table", template=VERIFY)
    preset = resolve("features", {"n_components": 16}, {})  # few, since there are few questions
    calibrator = th.train(shift_verdicts(table), *preset)
    calibrator.save_pretrained(out / "checkpoint")

    calibrated = th.CalibratedLM(lm, calibrator)  # reads itself: one pass for score and feature
    questions = ["What is the capital of Japan?", "What is 3 + 4?", "Who are you?"]
    answers = answer(calibrated, questions)
    for found in answers:
        print(f"{found.confidence:.2f}  {found.question}  {found.answer}")
    print(answers_frame(answers)[["answer", "confidence", "temperature"]])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("outputs/answer"))
    parser.add_argument("--limit", type=int, default=10)
    main(**vars(parser.parse_args()))
