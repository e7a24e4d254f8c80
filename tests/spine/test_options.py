"""Options among which somebody can choose: one rule, whichever way a question comes in."""

import json
import unicodedata
import warnings

import datasets
import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from thermometer.adapters.tables import Extractor, write_table
from thermometer.calibrated_lm import CalibratedLM, questions_of
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.extraction import extract
from thermometer.free_form import load_free_form
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.tasks import Columns, load_tasks
from thermometer.templates import Prompt, Template
from thermometer.tokenization import TokenTree, extending_note
from thermometer.types import OptionsError, Question, Task

QUIET = {"accelerator": "cpu", "enable_progress_bar": False}
FAULTY = {
    "equal": ("Rome", "Rome"),
    "equal but for blanks": ("Rome", " Rome\t"),
    "equal but for a blank of another kind": ("Rome", "Rome\u00a0"),
    "composed in two ways": ("caf\u00e9", "cafe\u0301"),
    "a blank of no width": ("Rome", "Ro\u200bme"),
    "a byte order mark": ("\ufeffRome", "Rome"),
    "empty": ("Rome", ""),
    "nothing to see": ("Rome", "\u200b \u2060"),
    "only one": ("Rome",),
}
FAIR = [("Cs", "cS"), ("1", "10"), ("yes", "yes, always"), ("a  b", "a b"), ("B", "A")]
HALF = "\ud83d"


def row(identifier, choices=("x", "y"), **changes):
    return {"id": identifier, "question": "Which?", "choices": list(choices), "answer": 0} | changes


def columns(rows):
    names = ("id", "question", "choices", "answer")
    return {"task": ["t"] * len(rows), **{name: [r[name] for r in rows] for name in names}}


def lines(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


@pytest.mark.parametrize("options", FAULTY.values(), ids=FAULTY)
def test_who_makes_a_question_is_told_and_who_loads_a_file_does_without(options, tmp_path):
    with pytest.raises(OptionsError, match="in question q1"):
        Question("q1", "Which?", options)
    with pytest.raises(OptionsError, match="in question prompt 2"):
        questions_of(["a", "b"], [("x", "y"), options])
    batch = columns([row("q1"), row("q2", options)]) | {"scores": [[-1.0, -2.0]] * 2}
    with pytest.raises(OptionsError, match="in question q2"):
        write_table([batch], tmp_path / "table")
    file = lines(tmp_path / "t.jsonl", [row("q1"), row("q2", options), row("q3")])
    with pytest.warns(UserWarning, match=r"left out 1 rows .*t\.jsonl, line 2: .* in question q2"):
        [task] = load_tasks(file)
    assert [q.id for q in task.questions] == ["q1", "q3"]
    split = datasets.Dataset.from_list([row("q1"), row("q2", options), row("q3")])
    datasets.DatasetDict({"test": split}).save_to_disk(tmp_path / "set")
    with pytest.warns(UserWarning, match=r"left out 1 rows .* row 1: .* in question set/q2"):
        [loaded] = load_tasks(str(tmp_path / "set"), columns=Columns(id="id"))
    assert [q.options for q in loaded.questions] == [q.options for q in task.questions]


@pytest.mark.parametrize("options", FAIR)
def test_what_looks_different_stays_as_it_is(options):
    assert Question("q", "Which?", options).options == options


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4))
def test_options_are_accepted_as_they_will_be_used(options):
    """Making a question of a question's options changes nothing; no two are alike or empty."""
    try:
        once = Question("q", "Which?", options).options
    except OptionsError:
        return
    assert Question("q", "Which?", once).options == once
    assert [text.strip() for text in once] == list(once)
    assert all(once)
    assert len({unicodedata.normalize("NFC", text) for text in once}) == len(options)


def test_blanks_around_an_option_change_no_number(lm):
    """A trailing blank is a token that hardly any model says: it moved P from 0.998 to 0.6."""
    plain = Task("t", (Question("q", "Which?", ("Paris", "Rome")),))
    padded = Task("t", (Question("q", "Which?", (" Paris ", "Rome\n")),))
    assert plain == padded
    cloze = Template("cloze")
    results = [lm.outputs(cloze.render_task(task), cloze) for task in (plain, padded)]
    np.testing.assert_array_equal(results[0].scores, results[1].scores)


def test_a_set_has_no_order():
    with pytest.raises(TypeError, match="`options` to be a list of strings, but got set"):
        Question("q", "Which?", {"Paris", "Rome"}, 0)
    with pytest.raises(TypeError, match="but got frozenset"):
        questions_of(["a"], frozenset({"Paris", "Rome"}))


@pytest.mark.parametrize("name", ["id", "question", "context", "task", "choices"])
def test_half_an_emoji_is_named_where_it_is_read(name, tmp_path):
    value = ["x", HALF] if name == "choices" else f"a {HALF}"
    file = lines(tmp_path / "t.jsonl", [row("q1"), row("q2", **{name: value})])
    with pytest.raises(ValueError, match=r"t\.jsonl, line 2: .*(?i:utf-8)"):
        load_tasks(file)


def test_half_an_emoji_in_what_is_made_by_hand(tmp_path):
    question = Question("q", "Which?", ("x", "y"))
    for make in (
        lambda: Task(f"t{HALF}", (question,)),
        lambda: Question(f"q{HALF}", "Which?", ("x", "y")),
        lambda: Question("q", "Which?", ("x", HALF)),
        lambda: Prompt("q", f"Which? {HALF}"),
        lambda: Prompt("q", "Which?", (" x", HALF)),
        lambda: load_free_form(lines(tmp_path / "f.jsonl", [{"question": "?", "answers": [HALF]}])),
    ):
        with pytest.raises(ValueError, match=r"(?i)utf-8"):
            make()
    with pytest.raises(TypeError, match="`id` to be a string, but got 1"):
        Question(1, "Which?", ("x", "y"))
    with pytest.raises(TypeError, match="`text` to be a string, but got b'Which"):
        Question("q", b"Which?", ("x", "y"))


@pytest.mark.parametrize("said", ["y ", " y", "y"])
def test_an_answer_in_words_is_told_its_index(said, tmp_path):
    file = lines(tmp_path / "t.jsonl", [row("q", ("x", "y\t"), answer=said)])
    with pytest.raises(ValueError, match="which is index 1"):
        load_tasks(file)


@pytest.mark.parametrize(
    ("changes", "labels", "match"),
    [
        ({"answer": "A", "names": ["A", "A"]}, "names", r"`answer` to be one of \['A', 'A'\]"),
        ({"answer": "A", "names": ["A", "B", "C"]}, "names", "`names` to be 2 labels, as options"),
        ({"answer": "1", "choices": ["1", "2"]}, None, "an index, a boolean or a label"),
    ],
)
def test_an_answer_of_two_meanings_is_refused(changes, labels, match, tmp_path):
    split = datasets.Dataset.from_list([row("q", answer="0", names=["A", "B"]) | changes])
    datasets.DatasetDict({"test": split}).save_to_disk(tmp_path / "set")
    with pytest.raises(ValueError, match=f"row 0: .*{match}"):
        load_tasks(str(tmp_path / "set"), columns=Columns(labels=labels))


def test_a_missing_option_is_no_option_of_that_name(tmp_path):
    rows = [{"question": "Which?", "a": "x", "b": "y", "answer": 0}]
    split = datasets.Dataset.from_list([*rows, rows[0] | {"b": None}])
    datasets.DatasetDict({"test": split}).save_to_disk(tmp_path / "set")
    with pytest.warns(UserWarning, match="left out 1 rows"):
        [task] = load_tasks(str(tmp_path / "set"), columns=Columns(options=("a", "b")))
    assert [q.options for q in task.questions] == [("x", "y")]


NESTED = ("yes", "yes no", "no")


@pytest.fixture(scope="module")
def nested():
    return Task("t", (Question("q1", "Is it?", NESTED), Question("q2", "Is it?", ("yes", "no"))))


def test_the_mass_of_options_that_begin_another_is_a_probability(lm, nested):
    """P(yes) holds P(yes no): together they have P(yes), which the parts' sum exceeds."""
    cloze = Template("cloze")
    trees = lm.encode(cloze.render_task(nested), cloze)
    assert [tree.extending for tree in trees] == [(1,), ()]
    outputs = lm.compute(trees)
    probs = np.exp(outputs.scores.astype(np.float64))
    assert probs[0, 1] < probs[0, 0]
    np.testing.assert_allclose(outputs.option_mass[0], probs[0, 0] + probs[0, 2], rtol=1e-5)
    np.testing.assert_allclose(outputs.option_mass[1], probs[1, :2].sum(), rtol=1e-5)


def test_the_user_is_told_of_options_that_begin_another(lm, nested, tmp_path):
    note = r"In 1 questions the tokens of an option begin another one.*first in q1"
    cloze = Template("cloze")
    with pytest.warns(UserWarning, match=note) as told:
        extract(lm, nested, tmp_path / "scores", template=cloze, features=False, trainer=QUIET)
    assert len(told) == 1
    tiny.save("llama", tmp_path / "model")
    batch = columns([row(q.id, q.options, question=q.text) for q in nested.questions])
    with pytest.warns(UserWarning, match=note):
        Extractor(str(tmp_path / "model"), template=cloze)(batch)
    network = Thermometer(ThermometerConfig.scores_only())
    record = TrainingRecord(["law"], 1.0, targets=[lm.provenance(cloze)])
    answers = CalibratedLM(lm, Calibrator(network, record)).classify(["Is it?"], NESTED)
    assert [text for text in answers[0].warnings if "begin another one" in text]
    with warnings.catch_warnings():  # neither where letters are asked for, nor features
        warnings.simplefilter("error")
        extract(lm, nested, tmp_path / "features", template=cloze, scores=False, trainer=QUIET)
        assert extending_note(lm.encode(Template().render_task(nested), Template())) is None


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=4), min_size=1, max_size=6))
def test_what_extends_is_what_begins_with_another(branches):
    branches = tuple(dict.fromkeys(map(tuple, branches)))
    expected = [
        i for i, a in enumerate(branches) if any(a != b and a[: len(b)] == b for b in branches)
    ]
    assert list(TokenTree("q", (9,), branches).extending) == expected
