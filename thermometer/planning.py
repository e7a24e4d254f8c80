"""Which prompts are computed together: units of like length, the longest first.

A unit is one forward pass, after one over the beginnings that its prompts share. Sorting by length
keeps padding low; the longest first means that a budget too large for memory fails at once, and
that ranks which take units in turn get equal work. A part is a run of units that one rank computes
and writes as one file. Both depend only on lengths, shared prefixes and settings, never on the
number of devices, so that an interrupted run resumes with the same plan. Nothing here knows about
tokens or models.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from thermometer import _checks
from thermometer.sharing import Sharing

LEAST_FILL = 8
"""A unit may close early, for want of prompts of like length, with 1/8 of the budget in it."""
ALIKE = 0.9
"""Such a unit takes no prompt shorter than this part of its longest."""
ATTENDED = 4
"""Largest number of positions that the rows of a unit attend to, as a multiple of the budget."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Prompts of one forward pass.

    Args:
        rows: Indices of the prompts.
        shared: How many leading tokens of each come from a cache; empty if of none.
        groups: Numbers of the prefixes that they share, each once.
        tokens: Tokens that are computed, padding and shared prefixes included.
    """

    rows: tuple[int, ...]
    shared: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    tokens: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: Sequence[int]) -> "Unit":
        """This unit of a plan for some prompts only, by their indices among all."""
        return replace(self, rows=tuple(rows[row] for row in self.rows))

    def halves(self) -> "tuple[Unit, Unit]":
        """The same work in two passes."""
        middle, tokens = len(self.rows) // 2, -(-self.tokens // 2)
        first = Unit(self.rows[:middle], self.shared[:middle], self.groups, tokens)
        return first, Unit(self.rows[middle:], self.shared[middle:], self.groups, tokens)


@dataclass(slots=True)
class _Filling:
    """A unit while prompts are added to it."""

    budget: int
    rows: list[int] = field(default_factory=list)
    height: int = 0
    longest: int = 0
    past: int = 0
    groups: dict[int, None] = field(default_factory=dict)

    def take(self, row: int, height: int, length: int, group: int, past: int) -> bool:
        """Add a prompt, unless that would exceed the budget or it is too short for this unit."""
        tall, longest = self.height + height, max(self.longest, length)
        deep, count = max(self.past, past), len(self.groups) + (group not in self.groups)
        if self.rows:
            if length < ALIKE * self.longest and self.own * LEAST_FILL >= self.budget:
                return False
            caches = count * deep if count > 1 else 0
            if max(tall * longest, caches) > self.budget:
                return False
            if tall * (deep + longest) > ATTENDED * self.budget:
                return False
        self.rows.append(row)
        self.height, self.longest, self.past = tall, longest, deep
        self.groups.setdefault(group)
        return True

    @property
    def own(self) -> int:
        """Tokens of all rows, padding included."""
        return self.height * self.longest

    def closed(self, sharing: Sharing | None) -> Unit:
        """The finished unit."""
        if sharing is None:
            return Unit(tuple(self.rows), tokens=self.own)
        shared = tuple(sharing.length[row] for row in self.rows)
        tokens = self.own + len(self.groups) * self.past
        return Unit(tuple(self.rows), shared, tuple(self.groups), tokens)


def plan_units(
    lengths: Sequence[int],
    token_budget: int,
    rows: Sequence[int] | None = None,
    sharing: Sharing | None = None,
) -> list[Unit]:
    """Group prompts so that rows times the longest length stays within a budget.

    Prompts that share a prefix stand together, and the length of a prompt is then that of the rest.

    Args:
        lengths: Tokens of each prompt, those from a cache left out.
        token_budget: Largest number of tokens, padding included, in one forward pass. A single
            prompt longer than that is a unit of its own.
        rows: Rows of that length that each prompt needs; by default one.
        sharing: Of the prompts, either of all of them or of none.

    Returns:
        Units that hold every prompt once.

    Example:
        >>> [unit.rows for unit in plan_units([10, 30, 10, 29], token_budget=60)]
        [(1, 3), (0, 2)]
    """
    _checks.integer("token_budget", token_budget)
    groups = [-1] * len(lengths) if sharing is None else sharing.group
    units: list[_Filling] = []
    for index in _order(lengths, groups):
        height = 1 if rows is None else rows[index]
        past = 0 if sharing is None else sharing.length[index]
        new = (index, height, lengths[index], groups[index], past)
        if not units or not units[-1].take(*new):
            units.append(_Filling(token_budget))
            units[-1].take(*new)
    return [unit.closed(sharing) for unit in units]


def _order(lengths: Sequence[int], groups: Sequence[int]) -> list[int]:
    """Longest first; members of a group one after another, groups by their longest."""
    longest: dict[int, int] = {}
    for group, length in zip(groups, lengths, strict=True):
        longest[group] = max(longest.get(group, 0), length)
    return sorted(
        range(len(lengths)), key=lambda i: (-longest[groups[i]], groups[i], -lengths[i], i)
    )


def plan_parts(units: Sequence[Unit], rows_per_part: int) -> list[list[Unit]]:
    """Group consecutive units into parts of at least `rows_per_part` rows (the last may be less).

    Where the next unit needs the shared prefix that the last one of a part has, it is taken in,
    until the part is four times as long.

    Example:
        >>> parts = plan_parts([Unit((1,)), Unit((3, 2)), Unit((0,))], rows_per_part=2)
        >>> [[unit.rows for unit in part] for part in parts]
        [[(1,), (3, 2)], [(0,)]]
    """
    _checks.integer("rows_per_part", rows_per_part)
    parts: list[list[Unit]] = []
    rows = 0
    for unit in units:
        goes_on = parts and unit.groups and unit.groups[:1] == parts[-1][-1].groups[-1:]
        if not parts or rows >= (4 if goes_on else 1) * rows_per_part:
            parts.append([])
            rows = 0
        parts[-1].append(unit)
        rows += len(unit)
    return parts


def default_rows_per_part(n_rows: int) -> int:
    """About 64 parts, of 1 to 1,024 rows: enough to share out and resume, not too many files."""
    return min(1024, max(1, -(-n_rows // 64)))


def rows_of(units: Iterable[Unit]) -> list[int]:
    """The prompts of some units, in their order."""
    return [row for unit in units for row in unit.rows]
