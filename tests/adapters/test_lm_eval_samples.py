"""One samples file of lm-evaluation-harness: every way to name the right option, every defect."""

import re
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval_logs import STAMP, edit_line, edit_results, only, write_log

from thermometer import table_files
from thermometer.adapters.lm_eval import import_lm_eval
from thermometer.table_files import questions_digest
from thermometer.tasks import load_tasks, question_row


def make_best(row, option):
    row["filtered_resps"][option][0] = "-0.001"


def set_accuracy(content):
    content["results"]["plurals_things"]["acc,none"] = 0.4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: make_best(row, 0), r"recomputed acc of 0\.2 disagrees with 0\.3 in the file"),
        (lambda row: row.update(acc_norm=1 - row["acc_norm"]), r"recomputed acc_norm of 0\.5"),
        (lambda row: row.update(acc=0.25), "line 4: expected acc to be 0 or 1, but got 0.25"),
        (
            lambda row: row["filtered_resps"][0].__setitem__(0, "nan"),
            "line 4: .*finite, but got nan",
        ),
        (lambda row: row["filtered_resps"][0].__setitem__(0, "much"), "line 4: .*numbers"),
        (lambda row: row["filtered_resps"].__setitem__(0, 1.5), "line 4: .*numbers"),
        (lambda row: row["filtered_resps"].pop(), "line 4: .*2 for 3 requests"),
        (
            lambda row: row.update(
                arguments={"gen_args_0": row["arguments"]["gen_args_0"]},
                filtered_resps=row["filtered_resps"][:1],
            ),
            "line 4: .*at least two options, but got 1",
        ),
        (lambda row: row.pop("filtered_resps"), "line 4: the key 'filtered_resps' is missing"),
        (lambda row: row.update(doc_id=0), "line 4: .*unique, but got 0 as in line 1"),
        (lambda row: row.update(arguments=[["a", "b"]] * 3), "older than 0.4.3"),
        (lambda row: row["arguments"].pop("gen_args_1"), "gen_args_1"),
        (lambda row: row.update(target="hares"), "nothing says which option is right"),
        (lambda row: row.update(target="[0, 2]"), "nothing says which option is right"),
        (lambda row: row.update(filter="strict"), "9 documents|expected 10 documents, but got 9"),
    ],
)
def test_a_changed_line_is_refused(tmp_path, change, message):
    samples, _ = only(tmp_path / "log", "plurals_things")
    edit_line(samples, 3, change)
    with pytest.raises(ValueError, match=message) as error:
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    assert samples.name in str(error.value)
    assert not (tmp_path / "table").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_accuracy, r"recomputed acc of 0\.3 disagrees with 0\.4 in the results file"),
        (lambda c: c["results"].clear(), "no accuracy of plurals_things"),
        (lambda c: c.update(results=[1], configs=None), "no accuracy of plurals_things"),
        (lambda c: c["n-samples"]["plurals_things"].update(effective=11), "expected 11 documents"),
    ],
)
def test_results_that_disagree_are_refused(tmp_path, change, message):
    _, results = only(tmp_path / "log", "plurals_things")
    edit_results(results, change)
    with pytest.raises(ValueError, match=message):
        import_lm_eval(tmp_path / "log", tmp_path / "table")


def test_a_log_cut_short_is_refused(tmp_path):
    samples, _ = only(tmp_path / "log", "plurals_things")
    whole = samples.read_bytes()
    samples.write_bytes(whole[:-30])
    with pytest.raises(ValueError, match="line 10: not JSON"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    samples.write_bytes(b"".join(whole.splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match="expected 10 documents, but got 9"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    samples.write_bytes(b"")
    with pytest.raises(ValueError, match="no documents"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")


def test_a_document_that_stands_twice_is_read_once(tmp_path):
    samples, _ = only(tmp_path / "log", "plurals_things")
    samples.write_text(samples.read_text() + samples.read_text())
    assert len(import_lm_eval(tmp_path / "log", tmp_path / "table")) == 10


IMPOSSIBLE = [
    ([[0.0, 0.0, 0.0, 0.0]], "line 1: .*of one distribution, .*at most 1, but got 4"),
    ([[-2.0, -3.0], [-0.1, -0.2, -0.3]], r"line 2: .*at most 1, but got 2\.46"),
    ([[-1.0, 18.5]], "line 1: .*at most 0, but got 18.5"),
    ([[-1.0, float("-inf")]], "line 1: .*finite, but got -inf"),
    ([[-2.0, -3.0], [1e300, -1.0]], "line 2: .*at most 0"),
]


@pytest.mark.parametrize(("scores", "message"), IMPOSSIBLE)
@pytest.mark.parametrize("norm", ["none", "char", "byte"])
def test_what_no_log_likelihood_can_be_is_refused(tmp_path, scores, message, norm):
    write_log(tmp_path / "log", "index", [(row, int(np.argmax(row))) for row in scores])
    with pytest.raises(ValueError, match=message) as error:
        import_lm_eval(tmp_path / "log", tmp_path / "table", norm=norm)
    assert f"samples_made_{STAMP}.jsonl" in str(error.value)
    assert not (tmp_path / "table").exists()


def test_log_likelihoods_rounded_to_bfloat16_are_accepted(tmp_path):
    """Rounding, and a softmax of bfloat16, bring sums to little more than 1."""
    write_log(tmp_path / "log", "index", [([-0.6875, -0.6875, -4.0], 0)])
    assert np.exp([-0.6875, -0.6875, -4.0]).sum() > 1.02
    assert import_lm_eval(tmp_path / "log", tmp_path / "table").option_mass.tolist() == [1.0]


def test_likelihoods_without_a_context_are_looked_at_too(tmp_path):
    samples, _ = only(tmp_path / "log", "antonyms_mutual")

    def no_context(row):
        half = len(row["filtered_resps"]) // 2
        row["filtered_resps"][half:] = [["0.0", "True"]] * half

    edit_line(samples, 2, no_context)
    with pytest.raises(ValueError, match=r"line 3: .*at most 1, but got .* without a context"):
        import_lm_eval(tmp_path / "log", tmp_path / "table", norm="none")


def test_a_task_of_ties_is_told(tmp_path):
    """Of every option the same: what a broken back-end logs. One tie among others is nothing."""
    write_log(tmp_path / "log", "index", [([-3.0, -3.0, -3.0], 0), ([-2.5, -2.5], 0)])
    with pytest.warns(UserWarning, match="In all rows of made the options have the same score"):
        import_lm_eval(tmp_path / "log", tmp_path / "table")
    write_log(tmp_path / "other", "index", [([-3.0, -3.0, -3.0], 0), ([-2.5, -2.0], 1)])
    import_lm_eval(tmp_path / "other", tmp_path / "table")


def rename(row, *options):
    for number, text in enumerate(options):
        row["arguments"][f"gen_args_{number}"]["arg_1"] = text


@pytest.mark.parametrize("second", [" cat", " cat ", "  cat", " ca\u200bt", " "])
def test_a_document_with_options_alike_is_left_out(tmp_path, second):
    write_log(tmp_path / "log", "index", [([-1.0, -2.0], 0), ([-1.5, -0.7], 1), ([-3.0, -2.0], 1)])
    samples = tmp_path / "log" / f"samples_made_{STAMP}.jsonl"
    edit_line(samples, 1, lambda row: rename(row, " cat", second))
    with pytest.warns(UserWarning, match="left out 1 documents, .*line 2: .* in question made/1"):
        table = import_lm_eval(tmp_path / "log", tmp_path / "table")
    assert table.ids == ("made/0", "made/2")
    assert table.scores.tolist() == [[-1.0, -2.0], [-3.0, -2.0]]


def test_choices_are_those_that_load_tasks_will_read(tmp_path):
    """Else features of these questions could not be joined."""
    write_log(tmp_path / "log", "index", [([-1.0, -2.0], 0)])
    samples = tmp_path / "log" / f"samples_made_{STAMP}.jsonl"
    edit_line(samples, 0, lambda row: rename(row, " cat ", " dog"))
    table = import_lm_eval(tmp_path / "log", tmp_path / "table")
    [task] = load_tasks(tmp_path / "table" / "questions.jsonl")
    assert task.questions[0].options == ("cat", "dog")
    rows = [question_row(task.questions[0], task.name)]
    assert questions_digest(rows) == table_files.read_manifest(tmp_path / "table")["digest"]
    assert len(table) == 1


@pytest.mark.parametrize(
    ("options", "told"), [((" 1", " 10"), 1), ((" yes", " yes, always"), 1), ((" cat", " cats"), 0)]
)
def test_an_option_that_begins_another_is_told(tmp_path, options, told):
    """P(1) holds P(10): no sum of 1.7. Inside a word, tokens mostly differ from the start."""
    write_log(tmp_path / "log", "index", [([-0.1, -0.2], 0)])
    samples = tmp_path / "log" / f"samples_made_{STAMP}.jsonl"
    edit_line(samples, 0, lambda row: rename(row, *options))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = import_lm_eval(tmp_path / "log", tmp_path / "table")
    assert table.option_mass[0] == pytest.approx(np.exp(-0.1))
    said = [str(warning.message) for warning in caught]
    assert [bool(re.search("an option begins another one.*line 1", text)) for text in said] == (
        [True] * told
    )


def test_half_an_emoji_in_a_log_is_named(tmp_path):
    for number, change in enumerate(
        (
            lambda row: rename(row, " \ud83d", " dog"),
            lambda row: [a.update(arg_0="What \ud83d?") for a in row["arguments"].values()],
        )
    ):
        folder = tmp_path / f"log{number}"
        write_log(folder, "index", [([-1.0, -2.0], 0)])
        edit_line(folder / f"samples_made_{STAMP}.jsonl", 0, change)
        with pytest.raises(ValueError, match=r"line 1: .*(?i:utf-8)"):
            import_lm_eval(folder, tmp_path / "table")


WAYS = ("index", "text", "metric", "context")


@st.composite
def documents(draw):
    """Way of naming the right option, and for each document its log-likelihoods and label."""
    way = draw(st.sampled_from(WAYS))
    size = st.integers(2, 2) if way == "context" else st.integers(2, 7)
    value = st.floats(-80, -2, width=32)  # seven of e^-2 are less than 1
    docs = []
    for k in draw(st.lists(size, min_size=1, max_size=8)):
        scores = draw(st.lists(value, min_size=k, max_size=k, unique=True))
        docs.append((scores, draw(st.integers(0, k - 1))))
    return way, docs


@settings(max_examples=60, deadline=None)
@given(documents())
def test_any_log_comes_back_as_it_was_made(made):
    way, docs = made
    with TemporaryDirectory() as name:
        write_log(Path(name) / "log", way, docs)
        table = import_lm_eval(Path(name) / "log", Path(name) / "table")
    assert table.labels.tolist() == [label for _, label in docs]
    assert table.n_options.tolist() == [len(scores) for scores, _ in docs]
    for row, (scores, _) in zip(table.scores, docs, strict=True):
        assert row[: len(scores)].tolist() == scores


@settings(max_examples=40, deadline=None)
@given(documents(), st.integers(0, 7))
def test_one_wrong_accuracy_is_noticed(made, flip):
    way, docs = made
    if way == "context":  # there the label is known from the accuracy alone
        way = "index"
    with TemporaryDirectory() as name:
        write_log(Path(name) / "log", way, docs, flip % len(docs))
        with pytest.raises(ValueError, match=r"recomputed acc of .* disagrees with"):
            import_lm_eval(Path(name) / "log", Path(name) / "table")
        assert not (Path(name) / "table").exists()
