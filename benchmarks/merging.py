"""Time and peak memory of `merge` as tables grow: ``python benchmarks/merging.py``.

Each run is a process of its own, so that its memory is its own. The tables have 25,000 rows with
1,024 float32 features (100 MB) each.
"""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from thermometer.adapters.tables import merge, write_table

PARTS, ROWS, WIDTH = 25, 1000, 1024


def batches(table: int) -> Iterator[dict[str, Any]]:
    rng = np.random.default_rng(table)
    for part in range(PARTS):
        yield {
            "id": [f"{table}/{part}/{row}" for row in range(ROWS)],
            "task": ["colours"] * ROWS,
            "question": ["Which is blue?"] * ROWS,
            "choices": [["the sky", "a rose"]] * ROWS,
            "features": rng.standard_normal((ROWS, WIDTH), dtype=np.float32),
        }


def make(root: Path, table: int) -> None:
    made_by = {"features": {"model": "random numbers"}}
    write_table(batches(table), root / str(table), provenance=made_by)


def run(root: Path, n_tables: int) -> None:
    merged = merge([root / str(table) for table in range(n_tables)], root / f"out{n_tables}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = time.process_time()
    print(f"{merged.n_questions:7,} rows: {seconds:.1f} s of CPU, {memory:.0f} MB at the most")


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for job, number in [*((make, table) for table in range(4)), (run, 1), (run, 2), (run, 4)]:
            process = spawn.Process(target=job, args=(Path(folder), number))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
