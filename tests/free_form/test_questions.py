"""Questions without options, the wording that they are asked in, and rules that judge answers."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thermometer.free_form import (
    JUDGES,
    FreeFormQuestion,
    FreeFormTask,
    free_form_row,
    is_right,
    load_free_form,
    normalised,
    render_question,
    verify_question,
    without_options,
)
from thermometer.tasks import load_tasks
from thermometer.templates import Prompt, Template
from thermometer.types import Question

FAUST = FreeFormQuestion("q1", "Who wrote Faust?", ("Goethe",))
WORDS = st.lists(
    st.sampled_from(["the", "a", "cat", "dog", "Cat,", "3", "-3", "2.5", "éé", "x"]), max_size=6
)


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_question_is_asked_and_its_answer_verified_as_in_the_paper():
    template = Template("verify")
    asked = render_question(FAUST, template)
    assert asked == Prompt(
        "q1", "Answer in as few words as possible. \nQuestion:Who wrote Faust?. \nAnswer:"
    )
    prompt = template.render(verify_question(FAUST, " Goethe "))
    assert prompt.text == (
        f"Choose A, or B,\n {asked.text} Goethe \nIs the above answer correct? "
        "\nA. Yes, \nB. No, \nAnswer:"
    )
    assert prompt.options == (" A", " B")


def test_a_context_stands_before_the_question():
    question = FreeFormQuestion("q", "Who won?", context="Ann beat Bob")
    template = Template("verify", chat=True)
    asked = render_question(question, template)
    assert asked.text.splitlines()[1] == "Context:Ann beat Bob. "
    assert asked.chat
    verification = template.render(verify_question(question, "Ann"))
    assert asked.text in verification.text
    assert verification.options == ("A", "B")


@pytest.mark.parametrize(("right", "label"), [(None, None), (True, 0), (False, 1)])
def test_the_label_is_yes_where_the_answer_is_right(right, label):
    asked = verify_question(FAUST, "Goethe", right)
    assert (asked.answer, asked.id) == (label, "q1")


def test_verification_is_of_answers_only():
    with pytest.raises(ValueError, match="`answer` to be a non-empty text, but got ' ' to"):
        verify_question(FAUST, " ")
    capital = Question("q2", "Capital of Peru?", ("Lima", "Oslo"))
    with pytest.raises(ValueError, match=r"\('Yes', 'No'\) for the verify style .* question q2"):
        Template("verify").render(capital)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"shots": 1}, "`shots` to be 0 for the verify style"),
        ({"norm": "char"}, "`norm` to be 'none' for the verify style"),
    ],
)
def test_impossible_verify_templates_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        Template("verify", **fields)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"id": ""}, ValueError, "`id`"),
        ({"text": " "}, ValueError, "`text` .* question q"),
        ({"answers": "yes"}, TypeError, "got one string: 'yes'"),
        ({"answers": ("a", " ")}, ValueError, "`answers` to be non-empty texts"),
        ({"context": 3}, TypeError, "`context` to be a string"),
    ],
)
def test_malformed_questions_are_refused(fields, error, message):
    with pytest.raises(error, match=message):
        FreeFormQuestion(**({"id": "q", "text": "Who?"} | fields))


def test_malformed_tasks_are_refused():
    with pytest.raises(ValueError, match="`id` to be unique, but got 'q1' twice in task 't'"):
        FreeFormTask("t", (FAUST, FAUST))
    with pytest.raises(ValueError, match="at least one question"):
        FreeFormTask("t", ())
    with pytest.raises(ValueError, match="`name`"):
        FreeFormTask("", (FAUST,))
    assert FreeFormTask("t", [FAUST]).labelled


def test_texts_share_a_passage_or_have_their_own():
    assert [q.context for q in without_options(["Who?", "When?"], "Ann won")] == ["Ann won"] * 2
    assert [q.context for q in without_options(["Who?", "When?"], ["x", None])] == ["x", None]
    task = FreeFormTask("t", (FAUST,))
    assert without_options(task) == (FAUST,)


@pytest.mark.parametrize(
    ("questions", "context", "error", "message"),
    [
        ("Who?", None, TypeError, "got one string: 'Who[?]'"),
        ([], None, ValueError, "at least one question"),
        (["Who?"], ["x", "y"], ValueError, "`context` to be of length 1"),
        ([" "], None, ValueError, "non-empty"),
        (FreeFormTask("t", (FAUST,)), "x", ValueError, "None where `questions` are a task"),
    ],
)
def test_malformed_texts_are_refused(questions, context, error, message):
    with pytest.raises(error, match=message):
        without_options(questions, context)


def test_rows_are_loaded_by_task(tmp_path):
    rows = [
        {"id": "b1", "task": "b", "question": "Who?", "answers": ["x", "y"], "context": "c"},
        {"id": "a1", "task": "a", "question": "When?", "answers": ["z"], "split": "test"},
        {"question": "Unlabelled?"},
    ]
    file = write(tmp_path / "mine.jsonl", rows)
    tasks = load_free_form(file)
    assert [task.name for task in tasks] == ["a", "b", "mine"]
    assert tasks[1].questions == (FreeFormQuestion("b1", "Who?", ("x", "y"), "c"),)
    assert tasks[2].questions == (FreeFormQuestion("mine/3", "Unlabelled?"),)
    assert [task.labelled for task in tasks] == [True, True, False]
    assert [task.name for task in load_free_form(file, split="test")] == ["a"]
    assert [task.name for task in load_free_form(file, names=["b"], limit=1)] == ["b"]
    back = write(
        tmp_path / "back.jsonl", [free_form_row(q, t.name) for t in tasks for q in t.questions]
    )
    assert load_free_form(back) == tasks


def test_the_two_kinds_of_rows_are_told_apart(tmp_path):
    free = write(tmp_path / "free.jsonl", [{"id": "f", "question": "Who?", "answers": ["x"]}])
    with pytest.raises(ValueError, match=r"free\.jsonl, line 1: .* got a free-form row"):
        load_tasks(free)
    row = {"id": "m", "question": "Who?", "choices": ["x", "y"], "answer": 0}
    with pytest.raises(ValueError, match=r"m\.jsonl, line 1: .* got a multiple-choice row"):
        load_free_form(write(tmp_path / "m.jsonl", [row]))
    with pytest.raises(ValueError, match=r"line 1: .*got one string: 'x'"):
        load_free_form(write(tmp_path / "s.jsonl", [{"question": "Who?", "answers": "x"}]))
    with pytest.raises(ValueError, match="None for free-form tasks"):
        load_free_form(free, demonstrations="dev")
    with pytest.raises(FileNotFoundError):
        load_free_form(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel Tower.", "eiffel tower"),
        ("an A-level, a U.S. test", "alevel us test"),
        ("\N{MINUS SIGN}3.50", "-3.50"),
        ("1,234.", "1234"),
        ("-.5 and 5.", "-.5 and 5"),
        ("v.2 ... - x", "v2 x"),
        ("7-3", "73"),
        ("“Straße”!", "strasse"),
        ("\uff21\uff22", "ab"),
        ("$5", "$5"),
        ("theatre", "theatre"),
        ("The.", ""),
    ],
)
def test_normalised(text, expected):
    assert normalised(text) == expected


@pytest.mark.parametrize(
    ("answer", "accepted", "rights"),
    [
        ("paris.", ["Rome", "Paris"], {"match", "contains", "rouge_l"}),
        ("It is Paris", ["Paris"], {"contains", "rouge_l"}),
        ("New York", ["New York City"], {"rouge_l"}),
        ("York New", ["New York"], {"rouge_l"}),
        ("Parisian", ["Paris"], set()),
        ("398", ["-398"], set()),
        ("25", ["2.5"], set()),
        ("", ["Paris"], set()),
        ("the", ["The"], set()),  # nothing is left of it
    ],
)
def test_judges(answer, accepted, rights):
    assert {judge for judge in JUDGES if is_right(answer, accepted, judge)} == rights


@given(WORDS, st.lists(WORDS, min_size=1, max_size=3))
def test_a_strict_judge_is_never_more_lenient(answer, accepted):
    answer, accepted = " ".join(answer), [" ".join(words) for words in accepted]
    verdicts = [is_right(answer, accepted, judge) for judge in ("match", "contains", "rouge_l")]
    assert verdicts == sorted(verdicts)
    if normalised(answer):
        assert is_right(f"The {answer.upper()}!", [answer])


@given(WORDS, WORDS)
def test_rouge_l_is_the_longest_common_subsequence(answer, other):
    a, b = normalised(" ".join(answer)).split(), normalised(" ".join(other)).split()
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1][j + 1] = (
                table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
            )
    assert is_right(" ".join(answer), [" ".join(other)], "rouge_l") == (table[-1][-1] > 0)


def test_a_judge_needs_a_known_rule_and_an_answer():
    with pytest.raises(ValueError, match="`judge` to be one of 'contains', 'match', 'rouge_l'"):
        is_right("x", ["x"], "gpt")
    with pytest.raises(ValueError, match="at least one answer"):
        is_right("x", [])
    with pytest.raises(TypeError, match="got one string"):
        is_right("x", "x")
