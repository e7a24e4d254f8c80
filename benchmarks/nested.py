"""The choice of network and training by nested validation: made inside the training tasks.

    .venv/bin/python benchmarks/nested.py outputs/recorded
    .venv/bin/python benchmarks/nested.py outputs/recorded --reference

As `quality.py`, five folds over MMLU subjects for each recorded model; but in every fold one of
`CANDIDATES` is chosen by `train_best` among the training subjects alone, and measured on the
others. The result shows what a user gets who does not know which one suits. With `--reference` the
models stand beside those of `reference.py`, and the choice is among `BESIDE`.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from quality import BASE, CHAT, TOGETHER
from reference import PAIRS
from selection import train_best

from thermometer._files import plain, versions
from thermometer.adapters.files import load_table
from thermometer.comparison import compare
from thermometer.protocols import Protocol
from thermometer.training import resolve

CANDIDATES = {
    "default": ("default", {}, {}),
    "samples alone": ("default", {}, {"sample_weight": 1.0}),
    "scores": ("scores", {"n_members": 5}, {}),
    "features": ("features", {}, {}),
}
"""By name: preset, and the fields of network and training that differ."""
BESIDE = {
    "reference": ("reference", {}, {}),
    "no hidden states": ("reference", {"views": ("scores+positions+debiased+reference",)}, {}),
    "default": ("default", {}, {}),
}
RESULTS = Path(__file__).parent / "results"


def measure(table, candidates, seed):
    """Gap closed and ECE of all rows on unseen subjects, and what was chosen in each fold."""
    resolved = {
        name: resolve(preset, network, {**training, "seed": seed})
        for name, (preset, network, training) in candidates.items()
    }
    sample, pooled, chosen = np.empty(len(table)), np.empty(len(table)), []
    for split in Protocol(folds=5, together=TOGETHER, seed=seed).splits(table.task_names):
        found = train_best(
            table.of_tasks(split.train), resolved, trainer={"enable_progress_bar": False}
        )
        chosen.append({"chosen": found.name, "held_out_nll": found.held_out_nll})
        for name in split.test:
            here = table.tasks == name
            sample[here] = found.calibrator.temperature(table.of_tasks([name]))
            pooled[here] = found.calibrator.pooled_temperature
    methods = {"pooled": pooled, "sample": sample}
    result = compare(
        table.scores,
        table.labels,
        table.tasks,
        methods,
        baseline="pooled",
        pairs=[("sample", "pooled")],
    ).methods["sample"]
    return {
        "gap_closed": asdict(result.mean_over_tasks["gap_closed"]),
        "pooled_ece": asdict(result.all_rows["ece_10"]),
        "folds": chosen,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reference", action="store_true", help="beside a reference model")
    given = parser.parse_args()
    features = load_table(given.folder / "features")
    candidates = BESIDE if given.reference else CANDIDATES
    pairs = PAIRS if given.reference else [(model, None) for model in (*CHAT, *BASE)]
    file = RESULTS / ("nested_reference.json" if given.reference else "nested.json")
    found = {
        "versions": versions(),
        "candidates": list(candidates),
        "seed": given.seed,
        "models": {},
    }
    for model, reference in pairs:
        table = features.join(load_table(given.folder / f"{model}.parquet"))
        if reference is not None:
            table = table.with_reference(load_table(given.folder / f"{reference}.parquet"))
        numbers = measure(table, candidates, given.seed)
        name = model if reference is None else f"{model} beside {reference}"
        found["models"][name] = numbers
        names = [fold["chosen"] for fold in numbers["folds"]]
        closed, ece = numbers["gap_closed"], numbers["pooled_ece"]
        print(
            f"{name}: closed {closed['estimate']:.0%} ({closed['low']:.0%} to "
            f"{closed['high']:.0%}), ECE {ece['estimate']:.3f}, chosen {names}",
            flush=True,
        )
        file.write_text(json.dumps(plain(found), indent=1) + "\n")


if __name__ == "__main__":
    main()
