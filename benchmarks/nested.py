"""The choice of network and training by nested validation: made inside the training tasks.

    .venv/bin/python benchmarks/nested.py outputs/recorded

As `quality.py`, five folds over MMLU subjects for each recorded model; but in every fold one of
`CANDIDATES` is chosen by `train_best` among the training subjects alone, and measured on the
others. The result shows what a user gets who does not know which one suits.
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from quality import BASE, CHAT, TOGETHER

from thermometer._versions import versions
from thermometer.comparison import compare
from thermometer.presets import resolve
from thermometer.protocols import Protocol
from thermometer.recorded import load_table
from thermometer.reports.report import plain
from thermometer.selection import train_best

CANDIDATES = {
    "default": ("default", {}, {}),
    "views weighed": ("default", {"weigh_views": True}, {}),
    "samples alone": ("default", {}, {"sample_weight": 1.0}),
    "attention": ("default", {"pooling": "attention"}, {}),
    "scores": ("scores", {"n_members": 5}, {}),
    "features": ("features", {}, {}),
}
"""By name: preset, and the fields of network and training that differ."""
RESULTS = Path(__file__).parent / "results" / "nested.json"


def measure(table, seed):
    """Gap closed and ECE of all rows on unseen subjects, and what was chosen in each fold."""
    candidates = {
        name: resolve(preset, network, {**training, "seed": seed})
        for name, (preset, network, training) in CANDIDATES.items()
    }
    sample, pooled, chosen = np.empty(len(table)), np.empty(len(table)), []
    for split in Protocol(folds=5, together=TOGETHER, seed=seed).splits(table.task_names):
        found = train_best(
            table.of_tasks(split.train), candidates, trainer={"enable_progress_bar": False}
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
    given = parser.parse_args()
    features = load_table(given.folder / "features")
    found = {
        "versions": versions(),
        "candidates": list(CANDIDATES),
        "seed": given.seed,
        "models": {},
    }
    for model in (*CHAT, *BASE):
        table = features.join(load_table(given.folder / f"{model}.parquet"))
        numbers = measure(table, given.seed)
        found["models"][model] = numbers
        names = [fold["chosen"] for fold in numbers["folds"]]
        closed, ece = numbers["gap_closed"], numbers["pooled_ece"]
        print(
            f"{model}: closed {closed['estimate']:.0%} ({closed['low']:.0%} to "
            f"{closed['high']:.0%}), ECE {ece['estimate']:.3f}, chosen {names}",
            flush=True,
        )
        RESULTS.write_text(json.dumps(plain(found), indent=1) + "\n")


if __name__ == "__main__":
    main()
