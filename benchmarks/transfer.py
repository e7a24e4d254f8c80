"""A thermometer trained for one answering model, used on another whose one temperature is known.

    .venv/bin/python benchmarks/transfer.py outputs/recorded

The other model's scores are first scaled so that its own one temperature, fitted on the seen
subjects (all rows, or 100 of them), becomes that of the model of the training. Preset `scores`,
five folds over subjects; gap closed in NLL, mean over unseen subjects.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from quality import BASE, CHAT, TOGETHER, nll

from thermometer.presets import resolve
from thermometer.protocols import Protocol
from thermometer.recorded import load_table
from thermometer.reports.report import versions
from thermometer.scaling import fit_temperature
from thermometer.training import train

RESULTS = Path(__file__).parent / "results" / "transfer.json"


def losses(calibrator, tables, split):
    """For each model and number of labels, one row per subject: ours, one temperature, best."""
    found = {}
    for name, table in tables.items():
        seen, rows = table.of_tasks(split.train), table.of_tasks(split.test)
        chosen = np.random.default_rng(0).permutation(len(seen))[:100]
        for kind, known in (("all labels", seen), ("100 labels", seen.select(chosen))):
            own = fit_temperature(known.scores, known.labels).temperature
            scale = calibrator.pooled_temperature / own
            scaled = replace(rows, scores=rows.scores * scale)
            temperature = calibrator.temperature(scaled) / scale
            pooled = fit_temperature(seen.scores, seen.labels).temperature
            for task in rows.task_names:
                here = rows.tasks == task
                scores, labels = rows.scores[here], rows.labels[here]
                best = fit_temperature(scores, labels).temperature
                used = (temperature[here], np.full(here.sum(), pooled), np.full(here.sum(), best))
                row = [nll(scores, labels, t).mean() for t in used]
                found.setdefault((name, kind), []).append(row)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("--trained_on", nargs="+", default=[CHAT[0], CHAT[2]])
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    tables = {n: load_table(chosen.folder / f"{n}.parquet") for n in (*CHAT, *BASE)}
    network, training = resolve("scores", {}, {})
    closed = {}
    for source in chosen.trained_on:
        rows = {}
        for split in Protocol(folds=5, together=TOGETHER).splits(tables[source].task_names):
            calibrator = train(
                tables[source].of_tasks(split.train),
                network,
                training,
                trainer={"enable_progress_bar": False},
            )
            for key, values in losses(calibrator, tables, split).items():
                rows.setdefault(key, []).extend(values)
        for (target, kind), values in rows.items():
            ours, pooled, best = np.mean(values, axis=0)
            closed.setdefault(source, {}).setdefault(target, {})[kind] = (pooled - ours) / (
                pooled - best
            )
            print(f"{source} -> {target}, {kind}: {closed[source][target][kind]:.0%}", flush=True)
    result = {"gap_closed": closed, "versions": versions()}
    chosen.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
