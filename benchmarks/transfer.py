"""One thermometer for several answering models: of its training, and new ones it is adapted to.

    .venv/bin/python benchmarks/transfer.py outputs/recorded

Five folds over subjects; the tested subjects are held out for all models. A model that was not in
the training gives its scores on the seen subjects, with all labels or 100 of them (`adapt`), and is
calibrated on the others. Hidden states are means over the prompt. Gap closed in NLL, mean over
unseen subjects, against the pooled temperature from all labels; beside it what the pooled
temperature from the same 100 labels does, and whether `in_domain` and `standard_error` tell where
it goes wrong.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from quality import BASE, CHAT, TOGETHER, nll
from scipy.stats import spearmanr

from thermometer._files import versions
from thermometer.adaptation import adapt, for_model
from thermometer.adapters.files import load_table
from thermometer.metrics.calibration_error import expected_calibration_error
from thermometer.protocols import Protocol
from thermometer.scaling import fit_temperature
from thermometer.training import resolve, train

RESULTS = Path(__file__).parent / "results" / "transfer.json"
RUNS = {
    "7b-chat": ("scores", CHAT[:1], None),
    "70b-chat": ("scores", CHAT[2:], None),
    "chat": ("family", CHAT, None),
    "chat not told apart": ("default", CHAT, None),
    "all": ("family", (*CHAT, *BASE), None),
    "13b-chat beside 7b-chat": ("reference", CHAT[1:2], dict.fromkeys((*CHAT[1:], *BASE), CHAT[0])),
    "chat beside 7b": ("reference", CHAT, dict.fromkeys((*CHAT, *BASE[1:]), BASE[0])),
    "chat beside 7b told apart": (
        "reference",
        CHAT,
        dict.fromkeys((*CHAT, *BASE[1:]), BASE[0]),
    ),
    "7b-chat beside its base": ("reference", CHAT[:1], {CHAT[0]: BASE[0], CHAT[2]: BASE[1]}),
    "70b-chat beside its base": ("reference", CHAT[2:], {CHAT[0]: BASE[0], CHAT[2]: BASE[1]}),
}
"""Preset, the answering models of the training, and the reference model of each, if one is read."""
NETWORK = {
    "chat beside 7b told apart": {
        "views": (
            "scores+positions+debiased+reference+model",
            "scores+debiased+reference+features+model",
        )
    }
}
"""What differs from the preset."""


def versions_of(calibrator, name, seen):
    """The calibrator for one model, by what is known of that model."""
    known = [target["model"] for target in calibrator.record.targets]
    if name in known:
        return {"trained on": for_model(calibrator, name)}
    few = np.random.default_rng(0).permutation(len(seen))[:100]
    labels = np.full(len(seen), -1)
    labels[few] = seen.labels[few]
    found = {
        "all labels": adapt(calibrator, seen),
        "100 labels": adapt(calibrator, replace(seen, labels=labels)),
    }
    if "reference_scores" in calibrator.reads:
        found["no label"] = adapt(calibrator, replace(seen, labels=np.full(len(seen), -1)))
    return found


def losses(calibrator, tables, split):
    """For each model and way, one row per subject."""
    found = {}
    for name, table in tables.items():
        seen, rows = table.of_tasks(split.train), table.of_tasks(split.test)
        pooled = fit_temperature(seen.scores, seen.labels).temperature
        for kind, ours in versions_of(calibrator, name, seen).items():
            for task in rows.task_names:
                here = rows.of_tasks([task])
                got = ours.calibrate(here)
                best = fit_temperature(here.scores, here.labels).temperature
                temperatures = (got.temperature, pooled, best, ours.pooled_temperature)
                row = {
                    "nll": [float(nll(here.scores, here.labels, t).mean()) for t in temperatures],
                    "in_domain": got.in_domain,
                    "distance": max(got.distances.values()),
                    "standard_error": got.standard_error,
                    "confidence": got.probs.max(axis=1),
                    "correct": here.scores.argmax(axis=1) == here.labels,
                }
                found.setdefault((name, kind), []).append(row)
    return found


def tables_of(folder, references):
    """Features and scores by model; with `references` of those that have one, and its scores."""
    features = load_table(folder / "features-mean")
    scores = {name: load_table(folder / f"{name}.parquet") for name in (*CHAT, *BASE)}
    if references is None:
        return {name: features.join(table) for name, table in scores.items()}
    return {
        name: features.join(scores[name]).with_reference(scores[second])
        for name, second in references.items()
    }


def trained(run, tables, tasks):
    """The thermometer of a run, trained on some tasks."""
    preset, sources, _ = RUNS[run]
    return train(
        [tables[name].of_tasks(tasks) for name in sources],
        *resolve(preset, NETWORK.get(run, {}), {}),
        trainer={"enable_progress_bar": False},
    )


def summary(rows):
    """Means over subjects, and ECE of all rows."""
    ours, pooled, best, alone = np.mean([row["nll"] for row in rows], axis=0)
    loss = [row["nll"][0] - row["nll"][1] for row in rows]
    confidence = np.concatenate([row["confidence"] for row in rows])
    correct = np.concatenate([row["correct"] for row in rows])
    return {
        "gap_closed": (pooled - ours) / (pooled - best),
        "gap_closed_one_temperature": (pooled - alone) / (pooled - best),
        "pooled_ece": expected_calibration_error(confidence, correct, n_bins=10),
        "in_domain": float(np.mean([row["in_domain"] for row in rows])),
        "standard_error": float(np.mean([row["standard_error"] for row in rows])),
        "loss": loss,
        "distance": [row["distance"] for row in rows],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("--runs", default=",".join(RUNS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    result = {"runs": {}}
    if chosen.out.is_file():  # runs may be measured one after another
        result = json.loads(chosen.out.read_text())
    for run in chosen.runs.split(","):
        preset, sources, references = RUNS[run]
        tables = tables_of(chosen.folder, references)
        names = tables[sources[0]].task_names
        rows = {}
        for split in Protocol(folds=5, together=TOGETHER).splits(names):
            calibrator = trained(run, tables, split.train)
            for key, values in losses(calibrator, tables, split).items():
                rows.setdefault(key, []).extend(values)
        found = {f"{name}, {kind}": summary(values) for (name, kind), values in rows.items()}
        for name, numbers in found.items():
            print(f"{run} -> {name}: {numbers['gap_closed']:.0%}", end=", ")
            print(f"ECE {numbers['pooled_ece']:.4f}, in {numbers['in_domain']:.0%}", flush=True)
        together = [
            np.concatenate([n[key] for n in found.values()]) for key in ("distance", "loss")
        ]
        rank = float(spearmanr(*together).statistic)
        found = {
            n: {k: v for k, v in numbers.items() if k not in ("loss", "distance")}
            for n, numbers in found.items()
        }
        result["runs"][run] = {
            "preset": preset,
            "network": NETWORK.get(run, {}),
            "model_temperatures": references,
            "models": found,
            "distance_loss_spearman": rank,
        }
        result["versions"] = versions()
        chosen.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
