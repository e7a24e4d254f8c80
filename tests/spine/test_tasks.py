"""Tasks from JSON lines and from `datasets`: what is read, and what is refused with its place."""

import gzip
import json
from dataclasses import replace

import datasets
import pytest

from thermometer.tasks import READY, Columns, TaskSource, load_task, load_tasks, question_row
from thermometer.types import Question, Task


def row(identifier, task="t", answer=0, split=None, **extra):
    fields = {"id": identifier, "task": task, "question": f"What is {identifier}?"}
    fields |= {"choices": ["one", "two", "three"], "answer": answer, "split": split, **extra}
    return {key: value for key, value in fields.items() if value is not None}


def write(path, rows):
    text = "".join(json.dumps(item) + "\n" for item in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["questions.jsonl", "questions.jsonl.gz"])
def test_a_file_becomes_tasks_sorted_by_name(tmp_path, name):
    file = write(
        tmp_path / name, [row("b1", "b"), row("a1", "a", 2, context="Passage."), row("b2", "b")]
    )
    tasks = load_tasks(file)
    assert [(task.name, len(task)) for task in tasks] == [("a", 1), ("b", 2)]
    assert tasks[0].questions[0] == Question(
        "a1", "What is a1?", ("one", "two", "three"), 2, "Passage."
    )
    assert [question.id for question in tasks[1].questions] == ["b1", "b2"]


def test_rows_survive_a_round_trip(tmp_path):
    questions = (
        Question("q1", "Été?", ("a", "b"), 1, "Context."),
        Question("q2", "Line\u2028break?", ("a", "b")),
    )
    file = write(tmp_path / "t.jsonl", [question_row(question, "t") for question in questions])
    assert load_task(file) == Task("t", questions)


def test_folders_and_patterns(tmp_path):
    write(tmp_path / "a.jsonl", [row("a1", None)])
    write(tmp_path / "b.jsonl.gz", [row("b1", None)])
    (tmp_path / "notes.txt").write_text("not JSON")
    (tmp_path / "deep.jsonl").mkdir()
    assert [task.name for task in load_tasks(tmp_path / "a.jsonl")] == ["a"]
    assert [task.name for task in load_tasks(f"{tmp_path}/*.jsonl*")] == ["a", "b"]
    (tmp_path / "deep.jsonl").rmdir()
    assert [task.name for task in load_tasks(tmp_path)] == ["a", "b"]
    with pytest.raises(FileNotFoundError, match=r"nothing was found at .*none"):
        load_tasks(tmp_path / "none*")
    with pytest.raises(FileNotFoundError, match="commonsense_qa"):
        load_tasks("no_such_benchmark")


def test_names_and_ids_that_rows_leave_out(tmp_path):
    bare = {"question": "Why?", "choices": ["a", "b"]}
    file = write(tmp_path / "reasons.jsonl", [bare, bare, {**bare, "id": 0}])
    task = load_task(file)
    assert task.name == "reasons"
    assert [question.id for question in task.questions] == ["reasons/1", "reasons/2", "0"]
    assert not task.labelled


def test_a_byte_order_mark_and_windows_lines(tmp_path):
    file = tmp_path / "t.jsonl"
    text = write(tmp_path / "plain.jsonl", [row("a"), row("b")]).read_text()
    file.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert load_task(file) == load_task(tmp_path / "plain.jsonl")


def test_choosing_tasks(tmp_path):
    file = write(tmp_path / "t.jsonl", [row(n, n) for n in ("m/a", "m/b", "n/a")])
    assert [task.name for task in load_tasks(file, names=("m/*",))] == ["m/a", "m/b"]
    assert [task.name for task in load_tasks(file, exclude=["*/a"])] == ["m/b"]
    with pytest.raises(ValueError, match=r"that leave a task, .*'x'.* of 3 tasks \(m/a"):
        load_tasks(file, names=("x",))
    with pytest.raises(ValueError, match=r"questions, but got none in .*t\.jsonl of split 'dev'"):
        load_tasks(file, split="dev")
    with pytest.raises(ValueError, match=r"one task .* 3: m/a, m/b, n/a"):
        load_task(file)
    with pytest.raises(TypeError, match=r"`names` to be a list .* one string: 'm/\*'"):
        load_tasks(file, names="m/*")


def test_limit_samples_by_seed_and_keeps_the_order(tmp_path):
    file = write(tmp_path / "t.jsonl", [row(f"{n:03}") for n in range(50)])

    def ids(**options):
        return [question.id for question in load_task(file, **options).questions]

    few = ids(limit=10)
    assert len(few) == 10
    assert few == sorted(few) == ids(limit=10)
    assert few != ids(limit=10, seed=1)
    assert ids(limit=99) == ids()
    with pytest.raises(ValueError, match="`limit`"):
        load_task(file, limit=0)


def test_demonstrations_are_another_split_and_never_scored(tmp_path):
    rows = [
        row("d1", split="dev"),
        row("q1", split="test"),
        row("d2", split="dev"),
        row("v", split="v"),
    ]
    file = write(tmp_path / "t.jsonl", rows)
    task = load_task(file, split="test", demonstrations="dev")
    assert [question.id for question in task.questions] == ["q1"]
    assert [question.id for question in task.demonstrations] == ["d1", "d2"]
    assert [q.id for q in load_task(file, demonstrations="dev").questions] == ["q1", "v"]
    assert len(load_task(file).questions) == 4
    with pytest.raises(ValueError, match="another split than `split`"):
        load_task(file, split="dev", demonstrations="dev")


def test_unanswered_demonstration_is_refused(tmp_path):
    file = write(tmp_path / "t.jsonl", [row("d1", answer=None, split="dev"), row("q1")])
    with pytest.raises(ValueError, match="no answer in d1"):
        load_task(file, demonstrations="dev")


GOOD = json.dumps(row("q1"))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON.*expected one JSON object on each line"),
        ("[1]", r"a JSON object on each line, got \[1\]"),
        ("question,a,b,answer", "not JSON.*expected one JSON object on each line"),
        (json.dumps({"id": "f", "question": "Who?", "answers": ["x"]}), "a free-form row"),
        (json.dumps({"id": "f", "question": "Who?"}), "fields"),
        (json.dumps(row("q2", choices="abc")), "list of strings, but got one string"),
        (json.dumps(row("q2", choices=[1, 2])), "got int at position 0"),
        (json.dumps(row("q2", answer=3)), r"an index in \[0, 3\), but got 3 in question q2"),
        (json.dumps(row("q2", choices={"A": "x", "B": "y"})), "list of strings, but got dict"),
        (json.dumps(row("q2", choices=5)), "list of strings, but got int: 5"),
        (json.dumps(row("q2", answer=-1)), "left out where nobody knows it.*but got -1"),
        (json.dumps(row("q2", answer="D")), "the index of the right choice, from 0 .*but got 'D'$"),
        (json.dumps(row("q2", answer="two")), "but got 'two', which is index 1"),
        (json.dumps(row("q2", answer="1")), "the index of the right choice"),
        (json.dumps(row("q2", answer=True)), "the index of the right choice"),
        (json.dumps(row("q2", answer=1.0)), "the index of the right choice"),
        (json.dumps({"text": "?", "choices": ["a", "b"]}), r"fields \['choices', 'text'\]"),
        (json.dumps(row("q2", question="")), "`text`"),
        (json.dumps(row("q2", question=5)), "`question`"),
        (json.dumps(row("q2", context=5)), "`context`"),
    ],
)
def test_malformed_row_names_file_and_line(tmp_path, line, message):
    file = tmp_path / "bad.jsonl"
    file.write_text(f"{GOOD}\n\n{line}\n")
    with pytest.raises(ValueError, match=rf"bad\.jsonl, line 3: .*{message}"):
        load_tasks(file)


def test_damaged_files_are_named(tmp_path):
    whole = write(tmp_path / "t.jsonl.gz", [row(f"{n}") for n in range(500)]).read_bytes()
    for number, content in enumerate(
        (whole[:-200], whole[:60] + b"\0" * 60 + whole[120:], b"plain")
    ):
        file = tmp_path / f"damaged{number}.jsonl.gz"
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"damaged{number}\.jsonl\.gz"):
            load_tasks(file)
    (tmp_path / "latin.jsonl").write_bytes(GOOD.encode() + b"\n\xe9\n")
    with pytest.raises(ValueError, match=r"latin\.jsonl, .*UTF-8"):
        load_tasks(tmp_path / "latin.jsonl")


def test_two_questions_with_one_id(tmp_path):
    write(tmp_path / "a.jsonl", [row("same", "a")])
    write(tmp_path / "b.jsonl", [row("same", "b")])
    with pytest.raises(ValueError, match=r"`id` to be unique, but got 'same' twice"):
        load_tasks(tmp_path)


def test_a_source_can_be_given_whole(tmp_path):
    file = write(tmp_path / "t.jsonl", [row("a"), row("b")])
    assert len(load_task(TaskSource(str(file), limit=1))) == 1
    assert len(load_task(TaskSource(str(file), limit=1), limit=2)) == 2


# Columns, types and layout of the repositories on the hub, as their data cards show them.
LABELLED = datasets.Features(
    {
        "text": datasets.List(datasets.Value("string")),
        "label": datasets.List(datasets.Value("string")),
    }
)


def text_columns(*names):
    return {name: datasets.Value("string") for name in names}


def labelled_choices(texts, labels="ABCD"):
    return {"text": list(texts), "label": list(labels[: len(texts)])}


REPOSITORIES = {
    "mmlu": (
        datasets.Features(
            {
                **text_columns("question", "subject"),
                "choices": datasets.List(datasets.Value("string")),
                "answer": datasets.ClassLabel(names=["A", "B", "C", "D"]),
            }
        ),
        {
            ("all", "test"): [
                {"question": "1 + 1?", "subject": "algebra", "choices": list("2345"), "answer": 0},
                {"question": "Bone?", "subject": "anatomy", "choices": list("wxyz"), "answer": 3},
                {"question": "Same?", "subject": "anatomy", "choices": list("wxxz"), "answer": 3},
            ],
            ("all", "dev"): [
                {"question": "1 + 2?", "subject": "algebra", "choices": list("2345"), "answer": 1}
            ],
        },
        [
            ("mmlu/algebra", [("mmlu/test/0", ("2", "3", "4", "5"), 0)]),
            ("mmlu/anatomy", [("mmlu/test/1", ("w", "x", "y", "z"), 3)]),
        ],
    ),
    "arc": (
        datasets.Features({**text_columns("id", "question", "answerKey"), "choices": LABELLED}),
        {
            (config, "test"): [
                {
                    "id": "NYS_1",
                    "question": f"{config}?",
                    "answerKey": "3",
                    "choices": labelled_choices(["a", "b", "c"], "1234"),
                },
                {
                    "id": "Mercury_2",
                    "question": "Five?",
                    "answerKey": "E",
                    "choices": labelled_choices("abcde", "ABCDE"),
                },
            ]
            for config in ("ARC-Easy", "ARC-Challenge")
        },
        [
            (
                f"arc/{config}",
                [
                    (f"arc/{config}/NYS_1", ("a", "b", "c"), 2),
                    (f"arc/{config}/Mercury_2", ("a", "b", "c", "d", "e"), 4),
                ],
            )
            for config in ("ARC-Challenge", "ARC-Easy")
        ],
    ),
    "openbookqa": (
        datasets.Features(
            {**text_columns("id", "question_stem", "answerKey"), "choices": LABELLED}
        ),
        {
            ("main", "test"): [
                {
                    "id": "8-376",
                    "question_stem": "Frilled sharks",
                    "answerKey": "B",
                    "choices": labelled_choices(["sea", "deep", "fish", "long"]),
                }
            ]
        },
        [("openbookqa", [("openbookqa/8-376", ("sea", "deep", "fish", "long"), 1)])],
    ),
    "commonsense_qa": (
        datasets.Features(
            {**text_columns("id", "question", "question_concept", "answerKey"), "choices": LABELLED}
        ),
        {
            ("default", "validation"): [
                {
                    "id": "1af",
                    "question": "Bank?",
                    "question_concept": "bank",
                    "answerKey": "A",
                    "choices": labelled_choices("vwxyz", "ABCDE"),
                }
            ],
            ("default", "test"): [
                {
                    "id": "9zz",
                    "question": "Secret?",
                    "question_concept": "secret",
                    "answerKey": "",
                    "choices": labelled_choices("vwxyz", "ABCDE"),
                }
            ],
        },
        [("commonsense_qa", [("commonsense_qa/1af", ("v", "w", "x", "y", "z"), 0)])],
    ),
    "boolq": (
        datasets.Features(
            {**text_columns("question", "passage"), "answer": datasets.Value("bool")}
        ),
        {
            ("default", "validation"): [
                {"question": "is it", "passage": "It is.", "answer": True},
                {"question": "is it not", "passage": "It is.", "answer": False},
            ]
        },
        [
            (
                "boolq",
                [
                    ("boolq/validation/0", ("no", "yes"), 1),
                    ("boolq/validation/1", ("no", "yes"), 0),
                ],
            )
        ],
    ),
}


@pytest.fixture
def repository(tmp_path):
    """Makes a local folder laid out as the hub repository of a ready-mapped data set."""

    def make(name):
        features, contents, _ = REPOSITORIES[name]
        folder = tmp_path / name
        configs = {}
        for (config, split), rows in contents.items():
            file = folder / config / f"{split}-00000-of-00001.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_list(rows, features=features).to_parquet(file)
            configs.setdefault(config, []).append(split)
        lines = ["---", "configs:"]
        for config, splits in configs.items():
            lines += [f"- config_name: {config}", "  data_files:"]
            for split in splits:
                lines += [f"  - split: {split}", f"    path: {config}/{split}-*"]
        (folder / "README.md").write_text("\n".join([*lines, "---", ""]))
        return folder

    return make


def as_ready(monkeypatch, name, folder):
    """The mapping as shipped, but for the place where its repository is found."""
    monkeypatch.setattr(
        "thermometer.tasks.READY", {name: replace(READY[name], repository=str(folder))}
    )


@pytest.mark.parametrize("name", sorted(REPOSITORIES))
@pytest.mark.filterwarnings("ignore:.*left out 1 rows")
def test_ready_mapping_reads_the_columns_of_the_repository(monkeypatch, repository, name):
    as_ready(monkeypatch, name, repository(name))
    got = [
        (
            task.name,
            [(question.id, question.options, question.answer) for question in task.questions],
        )
        for task in load_tasks(name)
    ]
    assert got == REPOSITORIES[name][2]


def test_every_ready_mapping_is_tested():
    assert set(READY) == set(REPOSITORIES)


def test_boolq_has_its_passage(monkeypatch, repository):
    as_ready(monkeypatch, "boolq", repository("boolq"))
    assert load_task("boolq").questions[0].context == "It is."


def test_withheld_answers_make_unlabelled_questions(monkeypatch, repository):
    as_ready(monkeypatch, "commonsense_qa", repository("commonsense_qa"))
    assert load_task("commonsense_qa", split="test").questions[0].answer is None


def test_mmlu_has_five_shots_in_dev(monkeypatch, repository):
    as_ready(monkeypatch, "mmlu", repository("mmlu"))
    with pytest.warns(UserWarning, match=r"mmlu, split 'test': left out 1 rows .* row 2"):
        task = load_task("mmlu", names=("mmlu/algebra",), demonstrations="dev")
    assert [question.text for question in task.demonstrations] == ["1 + 2?"]
    with pytest.raises(ValueError, match="another split"):
        load_tasks("mmlu", demonstrations="test")


def test_data_set_saved_to_disk(tmp_path):
    rows = [{"q": f"{n}?", "right": f"r{n}", "wrong": "w", "key": n % 2} for n in range(3)]
    data = datasets.Dataset.from_list(rows)
    mapping = Columns("q", ("right", "wrong"), "key")
    data.save_to_disk(tmp_path / "plain")
    task = load_task(tmp_path / "plain", columns=mapping)
    assert task.name == "plain"
    assert [question.options for question in task.questions] == [(f"r{n}", "w") for n in range(3)]
    assert [question.answer for question in task.questions] == [0, 1, 0]
    datasets.DatasetDict({"test": data, "dev": data}).save_to_disk(tmp_path / "split")
    assert len(load_task(tmp_path / "split", columns=mapping)) == 3
    with pytest.raises(ValueError, match=r"one of \['dev', 'test'\] .* 'train'"):
        load_task(tmp_path / "split", columns=mapping, split="train")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (Columns("ask"), r"test', row 0: .*names among .*, but got 'ask'"),
        (Columns(options=("choices.text",)), "row 0: .*'choices.text'"),
        (Columns(options=("question",)), "row 0: .*got one string"),
        (Columns(labels="letters", answer="letter"), r"row 0: .*one of \['x', 'y'\], but got 'z'"),
        (Columns(answer="share"), "row 0: .*an index, a boolean or a label, but got 0.5"),
        (Columns(answer="large"), r"row 0: .*\[0, 2\), but got 7"),
    ],
)
def test_wrong_columns_name_the_row(tmp_path, columns, message):
    fields = {"question": "Why?", "choices": ["a", "b"], "answer": 0, "share": 0.5, "large": 7}
    rows = [{**fields, "letters": ["x", "y"], "letter": "z"}]
    datasets.DatasetDict({"test": datasets.Dataset.from_list(rows)}).save_to_disk(tmp_path / "d")
    with pytest.raises(ValueError, match=message):
        load_tasks(tmp_path / "d", columns=columns)


def test_options_as_a_list_of_records(tmp_path):
    choices = [{"text": "a", "label": "A"}, {"text": "b", "label": "B"}]
    data = datasets.Dataset.from_list([{"question": "Why?", "choices": choices, "answer": "B"}])
    datasets.DatasetDict({"test": data}).save_to_disk(tmp_path / "d")
    columns = Columns(options=("choices.text",), labels="choices.label")
    question = load_task(tmp_path / "d", columns=columns).questions[0]
    assert (question.options, question.answer) == (("a", "b"), 1)


@pytest.mark.parametrize("field", ["options", "texts", "configs"])
def test_one_string_for_many_columns_is_refused(field):
    with pytest.raises(TypeError, match=f"`{field}` to be a list"):
        Columns(**{field: "choices"})


@pytest.mark.parametrize("answer", [True, "1", False])
def test_an_answer_of_a_data_set_that_is_no_index(tmp_path, answer):
    data = datasets.Dataset.from_list(
        [{"question": "Why?", "choices": ["a", "b"], "answer": answer}]
    )
    datasets.DatasetDict({"test": data}).save_to_disk(tmp_path / "d")
    with pytest.raises(ValueError, match=r"row 0: .*an index, a boolean or a label"):
        load_tasks(str(tmp_path / "d"), columns=Columns())
    with pytest.raises(TypeError, match="`answer` of question q"):
        Question("q", "Why?", ("a", "b"), answer)
