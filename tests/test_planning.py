"""Plans: every row once, within the budget, longest first, and the same for any number of ranks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermometer.planning import default_rows_per_part, plan_parts, plan_units

prompts = st.lists(st.tuples(st.integers(1, 50), st.integers(1, 5)), max_size=40)
budgets = st.integers(1, 200)


@given(prompts, budgets)
def test_units_hold_every_index_once_within_the_budget(items, budget):
    lengths, rows = [length for length, _ in items], [row for _, row in items]
    units = plan_units(lengths, budget, rows)
    assert sorted(index for unit in units for index in unit) == list(range(len(items)))
    for unit in units:
        cost = sum(rows[index] for index in unit) * max(lengths[index] for index in unit)
        assert cost <= budget or len(unit) == 1


@given(prompts, budgets)
def test_units_go_from_long_to_short(items, budget):
    lengths = [length for length, _ in items]
    flat = [lengths[index] for unit in plan_units(lengths, budget) for index in unit]
    assert flat == sorted(flat, reverse=True)


@given(prompts, budgets)
def test_no_unit_could_take_the_next_row(items, budget):
    lengths = [length for length, _ in items]
    units = plan_units(lengths, budget)
    for unit in units[:-1]:
        assert (len(unit) + 1) * lengths[unit[0]] > budget


@given(prompts, budgets, st.integers(1, 10))
def test_parts_are_whole_units_and_plan_alike_when_computed_alone(items, budget, rows_per_part):
    """A part computed alone after a kill has the units that it had in the whole plan."""
    lengths = [length for length, _ in items]
    units = plan_units(lengths, budget)
    parts = plan_parts(units, rows_per_part)
    assert [unit for part in parts for unit in part] == units
    for part in parts[:-1]:
        assert sum(map(len, part)) >= rows_per_part
        assert sum(map(len, part[:-1])) < rows_per_part
    for part in parts:
        index = [row for unit in part for row in unit]
        again = plan_units([lengths[row] for row in index], budget)
        assert [[index[i] for i in unit] for unit in again] == part


@given(st.integers(1, 10**6))
def test_about_64_parts(n_rows):
    rows = default_rows_per_part(n_rows)
    assert 1 <= rows <= 1024
    assert -(-n_rows // rows) <= 64 or rows == 1024


@pytest.mark.parametrize("plan", [plan_units, plan_parts])
def test_no_budget_is_refused(plan):
    with pytest.raises(ValueError, match="at least 1"):
        plan([], 0)
