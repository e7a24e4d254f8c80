"""Lightning without its noise, stopped by signals as other Python code is, and a progress bar.

Silenced are tips, the list of missing accelerators, advice on worker processes, and deprecations
inside Lightning. Other warnings come through.
"""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from thermometer import _checks, _threads

_MESSAGES = (
    "GPU available",
    "TPU available",
    "HPU available",
    "💡 Tip",
    "\nDetected KeyboardInterrupt",  # it is raised
    "You are using a CUDA device",
    "`Trainer.fit` stopped: `max_",  # as asked
)
_WARNINGS = (
    r".*does not have many workers.*",  # a worker would only hand over a list of numbers
    r".*Couldn't infer the batch indices.*",  # a part carries its own
    r".*Experiment logs directory .* exists",  # a stage that is repeated replaces its logs
    r".*LeafSpec.*is deprecated.*",  # Lightning's use of torch's pytree
    r".*isinstance\(treespec, LeafSpec\).*",
)
_LOGGERS = [
    logging.getLogger(f"lightning.{name}.utilities.rank_zero") for name in ("pytorch", "fabric")
]
_COUNTING = _threads.Lock()
_QUIET: list[int] = []
"""Threads that are in `quiet`."""


def unknown_keywords(given: Iterable[str]) -> list[str]:
    """Those names that are no keywords of `lightning.Trainer`, sorted."""
    return sorted(set(given) - set(signature(Trainer).parameters))


def shows_progress(trainer: Mapping[str, Any] | None) -> bool:
    """Whether keywords of `lightning.Trainer` ask for a progress bar, as they do by default."""
    return bool((trainer or {}).get("enable_progress_bar", True))


def is_first_process() -> bool:
    """Whether this is the process of several that speaks to the user."""
    return not getattr(rank_zero_only, "rank", 0)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(_MESSAGES)


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends the process at once; Lightning, while it predicts, would only record it.

    An existing handler is kept, and outside the main thread nothing changes.
    """
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back Lightning's noise around a `Trainer` and its calls.

    An interrupt is a `KeyboardInterrupt`, as is the next; Lightning would exit and ignore later
    ones. Keywords that do not suit the machine are a `ValueError`.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    with _COUNTING:
        if not _QUIET:
            _hold_back()
        _QUIET.append(threading.get_ident())
    try:
        yield
    except MisconfigurationException as error:
        raise _checks.fail("trainer", "keywords that suit this machine", error) from error
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None
        raise
    finally:
        with _COUNTING:
            _QUIET.pop()
            if not _QUIET:
                _let_through()


def _hold_back() -> None:
    for logger in _LOGGERS:
        logger.addFilter(_is_news)
    for message in _WARNINGS:
        warnings.filterwarnings("ignore", message=message)


def _let_through() -> None:
    """The inverse; `warnings.catch_warnings` would undo what other threads do as well."""
    for logger in _LOGGERS:
        logger.removeFilter(_is_news)
    filters: Any = warnings.filters
    filters[:] = [one for one in filters if not (one[1] and one[1].pattern in _WARNINGS)]


class Bar:
    """Progress in a terminal or a notebook while its context is open; bars may be nested.

    Args:
        text: Before the bar.
        total: Number of steps.
        shown: Whether anything is drawn.
        kept: Whether the finished bar stays.

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
