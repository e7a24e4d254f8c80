"""The built-in tasks: well-formed, reproducible, right, and without give-aways."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from thermometer.families import (
    FAMILIES,
    _kinds,
    _nouns,
    _verb_forms,
    generate_task,
    generate_tasks,
)
from thermometer.families._country_facts import COUNTRIES
from thermometer.families._numerals import in_words
from thermometer.families._word_fields import FIELDS
from thermometer.types import Question

KINDS = (_kinds.ANIMALS, _kinds.FOOD, _kinds.OBJECTS, _kinds.IDEAS)
NOUNS = (_nouns.ANIMALS, _nouns.THINGS, _nouns.PEOPLE_AND_FOOD, _nouns.NATURE_AND_IDEAS)
NAMES = [name for names in FAMILIES.values() for name in names]

POOLS = {task.name: task for task in generate_tasks(n_questions=10**6)}

# the alphabetical order of numbers of equal length is their order
ORDER_IS_THE_ANSWER = set(FAMILIES["comparison"])


def test_number_of_families_and_tasks() -> None:
    assert len(FAMILIES) >= 12
    assert len(NAMES) >= 50
    assert min(map(len, FAMILIES.values())) >= 4
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_well_formed(name: str) -> None:
    task = POOLS[name]
    size = len(task.questions)
    assert task.name == name
    assert task.labelled
    assert size >= 80
    assert [question.id for question in task.questions] == [f"{name}/{i}" for i in range(size)]
    assert len({question.text for question in task.questions}) == size
    assert len({len(question.options) for question in task.questions}) == 1
    assert 2 <= len(task.questions[0].options) <= 5
    for question in task.questions:
        texts = [question.text, *question.options]
        assert all(text and text == text.strip() and "{" not in text for text in texts)
        assert len(set(question.options)) == len(question.options)


def test_n_questions_is_at_most_and_a_hundred_without_a_word() -> None:
    for name, pool in POOLS.items():
        size = len(pool.questions)
        assert generate_task(name, size).questions == pool.questions
        assert generate_task(name, size + 1).questions == pool.questions
        assert generate_task(name).questions == pool.questions[:100]


def test_no_question_belongs_to_two_tasks() -> None:
    texts = [question.text for task in POOLS.values() for question in task.questions]
    assert len(set(texts)) == len(texts)


def test_different_numbers_of_options_occur() -> None:
    assert {len(task.questions[0].options) for task in POOLS.values()} == {2, 3, 4, 5}
    for names in FAMILIES.values():
        if names != FAMILIES["yes_no"]:
            assert len({len(POOLS[name].questions[0].options) for name in names}) > 1


def test_questions_are_short() -> None:
    words = [len(question.text.split()) for task in generate_tasks() for question in task.questions]
    assert max(words) <= 25
    assert np.mean(words) < 9


def test_same_seed_same_questions_and_fewer_are_the_first_of_more() -> None:
    for name in NAMES:
        assert generate_task(name, 80, seed=3) == generate_task(name, 80, seed=3)
        assert generate_task(name, 80, seed=3).questions[:7] == generate_task(name, 7, 3).questions
        assert generate_task(name, 80, seed=3) != generate_task(name, 80, seed=4)


def test_a_task_does_not_depend_on_the_others() -> None:
    assert generate_tasks(["elements"], 9)[1] == generate_task("elements/name_of_symbol", 9)
    assert [task.name for task in generate_tasks(n_questions=1)] == NAMES


def test_hash_randomisation_changes_nothing() -> None:
    code = "from thermometer.families import generate_tasks; print(generate_tasks(None, 30, 5))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_every_position_is_equally_likely() -> None:
    positions: dict[int, Counter[int]] = {}
    for seed in range(3):
        for question in (q for task in generate_tasks(seed=seed) for q in task.questions):
            assert question.answer is not None
            positions.setdefault(len(question.options), Counter())[question.answer] += 1
    for n_options, counts in positions.items():
        total = sum(counts.values())
        sigma = (total * (1 / n_options) * (1 - 1 / n_options)) ** 0.5
        for position in range(n_options):
            assert abs(counts[position] - total / n_options) < 4 * sigma


STRATEGIES: dict[str, Callable[[Sequence[str]], str]] = {
    "first position": lambda options: options[0],
    "last position": lambda options: options[-1],
    "longest": lambda options: max(options, key=len),
    "shortest": lambda options: min(options, key=len),
    "first in the alphabet": min,
    "last in the alphabet": max,
    "middle in the alphabet": lambda options: sorted(options)[len(options) // 2],
}


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", NAMES)
def test_no_strategy_without_reading_the_question(name: str, strategy: str) -> None:
    """At most 20 points above chance (four standard errors of a hundred questions)."""
    if name in ORDER_IS_THE_ANSWER and "alphabet" in strategy:
        pytest.skip("the order of the options is the answer")
    questions = [q for seed in range(3) for q in generate_task(name, seed=seed).questions]
    hits = [STRATEGIES[strategy](q.options) == right(q) for q in questions]
    assert np.mean(hits) < 1 / len(questions[0].options) + 0.2


def test_rank_of_the_right_number_is_uniform() -> None:
    for name in ("addition/two_digits", "addition/three_numbers"):
        questions = [q for seed in range(4) for q in generate_task(name, 500, seed).questions]
        ranks = Counter(sorted(map(int, q.options)).index(int(right(q))) for q in questions)
        assert all(400 < ranks[rank] < 600 for rank in range(4))


def right(question: Question) -> str:
    assert question.answer is not None
    return question.options[question.answer]


NUMBER_OF_WORD = {in_words(number): number for number in range(100)}


def numbers(text: str) -> list[int]:
    """The numbers of a text, in digits or in words."""
    found = [NUMBER_OF_WORD.get(word, word) for word in re.findall(r"[a-z-]+|\d+", text.lower())]
    return [int(number) for number in found if str(number).isdigit()]


@pytest.mark.parametrize("name", [*FAMILIES["addition"], *FAMILIES["multiplication"]])
def test_sums_and_products_are_right(name: str) -> None:
    operation = sum if name in FAMILIES["addition"] else np.prod
    for question in POOLS[name].questions:
        assert numbers(right(question)) == [operation(numbers(question.text))]


def test_comparisons_are_right() -> None:
    for name in FAMILIES["comparison"]:
        for question in POOLS[name].questions:
            shown = re.findall(r"\d[\d.]*", question.text)
            assert sorted(shown) == sorted(question.options)
            best = min if name == "comparison/smaller" else max
            assert right(question) == best(shown, key=float)


def test_dates_are_right() -> None:
    days = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"
    months = "January February March April May June July August September October November December"
    for name in FAMILIES["dates"]:
        circle = (days if "days" in name else months).split()
        for question in POOLS[name].questions:
            step = numbers(question.text)[0] * (1 if " after " in question.text else -1)
            start = circle.index(question.text.rstrip("?").split()[-1])
            assert right(question) == circle[(start + step) % len(circle)]


def test_rankings_are_right() -> None:
    for name in FAMILIES["ranking"]:
        for question in generate_task(name).questions:
            *facts, asked = re.split(r"(?<=[.]) ", question.text)
            pairs = [re.findall(r"(\w+) is .* (\w+)\.", fact)[0] for fact in facts]
            ahead, behind = ({pair[side] for pair in pairs} for side in (0, 1))
            first = any(word in asked for word in ("taller", "oldest", "fastest", "heaviest"))
            assert {right(question)} == (ahead - behind if first else behind - ahead)


def test_letters_are_right_and_tasks_share_no_word() -> None:
    pools: list[set[str]] = []
    for task, place in {"first": 0, "second": 1, "third": 2, "last": -1}.items():
        questions = POOLS[f"letters/{task}"].questions
        shown = [q.text.rstrip("?").split()[3 if task == "last" else -1] for q in questions]
        assert [word[place] for word in shown] == [right(q) for q in questions]
        pools.append(set(shown))
    assert len(set.union(*pools)) == sum(map(len, pools))


def test_yes_and_no_are_right() -> None:
    for task in FAMILIES["yes_no"]:
        answers = Counter(right(question) for question in POOLS[task].questions)
        assert abs(answers["yes"] - answers["no"]) <= 20
    for question in POOLS["yes_no/prime"].questions:
        divisors = [n for n in range(1, 600) if numbers(question.text)[0] % n == 0]
        assert right(question) == ("yes" if len(divisors) == 2 else "no")
    for question in POOLS["yes_no/total"].questions:
        x, y, total = numbers(question.text)
        assert right(question) == ("yes" if x + y == total else "no")
    for question in POOLS["yes_no/letter"].questions:
        shown = question.text.rstrip("?").split()
        assert right(question) == ("yes" if shown[-1] in shown[3] else "no")


def test_facts_hold_nothing_twice() -> None:
    """A word in two fields, or a country twice, could make a second option right."""
    rows = [row for part in COUNTRIES.values() for row in part]
    assert all(len(row) == 3 for row in rows)
    pools = [[word for field in fields for s in field for word in s] for fields in FIELDS.values()]
    pools += [[word for members in kinds.values() for word in members] for kinds in KINDS]
    pools += [[row[column] for row in rows] for column in (0, 1)]
    pools.append([noun for nouns in NOUNS for noun, _ in nouns])
    verbs = [row[0] for row in _verb_forms.IRREGULAR]
    pools.append([*verbs, *_verb_forms.REGULAR, *_verb_forms.MORE_REGULAR])
    pools.append(list(_verb_forms.FOR_ING))
    for pool in pools:
        assert [word for word, count in Counter(pool).items() if count > 1] == []


def test_unknown_names_list_close_matches() -> None:
    with pytest.raises(ValueError, match=r"`name`.*'capitals/europe'.*but got 'capital/europe'"):
        generate_task("capital/europe")
    with pytest.raises(ValueError, match=r"`families`.*'plurals'.*but got 'plural'"):
        generate_tasks(["plural"])
    with pytest.raises(TypeError, match="one string"):
        generate_tasks("plurals")


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="n_questions"):
        generate_task("elements/symbol", 0)
    with pytest.raises(TypeError, match="seed"):
        generate_task("elements/symbol", 1, seed=0.5)  # type: ignore[arg-type]
