"""Kill -9 at random points, by hand: ``python tests/fuzz/kills.py --kills 20 --seed 1``.

`thermometer run` (extraction of two tables, folds, training, report, checkpoint) on a tiny random
model is killed again and again at a random moment and started anew; then it is left to finish. The
tables, the weights and the report must be those of a run that nobody disturbed. Monitoring has its
own: `benchmarks/monitoring_service.py`. docs/reliability.md has the figures of the last run.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import thermometer as th

TESTS = Path(__file__).resolve().parents[1]
CONFIG = """
tasks: {{source: generated, limit: 24, names: ["*/larger", "*/smaller", "addition/*", "plurals/*"]}}
features: {{model: {model}, num_layers: 2, token_budget: 512}}
scores: {{model: {model}, token_budget: 512}}
template: {{style: cloze}}
out_dir: {out}
preset: features
network: {{n_components: 4, hidden_size: 8, n_members: 2}}
training: {{max_steps: 40}}
protocol: {{folds: 2}}
trainer: {{accelerator: cpu, enable_progress_bar: false}}
n_resamples: 50
"""


def start(config):
    command = [sys.executable, "-m", "thermometer", "run", "--config", str(config)]
    silent = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=silent, stderr=silent, start_new_session=True)


def finished(folder):
    """What a run leaves: arrays of both tables, weights, and the report without times."""
    found = {}
    for name in ("features", "scores"):
        table = th.OutputTable.open(folder / name)
        found[name] = table.features if name == "features" else table.scores
    checkpoint = folder / "checkpoint" / "model.safetensors"
    found["weights"] = np.frombuffer(checkpoint.read_bytes(), dtype=np.uint8)
    report = json.loads((folder / "report" / "report.json").read_text())
    report.pop("created")
    found["report"] = report
    return found


def same(a, b):
    return {
        name: a[name] == b[name] if isinstance(a[name], dict) else np.array_equal(a[name], b[name])
        for name in a
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    room = Path(tempfile.mkdtemp(prefix="kills-"))
    subprocess.run(
        [sys.executable, "-c", f"import tiny; tiny.save('llama', {str(room / 'model')!r})"],
        cwd=TESTS,
        check=True,
    )
    configs = {}
    for name in ("undisturbed", "killed"):
        configs[name] = room / f"{name}.yaml"
        configs[name].write_text(CONFIG.format(model=room / "model", out=room / name))
    began = time.perf_counter()
    assert start(configs["undisturbed"]).wait() == 0
    whole = time.perf_counter() - began
    print(f"undisturbed: {whole:.1f} s", flush=True)
    rng = random.Random(given.seed)
    done = 0
    for number in range(given.kills):
        # Imports take a while, and work that is done is not done again: aim at all of it.
        delay = rng.uniform(0.2, 1.0) * whole
        process = start(configs["killed"])
        try:
            process.wait(timeout=delay)
            done += 1
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        there = sorted(p.name for p in (room / "killed").glob("*")) if done == 0 else []
        print(
            f"  kill {number + 1} after {delay:.1f} s: {', '.join(there) or 'it had ended'}",
            flush=True,
        )
    assert start(configs["killed"]).wait() == 0
    equal = same(finished(room / "undisturbed"), finished(room / "killed"))
    left = [str(p) for p in (room / "killed").rglob(".*") if p.suffix in (".tmp", ".old")]
    print(f"{given.kills - done} kills, seed {given.seed}: equal {equal}, left behind {left}")
    sys.exit(not all(equal.values()) or bool(left))


if __name__ == "__main__":
    main()
