"""ATS on a real language model: token NLL and ECE before and after, against the pooled temperature.

nice -n 10 .venv/bin/python benchmarks/ats.py --data ../shared/data
"""

import argparse
import gzip
import json
import os
import platform
import random
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from thermometer import LanguageModel, Template, ats, metrics
from thermometer.ats.data import TokenReader, encode_pairs
from thermometer.metrics.intervals import bootstrap
from thermometer.scaling import fit_temperature, scale_scores
from thermometer.tasks import load_tasks

RESULTS = Path(__file__).parent / "results" / "ats.json"
FREE_FORM = (
    "qa_wikidata",
    "instruction_induction",
    "simple_arithmetic",
    "svamp",
    "nq_open",
    "bioasq_factoid",
    "bigbench_freeform",
)
N_BINS = 15


def free_form_tasks(folder, per_task, seed):
    """Pairs of each free-form task, the first accepted answer as the response."""
    tasks = {}
    for name in FREE_FORM:
        with gzip.open(folder / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                pair = ats.Pair(row["question"], row["answers"][0], row["task"])
                tasks.setdefault(row["task"], []).append(pair)
    rng = random.Random(seed)
    return {name: rng.sample(pairs, min(per_task, len(pairs))) for name, pairs in tasks.items()}


def split(names, share, seed):
    """Whole tasks apart: training and test."""
    order = sorted(names)
    random.Random(seed).shuffle(order)
    cut = round(len(order) * share)
    return order[cut:], order[:cut]


def measure(tokens, task_of_token, seed=0):
    """Figures of the response tokens, with intervals over tasks."""
    nll = bootstrap(np.mean, -tokens.logprob, groups=task_of_token, seed=seed)
    ece = metrics.expected_calibration_error(tokens.confidence, tokens.correct, N_BINS)
    return {
        "nll": [round(v, 4) for v in (nll.estimate, nll.low, nll.high)],
        "ece": round(ece, 4),
        "smooth_ece": round(metrics.smooth_ece(tokens.confidence, tokens.correct), 4),
        "signed_gap": round(float(np.mean(tokens.confidence - tokens.correct)), 4),
        "auroc": round(metrics.auroc(tokens.confidence, tokens.correct), 4),
        "temperature_quantiles": np.quantile(tokens.temperature, [0.1, 0.5, 0.9]).round(3).tolist(),
    }


def compared(a, b, task_of_token, seed=0):
    """Paired difference in NLL, a minus b, with an interval over tasks."""
    difference = bootstrap(np.mean, b.logprob - a.logprob, groups=task_of_token, seed=seed)
    return [round(v, 4) for v in (difference.estimate, difference.low, difference.high)]


def choices(calibrators, tasks):
    """Letter-format multiple choice: uncalibrated, at the pooled temperature, at the heads'."""
    template = Template("letter", chat=True)
    first = next(iter(calibrators.values()))
    lm = first.language_model
    untrained = ats.AtsCalibrator(
        ats.AtsHead(ats.AtsConfig("linear"), lm.n_features),  # temperature 1
        provenance=first.provenance,
        pooled_temperature=1.0,
        language_model=lm,
    )
    plain = untrained.table(tasks, template)
    labels = plain.labels
    best = fit_temperature(plain.scores, labels).temperature
    pooled = first.pooled_temperature
    rows = {
        "uncalibrated": scale_scores(plain.scores, 1.0),
        "pooled temperature, from tokens": scale_scores(plain.scores, pooled),
    }
    for loss, calibrator in calibrators.items():
        rows[f"ats {loss}"] = scale_scores(calibrator.table(tasks, template).scores, 1.0)
    rows["oracle temperature, from these labels"] = scale_scores(plain.scores, best)
    figures = {}
    for name, probs in rows.items():
        correct = probs.argmax(axis=1) == labels
        ece = metrics.expected_calibration_error(probs.max(axis=1), correct, N_BINS)
        figures[name] = {
            "nll": round(metrics.nll(probs, labels), 4),
            "ece": round(ece, 4),
            "accuracy": round(float(correct.mean()), 4),
        }
    return {
        "questions": len(labels),
        "tasks": len(tasks),
        "oracle_temperature": round(best, 3),
        "methods": figures,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the JSON lines")
    parser.add_argument("--model", default="bundled:smollm2")
    parser.add_argument("--per-task", type=int, default=10)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--questions", type=int, default=4, help="of each MMLU task; 0 for none")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    began, seconds = time.perf_counter(), {}
    lm = LanguageModel.from_pretrained(chosen.model, dtype="bfloat16", token_budget=4096)
    reader = TokenReader(lm, cache_bytes=2 << 30)
    tasks = free_form_tasks(chosen.data, chosen.per_task, chosen.seed)
    seen, unseen = split(tasks, 0.3, chosen.seed)
    train_pairs = [pair for name in seen for pair in tasks[name]]
    test_pairs = [pair for name in unseen for pair in tasks[name]]
    names = np.array([pair.task for pair in test_pairs])
    calibrators, rows, settings = {}, {}, {}
    for loss in ("selective", "balanced", "nll"):
        start = time.perf_counter()
        training = ats.AtsTraining(
            loss=loss,
            learning_rate=chosen.rate,
            max_steps=chosen.steps,
            validate_every=20,
            monitor="loss",  # what the loss itself finds best; the authors stop nowhere
            validation_fraction=0.15,
            seed=chosen.seed,
        )
        settings[loss] = asdict(training)
        quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
        calibrators[loss] = ats.train(reader, train_pairs, None, training, trainer=quiet)
        seconds[f"train {loss}"] = round(time.perf_counter() - start, 1)
        print(loss, seconds, flush=True)
    first = calibrators["selective"]
    start = time.perf_counter()
    tokens = encode_pairs(lm.tokenizer, test_pairs, first.style)
    pooled = first.pooled_temperature
    rows["uncalibrated"] = first.responses(tokens, temperature=1.0)
    seconds["read and measure once"] = round(time.perf_counter() - start, 1)
    rows["pooled temperature"] = first.responses(tokens, temperature=pooled)
    for loss, calibrator in calibrators.items():
        rows[f"ats {loss}"] = calibrator.responses(tokens)
    groups = names[rows["uncalibrated"].pair]
    result = {
        "command": f"benchmarks/ats.py --per-task {chosen.per_task} --steps {chosen.steps}",
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "versions": {p: version(p) for p in ("thermometer", "torch", "lightning", "transformers")},
        "settings": {**settings["selective"], "loss": list(settings)},
        "train": {"tasks": seen, "pairs": len(train_pairs)},
        "test": {"tasks": unseen, "pairs": len(test_pairs), "tokens": len(groups)},
        "pooled_temperature": round(first.pooled_temperature, 4),
        "token_accuracy": round(float(rows["uncalibrated"].correct.mean()), 4),
        "tokens": {name: measure(row, groups) for name, row in rows.items()},
        "nll_against_one_temperature": {
            name: compared(row, rows["pooled temperature"], groups)
            for name, row in rows.items()
            if name != "pooled temperature"
        },
    }
    if chosen.questions:
        start = time.perf_counter()
        source, limit = chosen.data / "mmlu.jsonl.gz", chosen.questions
        mmlu = load_tasks(source, split="test", limit=limit, seed=chosen.seed)
        result["mmlu"] = choices(calibrators, mmlu)
        seconds["mmlu"] = round(time.perf_counter() - start, 1)
    seconds["cpu"] = round(time.process_time(), 1)
    seconds["all"] = round(time.perf_counter() - began, 1)
    result["seconds"] = seconds
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "versions"}, indent=1))


if __name__ == "__main__":
    main()
