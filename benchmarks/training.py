"""How long training takes, and what Lightning adds to a bare PyTorch loop of the same arithmetic.

.venv/bin/python benchmarks/training.py
"""

import argparse
import copy
import json
import math
import os
import statistics
import time
from contextlib import redirect_stderr
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import numpy as np
import torch
from record import circumstances

from thermometer import OutputTable, ThermometerConfig, TrainingConfig, train
from thermometer._lightning import Bar
from thermometer.data import TaskData, rows_of, set_aside
from thermometer.network import Thermometer
from thermometer.objective import gamma_prior_nll, mean_inverse, scaled_nll
from thermometer.scaling import fit_temperature
from thermometer.training import MemberTraining, fit_member

RESULTS = Path(__file__).parent / "results" / "training.json"
REPEATS = 3
N_QUESTIONS, N_TASKS, N_FEATURES, N_OPTIONS = 14_042, 57, 4096, 4  # MMLU, Llama-3.1-8B


def synthetic(seed=0):
    """A table of the size of MMLU; the temperature of each task is linear in its features."""
    rng = np.random.default_rng(seed)
    names = np.sort(np.arange(N_QUESTIONS) % N_TASKS)
    direction = rng.normal(size=(2, N_FEATURES)).astype(np.float32) / 8
    level = rng.normal(size=(N_TASKS, 2)).astype(np.float32)
    features = level[names] @ direction
    features += rng.normal(size=features.shape).astype(np.float32)
    temperature = np.exp(0.5 + 0.5 * level[names, 0] + 0.2 * rng.normal(size=N_QUESTIONS))
    scores = 4 * rng.normal(size=(N_QUESTIONS, N_OPTIONS))
    labels = (scores / temperature[:, None] + rng.gumbel(size=scores.shape)).argmax(axis=1)
    tasks = [f"task {name:02d}" for name in names]
    return OutputTable.from_arrays(map(str, range(N_QUESTIONS)), tasks, labels, scores, features)


def prepare(table, network, training):
    """What `train` does before its loop: an untrained thermometer, data and start temperature."""
    features = torch.tensor(table.require("features"))
    torch.manual_seed(training.seed)
    thermometer = Thermometer(network, features.shape[1])
    pooled = fit_temperature(table.require("scores"), table.labels).temperature
    groups = torch.from_numpy(np.unique(table.tasks, return_inverse=True)[1])
    scores = torch.tensor(table.scores)
    thermometer.fit_inputs(features, scores, groups, pooled)
    rows = rows_of(table, network.needs)
    data = TaskData.from_rows(rows, thermometer.inputs(features, scores, groups))
    return thermometer, data, pooled


def parts_of(data, number, network, training):
    by, share = training.validation, training.validation_fraction
    number %= network.n_members
    return set_aside(data, by, share, number, network.n_members, training.seed)


def read(member, data, rows, segment_ids):
    return member({name: values[rows] for name, values in data.inputs.items()}, segment_ids)


def loss_of(member, data, rows, segment_ids, config):
    log_inverse = read(member, data, rows, segment_ids)
    of_scores = "features" not in member.sources
    weight = config.scores_sample_weight if of_scores else config.sample_weight
    of_task = mean_inverse(log_inverse, segment_ids)
    share = 1 / torch.bincount(segment_ids).float()
    shares = share[segment_ids] / len(share)
    scores, labels = data.scores[rows], data.labels[rows]
    loss = torch.zeros(())
    if weight:
        nll = scaled_nll(scores, labels, log_inverse)
        loss = loss + weight * (shares * nll).sum()
    if weight < 1:
        nll = scaled_nll(scores, labels, of_task[segment_ids])
        loss = loss + (1 - weight) * (shares * nll).sum()
    return loss, of_task


def bare_fit(member, seen, kept, config):
    """The same training without Lightning: batches, AdamW, validation, best weights, patience."""
    optimizer = torch.optim.AdamW(
        member.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    n_tasks = len(seen.rows)
    per_step = min(config.tasks_per_step or n_tasks, n_tasks)
    best, weights, waited, least = math.inf, {}, 0, math.inf
    member.train()
    for step in range(1, config.max_steps + 1):
        tasks = torch.randperm(n_tasks)[:per_step].tolist()
        rows, segment_ids = seen.draw(tasks, config.batch_size)
        loss, of_task = loss_of(member, seen, rows, segment_ids, config)
        if config.prior_weight:
            loss = loss + config.prior_weight * gamma_prior_nll(of_task).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % config.validate_every == 0:
            member.eval()
            with torch.no_grad():
                rows, segment_ids = kept.draw(list(range(len(kept.rows))), len(kept.labels))
                value = float(loss_of(member, kept, rows, segment_ids, config)[0])
            member.train()
            if value < best:
                best = value
                weights = {k: v.detach().clone() for k, v in member.state_dict().items()}
            if value < least - 1e-5:
                least, waited = value, 0
            else:
                waited += 1
                if config.patience and waited >= config.patience:
                    break
    if weights:
        member.load_state_dict(weights)
    return best


def lightning_fit(member, seen, kept, config):
    module = MemberTraining(member, None, 1.0, seen, kept, config)
    keywords = {"enable_progress_bar": False, "accelerator": "cpu"}
    with redirect_stderr(StringIO()):
        fit_member(module, keywords, None, Bar("", 1, shown=False), 0)
    with torch.no_grad():
        member.eval()
        rows, segment_ids = kept.draw(list(range(len(kept.rows))), len(kept.labels))
        return float(loss_of(member, kept, rows, segment_ids, config)[0])


def compare(table, network, training):
    """Seconds of both loops over all members, alternately, and their ratio."""
    thermometer, data, pooled = prepare(table, network, training)
    seconds = {"lightning": [], "bare": []}
    cpu = {"lightning": [], "bare": []}
    losses = {"lightning": [], "bare": []}
    loops = {"lightning": lightning_fit, "bare": bare_fit}
    for _ in range(REPEATS):
        for name, loop in loops.items():
            members = copy.deepcopy(thermometer).members
            spent, worked, reached = 0.0, 0.0, []
            for number, member in enumerate(members):
                torch.manual_seed(number)
                member.start_at(pooled)
                parts = parts_of(data, number, network, training)
                start, before = time.perf_counter(), time.process_time()
                reached.append(loop(member, *parts, training))
                spent += time.perf_counter() - start
                worked += time.process_time() - before
            cpu[name].append(round(worked, 3))
            seconds[name].append(round(spent, 3))
            losses[name].append(round(statistics.mean(reached), 5))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    cpu_medians = {name: statistics.median(values) for name, values in cpu.items()}
    return {
        "training": asdict(training),
        "network": asdict(network),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "median_seconds": medians,
        "median_cpu_seconds": cpu_medians,
        "mean_validation_loss": {name: values[0] for name, values in losses.items()},
        "ratio": round(medians["lightning"] / medians["bare"], 3),
        "cpu_ratio": round(cpu_medians["lightning"] / cpu_medians["bare"], 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200, help="of each member in the comparison")
    parser.add_argument("--threads", type=int, help="of torch; its own choice if not given")
    parser.add_argument("--out", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    load_before = os.getloadavg()[0]
    table = synthetic()
    start, start_cpu = time.perf_counter(), time.process_time()
    calibrator = train(table, trainer={"enable_progress_bar": False})
    whole, whole_cpu = time.perf_counter() - start, time.process_time() - start_cpu
    print(f"default preset, all of `train`: {whole:.1f} s, CPU {whole_cpu:.1f} s", flush=True)
    # Neither loop stops early here, so that both make the same number of steps.
    # Both read the whole context of a task: parts of it are the same arithmetic in either loop.
    plain = replace(TrainingConfig(), patience=0, max_steps=chosen.steps, partial_context=0.0)
    paper = replace(TrainingConfig.paper(), max_steps=chosen.steps)
    ratios = {
        "default": compare(table, ThermometerConfig(), plain),
        "paper": compare(table, ThermometerConfig.paper(512), paper),
    }
    for name, found in ratios.items():
        numbers = f"{found['ratio']} (CPU {found['cpu_ratio']}) {found['median_seconds']}"
        print(f"{name}: Lightning / bare = {numbers}", flush=True)
    result = {
        **circumstances(load_before, ("thermometer", "torch", "lightning", "numpy")),
        "torch_threads": torch.get_num_threads(),
        "input": {
            "questions": N_QUESTIONS,
            "tasks": N_TASKS,
            "features": N_FEATURES,
            "options": N_OPTIONS,
        },
        "default_preset_seconds": round(whole, 2),
        "default_preset_cpu_seconds": round(whole_cpu, 2),
        "default_preset_pooled_temperature": round(calibrator.pooled_temperature, 3),
        "repeats": REPEATS,
        "lightning_against_bare": ratios,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
