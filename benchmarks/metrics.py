"""ECE, smooth ECE and a bootstrap of ECE on many rows: seconds and memory beside other libraries.

.venv/bin/python benchmarks/metrics.py
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from record import circumstances

RESULTS = Path(__file__).parent / "results" / "metrics.json"
MANY, SOME, FEW = 10_000_000, 1_000_000, 1000  # rows measured, resampled, to warm up with
N_BINS, N_RESAMPLES, REPEATS = 15, 200, 3


def write(job, folder):
    """Confidences, and outcomes that are too rare below 1/2 and too frequent above."""
    n = JOBS[job][0]
    rng = np.random.default_rng(0)
    confidence = rng.random(n)
    right = np.clip(confidence - 0.2 * np.sin(2 * np.pi * confidence), 0, 1)
    np.save(Path(folder) / f"{job}-confidence.npy", confidence)
    np.save(Path(folder) / f"{job}-correct.npy", rng.random(n) < right)


def of_rows(ece, confidence, correct, draw):
    """The bootstrap that a library without one leaves to its users: 95 % bounds."""
    values = []
    for _ in range(N_RESAMPLES):
        rows = draw()
        values.append(float(ece(confidence[rows], correct[rows])))
    return np.quantile(values, [0.025, 0.975]).tolist()


def thermometer():
    from thermometer import metrics
    from thermometer.metrics.summary import summarise

    def bootstrap(confidence, correct):  # and ten other metrics on the way
        ece = summarise(confidence, correct, n_bins=N_BINS, n_resamples=N_RESAMPLES).ece
        return [ece.low, ece.high]

    return {
        "prepare": lambda confidence, correct: (confidence, correct),
        "ece": lambda c, y: metrics.expected_calibration_error(c, y, N_BINS),
        "smooth_ece": metrics.smooth_ece,
        "bootstrap": bootstrap,
    }


def torchmetrics():
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    def ece(confidence, correct):
        return float(binary_calibration_error(confidence, correct, N_BINS, validate_args=False))

    def bootstrap(confidence, correct):
        n = len(confidence)
        return of_rows(ece, confidence, correct, lambda: torch.randint(n, (n,)))

    return {
        # In float32 its sums over so many rows lose the third digit.
        "prepare": lambda c, y: (torch.from_numpy(c), torch.from_numpy(y).long()),
        "ece": ece,
        "bootstrap": bootstrap,
    }


def relplot():
    from relplot import metrics

    def ece(confidence, correct):
        return metrics.binnedECE(confidence, correct, N_BINS)

    def bootstrap(confidence, correct):
        n, rng = len(confidence), np.random.default_rng(0)
        return of_rows(ece, confidence, correct, lambda: rng.integers(n, size=n))

    return {
        "prepare": lambda confidence, correct: (confidence, correct.astype(float)),
        "ece": ece,
        "smooth_ece": metrics.smECE,
        "bootstrap": bootstrap,
    }


def netcal():
    from netcal.metrics import ECE

    def ece(confidence, correct):
        return ECE(N_BINS).measure(confidence, correct)

    def bootstrap(confidence, correct):
        n, rng = len(confidence), np.random.default_rng(0)
        return of_rows(ece, confidence, correct, lambda: rng.integers(n, size=n))

    return {
        "prepare": lambda confidence, correct: (confidence, correct.astype(np.int64)),
        "ece": ece,
        "bootstrap": bootstrap,
    }


CONTESTANTS = {f.__name__: f for f in (thermometer, torchmetrics, relplot, netcal)}
JOBS = {
    "ece": (MANY, tuple(CONTESTANTS)),
    "smooth_ece": (MANY, ("thermometer", "relplot")),
    "bootstrap": (SOME, tuple(CONTESTANTS)),
}


def peak():
    """Most memory that this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name, job, folder):
    """One call in this process, after one on few rows; what it needs on top of its input."""
    contestant = CONTESTANTS[name]()
    rows = [np.load(Path(folder) / f"{job}-{part}.npy") for part in ("confidence", "correct")]
    given = contestant["prepare"](*rows)
    contestant["ece" if job == "bootstrap" else job](*(part[:FEW] for part in given))
    before = peak()
    start, start_cpu = time.perf_counter(), time.process_time()
    value = contestant[job](*given)
    return {
        "seconds": round(time.perf_counter() - start, 4),
        "cpu_seconds": round(time.process_time() - start_cpu, 4),
        "peak_mib": round(peak(), 1),
        "growth_mib": round(peak() - before, 1),
        "value": value if isinstance(value, list) else float(value),
    }


def run(*arguments):
    """This script in a process of its own: a child starts with its parent's peak of memory."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else None


def agree(job, values):
    """Assert that all contestants computed the same thing."""
    ours = values["thermometer"]
    for name, theirs in values.items():
        if job == "ece":
            assert abs(theirs - ours) < 1e-9, (name, theirs, ours)
        elif job == "smooth_ece":
            assert abs(theirs - ours) < 1e-3, (name, theirs, ours)
        else:  # bounds of 200 resamples have a standard error of 5 % of the width
            allowed = 0.35 * (ours[1] - ours[0])
            assert np.abs(np.subtract(theirs, ours)).max() < allowed, (name, theirs, ours)


def compare(job, repeats, folder):
    """All contestants of a job, one after the other, several times over."""
    n, names = JOBS[job]
    run("--job", job, "--data", folder)
    runs = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            runs[name].append(run("--contestant", name, "--job", job, "--data", folder))
            print(job, name, runs[name][-1], flush=True)
    agree(job, {name: found[0]["value"] for name, found in runs.items()})
    result = {}
    for name, found in runs.items():
        seconds, cpu = ([one[key] for one in found] for key in ("seconds", "cpu_seconds"))
        result[name] = {
            "value": found[0]["value"],
            "seconds": seconds,
            "median_seconds": statistics.median(seconds),
            "median_cpu_seconds": statistics.median(cpu),
            "peak_mib": max(one["peak_mib"] for one in found),
            "growth_mib": max(one["growth_mib"] for one in found),
        }
    ours = result["thermometer"]
    for one in result.values():
        one["times_ours"] = round(one["median_seconds"] / ours["median_seconds"], 1)
        one["cpu_times_ours"] = round(one["median_cpu_seconds"] / ours["median_cpu_seconds"], 1)
    return {"rows": n, "contestants": result}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS, help="runs of each contestant")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--contestant", choices=CONTESTANTS, help="used by the script itself")
    parser.add_argument("--job", choices=JOBS, help="used by the script itself")
    parser.add_argument("--data", help="used by the script itself")
    chosen = parser.parse_args()
    if chosen.contestant:
        print(json.dumps(measure(chosen.contestant, chosen.job, chosen.data)))
        return
    if chosen.job:
        write(chosen.job, chosen.data)
        return
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        jobs = {job: compare(job, chosen.repeats, folder) for job in JOBS}
    packages = ("thermometer", "numpy", "scipy", "torch", "torchmetrics", "relplot", "netcal")
    result = {
        **circumstances(load_before, packages),
        "bins": N_BINS,
        "resamples": N_RESAMPLES,
        "repeats": chosen.repeats,
        "jobs": jobs,
    }
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(result, indent=2) + "\n")
    for job, found in jobs.items():
        for name, one in found["contestants"].items():
            speed = f"{one['median_seconds']:8.3f} s {one['times_ours']:7.1f}x"
            print(f"{job:12} {name:13} {speed} {one['growth_mib']:7.0f} MiB on top of its input")


if __name__ == "__main__":
    main()
