"""SmolLM2 answers free-form questions and verifies itself: confidence before and after.

    .venv/bin/python benchmarks/free_form.py --data ../shared/data      # one core, bfloat16

All tasks of qa_wikidata, instruction_induction and simple_arithmetic, `--limit` questions of each;
a stopped run goes on with what is in `--out`. Five folds over tasks, relatives together: every
answer is measured by methods fitted on other tasks. Confidence is the probability of Yes, so that
methods can be compared which shift Yes against No and which do not; intervals are from resampling
tasks.
Then processor seconds of calibration, and three multiple-choice tasks that the checkpoint of the
demo never saw, classified.
"""

import argparse
import json
import statistics
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import thermometer as th
from thermometer._files import versions
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.free_form import (
    add_shift,
    load_free_form,
    render_question,
    shift_verdicts,
    verify_tasks,
)
from thermometer.generation import lines_of
from thermometer.metrics.basic import nll_of_rows
from thermometer.metrics.intervals import bootstrap
from thermometer.metrics.summary import summarise
from thermometer.protocols import Protocol
from thermometer.recalibrators.confidence import PlattScaling
from thermometer.scaling import VERDICT_SHIFT, fit_temperature, scale_scores
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.training import resolve, train
from thermometer.types import Task

FILES = ("qa_wikidata", "instruction_induction", "simple_arithmetic")
TOGETHER = ("*countr*", "*language*", "*letter*", "*onyms", "*color*")
UNSEEN = ("copa", "codah", "csqa2")
VERIFY = Template("verify", chat=True)
BUNDLED = {"model": "bundled:smollm2", "dtype": "bfloat16"}
DEMO = Path(__file__).parents[1] / "checkpoints" / "demo"
RESULTS = Path(__file__).parent / "results" / "free_form.json"


def verdicts(lm, data, limit, out):
    """What SmolLM2 says of its own answers, as questions and as a table."""
    free = [task for f in FILES for task in load_free_form(data / f"{f}.jsonl.gz", limit=limit)]
    tasks = verify_tasks(lm, free, out / "verify.jsonl", template=VERIFY, judge="contains")
    return free, tasks, th.extract(lm, tasks, out / "table", template=VERIFY)


def fitted(table, preset="features"):
    network, training = resolve(preset, {}, {})
    return train(table, network, training, trainer={"enable_progress_bar": False})


def yes(table, temperature):
    return scale_scores(table.scores, temperature)[:, 0]


def held_out(table):
    """Rows sorted by fold, and the probability of Yes by each method, fitted on other tasks."""
    parts, shifts = [], []
    for split in Protocol(folds=5, together=TOGETHER).splits(table.task_names):
        seen, unseen = table.of_tasks(split.train), table.of_tasks(split.test)
        moved = shift_verdicts(seen)
        shifts.append(moved.provenance["scores"][VERDICT_SHIFT])
        there = add_shift(unseen, shifts[-1])
        right = seen.labels == 0
        one, one_moved = (fit_temperature(t.scores, t.labels).temperature for t in (seen, moved))
        parts.append(
            {
                "raw": yes(unseen, 1.0),
                "pooled temperature": yes(unseen, one),
                "thermometer": yes(unseen, fitted(seen).temperature(unseen)),
                "share of right answers": np.full(len(unseen), right.mean()),
                "Platt": PlattScaling().fit(yes(seen, 1.0), right).recalibrate(yes(unseen, 1.0)),
                "shift, the pooled temperature": yes(there, one_moved),
                "shift, thermometer": yes(there, fitted(moved).temperature(there)),
                "shift, thermometer that reads scores too": yes(
                    there, fitted(moved, "default").temperature(there)
                ),
                "rows": unseen,
            }
        )
    rows = OutputTable.concatenate([part.pop("rows") for part in parts])
    return rows, {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}, shifts


def quality(table):
    rows, methods, shifts = held_out(table)
    right = (rows.labels == 0).astype(float)
    result = {"n": len(rows), "n_tasks": len(rows.task_names), "shifts": shifts, "methods": {}}
    for name, confidence in methods.items():
        summary = summarise(confidence, right, groups=rows.tasks).to_dict()
        against = {}
        for other in ("raw", "share of right answers"):
            change = nll_of_rows(confidence, right) - nll_of_rows(methods[other], right)
            against[other] = vars_of(bootstrap(np.mean, change, groups=rows.tasks))
        result["methods"][name] = {**summary, "nll_less_that_of": against}
        print(
            f"{name:40s} NLL {summary['nll']['estimate']:.3f} ECE {summary['ece']['estimate']:.3f} "
            f"(chance {summary['floor']:.3f}) AUROC {summary['auroc']['estimate']:.3f} {against}",
            flush=True,
        )
    return result


def vars_of(interval):
    return {"estimate": interval.estimate, "low": interval.low, "high": interval.high}


def cost(lm, free, tasks, table, n=24, repeats=2):
    """Processor seconds of n verdicts: as they are, calibrated in the same pass, and apart."""
    calibrator = fitted(table)
    small = th.LanguageModel.from_pretrained(**BUNDLED, num_layers=4)
    # of another's features: right for the time, not for the value
    record = replace(calibrator.record, features=small.provenance(VERIFY))
    reads_small = Calibrator(calibrator.thermometer, record).with_language_model(small)
    task = Task("t", tuple(q for t in tasks for q in t.questions)[:n])
    asked = [render_question(q, VERIFY) for t in free for q in t.questions][:n]
    own, other = CalibratedLM(lm, calibrator), CalibratedLM(lm, reads_small)
    assert (own.reads_itself, other.reads_itself) == (True, False)
    ways = {
        "answer": lambda: lines_of(lm, asked, max_new_tokens=16),
        "verify": lambda: lm.outputs(VERIFY.render_task(task), VERIFY, features=False),
        "verify and calibrate, same pass": lambda: own.calibrate(task),
        "verify and calibrate, 4 of 30 blocks apart": lambda: other.calibrate(task),
    }
    times = {name: [] for name in ways}
    for _ in range(repeats + 1):
        for name, way in ways.items():
            start = time.process_time()
            way()
            times[name].append(time.process_time() - start)
    calibration = []
    part = table.select(np.arange(n))
    for _ in range(50):
        start = time.process_time()
        calibrator.calibrate(part)
        calibration.append(time.process_time() - start)
    found = {name: statistics.median(seconds[1:]) for name, seconds in times.items()}
    found["calibrate alone"] = statistics.median(calibration[5:])
    print(found, flush=True)
    return {"n": n, "median_cpu_seconds": found, "cpu_seconds": times}


def classified(lm, data, n=25):
    """Three tasks of other benchmarks, by the demo's thermometer."""
    calibrated = CalibratedLM(lm, th.Calibrator.from_pretrained(DEMO))
    result = {}
    for name in UNSEEN:
        task = th.load_task(data / f"{name}.jsonl.gz", limit=n)
        found = calibrated.classify(
            [q.text for q in task.questions], [q.options for q in task.questions], task=task.name
        )
        right = [
            a.answer == q.options[q.answer] for a, q in zip(found, task.questions, strict=True)
        ]
        before = []
        for a in found:  # softmax(z / T)^T is proportional to softmax(z)
            power = np.log(list(a.probs.values())) * a.temperature
            before.append(np.exp(power - power.max()).max() / np.exp(power - power.max()).sum())
        after = [a.confidence for a in found]
        result[name] = {
            "n": len(found),
            "before": summarise(before, right).to_dict(),
            "after": summarise(after, right).to_dict(),
            "warnings": sorted({w for a in found for w in a.warnings}),
        }
        both = [result[name][k] for k in ("before", "after")]
        print(name, [(s["ece"]["estimate"], s["nll"]["estimate"]) for s in both], flush=True)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("outputs/free_form"))
    parser.add_argument("--limit", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    lm = th.LanguageModel.from_pretrained(**BUNDLED)
    free, tasks, table = verdicts(lm, given.data, given.limit, given.out)
    result = {
        "free_form": quality(table),
        "cost": cost(lm, free, tasks, table),
        "classify": classified(lm, given.data),
        "per_task_right": {
            name: float((table.labels[table.tasks == name] == 0).mean())
            for name in table.task_names
        },
        "limit": given.limit,
        "cpu_seconds": time.process_time(),
        "versions": versions(),
    }
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
