"""Which prompts are computed together: units of like length, the longest first.

A unit is one forward pass. Sorting by length keeps padding low; the longest first means that a
budget too large for memory fails at once, and that ranks which take units in turn get equal work.
A part is a run of units that one rank computes and writes as one file. Both depend only on the
lengths and the settings, never on the number of devices, so that an interrupted run resumes with
the same plan. Nothing here knows about tokens or models.
"""

from collections.abc import Sequence

from thermometer import _checks

Unit = list[int]


def plan_units(
    lengths: Sequence[int], token_budget: int, rows: Sequence[int] | None = None
) -> list[Unit]:
    """Group indices so that rows times the longest length stays within a budget.

    Args:
        lengths: Tokens of each prompt.
        token_budget: Largest number of tokens, padding included, in one unit. A single prompt
            longer than that is a unit of its own.
        rows: Rows of that length that each prompt needs; by default one.

    Returns:
        Lists of indices into `lengths`; every index stands in exactly one.

    Example:
        >>> plan_units([3, 9, 4, 8], token_budget=18)
        [[1, 3], [2, 0]]
    """
    _checks.integer("token_budget", token_budget)
    units: list[Unit] = []
    height = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        own = 1 if rows is None else rows[index]
        if units and (height + own) * lengths[units[-1][0]] <= token_budget:
            units[-1].append(index)
            height += own
        else:
            units.append([index])
            height = own
    return units


def plan_parts(units: Sequence[Unit], rows_per_part: int) -> list[list[Unit]]:
    """Group consecutive units into parts of at least `rows_per_part` rows (the last may be less).

    Example:
        >>> plan_parts([[1], [3, 2], [0]], rows_per_part=2)
        [[[1], [3, 2]], [[0]]]
    """
    _checks.integer("rows_per_part", rows_per_part)
    parts: list[list[Unit]] = []
    rows = rows_per_part
    for unit in units:
        if rows >= rows_per_part:
            parts.append([])
            rows = 0
        parts[-1].append(unit)
        rows += len(unit)
    return parts


def default_rows_per_part(n_rows: int) -> int:
    """About 64 parts, of 1 to 1,024 rows: enough to share out and resume, not too many files."""
    return min(1024, max(1, -(-n_rows // 64)))
