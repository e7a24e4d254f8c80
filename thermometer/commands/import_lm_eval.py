"""The `import-lm-eval` command: logs of lm-evaluation-harness become an output table."""

import warnings

from rich.console import Console
from rich.table import Table

from thermometer.harness.logs import import_lm_eval
from thermometer.harness.samples import LoggedNorm


def import_logs(source: str, out: str, norm: LoggedNorm = "none") -> None:
    """Turn logs of ``lm_eval --log_samples`` into an output table with scores and labels.

    Args:
        source: The folder that lm_eval wrote, or one of its results files.
        out: Folder of the table; an earlier import is replaced.
        norm: Scores behind acc (none), acc_norm (char), acc_bytes (byte) or acc_mutual_info
            (unconditional).
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = import_lm_eval(source, out, norm=norm)
    right = table.require("scores").argmax(axis=1) == table.labels
    shown = Table("task", box=None)
    shown.add_column("questions", justify="right")
    shown.add_column("accuracy", justify="right")
    for name in table.task_names:
        rows = table.tasks == name
        shown.add_row(name, f"{rows.sum():,}", f"{right[rows].mean():.3f}")
    console = Console()
    console.print(shown)
    for warning in caught:
        console.print(f"warning     {warning.message}", soft_wrap=True, markup=False)
    console.print(f"table       {out}", soft_wrap=True, markup=False)
