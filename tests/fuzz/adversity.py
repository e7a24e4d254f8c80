"""Run by test_adversity in a process of its own, whose files may not grow beyond a limit.

``adversity.py WHAT FOLDER BYTES [BYTES]``: does WHAT in FOLDER, once for each limit; a full disk
looks the same to a program. An error, and the names of the files that it left, go to stderr.
"""

import resource
import signal
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import thermometer as th  # noqa: E402
from thermometer.monitoring import Monitor  # noqa: E402


def save_checkpoint(folder):
    calibrator = th.Calibrator.from_pretrained(folder / "checkpoint")
    calibrator = calibrator.with_record(metrics={"long": "x" * 40_000})
    return lambda: calibrator.save_pretrained(folder / "checkpoint")


def extract(folder):
    import tiny  # loads transformers, which the others do not need

    lm = th.LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny-llama")
    task = th.load_task("builtin:comparison", limit=40, names=["*/larger"])
    return lambda: th.extract(
        lm, task, folder / "table", trainer={"accelerator": "cpu", "enable_progress_bar": False}
    )


def monitor(folder):
    watched = Monitor(folder / "monitor.db")

    def record():
        for i in range(10_000):
            watched.record(f"new {i}", 0.5)

    return record


WORK = {"save_checkpoint": save_checkpoint, "extract": extract, "monitor": monitor}


def main():
    what, folder, sizes = sys.argv[1], Path(sys.argv[2]), map(int, sys.argv[3:])
    work = WORK[what](folder)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    status = 0
    for size in sizes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        try:
            work()
            status = 0
        except OSError as error:
            status = 1
            left = sorted(path.name for path in folder.rglob("*"))
            print(f"OSError: {error}\nleft {left}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
