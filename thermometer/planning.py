"""Which prompts are computed in one forward pass, and which common beginnings are shared.

Sorted prompts with a common beginning (demonstrations, instructions, passages) are neighbours, and
their common prefixes form a tree. Each prompt may use one of its prefixes, chosen so that the
fewest tokens are computed. Batches then fill a token budget, longest prompts first.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from thermometer import _checks

ROW_CHARGE = 8
"""What reading from a cache costs a prompt, in tokens: its attention is masked and its keys copied.
A common beginning that is not longer than this is computed anew."""
GROUP_CHARGE = 128
"""What another shared prefix costs, in tokens, besides those that it has."""


@dataclass(frozen=True, slots=True)
class Sharing:
    """What N prompts share.

    Args:
        length: (N,) number of leading tokens of each prompt that come from a cache; 0 for none.
        group: (N,) number of the prefix that it shares, from 0; -1 for none.
    """

    length: list[int]
    group: list[int]

    def of(self, rows: Sequence[int]) -> "Sharing":
        """What some of the prompts share, in the order given."""
        return Sharing([self.length[i] for i in rows], [self.group[i] for i in rows])


@dataclass(slots=True)
class _Node:
    """Prompts `first` to `last` (in sorted order), which have `depth` tokens in common."""

    depth: int
    first: int
    last: int
    gain: int = 0
    free: list[int] = field(default_factory=list)
    children: "list[_Node]" = field(default_factory=list)

    @property
    def size(self) -> int:
        return self.last - self.first + 1


def find_shared(prompts: Iterable[Sequence[int]]) -> Sharing:
    """The shared prefixes that save the most tokens.

    A group of n prompts with d common tokens saves n (d - `ROW_CHARGE`) - d - `GROUP_CHARGE`
    tokens. From the longest common prefixes to the shortest, prompts join a group where that saves
    more than the groups found so far. At least the last token of a prompt stays its own.

    Args:
        prompts: Token ids of N prompts, at least one each.

    Example:
        >>> shots = list(range(100))
        >>> find_shared([[*shots, 1], [*shots, 2], [7, 8]]).length
        [0, 0, 0]
        >>> find_shared([*[[*shots, n] for n in range(4)], [7, 8]])
        Sharing(length=[100, 100, 100, 100, 0], group=[0, 0, 0, 0, -1])
    """
    packed = [array("i", prompt).tobytes() for prompt in prompts]
    order = sorted(range(len(packed)), key=packed.__getitem__)
    ordered = [packed[i] for i in order]
    length, group = [0] * len(packed), [-1] * len(packed)
    found: dict[int, tuple[int, int]] = {}  # place in the order -> depth and first of its group
    stack: list[_Node] = []  # the tree of common prefixes, from left to right
    for place in range(1, len(order) + 1):
        depth = _common(*ordered[place - 1 : place + 1]) if place < len(order) else 0
        closed = _Node(0, place - 1, place - 1, free=[place - 1])
        while stack and stack[-1].depth > depth:
            closed = _close(stack, closed, found)
        if not stack or stack[-1].depth < depth:
            stack.append(_Node(depth, closed.first, closed.last))
        stack[-1].children.append(closed)
    numbers: dict[tuple[int, int], int] = {}
    for place in sorted(found):
        depth, _ = key = found[place]
        length[order[place]] = depth
        group[order[place]] = numbers.setdefault(key, len(numbers))
    return Sharing(length, group)


def _close(stack: list[_Node], last: _Node, found: dict[int, tuple[int, int]]) -> _Node:
    """Take the deepest node from the stack, give it its last child, and settle it."""
    node = stack.pop()
    node.children.append(last)
    node.last = last.last
    worth = node.depth - ROW_CHARGE
    apart = sum(child.gain for child in node.children)
    whole = [worth * child.size for child in node.children]
    partial = [child.gain + worth * len(child.free) for child in node.children]
    together = sum(map(max, whole, partial)) - node.depth - GROUP_CHARGE
    if worth > 0 and together > apart:
        node.gain = together
        for child, dissolved, otherwise in zip(node.children, whole, partial, strict=True):
            joining = range(child.first, child.last + 1) if dissolved >= otherwise else child.free
            found.update(dict.fromkeys(joining, (node.depth, node.first)))
    else:
        node.gain = apart
        node.free = [place for child in node.children for place in child.free]
    node.children = []
    return node


def _common(a: bytes, b: bytes) -> int:
    """Number of leading tokens that two prompts share, the last of each left out."""
    size = min(len(a), len(b))
    differing = np.frombuffer(a[:size], np.int32) != np.frombuffer(b[:size], np.int32)
    first = int(differing.argmax()) if differing.any() else size // 4
    return max(0, min(first, size // 4 - 1))


LEAST_FILL = 16
"""A unit may close early, for want of prompts of like length, with 1/16 of the budget in it."""
ALIKE = 0.9
"""Such a unit takes no prompt shorter than this part of its longest."""
CACHED = 4
"""Prefixes that are at hand together have up to 1/4 of the budget in tokens, or are alone."""
ATTENDED = 4
"""Largest number of positions that the rows of a unit attend to, as a multiple of the budget."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Prompts of one forward pass.

    Args:
        rows: Indices of the prompts.
        shared: How many leading tokens of each come from a cache; empty if of none.
        prefixes: What the cache holds: index of a prompt and number of its leading tokens, for each
            prefix. Units that follow one another have it in common.
        tokens: Tokens that are computed, padding and the prefixes included.
    """

    rows: tuple[int, ...]
    shared: tuple[int, ...] = ()
    prefixes: tuple[tuple[int, int], ...] = ()
    tokens: int = 0

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: Sequence[int]) -> "Unit":
        """This unit of a plan for some prompts only, by their indices among all."""
        prefixes = tuple((rows[row], size) for row, size in self.prefixes)
        return replace(self, rows=tuple(rows[row] for row in self.rows), prefixes=prefixes)

    def halves(self) -> "tuple[Unit, Unit]":
        """The same work in two passes."""
        middle, tokens = len(self.rows) // 2, -(-self.tokens // 2)
        return (
            replace(self, rows=self.rows[:middle], shared=self.shared[:middle], tokens=tokens),
            replace(self, rows=self.rows[middle:], shared=self.shared[middle:], tokens=tokens),
        )


@dataclass(slots=True)
class _Filling:
    """A unit while prompts are added to it."""

    budget: int
    pool: int
    past: int
    longest_together: int | None
    rows: list[int] = field(default_factory=list)
    height: int = 0
    longest: int = 0

    def take(self, row: int, height: int, length: int, pool: int) -> bool:
        """Add a prompt, unless that would exceed the budget or it is too short for this unit."""
        tall, longest = self.height + height, max(self.longest, length)
        if self.rows:
            if pool != self.pool or tall * longest > self.budget:
                return False
            if tall * (self.past + longest) > ATTENDED * self.budget:
                return False
            if length < ALIKE * longest and self.tokens * LEAST_FILL >= self.budget:
                return False
            if self.longest_together is not None and longest > self.longest_together:
                return False
        self.rows.append(row)
        self.height, self.longest = tall, longest
        return True

    @property
    def tokens(self) -> int:
        """Tokens of all rows, padding included."""
        return self.height * self.longest


def plan_units(
    lengths: Sequence[int],
    token_budget: int,
    rows: Sequence[int] | None = None,
    sharing: Sharing | None = None,
    longest_together: int | None = None,
) -> list[Unit]:
    """Group all prompts so that rows times the longest length stays within a budget.

    Prompts whose shared prefixes are at hand together stand together.

    Args:
        lengths: Tokens of each prompt, those from a cache left out.
        token_budget: Largest number of tokens, padding included, in one forward pass. A single
            prompt longer than that is a unit of its own.
        rows: Rows of that length that each prompt needs; by default one.
        sharing: Of the prompts, either of all of them or of none.
        longest_together: A prompt longer than that is a unit of its own, too.

    Example:
        >>> [unit.rows for unit in plan_units([10, 30, 10, 29], token_budget=60)]
        [(1, 3), (0, 2)]
    """
    _checks.integer("token_budget", token_budget)
    pool_of = [0] * len(lengths)
    pools: list[tuple[tuple[int, int], ...]] = [()]
    if sharing is not None:
        pool_of, pools = _pools(sharing, token_budget // CACHED)
    fillings: list[_Filling] = []
    for index in sorted(range(len(lengths)), key=lambda i: (pool_of[i], -lengths[i], i)):
        pool = pool_of[index]
        new = (index, 1 if rows is None else rows[index], lengths[index], pool)
        if not fillings or not fillings[-1].take(*new):
            past = max((size for _, size in pools[pool]), default=0)
            fillings.append(_Filling(token_budget, pool, past, longest_together))
            fillings[-1].take(*new)
    units = []
    for unit in fillings:
        prefixes = pools[unit.pool]
        shared = tuple(sharing.length[row] for row in unit.rows) if sharing is not None else ()
        tokens = unit.tokens + len(prefixes) * unit.past
        units.append(Unit(tuple(unit.rows), shared, prefixes, tokens))
    return units


def _pools(sharing: Sharing, room: int) -> tuple[list[int], list[tuple[tuple[int, int], ...]]]:
    """The pool of each prompt, and of each pool the prefixes (a prompt and a length each)."""
    # Long prefixes come first, so that those of a pool are of like length.
    first: dict[int, tuple[int, int]] = {}
    for row, (group, size) in enumerate(zip(sharing.group, sharing.length, strict=True)):
        first.setdefault(group, (row, size))
    pools: list[list[tuple[int, int]]] = []
    number: dict[int, int] = {}
    for group, (row, size) in sorted(first.items(), key=lambda item: (-item[1][1], item[0])):
        if not pools or (len(pools[-1]) + 1) * pools[-1][0][1] > room:
            pools.append([])
        pools[-1].append((row, size))
        number[group] = len(pools) - 1
    return [number[group] for group in sharing.group], [tuple(pool) for pool in pools]


def plan_parts(units: Sequence[Unit], rows_per_part: int) -> list[list[Unit]]:
    """Group consecutive units into parts of at least `rows_per_part` rows (the last may be less).

    A unit that needs the prefixes which the last one of a part has is taken in, until the part is
    four times as long.

    Example:
        >>> parts = plan_parts([Unit((1,)), Unit((3, 2)), Unit((0,))], rows_per_part=2)
        >>> [[unit.rows for unit in part] for part in parts]
        [[(1,), (3, 2)], [(0,)]]
    """
    _checks.integer("rows_per_part", rows_per_part)
    parts: list[list[Unit]] = []
    rows = 0
    for unit in units:
        goes_on = parts and unit.prefixes and unit.prefixes == parts[-1][-1].prefixes
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
