"""How much of the gap to labelled calibration a thermometer closes on unseen MMLU subjects.

    .venv/bin/python benchmarks/prepare_recorded.py ../shared/data/recorded outputs/recorded
    .venv/bin/python benchmarks/quality.py outputs/recorded

Five folds over subjects. Every preset is trained on the scores of one answering model and tested on
unseen subjects of the same model (`targets`); the default one also on other models, with a few
labels, and with few prompts (`subjects`). `-mean` after a preset reads hidden states that are means
over the prompt instead of those at its last token. Networks and training were chosen on the three
chat models; the three base models were not looked at before this script was written.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from thermometer._files import plain, versions
from thermometer.adapters.files import load_table
from thermometer.comparison import compare
from thermometer.posterior import factor_posterior
from thermometer.protocols import Protocol
from thermometer.scaling import fit_temperature, harmonic_mean
from thermometer.training import resolve, train

CHAT = ("Llama-2-7b-chat-hf", "Llama-2-13b-chat-hf", "Llama-2-70b-chat-hf")
BASE = ("Llama-2-7b-hf", "Llama-2-70b-hf", "Mistral-7B-v0.1")
TOGETHER = ("mmlu/c*_[km][ne]*",)
LABELS = (0, 1, 3, 5, 10, 25, 50, 100)
PROMPTS = (1, 3, 10, 30, 100)
MEAN = "-mean"
RESULTS = Path(__file__).parent / "results" / "quality.json"


def nll(scores, labels, temperature):
    z = scores / np.asarray(temperature).reshape(-1, 1)
    z = z - z.max(axis=1, keepdims=True)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(labels)), labels]


def held_out(tables, model, preset, seed, transfer):
    """Temperatures of every row by a thermometer that never saw its subject, and the rest."""
    table = tables[model]
    network, training = resolve(preset.removesuffix(MEAN), {}, {"seed": seed})
    sample, pooled = np.empty(len(table)), np.empty(len(table))
    subjects, seconds, spreads = {}, [], []
    for split in Protocol(folds=5, together=TOGETHER, seed=seed).splits(table.task_names):
        started = time.process_time()
        calibrator = train(
            table.of_tasks(split.train), network, training, trainer={"enable_progress_bar": False}
        )
        seconds.append(time.process_time() - started)
        spreads.append(calibrator.record.spread)
        for name in split.test:
            for other in tables if transfer else [model]:
                rows = tables[other].of_tasks([name])
                found = calibrator.calibrate(rows)
                entry = {
                    "in_domain": found.in_domain,
                    "distance": max(found.distances.values(), default=0.0),
                    "standard_error": found.standard_error,
                    "nll": float(nll(rows.scores, rows.labels, found.temperature).mean()),
                }
                if other == model:
                    here = table.tasks == name
                    sample[here] = found.temperature
                    pooled[here] = calibrator.pooled_temperature
                    if preset == "default":
                        entry["few_labels"] = few_labels(rows, found, calibrator, seed)
                        entry["prompts"] = few_prompts(rows, calibrator, seed)
                subjects.setdefault(other, {})[name] = entry
    return sample, pooled, subjects, seconds, spreads


def few_labels(rows, found, calibrator, seed, n_repeats=5):
    """NLL on one half of a subject with n labels of the other: posterior, and labels alone."""
    rng = np.random.default_rng(seed)
    sums = np.zeros((2, len(LABELS)))
    for _ in range(n_repeats):
        drawn = rng.permutation(len(rows))
        pool, rest = drawn[: len(rows) // 2], drawn[len(rows) // 2 :]
        for i, n in enumerate(LABELS):
            used = pool[:n]
            factor = factor_posterior(
                rows.scores[used],
                rows.labels[used],
                found.temperature[used],
                calibrator.record.spread,
            ).factor
            alone = calibrator.pooled_temperature
            if n:
                alone = fit_temperature(rows.scores[used], rows.labels[used]).temperature
            for kind, temperature in enumerate((found.temperature[rest] * factor, alone)):
                sums[kind, i] += nll(rows.scores[rest], rows.labels[rest], temperature).mean()
    return (sums / n_repeats).tolist()


def few_prompts(rows, calibrator, seed, n_repeats=3):
    """NLL of random parts of a subject that are calibrated with n prompts at hand."""
    rng = np.random.default_rng(seed)
    found = []
    for n in PROMPTS:
        losses = []
        for _ in range(n_repeats):
            drawn = rng.permutation(len(rows))
            parts = [drawn[i : i + n] for i in range(0, len(rows), n)]
            parts = parts if n > 1 else [[i] for i in drawn[:30]]
            for part in parts:
                here = rows.select(part)
                losses += list(nll(here.scores, here.labels, calibrator.temperature(here)))
        found.append(float(np.mean(losses)))
    return found


def numbers_of(found):
    """What is kept of a comparison."""
    numbers = {
        name: {
            "oracle_gap_closed": value.mean_over_tasks["gap_closed"],
            "oracle_gap_closed_all_rows": value.all_rows["gap_closed"],
            "pooled_ece": value.all_rows["ece_10"],
            "task_ece": value.mean_over_tasks["ece_10"],
            "task_ece_floor": value.floor["mean_over_tasks"]["ece_10"],
            "nll": value.mean_over_tasks["nll"],
        }
        for name, value in found.methods.items()
    }
    return {**numbers, "differences": {f"{d.method} - {d.baseline}": d for d in found.differences}}


def measure(tables, model, preset, seed, transfer=False):
    table = tables[model]
    sample, pooled, subjects, seconds, spreads = held_out(tables, model, preset, seed, transfer)
    task = np.empty(len(table))
    for name in table.task_names:
        rows = table.tasks == name
        task[rows] = harmonic_mean(sample[rows])
    methods = {
        "uncalibrated": np.ones(len(table)),
        "pooled": pooled,
        "sample": sample,
        "task": task,
    }
    pairs = [("sample", "pooled"), ("task", "pooled"), ("sample", "uncalibrated")]
    found = compare(
        table.scores, table.labels, table.tasks, methods, baseline="pooled", pairs=pairs
    )
    numbers = numbers_of(found)
    numbers["cpu_seconds_to_train"] = float(np.median(seconds))
    numbers["spread"] = spreads
    closed = numbers["sample"]["oracle_gap_closed"].estimate
    print(f"{model:20s} {preset:13s} closed {closed:7.1%} ", end="")
    print(f"ECE {numbers['sample']['pooled_ece'].estimate:.4f}", flush=True)
    return numbers, subjects


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what prepare_recorded.py wrote")
    parser.add_argument("--seed", type=int, default=0)
    presets = "default,scores,features,paper,default-mean,features-mean"
    parser.add_argument("--presets", default=presets)
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    scores = {name: load_table(chosen.folder / f"{name}.parquet") for name in (*CHAT, *BASE)}
    result = {"targets": {}, "subjects": {}}
    if chosen.out.is_file():  # presets may be measured one after another
        result = json.loads(chosen.out.read_text())
    for preset in chosen.presets.split(","):
        features = load_table(chosen.folder / f"features{MEAN * preset.endswith(MEAN)}")
        tables = {name: features.join(table) for name, table in scores.items()}
        for model in CHAT if preset == "paper" else tables:
            numbers, subjects = measure(
                tables, model, preset, chosen.seed, transfer=preset == "default"
            )
            result["targets"].setdefault(model, {})[preset] = numbers
            if preset == "default":
                result["subjects"][model] = subjects
    result |= {
        "command": f"python benchmarks/quality.py {chosen.folder} --seed {chosen.seed}",
        "versions": versions(),
        "labels": LABELS,
        "prompts": PROMPTS,
    }
    chosen.out.write_text(json.dumps(plain(fields_of(result)), indent=1) + "\n")


def fields_of(value):
    """Intervals and differences as plain dictionaries."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: fields_of(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {key: fields_of(item) for key, item in value.items()}
    if isinstance(value, list):
        return [fields_of(item) for item in value]
    return value


if __name__ == "__main__":
    main()
