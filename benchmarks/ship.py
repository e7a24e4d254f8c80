"""The shipped checkpoint for three answering models, trained on all subjects of MMLU.

    .venv/bin/python benchmarks/ship.py outputs/recorded checkpoints/llama2-chat

What it says of its quality is read from results/transfer.json (run `chat`): the same network and
training, measured in folds on subjects that it had not seen.
"""

import argparse
import json
from pathlib import Path

from quality import CHAT

import thermometer as th
from thermometer.recorded import load_table

MEASURED = Path(__file__).parent / "results" / "transfer.json"
SOURCE = (
    "Answers of Llama-2 chat to 9,964 questions of 57 subjects of MMLU (Hendrycks et al. 2021, "
    "MIT), recorded by github.com/smartyfh/LLM-Uncertainty-Bench (MIT): scores of the option "
    "letters after a prompt of theirs. Hidden states are of SmolLM2-135M-Instruct (Apache-2.0)."
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("checkpoint", type=Path)
    chosen = parser.parse_args()
    if chosen.checkpoint.is_dir():
        calibrator = th.Calibrator.from_pretrained(chosen.checkpoint)
    else:
        features = load_table(chosen.folder / "features")
        tables = [features.join(load_table(chosen.folder / f"{name}.parquet")) for name in CHAT]
        calibrator = th.train(tables, trainer={"enable_progress_bar": False})
    measured = json.loads(MEASURED.read_text())["runs"].get("chat") if MEASURED.is_file() else None
    if measured:
        lines = ["| | NLL gap closed | ECE of all rows |", "| --- | --: | --: |"]
        for name in CHAT:
            row = measured["models"][f"{name}, trained on"]
            lines.append(f"| {name} | {row['gap_closed']:.0%} | {row['pooled_ece']:.3f} |")
        calibrator.metrics = {
            "summary": f"{SOURCE}\n\nFive folds over subjects, each tested by a network trained "
            "on the others, per sample; the network in this folder was trained on all of them "
            "(`benchmarks/transfer.py`). Gap: from one temperature for all subjects to the best "
            "one of each.\n\n" + "\n".join(lines),
            "chat": measured,
        }
    calibrator.save_pretrained(chosen.checkpoint)


if __name__ == "__main__":
    main()
