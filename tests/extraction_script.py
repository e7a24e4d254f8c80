"""Run by test_extraction in processes of its own: `extraction_script.py OUT DEVICES [SIGNAL]`."""

import os
import signal
import sys
from pathlib import Path

import tiny
import torch
from lightning.pytorch.callbacks import Callback

from thermometer.extraction import extract
from thermometer.language_model import LanguageModel
from thermometer.templates import Template
from thermometer.types import Question, Task


class Kill(Callback):
    """Sends the process a signal, with the fourth part computed but not written."""

    def __init__(self, name):
        self.number = signal.Signals[name]

    def on_predict_batch_end(self, trainer, module, outputs, batch, index, dataloader_idx=0):
        if index == 3:
            os.kill(os.getpid(), self.number)


def task(name="sizes", n=70):
    questions = [
        Question(
            f"{name}/{i}",
            "Which is the largest of these? " * (1 + i % 5),
            ("one", "two and a half", "three", "four")[: 2 + i % 3],
            i % 2 if i % 7 else None,
        )
        for i in range(n)
    ]
    return Task(name, tuple(questions))


def run(folder, tasks, lm, **trainer):
    return extract(
        lm.with_token_budget(300),
        tasks,
        folder,
        template=Template("cloze"),
        trainer={"accelerator": "cpu", "enable_progress_bar": False, **trainer},
    )


def main():
    torch.set_num_threads(1)
    out, devices = Path(sys.argv[1]), int(sys.argv[2])
    lm = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny-llama")
    many = {"devices": devices, "strategy": "ddp"} if devices > 1 else {}
    many |= {"callbacks": Kill(sys.argv[3])} if len(sys.argv) > 3 else {}
    run(out / "many", task(), lm, **many)
    if devices > 1:
        run(out / "few", task("few", n=1), lm, **many)


if __name__ == "__main__":
    main()
