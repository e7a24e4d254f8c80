"""The `monitor` command: what a monitor in a file says now."""

from pathlib import Path

from rich.console import Console
from rich.text import Text

from thermometer import _files
from thermometer.monitoring.monitor import Monitor


def monitor(
    source: str,
    out: str | None = None,
    title: str | None = None,
    n_resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
) -> None:
    """Show a monitor: alarms, the window and its segments, the gap over time.

    Args:
        source: The file of a `Monitor`.
        out: HTML page to write, which opens alone.
        title: Of the page; by default the name of the file.
        n_resamples: Resamples behind the intervals.
        seed: Equal seeds give equal numbers.
        level: Of the intervals.
    """
    file, console = Path(source), Console()
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder; name the file of a monitor")
    if not file.is_file():
        raise FileNotFoundError(f"no monitor in {file}: no such file")
    if out is not None:
        _files.require_place(out)  # before it is measured
    with Monitor(file) as opened:
        state = opened.state(n_resamples=n_resamples, seed=seed, level=level)
    state.print(console)
    if out is not None:
        page = state.write(out, title or file.resolve().name)
        console.print(Text(f"page        {page}"), soft_wrap=True)
