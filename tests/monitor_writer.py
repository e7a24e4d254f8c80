"""A process that writes to a monitor, and says what is done only when the call has returned.

``python monitor_writer.py FILE NAME [N]``: records and labels events of its own, N or without end.
"""

import sys

from thermometer.monitoring import Monitor


def main(path, name, n=None):
    print("ready", flush=True)
    sys.stdin.readline()  # until all are ready
    with Monitor(path) as monitor:
        number = 0
        while n is None or number < n:
            number += 1
            monitor.record(f"{name}-{number}", 0.8, segment=name, time=float(number))
            print("recorded", f"{name}-{number}", flush=True)
            monitor.label(f"{name}-{number}", number % 5 != 0)
            print("labelled", f"{name}-{number}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
