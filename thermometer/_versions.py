"""Versions: those that decide a result, for reports, and all that a bug report should name.

Read from the metadata of what is installed: numbers and dependencies stand in pyproject.toml alone.
"""

import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

DECISIVE = ("thermometer", "torch", "transformers", "lightning", "numpy")
_OF_DEVELOPERS = re.compile(r"extra == ['\"](dev|docs)['\"]")


def versions() -> dict[str, str]:
    """Of Python and of the packages that decide a result.

    Example:
        >>> sorted(versions())
        ['lightning', 'numpy', 'python', 'thermometer', 'torch', 'transformers']
    """
    return {"python": platform.python_version(), **{name: version(name) for name in DECISIVE}}


def description() -> str:
    """Lines for a bug report: versions, the machine, and the GPUs that torch sees.

    Loads torch, which takes seconds. A dependency that is not installed is named as missing; one of
    an extra is left out.

    Example:
        >>> lines = description().splitlines()
        >>> lines[0].split()[0], lines[1].split()[0]
        ('thermometer', 'python')
    """
    lines = [f"python {platform.python_version()}", f"platform {platform.platform()}"]
    for requirement in sorted(requires("thermometer") or (), key=str.lower):
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        try:
            line = f"{name} {version(name)}"
        except PackageNotFoundError:
            line = f"{name} missing" if "extra ==" not in requirement else ""
        if line and line not in lines and not _OF_DEVELOPERS.search(requirement):
            lines.append(line + _devices() if name == "torch" else line)
    return "\n".join([f"thermometer {version('thermometer')}", *lines])


def _devices() -> str:
    try:
        import torch
    except Exception as error:  # a broken build is what the report is about
        return f" (does not load: {error})"
    count = torch.cuda.device_count()
    seen = ", ".join(torch.cuda.get_device_name(i) for i in range(count)) or "none"
    return f" (CUDA {torch.version.cuda or 'not built in'}; GPUs: {seen})"
