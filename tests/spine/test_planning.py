"""Plans: every prompt once, within the budget, little padding, and groups together."""

from collections import Counter
from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermometer.planning import (
    ALIKE,
    ATTENDED,
    CACHED,
    LEAST_FILL,
    Sharing,
    Unit,
    default_rows_per_part,
    plan_parts,
    plan_units,
    rows_of,
)

prompts = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 5)), max_size=40)
budgets = st.integers(1, 200)
groups = st.lists(st.tuples(st.integers(1, 50), st.integers(0, 4)), min_size=1, max_size=40)
PASTS = (10, 0, 40, 3, 90)


def sharing_of(items):
    """Each group of `groups` with a prefix of its own length."""
    return Sharing([PASTS[group] for _, group in items], [group for _, group in items])


@given(prompts, budgets)
def test_units_hold_every_index_once_within_the_budget(items, budget):
    lengths, rows = [length for length, _ in items], [row for _, row in items]
    units = plan_units(lengths, budget, rows)
    assert sorted(rows_of(units)) == list(range(len(items)))
    for unit in units:
        cost = sum(rows[index] for index in unit.rows) * max(lengths[i] for i in unit.rows)
        assert cost == unit.tokens
        assert cost <= budget or len(unit) == 1
        assert unit.shared == unit.prefixes == ()


@given(prompts, budgets)
def test_units_go_from_long_to_short(items, budget):
    lengths = [length for length, _ in items]
    flat = [lengths[index] for index in rows_of(plan_units(lengths, budget))]
    assert flat == sorted(flat, reverse=True)


@given(prompts, budgets)
def test_a_unit_is_closed_only_where_it_is_full_or_the_next_row_much_shorter(items, budget):
    lengths = [length for length, _ in items]
    units = plan_units(lengths, budget)
    for unit, following in pairwise(units):
        longest, shorter = lengths[unit.rows[0]], lengths[following.rows[0]]
        full = (len(unit) + 1) * longest > budget
        assert full or (shorter < ALIKE * longest and unit.tokens * LEAST_FILL >= budget)


@given(groups, st.integers(1, 400))
def test_units_say_what_they_share_and_count_it(items, budget):
    lengths, sharing = [length for length, _ in items], sharing_of(items)
    units = plan_units(lengths, budget, sharing=sharing)
    assert sorted(rows_of(units)) == list(range(len(items)))
    for unit in units:
        assert unit.shared == tuple(sharing.length[i] for i in unit.rows)
        held = {sharing.group[i]: size for i, size in unit.prefixes}
        assert len(held) == len(unit.prefixes)
        assert {sharing.group[i]: sharing.length[i] for i in unit.rows}.items() <= held.items()
        longest, past = max(lengths[i] for i in unit.rows), max(held.values())
        assert unit.tokens == len(unit) * longest + len(held) * past
        if len(unit) > 1:
            assert len(unit) * longest <= budget
            assert len(unit) * (longest + past) <= ATTENDED * budget
        assert len(held) == 1 or len(held) * past * CACHED <= budget


@given(groups, st.integers(1, 400))
def test_a_prefix_is_computed_once(items, budget):
    """It is in one pool, and the units that read a pool follow one another."""
    sharing = sharing_of(items)
    units = plan_units([length for length, _ in items], budget, sharing=sharing)
    pools = [pool for pool, _ in groupby(unit.prefixes for unit in units)]
    held = [sharing.group[i] for pool in pools for i, _ in pool]
    assert sorted(held) == sorted({group for _, group in items})


@given(prompts, budgets)
def test_halves_are_the_whole(items, budget):
    for unit in plan_units([length for length, _ in items], budget):
        if len(unit) > 1:
            first, second = unit.halves()
            assert first.rows + second.rows == unit.rows
            assert abs(len(first) - len(second)) <= 1


@given(prompts, budgets, st.integers(1, 10))
def test_parts_are_whole_units(items, budget, rows_per_part):
    units = plan_units([length for length, _ in items], budget)
    parts = plan_parts(units, rows_per_part)
    assert [unit for part in parts for unit in part] == units
    for part in parts[:-1]:
        assert len(rows_of(part)) >= rows_per_part
        assert len(rows_of(part[:-1])) < rows_per_part


def test_a_part_takes_in_what_needs_its_last_prefix():
    units = [Unit((i,), (5,), ((i // 6, 5),)) for i in range(12)]
    sizes = [len(part) for part in plan_parts(units, rows_per_part=2)]
    assert sizes == [6, 6]
    sizes = [len(part) for part in plan_parts(units, rows_per_part=1)]
    assert sizes == [4, 2, 4, 2]


def test_little_padding_where_lengths_are_like_those_of_questions():
    """Log-normal lengths, as in design.md: 14,042 prompts of 120 tokens, 4,096 in a pass."""
    drawn = np.random.default_rng(0).lognormal(np.log(120), 0.6, 14042).astype(int) + 1
    units = plan_units(drawn.tolist(), 4096)
    assert sum(unit.tokens for unit in units) < 1.05 * drawn.sum()
    assert Counter(rows_of(units)).most_common(1)[0][1] == 1


@given(st.integers(1, 10**6))
def test_about_64_parts(n_rows):
    rows = default_rows_per_part(n_rows)
    assert 1 <= rows <= 1024
    assert -(-n_rows // rows) <= 64 or rows == 1024


@pytest.mark.parametrize("plan", [plan_units, plan_parts])
def test_no_budget_is_refused(plan):
    with pytest.raises(ValueError, match="at least 1"):
        plan([], 0)
