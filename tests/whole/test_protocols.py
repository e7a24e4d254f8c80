"""Splits of task names: nobody is trained and tested at once, everybody is tested once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermometer.protocols import Protocol, Split, benchmark_of

NAMES = [f"mmlu/{i}" for i in range(7)] + [f"bbq/{i}" for i in range(4)]
names = st.lists(st.text("abc/", min_size=1), min_size=5, max_size=30, unique=True)


def folds(tasks, n_folds, seed):
    return [split.test for split in Protocol(folds=n_folds, seed=seed).splits(tasks)]


@given(names, st.integers(2, 5), st.integers(0, 9))
def test_folds_partition_the_tasks_evenly_whatever_their_order(tasks, n_folds, seed):
    found = folds(tasks, n_folds, seed)
    assert sorted(name for fold in found for name in fold) == sorted(tasks)
    sizes = [len(fold) for fold in found]
    assert max(sizes) - min(sizes) <= 1
    assert found == folds([*reversed(tasks), tasks[0]], n_folds, seed)


def test_folds_are_those_of_yesterday():
    """Reports name a seed: the splits behind it must never change."""
    assert folds(list("abcdefg"), 3, seed=0) == [("a", "b", "g"), ("e", "f"), ("c", "d")]
    assert len({str(folds(NAMES, 3, seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize(
    "protocol",
    [
        Protocol(),
        Protocol(folds=3, seed=4),
        Protocol(leave_one_out=True),
        Protocol(folds=4, together=("bbq/*", "mmlu/[12]")),
        Protocol(leave_one_out=True, together=("bbq/*",)),
        Protocol(leave_one_out=True, unit="benchmark"),
        Protocol(folds=2, unit="benchmark"),
    ],
)
def test_every_task_is_tested_once_and_unseen(protocol):
    splits = protocol.splits(NAMES)
    assert sorted(name for split in splits for name in split.test) == sorted(NAMES)
    for split in splits:
        assert not set(split.train) & set(split.test)
        for relatives in ({"bbq/0", "bbq/1", "bbq/2", "bbq/3"}, {"mmlu/1", "mmlu/2"}):
            if (
                protocol.together
                and relatives & set(split.test)
                and relatives <= _grouped(protocol)
            ):
                assert not relatives & set(split.train)


def _grouped(protocol):
    bbq = {name for name in NAMES if name.startswith("bbq/")}
    return bbq | ({"mmlu/1", "mmlu/2"} if len(protocol.together) > 1 else set())


def test_one_split_by_names_patterns_or_share():
    (split,) = Protocol(held_out=("bbq/*", "mmlu/0")).splits(NAMES)
    assert split == Split(
        tuple(f"mmlu/{i}" for i in range(1, 7)), ("bbq/0", "bbq/1", "bbq/2", "bbq/3", "mmlu/0")
    )
    (split,) = Protocol(fraction=0.3, seed=2).splits(NAMES)
    assert len(split.test) == 3
    assert len(split.train) == 8
    assert split == Protocol(fraction=0.3, seed=2).splits(NAMES[::-1])[0]
    assert split != Protocol(fraction=0.3, seed=3).splits(NAMES)[0]
    (split,) = Protocol(fraction=0.01).splits(NAMES)
    assert len(split.test) == 1


def test_relatives_of_the_held_out_are_not_trained_on():
    (split,) = Protocol(held_out=("bbq/0",), together=("bbq/*",)).splits(NAMES)
    assert split == Split(tuple(f"mmlu/{i}" for i in range(7)), ("bbq/0",))


def test_a_name_may_hold_the_characters_of_patterns():
    assert Protocol(held_out=("a[1]",)).splits(["a[1]", "a1"])[0].test == ("a[1]",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Protocol(folds=5, fraction=0.2), "fraction and folds"),
        (lambda: Protocol(held_out=()), "held_out"),
        (lambda: Protocol(fraction=1.0), "fraction"),
        (lambda: Protocol(folds=1), "folds"),
        (lambda: Protocol(held_out=("law",)).splits(NAMES), "'law'"),
        (lambda: Protocol(held_out=("*",)).splits(NAMES), "leaves none of 11"),
        (lambda: Protocol(together=("bbq/*", "*/0")).splits(NAMES), "'bbq/0' in two"),
        (lambda: Protocol(folds=12).splits(NAMES), "12 folds, but got 11"),
        (lambda: Protocol(folds=5, together=("mmlu/*",)).splits(NAMES[:8]), "5 folds, but got 2"),
    ],
)
def test_what_cannot_be_split_is_refused(make, message):
    with pytest.raises(ValueError, match=message.replace("*", r"\*")):
        make()


def test_one_string_is_refused():
    with pytest.raises(TypeError, match="one string"):
        Protocol(held_out="law")


def test_words():
    assert str(Protocol(seed=3)).startswith(
        "5 folds of whole tasks (seed 3): every task tested once"
    )
    assert "30 % of the tasks (seed 0)" in str(Protocol(fraction=0.3))
    assert "nor on a relative (bbq/*)" in str(Protocol(leave_one_out=True, together=("bbq/*",)))
    assert Protocol(held_out=("a",)).to_dict()["held_out"] == ["a"]


def test_whole_benchmarks_are_left_out_even_if_one_name_begins_with_another():
    names = ["mmlu/law", "mmlu/art", "mmlu_pro/law", "boolq", "bbq/x"]
    splits = Protocol(leave_one_out=True, unit="benchmark").splits(names)
    assert [split.test for split in splits] == [
        ("bbq/x",),
        ("boolq",),
        ("mmlu/art", "mmlu/law"),
        ("mmlu_pro/law",),
    ]
    for split in splits:
        assert sorted(split.train + split.test) == sorted(names)
    for split in Protocol(folds=2, unit="benchmark").splits(names):
        tested = {benchmark_of(name) for name in split.test}
        assert not tested & {benchmark_of(name) for name in split.train}
    with pytest.raises(ValueError, match=r"at least 5 tasks .* for 5 folds, but got 4: bbq/x"):
        Protocol(folds=5, unit="benchmark").splits(names)
    with pytest.raises(ValueError, match="together"):
        Protocol(unit="benchmark", together=("mmlu/*",))
    assert "leave one benchmark out" in str(Protocol(leave_one_out=True, unit="benchmark"))
