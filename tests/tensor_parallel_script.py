"""Run by test_tensor_parallel under torchrun: ``tensor_parallel_script.py MODEL OUT``."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed

from thermometer import LanguageModel, Template, extract, load_task


def main():
    torch.set_num_threads(1)
    model, out = sys.argv[1:]
    lm = LanguageModel.from_pretrained(model, dtype="float32", tp_plan="auto")
    template = Template("cloze", show_options=True)
    task = load_task("builtin:comparison", limit=8, names=["*/larger"])
    found = lm.outputs(template.render_task(task), template)
    trainer = {"accelerator": "cpu", "enable_progress_bar": False}
    extract(lm, task, Path(out) / "table", template=template, trainer=trainer)
    rank = torch.distributed.get_rank()
    spread = any(hasattr(weight, "full_tensor") for weight in lm.model.parameters())
    np.savez(
        Path(out) / f"{rank}.npz",
        scores=found.scores,
        features=found.features,
        spread=spread,
        fingerprint=lm.fingerprint,
    )
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
