"""Pairs: from rows to texts to tokens, the response's apart from the prompt's."""

import gzip
import json

import datasets
import pytest
import tiny

from thermometer.ats.data import Pair, PairFormat, TokenPair, encode_pairs, load_pairs, token_pairs

ROWS = [
    {"prompt": "Capital of France?", "response": "Paris", "task": "capitals"},
    {"prompt": "Capital of Italy?", "response": "Rome"},
    {"prompt": "Which is larger?", "response": "two", "task": "size"},
]
PAIRS = [Pair("Capital of France?", "Paris", "capitals"), Pair("Capital of Italy?", "Rome")]


def write(file, rows, opened=open):
    with opened(file, "wt", encoding="utf-8") as lines:
        lines.write("\n".join(json.dumps(row) for row in rows) + "\n\n")
    return file


@pytest.mark.parametrize(("name", "opened"), [("a.jsonl", open), ("a.jsonl.gz", gzip.open)])
def test_json_lines(tmp_path, name, opened):
    pairs = load_pairs(write(tmp_path / name, ROWS, opened))
    assert pairs[:2] == PAIRS
    assert pairs[2].task == "size"


def test_fields_have_any_name_and_the_first_of_several_answers_counts(tmp_path):
    rows = [
        {"q": "Which?", "answers": ["this", "that"], "passage": "A text."},
        {"q": "Who?", "answers": ["I"], "passage": ""},
    ]
    file = write(tmp_path / "a.jsonl", rows)
    pairs = load_pairs(file, prompt="q", response="answers", context="passage")
    assert pairs == [Pair("A text.\nWhich?", "this"), Pair("Who?", "I")]


def test_a_repository_of_datasets(tmp_path):
    rows = [{key: row.get(key, "") for key in ("prompt", "response", "task")} for row in ROWS]
    datasets.DatasetDict({"train": datasets.Dataset.from_list(rows)}).save_to_disk(tmp_path / "d")
    assert load_pairs(tmp_path / "d")[:2] == PAIRS
    with pytest.raises(ValueError, match=r"`split` to be one of \['train'\]"):
        load_pairs(tmp_path / "d", split="test")


def test_a_limit_samples_by_seed_and_keeps_the_order(tmp_path):
    rows = [{"prompt": f"{i:03d}", "response": "x"} for i in range(50)]
    file = write(tmp_path / "a.jsonl", rows)
    drawn = [pair.prompt for pair in load_pairs(file, limit=9)]
    assert len(drawn) == 9
    assert drawn == sorted(drawn)
    assert drawn == [pair.prompt for pair in load_pairs(file, limit=9)]
    assert drawn != [pair.prompt for pair in load_pairs(file, limit=9, seed=1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"prompt": "a", "response": "b"}\n{"prompt": "a"}', r"row 2: .*object with 'response'"),
        ('{"prompt": "a", "response": 3}', r"row 1: .*`response` to be a string, but got 3"),
        ('{"prompt": " ", "response": "b"}', r"row 1: .*`prompt` to be a non-empty string"),
        ("[1]", r"line 1: .*JSON object on each line"),
        ("{", "line 1: not JSON"),
        ("\n", "at least one row"),
    ],
)
def test_malformed_rows_are_named(tmp_path, text, message):
    file = tmp_path / "a.jsonl"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_pairs(file)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no"):
        load_pairs(tmp_path / "none.jsonl")
    file = write(tmp_path / "a.jsonl.gz", ROWS, gzip.open)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(ValueError, match="damaged gzip file"):
        load_pairs(file)


@pytest.mark.parametrize(
    ("style", "before", "after"),
    [
        (PairFormat(chat=False, end=False), "<s>Capital of France?", " Paris"),
        (PairFormat(chat=False), "<s>Capital of France?", " Paris</s>"),
        (PairFormat(), "<s><|user|>Capital of France?\n<|assistant|>", "Paris</s>"),
    ],
)
def test_tokens_of_the_response_begin_where_the_prompt_ends(tokenizer, style, before, after):
    pair = encode_pairs(tokenizer, PAIRS, style)[0]
    assert tokenizer.decode(pair.ids[: pair.start]) == before
    assert tokenizer.decode(pair.ids[pair.start :]) == after


def test_no_blank_is_added_to_white_space(tokenizer):
    pair = encode_pairs(tokenizer, [Pair("Answer:\n", "Rome")], PairFormat(False, False))[0]
    assert tokenizer.decode(pair.ids[pair.start :]) == "Rome"


def test_long_responses_are_cut_and_long_prompts_left_out(tokenizer):
    pairs = [Pair("one two", "three " * 20), Pair("one " * 30, "two")]
    with pytest.warns(UserWarning, match="Left out 1 of 2 pairs whose prompt has 20 tokens"):
        found = encode_pairs(tokenizer, pairs, PairFormat(chat=False, max_length=20))
    assert [len(pair.ids) for pair in found] == [20]
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.raises(ValueError, match="at least one that is short enough"),
    ):
        encode_pairs(tokenizer, pairs[1:], PairFormat(chat=False, max_length=20))


def test_what_cannot_be_a_pair_is_refused(tokenizer):
    with pytest.raises(ValueError, match=r"`start` to be in \[1, 3\), but got 3"):
        TokenPair((1, 2, 3), 3)
    with pytest.raises(ValueError, match="at least 2, but got 1"):
        PairFormat(max_length=1)
    with pytest.raises(TypeError, match="got a mixture"):
        token_pairs(tokenizer, [PAIRS[0], TokenPair((1, 2), 1)], PairFormat())
    with pytest.raises(ValueError, match="without a chat template"):
        encode_pairs(tiny.tokenizer(chat=False), PAIRS, PairFormat())
