"""The confidence that five language models stated, before and after each recalibrator.

.venv/bin/python benchmarks/stated_confidence.py --data ../shared/data/recorded/confidence
"""

import argparse
import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from record import rounded

from thermometer import metrics, recalibrators
from thermometer.metrics.intervals import bootstrap

RESULTS = Path(__file__).parent / "results" / "stated_confidence.json"
N_BINS, N_FOLDS, N_FEW, LEAST = 10, 5, 100, 1e-6
METHODS = {
    "as stated": None,
    "Platt": recalibrators.PlattScaling(),
    "Platt, epsilon 0.01": recalibrators.PlattScaling(epsilon=0.01),
    "isotonic": recalibrators.IsotonicCalibration(),
    "histogram, 15 bins": recalibrators.HistogramBinning(),
    "stated, shrunken": recalibrators.StatedConfidenceCalibration(),
}
PROTOCOLS = {
    "same task": "five folds of the rows of each task, fitted on the other four of that task",
    "100 labels": "blocks of 100 rows of each task, each fitted on the 100 of the next block alone",
    "other tasks": "every task recalibrated by what all other tasks taught",
}


def read(file):
    """Stated confidence, outcome and task of the answers whose confidence could be parsed."""
    table = pq.read_table(file, columns=["task", "correct", "stated"])
    stated = table["stated"].to_numpy().astype(np.float64)
    correct = table["correct"].to_numpy().astype(np.float64)
    parsed = ~np.isnan(stated)
    task = np.array(table["task"].to_pylist())
    return stated[parsed], correct[parsed], task[parsed], int((~parsed).sum())


def splits(task, correct, protocol, seed):
    """Pairs of row masks: to recalibrate, to fit on."""
    rng = np.random.default_rng(seed)
    for name in np.unique(task):
        mine = task == name
        if protocol == "other tasks":
            yield mine, ~mine
            continue
        rows = rng.permutation(np.flatnonzero(mine))
        if protocol == "100 labels":
            blocks = np.split(rows, range(N_FEW, len(rows) - N_FEW + 1, N_FEW))  # last: 100 to 199
            for block, following in zip(blocks, [*blocks[1:], blocks[0]], strict=True):
                yield chosen(task, block), chosen(task, following[:N_FEW])
            continue
        rows = rows[np.argsort(correct[rows], kind="stable")]
        for fold in range(N_FOLDS):
            held = chosen(task, rows[fold::N_FOLDS])
            yield held, mine & ~held


def chosen(task, rows):
    mask = np.zeros(len(task), bool)
    mask[rows] = True
    return mask


def recalibrated(method, stated, correct, task, protocol, seed):
    if method is None:
        return stated
    result = np.full(len(stated), np.nan)
    for held, rest in splits(task, correct, protocol, seed):
        result[held] = method.fit(stated[rest], correct[rest]).recalibrate(stated[held])
    return result


def losses(confidence, correct):
    p = np.where(correct == 1, confidence, 1 - confidence)
    return -np.log(np.maximum(p, LEAST))


def measure(confidence, stated, correct, task, seed):
    tasks = {}
    for name in np.unique(task):
        c, y = confidence[task == name], correct[task == name]
        tasks[str(name)] = {
            "nll": losses(c, y).mean(),
            "ece": metrics.expected_calibration_error(c, y, N_BINS),
            "floor": metrics.calibration_floor(c, N_BINS, seed=seed),
        }
    gain = losses(confidence, correct) - losses(stated, correct)
    interval = bootstrap(np.mean, gain, n_resamples=500, seed=seed)
    return {
        "nll": losses(confidence, correct).mean(),
        "nll_against_as_stated": [interval.estimate, interval.low, interval.high],
        "brier": metrics.binary_brier(confidence, correct),
        "ece": metrics.expected_calibration_error(confidence, correct, N_BINS),
        "floor": metrics.calibration_floor(confidence, N_BINS, seed=seed),
        "auroc": metrics.auroc(confidence, correct),
        "mean_task_ece": np.mean([numbers["ece"] for numbers in tasks.values()]),
        "mean_task_floor": np.mean([numbers["floor"] for numbers in tasks.values()]),
        "tasks": tasks,
    }


def show(models):
    keys = ("nll", "brier", "ece", "auroc", "mean_task_ece", "mean_task_floor")
    for protocol, meaning in PROTOCOLS.items():
        print(f"\n{protocol}: {meaning}\n")
        print("| model | recalibrator | NLL | Brier | ECE | AUROC | mean task ECE | its floor |")
        print("| --- | --- | --: | --: | --: | --: | --: | --: |")
        for model, content in models.items():
            for method, numbers in content[protocol].items():
                cells = " | ".join(f"{numbers[key]:.3f}" for key in keys)
                print(f"| {model} | {method} | {cells} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder recorded/confidence")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    models = {}
    for file in sorted(options.data.glob("*/*.parquet")):
        stated, correct, task, n_unparsed = read(file)
        models[file.stem] = {
            "n": len(stated),
            "n_unparsed": n_unparsed,
            "tasks": {
                str(name): {
                    "n": int((task == name).sum()),
                    "accuracy": correct[task == name].mean(),
                    "stated": stated[task == name].mean(),
                }
                for name in np.unique(task)
            },
        }
        for protocol in PROTOCOLS:
            models[file.stem][protocol] = {
                name: measure(
                    recalibrated(method, stated, correct, task, protocol, options.seed),
                    stated,
                    correct,
                    task,
                    options.seed,
                )
                for name, method in METHODS.items()
            }
    show(models)
    result = {
        "command": "python " + " ".join(sys.argv),
        "versions": {p: version(p) for p in ("thermometer", "numpy", "scikit-learn")},
        "seed": options.seed,
        "bins": N_BINS,
        "least_probability": LEAST,
        "protocols": PROTOCOLS,
        "models": rounded(models),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
