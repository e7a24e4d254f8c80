"""Shared prefixes: what is found against all possible choices, and that it is worth it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thermometer import planning
from thermometer.planning import Sharing, find_shared

SHOTS = tuple(range(1000, 1100))
# Few letters and runs of them, so that many prefixes are common.
texts = st.lists(
    st.lists(st.sampled_from([(1,) * 30, (2,) * 30, (3,), (4, 5)]), min_size=1, max_size=5).map(
        lambda runs: tuple(itertools.chain(*runs))
    ),
    max_size=12,
)


def saved(prompts, found):
    """Tokens saved, charges taken off, by the definition."""
    total = sum(n - planning.ROW_CHARGE for n in found.length if n)
    prefixes = {prompt[:n] for prompt, n in zip(prompts, found.length, strict=True) if n}
    return total - sum(len(prefix) + planning.GROUP_CHARGE for prefix in prefixes)


@given(texts)
def test_members_of_a_group_begin_alike_and_keep_a_token(prompts):
    found = find_shared(prompts)
    prefixes = {}
    for prompt, n, group in zip(prompts, found.length, found.group, strict=True):
        assert (n == 0) == (group == -1)
        assert n < len(prompt)
        if n:
            assert prefixes.setdefault(group, prompt[:n]) == prompt[:n]
    assert sorted(prefixes) == list(range(len(prefixes)))
    assert len(set(prefixes.values())) == len(prefixes)
    assert saved(prompts, found) >= 0


@given(texts)
def test_the_order_of_the_prompts_does_not_matter(prompts):
    there, back = find_shared(prompts), find_shared(prompts[::-1])
    assert back.length[::-1] == there.length


def common_length(a, b):
    pairs = zip(a, b, strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def best(prompts):
    """Most that any choice of a common prefix for each prompt saves: all choices are tried."""
    choices = []
    for i, prompt in enumerate(prompts):
        common = {0}
        for j, other in enumerate(prompts):
            if i != j:
                pairs = itertools.takewhile(
                    lambda ab: ab[0] == ab[1], zip(prompt, other, strict=False)
                )
                common.add(min(len(list(pairs)), len(prompt) - 1, len(other) - 1))
        choices.append(sorted(common))
    every = itertools.product(*choices)
    return max(saved(prompts, Sharing(list(chosen), [])) for chosen in every)


@pytest.mark.parametrize("charges", [(0, 1), (8, 20)])
@given(prompts=texts.filter(lambda prompts: 1 < len(prompts) <= 6))
@settings(max_examples=60, deadline=None)
def test_nearly_the_best_of_all_choices(charges, prompts):
    """It may miss only what a group inside a group inside a group would save."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "ROW_CHARGE", charges[0])
        patch.setattr(planning, "GROUP_CHARGE", charges[1])
        found, most = saved(prompts, find_shared(prompts)), best(prompts)
        assert found <= most
        assert found >= 0.8 * most


def test_demonstrations_are_shared_but_not_a_few_words():
    prompts = [(*SHOTS, n, 7) for n in range(4)] + [(1, 2, 3, n) for n in range(50)]
    assert find_shared(prompts) == Sharing([100] * 4 + [0] * 50, [0] * 4 + [-1] * 50)


def test_the_deeper_prefix_wins_where_it_saves_more():
    """Tasks with demonstrations of their own after one instruction, and some without any."""
    rule = tuple(range(1, 41))
    tasks = [(*rule, *range(k * 500, k * 500 + 200), n) for k in (1, 2) for n in range(10)]
    bare = [(*rule, 9000 + n, 5) for n in range(20)]
    found = find_shared([*tasks, *bare])
    assert found.length == [240] * 20 + [40] * 20
    assert len(set(found.group)) == 3


def test_a_few_of_many_do_not_get_a_prefix_of_their_own():
    rule = tuple(range(1, 101))
    prompts = [(*rule, 500 + n % 20, 1, 2, 3, 4, 5, n) for n in range(40)]
    assert find_shared(prompts).length == [100] * 40


def test_a_pair_gives_up_its_prefix_where_a_larger_group_saves_more():
    """By itself the pair saves 2 (300 - 8) - 300 - 128 = 156; in the group 2 (100 - 8) = 184."""
    rule = tuple(range(1, 101))
    pair = [(*rule, *range(1000, 1200), n, 7) for n in range(2)]
    many = [(*rule, 9000 + n, 5) for n in range(20)]
    assert find_shared(pair).length == [300] * 2
    assert find_shared([*pair, *many]).length == [100] * 22


def test_equal_prompts_keep_their_last_token():
    assert find_shared([SHOTS] * 5) == Sharing([99] * 5, [0] * 5)


@pytest.mark.parametrize("prompts", [[], [(1,)], [SHOTS, (2,)]])
def test_nothing_to_share(prompts):
    assert find_shared(prompts) == Sharing([0] * len(prompts), [-1] * len(prompts))
