"""What a monitor survives, and how fast it is.

.venv/bin/python benchmarks/monitoring_service.py

writes results/monitoring_service.json. Parts can be chosen with --only.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from thermometer.monitoring import Monitor

RESULTS = Path(__file__).parent / "results" / "monitoring_service.json"
SHAPE = (4.0, 2.0)


def feed(monitor, n, batch, seed=0, start=0):
    """Record and label n events; seconds."""
    rng = np.random.default_rng(seed)
    began = time.perf_counter()
    for first in range(start, start + n, batch):
        ids = [str(i) for i in range(first, first + batch)]
        c = rng.beta(*SHAPE, batch)
        names = [("law", "art", "sport", "maths")[i % 4] for i in range(batch)]
        y = rng.random(batch) < c
        monitor.record_many(ids, c, segment=names, time=np.full(batch, float(first)))
        monitor.label_many(ids, y)
    return time.perf_counter() - began


def throughput():
    """Events per second, an event being a prediction and its label, in four segments."""
    found = {"load": os.getloadavg()}
    with tempfile.TemporaryDirectory() as folder:
        for where in ("memory", "SQLite"):
            for batch, n in ((1, 3000), (100, 50_000), (1000, 100_000)):
                path = None if where == "memory" else Path(folder) / f"{batch}.db"
                with Monitor(path) as monitor:
                    rate = n / feed(monitor, n, batch)
                found[f"{where}, calls of {batch}"] = round(rate)
                print(where, batch, round(rate), flush=True)
    return found


def flat_memory(n=10_000_000, step=1_000_000):
    """Resident memory of this process over many events, in MB."""
    resident = []
    with Monitor() as monitor:
        seconds = 0.0
        for start in range(0, n, step):
            seconds += feed(monitor, step, 1000, start, start)
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            resident.append(round(pages * resource.getpagesize() / 1e6, 1))
            print(start + step, resident[-1], "MB", round(seconds), "s", flush=True)
    return {"events": n, "resident_mb_every_million": resident, "events_per_second": n / seconds}


def kills(n=30):
    """Kill a writer with signal 9 at a random moment; what it had acknowledged must be there."""
    lost = acknowledged = 0
    for number in range(n):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "monitor.db"
            command = [sys.executable, __file__, "--writer", str(path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
                writer.stdout.readline()
                time.sleep(random.Random(number).uniform(0.05, 0.5))
                writer.send_signal(signal.SIGKILL)
                said = [line for line in writer.stdout.read().splitlines(True) if line[-1] == "\n"]
            with Monitor(path) as monitor:
                for line in said:
                    word, name = line.split()
                    acknowledged += 1
                    if word == "labelled":
                        lost += monitor.label(name, True).repeated != 1
                    else:
                        receipt = monitor.label_many([name], [True], unknown="skip")
                        lost += bool(receipt.unknown)
    print("kills", n, "acknowledged", acknowledged, "lost", lost, flush=True)
    return {"kills": n, "acknowledged": acknowledged, "lost": lost}


def write_until_killed(path):
    """Record and label one by one, saying each time what is done."""
    print("ready", flush=True)
    with Monitor(path) as monitor:
        number = 0
        while True:
            number += 1
            monitor.record(f"e{number}", 0.8)
            print("recorded", f"e{number}", flush=True)
            monitor.label(f"e{number}", True)
            print("labelled", f"e{number}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--writer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.writer:
        write_until_killed(options.writer)
    result = json.loads(options.out.read_text()) if options.out.is_file() else {}
    result["command"] = "python benchmarks/monitoring_service.py"
    result["versions"] = {p: version(p) for p in ("thermometer", "numpy")}
    for part in (kills, throughput, flat_memory):
        if options.only is None or part.__name__ in options.only:
            result[part.__name__] = part()
            options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
