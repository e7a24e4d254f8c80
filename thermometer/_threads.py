"""What threads of one process do one after another."""

import os
import threading


class Lock:
    """Lets one thread in at a time, and the same thread again.

    In a forked process it is open, whoever held it in the parent. A copy of it is another lock.

    Example:
        >>> lock = Lock()
        >>> with lock, lock:
        ...     pass
    """

    def __init__(self) -> None:
        self._of_process: dict[int, threading.RLock] = {}

    def __reduce__(self) -> tuple[type["Lock"], tuple[()]]:
        return Lock, ()

    def __enter__(self) -> None:
        self._of_process.setdefault(os.getpid(), threading.RLock()).acquire()

    def __exit__(self, *_: object) -> None:
        lock = self._of_process.get(os.getpid())
        if lock is not None:  # else the process was forked within
            lock.release()


PROCESS = Lock()
"""Held by whatever changes the state of the whole process: while transformers loads a model, torch
has another default dtype and other functions to initialise weights, and transformers ties none; a
training seeds and draws from torch's generator."""
