"""Many damaged inputs, by hand: ``python tests/fuzz/long_run.py --inputs 100000 --seed 1``.

Targets share the inputs by weight: those that take long get fewer. Each process runs a slice; one
that dies of a signal is a finding too. Results go to standard output; docs/reliability.md has those
of the last long run. To look at one input: ``--target table --only 17``.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

WEIGHTS = {"configs": 2, "monitor": 6, "report": 2}
"""Share of the inputs of a target; 10 for those not named."""


def work(target_name, seed, first, last, path):
    """Run the inputs of a slice; results are written line by line, so that a crash shows where."""
    import resource

    import torch
    from harness import Finding, run_one
    from targets import TARGETS

    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    target = TARGETS[target_name]
    base = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    try:
        sample = base / "sample"
        sample.mkdir()
        target.make(sample)
        with open(path, "a", encoding="utf-8") as out:
            for number in range(first, last):
                out.write(json.dumps({"begun": number}) + "\n")
                out.flush()
                room = base / "room"
                room.mkdir()
                ended = run_one(target, sample, room, seed, number)
                os.chdir(base)
                shutil.rmtree(room)
                row = {"number": number, "ended": ended}
                if isinstance(ended, Finding):
                    row = {"number": number, "ended": "FINDING", **vars_of(ended)}
                out.write(json.dumps(row) + "\n")
    finally:
        os.chdir("/")
        shutil.rmtree(base, ignore_errors=True)


def vars_of(finding):
    return {"what": finding.what, "detail": finding.detail}


def run_target(name, seed, first, last, folder):
    """All inputs of a target in a process of their own, which is started again after a crash."""
    context = multiprocessing.get_context("spawn")
    path = folder / f"{name}.jsonl"
    crashes = []
    while first < last:
        process = context.Process(target=work, args=(name, seed, first, last, str(path)))
        process.start()
        process.join()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        if process.exitcode == 0:
            break
        begun = [row["begun"] for row in lines if "begun" in row]
        if not begun:
            raise RuntimeError(f"{name}: the worker died with {process.exitcode} before any input")
        crashes.append({"number": begun[-1], "what": f"died with exit code {process.exitcode}"})
        first = begun[-1] + 1
    rows = [row for row in map(json.loads, path.read_text().splitlines()) if "ended" in row]
    return Counter(row["ended"] for row in rows), [r for r in rows if "what" in r] + crashes


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", action="append")
    parser.add_argument("--only", type=int, help="one input of the target; shows its traceback")
    parser.add_argument("--show", type=int, default=8, help="findings to show for each target")
    given = parser.parse_args()
    from targets import TARGETS

    names = given.target or list(TARGETS)
    total = sum(WEIGHTS.get(name, 10) for name in names)
    folder = Path(tempfile.mkdtemp())
    n_findings = n_inputs = 0
    for name in names:
        first, last = 0, max(1, given.inputs * WEIGHTS.get(name, 10) // total)
        if given.only is not None:
            first, last = given.only, given.only + 1
        start = time.perf_counter()
        ended, findings = run_target(name, given.seed, first, last, folder)
        seconds = time.perf_counter() - start
        counts = ", ".join(f"{key} {n}" for key, n in ended.most_common())
        print(f"{name}: {last - first} inputs, {seconds:.0f} s: {counts}", flush=True)
        kinds = Counter(finding["what"][:100] for finding in findings)
        for what, times in kinds.most_common(given.show):
            one = next(f for f in findings if f["what"][:100] == what)
            print(f"  {times} x #{one['number']}: {one['what']}")
            if given.only is not None:
                print(one.get("detail", ""))
        n_findings += len(findings)
        n_inputs += last - first
    print(f"{n_inputs} inputs with seed {given.seed}: {n_findings} findings")
    shutil.rmtree(folder)
    sys.exit(bool(n_findings))


if __name__ == "__main__":
    main()
