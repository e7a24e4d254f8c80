"""Which beginnings of prompts are worth computing once: demonstrations, instructions, passages.

Sorted, prompts with a common beginning stand together, and their common prefixes form a tree. Each
prompt may use one of its prefixes; which one is chosen so that the fewest tokens are computed.
Nothing here knows what the tokens mean or runs a model.
"""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

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
    length, group = [0] * len(packed), [-1] * len(packed)
    found: dict[int, tuple[int, int]] = {}  # place in the order -> depth and first of its group
    _walk([packed[i] for i in order], found)
    numbers: dict[tuple[int, int], int] = {}
    for place in sorted(found):
        depth, _ = key = found[place]
        length[order[place]] = depth
        group[order[place]] = numbers.setdefault(key, len(numbers))
    return Sharing(length, group)


def _walk(packed: Sequence[bytes], found: dict[int, tuple[int, int]]) -> None:
    """Build the tree of common prefixes from left to right, settling each node as it is closed."""
    stack: list[_Node] = []
    for place, prompt in enumerate(packed):
        depth = _common(packed[place - 1], prompt) if place else 0
        closed: _Node | None = _leaf(place - 1) if place else None
        while closed is not None and stack and stack[-1].depth > depth:
            closed = _close(stack, closed, found)
        if closed is None:
            continue
        if not stack or stack[-1].depth < depth:
            stack.append(_Node(depth, closed.first, closed.last))
        stack[-1].children.append(closed)
    closed = _leaf(len(packed) - 1) if packed else None
    while closed is not None and stack:
        closed = _close(stack, closed, found)


def _leaf(place: int) -> _Node:
    return _Node(0, place, place, free=[place])


def _close(stack: list[_Node], last: _Node, found: dict[int, tuple[int, int]]) -> _Node:
    """Take the deepest node from the stack, give it its last child, and settle it."""
    node = stack.pop()
    node.children.append(last)
    node.last = last.last
    worth = node.depth - ROW_CHARGE
    apart = sum(child.gain for child in node.children)
    whole = [worth * child.size for child in node.children]
    kept = [child.gain + worth * len(child.free) for child in node.children]
    together = sum(map(max, whole, kept)) - node.depth - GROUP_CHARGE
    if worth > 0 and together > apart:
        node.gain = together
        for child, dissolved, otherwise in zip(node.children, whole, kept, strict=True):
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
