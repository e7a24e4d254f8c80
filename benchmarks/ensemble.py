"""An ensemble of recorded signals against the best of them alone, on tasks that were left out.

.venv/bin/python benchmarks/ensemble.py --data ../shared/data/recorded/confidence
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
from thermometer.metrics.intervals import paired_differences, percentile_interval, task_counts
from thermometer.signals.ensemble import SignalEnsemble

RESULTS = Path(__file__).parent / "results" / "ensemble.json"
SIGNALS = ("stated", "linguistic", "sequence_probability")
SINGLE = {
    "stated calibration": recalibrators.StatedConfidenceCalibration(),
    "Platt": recalibrators.PlattScaling(epsilon=0.01),
    "isotonic": recalibrators.IsotonicCalibration(),
    "histogram": recalibrators.HistogramBinning(),
}
ENSEMBLE = "ensemble"
CHOSEN = "single, chosen on the other tasks"
N_BINS, N_RESAMPLES = 10, 500


def read(file):
    """Signals of all answers, NaN where one could not be parsed; outcomes; tasks."""
    table = pq.read_table(file)
    signals = {
        name: table[name].to_numpy().astype(np.float64)
        for name in SIGNALS
        if name in table.column_names
    }
    correct = table["correct"].to_numpy().astype(np.float64)
    return signals, correct, np.array(table["task"].to_pylist())


def alone(known, correct, task, recalibrator):
    """A single signal on tasks left out.

    What could not be parsed counts as the mean, unless the recalibrator knows what to make of it.
    """
    confidence = np.full(len(correct), np.nan)
    for name in np.unique(task):
        held, parsed = task == name, known
        if not isinstance(recalibrator, recalibrators.StatedConfidenceCalibration):
            parsed = np.nan_to_num(known, nan=np.nanmean(known[~held]))
        fitted = recalibrator.fit(parsed[~held], correct[~held])
        confidence[held] = fitted.recalibrate(parsed[held])
    return confidence


def chosen(confidence, correct, task):
    """For each task the single signal that has the lowest loss on all other tasks."""
    names = list(confidence)
    losses = np.stack([metrics.nll_of_rows(confidence[name], correct) for name in names])
    best = {t: names[losses[:, task != t].sum(axis=1).argmin()] for t in np.unique(task)}
    return np.array([confidence[best[t]][row] for row, t in enumerate(task)])


def measure(confidence, correct, task):
    of_task = [metrics.auroc(confidence[task == n], correct[task == n]) for n in np.unique(task)]
    return {
        "nll": metrics.binary_nll(confidence, correct),
        "auroc": metrics.auroc(confidence, correct),
        "brier": metrics.binary_brier(confidence, correct),
        "ece": metrics.expected_calibration_error(confidence, correct, N_BINS),
        "mean_task_auroc": np.mean(of_task),
    }


def auroc_of_resamples(confidence, correct, weights):
    """AUROC with the rows of each resample as weights, (R, N): one sort for all."""
    level = np.unique(confidence, return_inverse=True)[1]
    found = []
    for weight in weights:
        right, wrong = (np.bincount(level, weight * (correct == y)) for y in (1, 0))
        below = np.cumsum(wrong) - wrong / 2
        found.append(right @ below / (right.sum() * wrong.sum()))
    return np.array(found)


def compare(first, second, correct, task, seed):
    """Second less first: intervals from resampled answers, and from resampled tasks."""
    rows = paired_differences(
        first, second, correct, n_bins=N_BINS, n_resamples=N_RESAMPLES, seed=seed
    )
    loss = metrics.nll_of_rows(second, correct) - metrics.nll_of_rows(first, correct)
    names, member, sizes = np.unique(task, return_inverse=True, return_counts=True)
    counts = task_counts(len(names), N_RESAMPLES, seed)
    rng, n = np.random.default_rng(seed), len(correct)
    drawn = {
        "auroc": [np.bincount(rng.integers(n, size=n), minlength=n) for _ in range(N_RESAMPLES)],
        "auroc, tasks resampled": [count[member] for count in counts],
    }
    every = metrics.auroc(second, correct) - metrics.auroc(first, correct)
    of_task = np.array(
        [
            np.subtract(*(metrics.auroc(p[task == t], correct[task == t]) for p in (second, first)))
            for t in names
        ]
    )
    return {
        "nll": interval(rows["nll"]),
        "nll, tasks resampled": interval(
            percentile_interval(loss.mean(), counts @ np.bincount(member, loss) / (counts @ sizes))
        ),
        **{
            key: interval(
                percentile_interval(
                    every,
                    auroc_of_resamples(second, correct, weights)
                    - auroc_of_resamples(first, correct, weights),
                )
            )
            for key, weights in drawn.items()
        },
        "mean_task_auroc": interval(
            percentile_interval(of_task.mean(), counts @ of_task / len(names))
        ),
        "tasks with lower nll": int((np.bincount(member, loss) < 0).sum()),
        "tasks with higher auroc": int((of_task > 0).sum()),
    }


def interval(found):
    return [found.estimate, found.low, found.high]


def ensembles(signals, correct, task):
    """Confidence of the ensemble on tasks left out, also where one signal is not asked for.

    And of ensembles that were never given that signal.
    """
    n = len(correct)
    whole = np.full(n, np.nan)
    not_asked, never_fitted = ({name: np.full(n, np.nan) for name in signals} for _ in range(2))
    for name in np.unique(task):
        held, rest = task == name, task != name
        known = {s: v[rest] for s, v in signals.items()}
        new = {s: v[held] for s, v in signals.items()}
        fitted = SignalEnsemble().fit(known, correct[rest], task[rest])
        whole[held] = fitted.predict(new)
        for hidden in signals:
            few, fewer = ({s: v for s, v in d.items() if s != hidden} for d in (known, new))
            not_asked[hidden][held] = fitted.predict(fewer)
            refit = SignalEnsemble(penalty=fitted.penalty_).fit(few, correct[rest])
            never_fitted[hidden][held] = refit.predict(fewer)
    missing = {
        name: {
            "not asked for": metrics.binary_nll(not_asked[name], correct),
            "never fitted": metrics.binary_nll(never_fitted[name], correct),
        }
        for name in signals
    }
    return whole, missing


def study(file, seed):
    signals, correct, task = read(file)
    confidence = {
        f"{name}, {kind}": alone(values, correct, task, recalibrator)
        for name, values in signals.items()
        for kind, recalibrator in SINGLE.items()
    }
    singles = list(confidence)
    confidence[CHOSEN] = chosen(confidence, correct, task)
    confidence[ENSEMBLE], missing = ensembles(signals, correct, task)
    numbers = {name: measure(p, correct, task) for name, p in confidence.items()}
    # Two rivals are the best on the held-out tasks themselves: no user could have chosen them.
    rivals = {
        "lowest nll": min(singles, key=lambda name: numbers[name]["nll"]),
        "highest auroc": max(singles, key=lambda name: numbers[name]["auroc"]),
        "chosen": CHOSEN,
    }
    fitted = SignalEnsemble().fit(signals, correct, task)
    return {
        "n": len(correct),
        "n_tasks": len(np.unique(task)),
        "n_unparsed": {name: int(np.isnan(values).sum()) for name, values in signals.items()},
        "methods": numbers,
        "rivals": rivals,
        "ensemble_less": {
            name: compare(confidence[name], confidence[ENSEMBLE], correct, task, seed)
            for name in dict.fromkeys(rivals.values())
        },
        "one_signal_missing": missing,
        "weights": fitted.weights.signals,
        "disagreement": {
            " / ".join(pair): weight for pair, weight in fitted.weights.disagreement.items()
        },
        "penalty": fitted.penalty_,
    }


def show(models):
    print("| model | | NLL | AUROC | AUROC in a task | ECE |")
    print("| --- | --- | --: | --: | --: | --: |")
    for model, content in models.items():
        for name in dict.fromkeys([*content["rivals"].values(), ENSEMBLE]):
            m = content["methods"][name]
            cells = (f"{m[key]:.3f}" for key in ("nll", "auroc", "mean_task_auroc", "ece"))
            print(f"| {model} | {name} | {' | '.join(cells)} |")
    print("\n| model | against | NLL | tasks resampled | AUROC | tasks resampled | tasks won |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for model, content in models.items():
        for rival, found in content["ensemble_less"].items():
            cells = [
                "{:.4f} ({:.4f} to {:.4f})".format(*found[key])
                for metric in ("nll", "auroc")
                for key in (metric, f"{metric}, tasks resampled")
            ]
            won = f"{found['tasks with lower nll']}, {found['tasks with higher auroc']}"
            print(f"| {model} | {rival} | {' | '.join(cells)} | {won} of {content['n_tasks']} |")
    for model, content in models.items():
        for key in ("one_signal_missing", "weights", "disagreement", "penalty"):
            print(model, key, rounded(content[key]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="the folder recorded/confidence")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    files = sorted(options.data.glob("*/*.parquet"))
    several = [file for file in files if len(read(file)[0]) > 1]
    models = {file.stem: study(file, options.seed) for file in several}
    show(models)
    result = {
        "command": "python " + " ".join(sys.argv),
        "versions": {p: version(p) for p in ("thermometer", "numpy", "scikit-learn")},
        "seed": options.seed,
        "bins": N_BINS,
        "protocol": "every task predicted by what all other tasks taught",
        "models": rounded(models),
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
