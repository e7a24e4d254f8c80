"""Which tasks are trained on and which are tested: splits by names and a seed alone."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal, NamedTuple

from thermometer import _checks

_FOLDS = 5


class Split(NamedTuple):
    """Tasks to train on and tasks to test on; they have none in common."""

    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Protocol:
    """How tasks are left out. At most one of the first four may be given; else there are 5 folds.

    Args:
        held_out: Names or patterns (``mmlu/*``) of the tasks to test on, in one split.
        fraction: Share of the tasks to test on, chosen by `seed`, in one split.
        leave_one_out: As many splits as tasks, each testing one.
        folds: Split the tasks into so many parts by `seed`; each part is tested once.
        together: Patterns of related tasks. Those that match one pattern are in the same fold, and
            none of them is trained on when another is tested.
        unit: What is left out as a whole: a `task`, or a `benchmark`, all tasks whose names begin
            with the same word before the first ``/``. With `leave_one_out` that is
            leave-benchmark-out, with `folds` k folds of benchmarks.
        seed: Decides `fraction` and `folds`.

    Raises:
        ValueError: If two ways are given, a number is out of range, or `together` is given for
            benchmarks.

    Example:
        >>> Protocol(folds=2).splits(["law", "maths", "art"])[0]
        Split(train=('art',), test=('law', 'maths'))
    """

    held_out: tuple[str, ...] | None = None
    fraction: float | None = None
    leave_one_out: bool = False
    folds: int | None = None
    together: tuple[str, ...] = ()
    unit: Literal["task", "benchmark"] = "task"
    seed: int = 0

    def __post_init__(self) -> None:
        ways = {
            "held_out": self.held_out is not None,
            "fraction": self.fraction is not None,
            "leave_one_out": self.leave_one_out,
            "folds": self.folds is not None,
        }
        if sum(ways.values()) > 1:
            given = " and ".join(name for name, used in ways.items() if used)
            raise _checks.fail("protocol", f"one of {', '.join(ways)}", given)
        if self.held_out is not None:
            object.__setattr__(self, "held_out", _checks.strings("held_out", self.held_out))
            if not self.held_out:
                raise _checks.fail("held_out", "at least one name or pattern", "none")
        if self.fraction is not None:
            _checks.number("fraction", self.fraction, maximum=1 - 1e-9, strict=True)
        if self.folds is not None:
            _checks.integer("folds", self.folds, minimum=2)
        object.__setattr__(self, "together", _checks.strings("together", self.together))
        _checks.one_of("unit", self.unit, ("task", "benchmark"))
        if self.together and self.unit == "benchmark":
            expected = "empty where whole benchmarks are left out"
            raise _checks.fail("together", expected, self.together)
        _checks.integer("seed", self.seed, minimum=0)

    def __str__(self) -> str:
        """The protocol in words."""
        if self.held_out is not None:
            words = f"tested on the held-out tasks {', '.join(self.held_out)}"
        elif self.fraction is not None:
            words = f"tested on {100 * self.fraction:g} % of the tasks (seed {self.seed})"
        elif self.leave_one_out:
            words = f"leave one {self.unit} out: every task tested once"
        else:
            words = f"{self.folds or _FOLDS} folds of whole {self.unit}s (seed {self.seed}): "
            words += "every task tested once"
        words += ", by a thermometer that was not trained on it"
        if self.together:
            words += f" nor on a relative ({', '.join(self.together)})"
        return words

    def to_dict(self) -> dict[str, Any]:
        """The fields, as JSON values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def splits(self, task_names: Iterable[str]) -> list[Split]:
        """The splits of these tasks; every task is tested at most once.

        Raises:
            ValueError: If a pattern matches no task or a task matches two patterns of `together`,
                there are fewer groups of tasks than folds, or a split leaves no task to train on.
        """
        names = sorted(set(_checks.strings("task_names", task_names)))
        if self.unit == "benchmark":
            group = {name: f"benchmark {benchmark_of(name)}" for name in names}
        else:
            group = _groups(names, self.together)
        if self.held_out is not None:
            tests = [_matching("held_out", names, self.held_out)]
        elif self.fraction is not None:
            tests = [_first(names, group, round(self.fraction * len(names)), self.seed)]
        elif self.leave_one_out:
            tests = [(name,) for name in names]
            if self.unit == "benchmark":
                tests = [tuple(members) for members in _members(names, group).values()]
        else:
            tests = _folds(names, group, self.folds or _FOLDS, self.seed)
        splits = []
        for test in tests:
            relatives = {group[name] for name in test}
            train = tuple(name for name in names if group[name] not in relatives)
            if not train:
                raise ValueError(
                    f"Expected tasks to train on, but testing {', '.join(test[:3])} leaves none "
                    f"of {len(names)}"
                )
            splits.append(Split(train, tuple(sorted(test))))
        return splits


def benchmark_of(task: str) -> str:
    """The benchmark that a task belongs to: what stands before the first ``/`` of its name.

    Example:
        >>> benchmark_of("mmlu/law"), benchmark_of("boolq")
        ('mmlu', 'boolq')
    """
    return task.split("/", 1)[0]


def _folds(
    names: Sequence[str], group: Mapping[str, str], n_folds: int, seed: int
) -> list[tuple[str, ...]]:
    """Whole groups of names in parts of nearly equal size."""
    members = _members(names, group)
    if len(members) < n_folds:
        some = ", ".join(names[:3])
        raise ValueError(
            f"Expected at least {n_folds} tasks (or groups of them) for {n_folds} folds, but got "
            f"{len(members)}: {some}. Whoever trains without measuring needs no folds"
        )
    folds: list[list[str]] = [[] for _ in range(n_folds)]
    for unit in _shuffled(members, seed):
        min(folds, key=len).extend(members[unit])
    return [tuple(sorted(fold)) for fold in folds]


def _members(names: Sequence[str], group: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of each group, in order."""
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(group[name], []).append(name)
    return members


def _first(names: Sequence[str], group: Mapping[str, str], size: int, seed: int) -> tuple[str, ...]:
    """At least one and about `size` names, whole groups of them."""
    chosen: list[str] = []
    for unit in _shuffled(set(group.values()), seed):
        chosen += [name for name in names if group[name] == unit]
        if len(chosen) >= size:
            break
    return tuple(chosen)


def _shuffled(names: Iterable[str], seed: int) -> list[str]:
    """Names in an order that depends on seed and names only, in every version of every library."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def _groups(names: Sequence[str], together: Sequence[str]) -> dict[str, str]:
    """The group of each task: the pattern that it matches, or its own name."""
    group: dict[str, str] = {}
    for pattern in together:
        for name in _matching("together", names, (pattern,)):
            if name in group:
                got = f"{name!r} in two"
                raise _checks.fail("together", "patterns without a task in common", got)
            group[name] = f"together {pattern}"
    return {name: group.get(name, name) for name in names}


def _matching(what: str, names: Sequence[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The names that are given or match; what is neither name nor matching pattern raises."""
    found: set[str] = set()
    for pattern in patterns:
        matched = {pattern} & set(names) or {name for name in names if fnmatchcase(name, pattern)}
        if not matched:
            raise _checks.fail(what, "names or patterns of tasks", f"{pattern!r}, which is none")
        found |= matched
    return tuple(sorted(found))
