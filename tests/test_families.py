"""The built-in tasks: well-formed, reproducible, right, and without give-aways."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from thermometer.families import FAMILIES, generate_task, generate_tasks
from thermometer.families._country_facts import COUNTRIES
from thermometer.families._word_fields import FIELDS
from thermometer.families._word_forms import A_NOUNS, AN_NOUNS
from thermometer.types import Question

NAMES = [name for names in FAMILIES.values() for name in names]

# the alphabetical order of two numbers of equal length is their order
ORDER_IS_THE_ANSWER = {"numbers/larger"}


def test_number_of_families_and_tasks() -> None:
    assert len(FAMILIES) >= 10
    assert len(NAMES) >= 40
    assert min(map(len, FAMILIES.values())) >= 4
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_task_is_well_formed(name: str) -> None:
    task = generate_task(name)  # 100 questions, the default
    assert task.name == name
    assert task.labelled
    assert [question.id for question in task.questions] == [f"{name}/{i}" for i in range(100)]
    assert len({question.text for question in task.questions}) == 100
    assert len({len(question.options) for question in task.questions}) == 1
    assert 2 <= len(task.questions[0].options) <= 5
    for question in task.questions:
        texts = [question.text, *question.options]
        assert all(text == text.strip() and "{" not in text for text in texts)


def test_different_numbers_of_options_occur() -> None:
    assert {len(generate_task(name, 1).questions[0].options) for name in NAMES} == {2, 3, 4, 5}


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
    for name in ("arithmetic/add_two_digits", "arithmetic/add_three_digits"):
        questions = generate_task(name, 2000).questions
        ranks = Counter(sorted(map(int, q.options)).index(int(right(q))) for q in questions)
        assert all(400 < ranks[rank] < 600 for rank in range(4))


def right(question: Question) -> str:
    assert question.answer is not None
    return question.options[question.answer]


OPERATIONS: dict[str, Callable[[int, int], int]] = {
    "add_one_digit": lambda x, y: x + y,
    "add_two_digits": lambda x, y: x + y,
    "add_three_digits": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "divide": lambda x, y: x // y if x % y == 0 else -1,
    "remainder": lambda x, y: x - y * (x // y),
}


@pytest.mark.parametrize("name", FAMILIES["arithmetic"])
def test_arithmetic_is_right(name: str) -> None:
    for question in generate_task(name, 100, seed=1).questions:
        x, y = map(int, re.findall(r"\d+", question.text))
        assert int(right(question)) == OPERATIONS[name.split("/")[1]](x, y)


def test_comparisons_are_right() -> None:
    for question in generate_task("numbers/larger").questions:
        numbers = re.findall(r"\d+", question.text)
        assert sorted(numbers) == sorted(question.options)
        assert int(right(question)) == max(map(int, numbers))


def test_roman_numerals_are_right() -> None:
    values = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
    for question in generate_task("numbers/roman").questions:
        digits = [values[letter] for letter in right(question)]
        signs = [-1 if one < other else 1 for one, other in pairwise(digits)]
        total = sum(s * d for s, d in zip([*signs, 1], digits, strict=True))
        assert total == int(re.findall(r"\d+", question.text)[0])


def test_primes_are_right() -> None:
    for question in generate_task("numbers/prime", 200).questions:
        number = int(re.findall(r"\d+", question.text)[0])
        divisors = [factor for factor in range(1, number + 1) if number % factor == 0]
        assert right(question) == ("yes" if len(divisors) == 2 else "no")


def test_rows_of_numbers_go_on_in_equal_steps() -> None:
    for question in generate_task("reasoning/next_number").questions:
        row = [*map(int, re.findall(r"\d+", question.text)), int(right(question))]
        assert len(set(np.diff(row))) == 1


def test_amounts_are_right() -> None:
    sizes = {
        "kilometers": 10**6,
        "meters": 10**3,
        "centimeters": 10,
        "millimeters": 1,
        "kilograms": 1000,
        "grams": 1,
        "liters": 1000,
        "milliliters": 1,
        "dollars": 100,
        "cents": 1,
    }

    def size(text: str) -> int:
        number, unit = text.split()
        return int(number) * sizes[unit]

    for question in generate_task("measures/metric").questions:
        words = question.text.rstrip("?").split()
        assert size(f"{right(question)} {words[2]}") == size(" ".join(words[-2:]))


def test_letters_are_right() -> None:
    for question in generate_task("letters/first_letter").questions:
        assert question.text.rstrip("?").split()[-1].startswith(right(question))
    for question in generate_task("letters/last_letter").questions:
        assert question.text.split()[3].endswith(right(question))
    for question in generate_task("letters/how_many").questions:
        assert len(question.text.rstrip("?").split()[-1]) == int(right(question))
    for question in generate_task("letters/backwards").questions:
        assert question.text.split()[2] == right(question)[::-1]


def test_facts_hold_nothing_twice() -> None:
    """A word in two fields, or a country twice, could make a second option right."""
    for fields in FIELDS.values():
        words = [word for field in fields for side in field for word in side]
        assert len(set(words)) == len(words)
    for column in (0, 1):
        assert len({row[column] for row in COUNTRIES}) == len(COUNTRIES)
    assert not set(A_NOUNS) & set(AN_NOUNS)
    assert all(len(row) >= 6 for row in COUNTRIES)


def test_no_other_language_of_the_country_is_offered() -> None:
    languages = {row[0]: row[5:] for row in COUNTRIES}
    for question in generate_task("countries/language").questions:
        country = question.text.removeprefix("What is a main language of ").rstrip("?")
        spoken = languages[country.removeprefix("the ")]
        assert [option for option in question.options if option in spoken] == [right(question)]


def test_too_many_questions_name_task_pool_and_request() -> None:
    with pytest.raises(ValueError, match=r"`n_questions`.*100.*'elements/symbol'.*but got 101"):
        generate_task("elements/symbol", 101)


def test_unknown_names_list_close_matches() -> None:
    with pytest.raises(ValueError, match=r"`name`.*'countries/capital'.*but got 'country/capital'"):
        generate_task("country/capital")
    with pytest.raises(ValueError, match=r"`families`.*'animals'.*but got 'animal'"):
        generate_tasks(["animal"])
    with pytest.raises(TypeError, match="one string"):
        generate_tasks("animals")


def test_bad_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="n_questions"):
        generate_task("elements/symbol", 0)
    with pytest.raises(TypeError, match="seed"):
        generate_task("elements/symbol", 1, seed=0.5)  # type: ignore[arg-type]
