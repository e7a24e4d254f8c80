"""Choose among options with a confidence that one can believe: three tasks, one checkpoint.

``python examples/classify.py``. The thermometer of `checkpoints/demo` was trained on 60 built-in
tasks; the questions below are of kinds that it has not seen. Put your own prompts and options in
place of them. It says itself when a task is unlike those of its training.
"""

import thermometer as th
from thermometer.free_form import answers_frame

QUESTIONS = {
    "tone": (
        ["Is the review 'I want my money back' friendly?", "Is the review 'Lovely!' friendly?"],
        ("yes", "no"),
    ),
    "physics": (
        ["What does water turn into when it freezes?", "What pulls an apple to the ground?"],
        [("ice", "steam", "sand"), ("gravity", "light")],
    ),
    "routes": (
        ["By which means does one cross an ocean in a day?", "What rolls on rails?"],
        ("a plane", "a train", "a bicycle"),
    ),
}


def main() -> None:
    """Classify the questions of each task together, since a thermometer reads them as a set."""
    large = th.LanguageModel.from_pretrained("bundled:smollm2", dtype="bfloat16")
    lm = th.CalibratedLM(large, th.Calibrator.from_pretrained("checkpoints/demo"))
    for task, (prompts, options) in QUESTIONS.items():
        answers = lm.classify(prompts, options, task=task)
        for prompt, answer in zip(prompts, answers, strict=True):
            print(f"{answer.confidence:.2f}  {prompt}  {answer.answer}")
        print(answers_frame(answers)[["answer", "confidence", "temperature"]])
        for warning in sorted({warning for answer in answers for warning in answer.warnings}):
            print(f"note: {warning}")


if __name__ == "__main__":
    main()
