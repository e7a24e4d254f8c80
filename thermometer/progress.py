"""A bar for what takes minutes: how far it is, the time spent and the time to go.

It is drawn twice a second, whatever happens in between: in a notebook, drawing at every step of a
training took longer than the steps. Nothing here knows what is done.
"""

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Bar:
    """Progress in a terminal or a notebook, from entering the context to leaving it.

    Its console is its own, so that there may be another bar around it.

    Args:
        text: Before the bar.
        total: Steps in all.
        shown: Whether anything is drawn.
        kept: Whether the bar stays when it is finished.

    Example:
        >>> with Bar("folds", 5, shown=False) as bar:
        ...     bar.show(2)
    """

    def __init__(self, text: str, total: int, *, shown: bool = True, kept: bool = True) -> None:
        columns = (BarColumn(), TaskProgressColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._progress = Progress(
            "{task.description}",
            *columns,
            console=Console(),
            refresh_per_second=2,
            speed_estimate_period=3600,  # of all that was done; a step may take minutes
            transient=not kept,
            disable=not shown,
        )
        self._bar = self._progress.add_task(text, total=total)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int) -> None:
        """So many steps are done."""
        self._progress.update(self._bar, completed=done)
