"""One samples file of lm-evaluation-harness: every way to name the right option, every defect."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lm_eval_logs import edit_line, edit_results, only, write_log

from thermometer.adapters.lm_eval import import_lm_eval


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


WAYS = ("index", "text", "metric", "context")


@st.composite
def documents(draw):
    """Way of naming the right option, and for each document its log-likelihoods and label."""
    way = draw(st.sampled_from(WAYS))
    size = st.integers(2, 2) if way == "context" else st.integers(2, 7)
    value = st.floats(-80, -0.125, width=32)
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
