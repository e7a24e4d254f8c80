"""Kill -9 at random points, by hand: ``python tests/fuzz/kills.py --kills 20 --seed 1``.

`thermometer run` (extraction of two tables, folds, training, report, checkpoint) on a tiny random
model is killed at a random moment and started again, each time in a new folder. The tables, the
weights and the report must be those of a run that nobody disturbed. Monitoring has its
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
tasks: {{source: builtin, limit: 24, names: ["*/larger", "*/smaller", "addition/*", "plurals/*"]}}
small: {{model: {model}, num_layers: 2, token_budget: 512}}
large: {{model: {model}, token_budget: 512}}
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
    config = room / "config.yaml"
    config.write_text(CONFIG.format(model=room / "model", out=room / "undisturbed"))
    began = time.perf_counter()
    assert start(config).wait() == 0
    whole = time.perf_counter() - began
    wanted = finished(room / "undisturbed")
    print(f"undisturbed: {whole:.1f} s", flush=True)
    rng = random.Random(given.seed)
    wrong = 0
    for number in range(1, given.kills + 1):
        out = room / f"killed-{number}"
        config.write_text(CONFIG.format(model=room / "model", out=out))
        delay = rng.uniform(0.3, 1.0) * whole  # the imports before that leave nothing
        process = start(config)
        try:
            process.wait(timeout=delay)
            there = "it had ended"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            there = ", ".join(sorted(path.name for path in out.glob("*"))) or "nothing yet"
        assert start(config).wait() == 0
        equal = same(wanted, finished(out))
        left = [str(path) for path in out.rglob(".*") if path.suffix in (".tmp", ".old")]
        wrong += not all(equal.values()) or bool(left)
        print(f"  {number}: after {delay:.1f} s ({there}): equal {equal}, left {left}", flush=True)
    print(f"{given.kills} kills, seed {given.seed}: {wrong} did not end as if undisturbed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
