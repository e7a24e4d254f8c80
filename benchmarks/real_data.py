"""A real LLM on real multiple-choice tasks, measured on benchmarks that were left out whole.

    .venv/bin/python benchmarks/real_data.py ../shared/data outputs/real

SmolLM2-135M-Instruct (bundled, bfloat16) answers the first `--limit` questions, of at most
`--longest` characters, of up to `--tasks` tasks of every benchmark: scores are log-likelihoods per
token of the option texts, features the mean hidden state after 12 of 30 blocks over a prompt that
lists the options. A thermometer is trained on some benchmarks and tested on the others, in five
folds. Extraction resumes.
"""

import argparse
import json
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

import thermometer as th
from thermometer import _files
from thermometer._files import plain, versions
from thermometer.protocols import Protocol, benchmark_of
from thermometer.training import resolve

RESULTS = Path(__file__).parent / "results" / "real_data.json"


def choose(data, out, limit, longest, n_tasks):
    """One file of the first short questions of some tasks; ids and order as in the source."""
    taken = defaultdict(int)
    tasks = defaultdict(list)
    for name in sorted((data / "tasks.tsv").read_text().split()):
        if "/" in name:
            tasks[benchmark_of(name)].append(name)
    chosen = {name for names in tasks.values() for name in names[:: -(-len(names) // n_tasks)]}
    with out.open("w") as lines:
        for file in sorted(data.glob("*.jsonl.gz")):
            for _, row in _files.read_lines(file):
                texts = [row.get("context") or "", row["question"], *row.get("choices", ())]
                fits = "choices" in row and sum(map(len, texts)) <= longest
                fits = fits and row["task"] in chosen and row.get("split") != "dev"
                if fits and taken[row["task"]] < limit:
                    taken[row["task"]] += 1
                    lines.write(json.dumps(row) + "\n")


def outputs(folder):
    """The table of features and scores, extracted as far as it is not there."""
    tasks = [task for task in th.load_tasks(str(folder / "questions.jsonl")) if len(task) >= 20]
    parts = []
    for kind, layers, template in (
        ("scores", None, th.Template("cloze", norm="token")),
        ("features", 12, th.Template("cloze", show_options=True)),
    ):
        if (folder / kind / "manifest.json").is_file():
            parts.append(th.OutputTable.open(folder / kind))
            continue
        lm = th.LanguageModel.from_pretrained(
            "bundled:smollm2", dtype="bfloat16", num_layers=layers, position="mean"
        )
        wanted = {"scores": kind == "scores", "features": kind == "features"}
        parts.append(th.extract(lm, tasks, folder / kind, template=template, **wanted))
    return parts[1].join(parts[0])


def measure(table, preset, protocol):
    """Means over tasks and over benchmarks of every method."""
    network, training = resolve(preset, {}, {})
    trained = []

    def fit(rows):
        trained.append(th.train(rows, network, training, trainer={"enable_progress_bar": False}))
        return trained[-1]

    report = th.cross_validate(table, fit, protocol, progress=False, by={})
    found = {
        name: {
            "nll": asdict(value.mean_over_tasks["nll"]),
            "ece_10": asdict(value.mean_over_tasks["ece_10"]),
            "gap_closed": asdict(value.mean_over_tasks["gap_closed"]),
            "pooled_ece": asdict(value.all_rows["ece_10"]),
            "task_ece_floor": value.floor["mean_over_tasks"]["ece_10"],
        }
        for name, value in report.methods.items()
    }
    found["differences"] = [asdict(difference) for difference in report.differences]
    benchmarks = defaultdict(list)
    for row in report.tasks:
        losses = [row.metrics[m]["nll"] for m in ("uncalibrated", "pooled", "thermometer")]
        benchmarks[benchmark_of(row.task)].append([*losses, row.accuracy])
    found["benchmarks"] = {
        name: dict(
            zip(
                ("uncalibrated", "pooled", "thermometer", "accuracy"), np.mean(rows, 0), strict=True
            )
        )
        | {"n_tasks": len(rows)}
        for name, rows in benchmarks.items()
    }
    found["signs"] = signs(table, trained, report)
    closed = report.methods["thermometer"].mean_over_tasks["gap_closed"]
    print(f"{preset}: {closed.estimate:.0%} ({closed.low:.0%} to {closed.high:.0%})", flush=True)
    return found


def signs(table, trained, report):
    """Do signs that need no labels tell where a thermometer does worse than the pooled temperature?

    Rank correlations with the difference of NLL, and its mean where `in_domain` and elsewhere.
    """
    harm = {
        r.task: r.metrics["thermometer"]["nll"] - r.metrics["pooled"]["nll"] for r in report.tasks
    }
    rows = []
    for calibrator in trained:
        for task in set(table.task_names) - set(calibrator.train_tasks):
            told = calibrator.calibrate(table.of_tasks([task]))
            farthest = max(told.distances.values())
            rows.append((harm[task], farthest, told.standard_error, told.in_domain))
    loss, distance, error, near = np.array(rows).T
    near = near.astype(bool)
    return {
        "rank_correlation_distance": spearmanr(distance, loss).statistic,
        "rank_correlation_standard_error": spearmanr(error, loss).statistic,
        "in_domain": int(near.sum()),
        "mean_difference_in_domain": loss[near].mean() if near.any() else None,
        "mean_difference_others": loss[~near].mean() if (~near).any() else None,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of .jsonl.gz files")
    parser.add_argument("folder", type=Path, help="for questions and tables")
    parser.add_argument("--limit", type=int, default=30)
    parser.add_argument("--longest", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--presets", default="default,scores,features")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if not (chosen.folder / "questions.jsonl").is_file():
        file = chosen.folder / "questions.jsonl"
        choose(chosen.data, file, chosen.limit, chosen.longest, chosen.tasks)
    table = outputs(chosen.folder)
    print(table, flush=True)
    protocol = Protocol(folds=5, unit="benchmark")
    result = {
        "presets": {p: measure(table, p, protocol) for p in chosen.presets.split(",")},
        "n_tasks": len(table.task_names),
        "n_questions": len(table),
        "protocol": str(protocol),
        "versions": versions(),
    }
    chosen.out.write_text(json.dumps(plain(result), indent=1) + "\n")


if __name__ == "__main__":
    main()
