"""What the scores of a second language model add on unseen MMLU subjects.

    .venv/bin/python benchmarks/reference.py outputs/recorded

As `quality.py`, five folds over subjects, with the scores of another recorded model as reference:
the base model that a chat model was tuned from, or a smaller one of the family. Hidden states are
those of the last token (`--features features-mean`: means over the prompt). Beside the preset
`reference` and its network without hidden states stands DACA (Luo et al. 2025, arXiv 2505.16690):
one temperature of each subject, without any label, at which the answering model is as sure as its
base model where both give the same answer.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from quality import CHAT, TOGETHER, fields_of, numbers_of

from thermometer._files import plain, versions
from thermometer.adapters.files import load_table
from thermometer.comparison import compare
from thermometer.protocols import Protocol
from thermometer.scaling import fit_temperature, fit_to_reference
from thermometer.training import resolve, train

SMALL, MIDDLE, LARGE = CHAT
PAIRS = (
    (SMALL, "Llama-2-7b-hf"),
    (MIDDLE, SMALL),
    (LARGE, SMALL),
    (LARGE, "Llama-2-70b-hf"),
    ("Llama-2-7b-hf", SMALL),
    ("Llama-2-70b-hf", "Llama-2-7b-hf"),
    ("Mistral-7B-v0.1", "Llama-2-7b-hf"),
)
"""Answering and reference model. The last three were not looked at before this was written."""
NETWORKS = {
    "reference": {},
    "reference, no hidden states": {
        "views": ("scores+positions+debiased+reference",),
        "n_members": 10,
    },
}
RESULTS = Path(__file__).parent / "results" / "reference.json"


def measure(table, seed):
    """Every method on the unseen subjects of one answering model."""
    methods = {"pooled": np.empty(len(table)), "daca": np.empty(len(table))}
    for split in Protocol(folds=5, together=TOGETHER, seed=seed).splits(table.task_names):
        seen, rest = table.of_tasks(split.train), table.of_tasks(split.test)
        here = np.isin(table.tasks, split.test)
        methods["pooled"][here] = fit_temperature(seen.scores, seen.labels).temperature
        for name, fields in NETWORKS.items():
            network, training = resolve("reference", fields, {"seed": seed})
            calibrator = train(seen, network, training, trainer={"enable_progress_bar": False})
            methods.setdefault(name, np.empty(len(table)))[here] = calibrator.temperature(rest)
    for name in table.task_names:
        here = table.tasks == name
        scores, other = table.scores[here], table.reference_scores[here]
        alike = (scores.argmax(axis=1) == other.argmax(axis=1)).any()
        methods["daca"][here] = fit_to_reference(scores, other).temperature if alike else 1.0
    pairs = [(name, "pooled") for name in methods if name != "pooled"]
    found = compare(
        table.scores, table.labels, table.tasks, methods, baseline="pooled", pairs=pairs
    )
    return numbers_of(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("--features", default="features", help="table of hidden states")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    features = load_table(given.folder / given.features)
    result = {
        "command": f"python benchmarks/reference.py {given.folder} --seed {given.seed} "
        f"--features {given.features}",
        "versions": versions(),
        "pairs": [],
    }
    for model, reference in PAIRS:
        scores, other = (load_table(given.folder / f"{m}.parquet") for m in (model, reference))
        numbers = measure(features.join(scores).with_reference(other), given.seed)
        result["pairs"].append({"answering": model, "reference": reference, "methods": numbers})
        for name in ("daca", *NETWORKS):
            closed = numbers[name]["oracle_gap_closed"]
            text = f"{model:20s} <- {reference:20s} {name:28s} closed {closed.estimate:7.1%} "
            print(f"{text} ECE {numbers[name]['pooled_ece'].estimate:.4f}", flush=True)
    given.out.write_text(json.dumps(plain(fields_of(result)), indent=1) + "\n")


if __name__ == "__main__":
    main()
