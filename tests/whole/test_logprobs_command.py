"""The command that makes a table of what a batch of requests answered."""

import json
import re

import numpy as np
import pytest

import thermometer as th
from thermometer import cli

QUESTIONS = [
    {"id": "q1", "question": "Capital of Peru?", "choices": ["Lima", "Oslo"], "answer": 0},
    {
        "id": "q2",
        "question": "Capital of Cuba?",
        "choices": ["Rome", "Bern", "Havana"],
        "answer": 2,
    },
]


def line(key, listed, **changes):
    entries = [{"token": token, "logprob": float(np.log(p))} for token, p in listed.items()]
    content = [{**entries[0], "top_logprobs": entries}]
    body = {"model": "gpt", "choices": [{"message": {}, "logprobs": {"content": content}}]}
    return {
        "custom_id": key,
        "response": {"status_code": 200, "body": body},
        "error": None,
    } | changes


GOOD = [line("q2", {"C": 0.8, "B": 0.15}), line("q1", {"A": 0.6, " B": 0.3, "a": 0.05})]


@pytest.fixture
def run(tmp_path, capsys):
    def run(rows, *more):
        questions, responses = tmp_path / "capitals.jsonl", tmp_path / "responses.jsonl"
        questions.write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        responses.write_text(text)
        source = ("--responses", str(responses), "--tasks.source", str(questions))
        cli.main(["import-logprobs", *source, "--out_dir", str(tmp_path / "table"), *more])
        return th.OutputTable.open(tmp_path / "table"), capsys.readouterr().out

    return run


def test_responses_become_a_table_in_the_order_of_the_questions(run):
    table, printed = run(GOOD)
    assert table.ids == ("q1", "q2")
    assert table.labels.tolist() == [0, 2]
    np.testing.assert_allclose(table.scores[0, :2], np.log([0.65, 0.3]), rtol=1e-5)
    assert table.scores[0, 2] == -np.inf
    assert table.scores[1].argmax() == 2
    assert table.provenance["scores"] == {"model": "gpt", "replies": "letter"}
    assert "2 answers of gpt" in printed


def test_replies_may_be_the_texts_of_options(run):
    rows = [
        line("q1", {"Lima": 0.9, "Oslo": 0.1}),
        line("q2", {"Havana": 0.5, "Rome": 0.2, "Bern": 0.2}),
    ]
    table, printed = run(rows, "--replies", "text", "--model", "mine")
    np.testing.assert_allclose(table.scores[0, :2], np.log([0.9, 0.1]), rtol=1e-5)
    assert table.provenance["scores"]["model"] == "mine"
    assert (
        "warning     the answer's probability is known no better than to 0.1 in 1 of 2" in printed
    )


def test_a_file_of_windows_is_read(run, tmp_path):
    run(["\ufeff" + json.dumps(GOOD[0]) + "\r", json.dumps(GOOD[1]) + "\r"])
    assert (tmp_path / "responses.jsonl").read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("failed", "match"),
    [
        (line("q1", {"A": 1.0}, response=None, error={"message": "too long"}), "too long"),
        (line("q1", {"A": 1.0}), "top_logprobs=20"),
    ],
)
def test_responses_without_an_answer_are_left_out_and_named(run, failed, match):
    table, printed = run([GOOD[0], failed])
    assert table.ids == ("q2",)
    assert re.search(f"left out +q1: Response 1: .*{match}", printed)


@pytest.mark.parametrize(
    ("rows", "ids", "said"),
    [
        (GOOD[:1], ("q2",), "left out    question without a response, 1 of them: 'q1'"),
        (
            [*GOOD, line("q3", {"A": 0.5, "B": 0.4})],
            ("q1", "q2"),
            "left out    response without a question, 1 of them: 'q3'",
        ),
    ],
)
def test_what_has_no_partner_is_left_out_and_named(run, rows, ids, said):
    """OpenAI writes requests that expired to another file; of a question nobody can answer, too."""
    table, printed = run(rows)
    assert table.ids == ids
    assert said in printed
    with pytest.raises(SystemExit, match=r"`?responses`? to be one for each question"):
        run(rows, "--strict")


def test_a_question_that_is_left_out_takes_its_response_along(run, monkeypatch):
    monkeypatch.setitem(QUESTIONS[1], "choices", ["Rome", "Rome ", "Havana"])
    with pytest.warns(UserWarning, match="left out 1 rows .*in question q2"):
        table, printed = run(GOOD)
    assert table.ids == ("q1",)
    assert "left out    response without a question, 1 of them: 'q2'" in printed


def test_more_options_than_letters_are_named(run, monkeypatch):
    monkeypatch.setitem(QUESTIONS[1], "choices", [f"city {n}" for n in range(27)])
    with pytest.raises(SystemExit, match=r"at most 26 for the letter style.* 27 in question q2"):
        run(GOOD)


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([line("q9", {"A": 0.5, "B": 0.4})], "no response without a question, .*1 of them: 'q9'"),
        ([*GOOD, GOOD[0]], "line 3: 'q2' stands twice"),
        ([], "at least one response"),
        (["{"], "responses.jsonl, line 1: not JSON"),
        ([{"id": "q1"}], r"line 1: no custom_id that is a text \(there are id\)"),
        ([GOOD[0], line("q1", {"A": 0.5, "B": 0.7})], "Response 1: .*summing to at most 1"),
    ],
)
def test_an_unfit_file_is_refused_in_one_line(run, rows, match):
    with pytest.raises(SystemExit) as refused:
        run(rows)
    assert re.search(match, str(refused.value)), refused.value
    assert "\n" not in str(refused.value)
