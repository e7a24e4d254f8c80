"""ATS on a real language model: token NLL and ECE before and after, against one temperature.

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
from thermometer.intervals import bootstrap
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


def choices(calibrator, lm, tasks):
    """Letter-format multiple choice: as it is, at the pooled temperature, at the head's."""
    template = Template("letter", chat=True)
    labels, plain = [], []
    for task in tasks:
        outputs = lm.outputs(template.render_task(task), template, features=False)
        plain.append(outputs.scores)
        labels += [question.answer for question in task.questions]
    width = max(scores.shape[1] for scores in plain)
    pad = [((0, 0), (0, width - scores.shape[1])) for scores in plain]
    scores = np.concatenate(
        [np.pad(s, p, constant_values=-np.inf) for s, p in zip(plain, pad, strict=True)]
    )
    labels = np.array(labels)
    table = calibrator.table(tasks, template)
    assert (np.nanargmax(table.scores, axis=1) == scores.argmax(axis=1)).mean() > 0.99
    best = fit_temperature(scores, labels).temperature
    rows = {
        "as it is": scale_scores(scores, 1.0),
        "one temperature, from tokens": scale_scores(scores, calibrator.pooled_temperature),
        "ats": scale_scores(table.scores, 1.0),
        "best temperature, from these labels": scale_scores(scores, best),
    }
    correct = {name: probs.argmax(axis=1) == labels for name, probs in rows.items()}
    return {
        name: {
            "nll": round(metrics.nll(probs, labels), 4),
            "ece": round(
                metrics.expected_calibration_error(probs.max(axis=1), correct[name], N_BINS), 4
            ),
            "accuracy": round(float(correct[name].mean()), 4),
        }
        for name, probs in rows.items()
    } | {"best_temperature": round(best, 3), "questions": len(labels), "tasks": len(tasks)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with the JSON lines")
    parser.add_argument("--model", default="bundled:smollm2")
    parser.add_argument("--per-task", type=int, default=20)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-choices", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    began, seconds = time.perf_counter(), {}
    lm = LanguageModel.from_pretrained(chosen.model, dtype="bfloat16")
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
            validate_every=25,
            validation_fraction=0.15,
            seed=chosen.seed,
        )
        settings[loss] = asdict(training)
        quiet = {"enable_progress_bar": False, "accelerator": "cpu"}
        calibrators[loss] = ats.train(lm, train_pairs, None, training, trainer=quiet)
        seconds[f"train {loss}"] = round(time.perf_counter() - start, 1)
        print(loss, seconds, flush=True)
    first = calibrators["selective"]
    start = time.perf_counter()
    rows["as it is"] = first.responses(test_pairs, temperature=1.0)
    seconds["measure once"] = round(time.perf_counter() - start, 1)
    rows["one temperature"] = first.responses(test_pairs, temperature=first.pooled_temperature)
    for loss, calibrator in calibrators.items():
        rows[f"ats {loss}"] = calibrator.responses(test_pairs)
    groups = names[rows["as it is"].pair]
    result = {
        "command": f"benchmarks/ats.py --data ../shared/data --model {chosen.model}",
        "machine": {"cores": os.cpu_count(), "platform": platform.platform()},
        "versions": {p: version(p) for p in ("thermometer", "torch", "lightning", "transformers")},
        "settings": {**settings["selective"], "loss": list(settings)},
        "train": {"tasks": seen, "pairs": len(train_pairs)},
        "test": {"tasks": unseen, "pairs": len(test_pairs), "tokens": len(groups)},
        "pooled_temperature": round(first.pooled_temperature, 4),
        "token_accuracy": round(float(rows["as it is"].correct.mean()), 4),
        "tokens": {name: measure(row, groups) for name, row in rows.items()},
        "nll_against_one_temperature": {
            name: compared(row, rows["one temperature"], groups)
            for name, row in rows.items()
            if name != "one temperature"
        },
    }
    if not chosen.no_choices:
        start = time.perf_counter()
        mmlu = load_tasks(chosen.data / "mmlu.jsonl.gz", split="test", limit=8, seed=chosen.seed)
        for loss in ("selective", "nll"):
            result[f"mmlu {loss}"] = choices(calibrators[loss], lm, mmlu)
        seconds["mmlu"] = round(time.perf_counter() - start, 1)
    seconds["all"] = round(time.perf_counter() - began, 1)
    result["seconds"] = seconds
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps({k: v for k, v in result.items() if k != "versions"}, indent=1))


if __name__ == "__main__":
    main()
