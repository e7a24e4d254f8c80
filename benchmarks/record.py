"""What every result of a benchmark says of the machine and the versions behind it."""

import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np


def circumstances(load_before, packages):
    """Command, machine, load (processes that want a core) and versions, as JSON values."""
    return {
        "command": "python " + " ".join(sys.argv),
        "machine": processor(),
        "cores": os.cpu_count(),
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in packages},
    }


def processor():
    """The name of the processor, as Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def rounded(value):
    """A JSON value whose numbers have four digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return round(float(value), 4) if isinstance(value, float | np.floating) else value
