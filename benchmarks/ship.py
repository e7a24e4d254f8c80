"""The shipped checkpoints for three answering models, trained on all subjects of MMLU.

    .venv/bin/python benchmarks/ship.py outputs/recorded checkpoints

What they say of their quality is read from results/transfer.json: the same network and training,
measured in folds on subjects that it had not seen.
"""

import argparse
import json
from pathlib import Path

from transfer import RESULTS, RUNS, tables_of, trained

SHIPPED = {"llama2-chat": "chat", "llama2-chat-beside-base": "chat beside 7b told apart"}
SOURCE = (
    "Answers of Llama-2 chat to 9,964 questions of 57 subjects of MMLU (Hendrycks et al. 2021, "
    "MIT), recorded by github.com/smartyfh/LLM-Uncertainty-Bench (MIT): scores of the option "
    "letters after a prompt of theirs. Hidden states are of SmolLM2-135M-Instruct (Apache-2.0)."
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("checkpoints", type=Path)
    chosen = parser.parse_args()
    for name, run in SHIPPED.items():
        _, sources, references = RUNS[run]
        tables = tables_of(chosen.folder, references)
        calibrator = trained(run, tables, tables[sources[0]].task_names)
        measured = json.loads(RESULTS.read_text())["runs"][run]
        summary = {"summary": words(measured, sources, references), "chat": measured}
        calibrator.with_record(metrics=summary).save_pretrained(chosen.checkpoints / name)


def words(measured, sources, references):
    """How it was measured, as Markdown."""
    beside = ""
    if references:
        [second] = {references[name] for name in sources}
        beside = f" Reference scores, of the same letters, are those of {second}."
    lines = ["| | NLL gap closed | ECE of all rows |", "| --- | --: | --: |"]
    for name in sources:
        row = measured["models"][f"{name}, trained on"]
        lines.append(f"| {name} | {row['gap_closed']:.0%} | {row['pooled_ece']:.3f} |")
    return (
        f"{SOURCE}{beside}\n\nFive folds over subjects, each tested by a network trained on the "
        "others, per sample; the network in this folder was trained on all of them "
        "(`benchmarks/transfer.py`). Gap: from one temperature for all subjects to the best one of "
        "each.\n\n" + "\n".join(lines)
    )


if __name__ == "__main__":
    main()
