"""Scores of a second language model: how they reach a thermometer, and what it makes of them."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from thermometer.adaptation import TemperatureStream, adapt, for_model
from thermometer.adapters.api_logprobs import calibrate_responses, option_probabilities
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.commands import calibrate
from thermometer.experiment import Experiment, ModelSpec, TableSpec
from thermometer.extraction import extract
from thermometer.language_model import LanguageModel
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.score_features import (
    WIDTHS,
    reference_statistics,
    sample_statistics,
    softened,
)
from thermometer.table_files import MANIFEST
from thermometer.tables import OutputTable
from thermometer.tasks import TaskSource, load_tasks
from thermometer.templates import Template
from thermometer.training import TrainingConfig, train
from thermometer.types import Question, Task

QUIET = {"enable_progress_bar": False}
CPU = {"accelerator": "cpu", "enable_progress_bar": False}
ALONE = ThermometerConfig(("scores",), n_members=2)
BESIDE = ThermometerConfig(("scores+reference",), n_members=2)
SHORT = TrainingConfig(max_steps=5)


def table_of(n_tasks=24, n=40, seed=0, names=("large", "second")):
    """An answering model that is as sure where it is wrong as where it is right.

    Its reference model has no opinion of its own where the answer is right, and contradicts it
    where it is wrong, with noise.
    """
    rng = np.random.default_rng(seed)
    size = n_tasks * n
    scores = rng.normal(size=(size, 4))
    answer = rng.integers(4, size=size)
    scores[np.arange(size), answer] += 6
    wrong = rng.random(size) < np.repeat(rng.uniform(0.1, 0.7, n_tasks), n)
    labels = np.where(wrong, (answer + rng.integers(1, 4, size)) % 4, answer)
    reference = rng.normal(size=(size, 4))
    reference[np.arange(size), labels] += 2
    ids, tasks = [f"q{i}" for i in range(size)], [f"task {i // n:02d}" for i in range(size)]
    made = [{"scores": {"model": name}} for name in names]
    large = OutputTable.from_arrays(ids, tasks, labels, scores, provenance=made[0])
    second = OutputTable.from_arrays(ids, tasks, labels, reference, provenance=made[1])
    return large, second


def statistics(z, reference):
    return reference_statistics(*(softened(torch.as_tensor(x), 1.0) for x in (z, reference)))


def nll(table, temperature):
    logs = log_softmax(table.scores / np.asarray(temperature)[:, None], axis=1)
    return -logs[np.arange(len(table)), table.labels].mean()


@given(st.integers(0, 2**32 - 1), st.integers(2, 7), st.integers(1, 5))
def test_statistics_are_those_of_the_formulas(seed, width, rows):
    rng = np.random.default_rng(seed)
    z, reference = rng.normal(size=(2, rows, width)) * 3
    found = statistics(z, reference).numpy()
    assert found.shape == (rows, WIDTHS["reference"])
    own = sample_statistics(softened(torch.tensor(reference), 1.0)).numpy()
    np.testing.assert_allclose(found[:, :12], own, atol=1e-6)
    answer, other = z.argmax(axis=1), reference.argmax(axis=1)
    np.testing.assert_array_equal(found[:, 12], answer == other)
    each = np.arange(rows)
    for place, t in enumerate((0.5, 1.0, 2.0)):
        p, r = softmax(z / t, axis=1), softmax(reference / t, axis=1)
        logs = log_softmax(z / t, axis=1) - log_softmax(reference / t, axis=1)
        expected = [
            r[each, answer],
            r.max(axis=1),
            p[each, other],
            np.minimum((p * logs).sum(axis=1), 8),
            (p * r).sum(axis=1),
        ]
        columns = found[:, 13 + 5 * place : 18 + 5 * place]
        np.testing.assert_allclose(columns, np.stack(expected, axis=1), atol=2e-5)


@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(0, 4))
def test_neither_order_nor_padding_of_options_matters(seed, width, padding):
    rng = np.random.default_rng(seed)
    z, reference = torch.tensor(rng.normal(size=(2, 3, width)))
    expected = statistics(z, reference)
    order = torch.tensor(rng.permutation(width))
    turned = statistics(z[:, order], reference[:, order])
    torch.testing.assert_close(turned, expected, atol=1e-5, rtol=1e-5)
    empty = torch.full((3, padding), -torch.inf)
    wider = statistics(torch.cat([z, empty], 1), torch.cat([reference, empty], 1))
    torch.testing.assert_close(wider, expected, atol=1e-5, rtol=1e-5)


def test_extreme_scores_give_finite_statistics():
    z = torch.tensor([[1e4, -1e4, -torch.inf], [0.0, 0.0, 0.0]])
    found = statistics(z, torch.tensor([[-1e4, 1e4, -torch.inf], [1e4, 0.0, 0.0]]))
    assert found.isfinite().all()
    assert found[0, 12] == 0
    assert found[0, [16, 21, 26]].tolist() == [8, 8, 8]


def test_rows_are_matched_by_id_and_kept():
    large, second = table_of()
    turned = second.select(np.random.default_rng(0).permutation(len(second)))
    table = large.with_reference(turned)
    np.testing.assert_array_equal(table.reference_scores, second.scores)
    assert table.provenance == {
        "scores": {"model": "large"},
        "reference_scores": {"model": "second"},
    }
    some = table.of_tasks(["task 03"])
    np.testing.assert_array_equal(some.reference_scores, second.of_tasks(["task 03"]).scores)
    both = OutputTable.concatenate([some, table.of_tasks(["task 01"])])
    assert both.reference_scores.shape == both.scores.shape
    with pytest.raises(ValueError, match="with the same columns"):
        OutputTable.concatenate([some, replace(table.of_tasks(["task 01"]), reference_scores=None)])


def test_features_may_join_scores_before_or_after_the_reference():
    large, second = table_of()
    made = {"features": {"model": "small"}}
    features = replace(large, scores=None, features=np.ones((len(large), 2)), provenance=made)
    expected = {**made, "scores": {"model": "large"}, "reference_scores": {"model": "second"}}
    for both in (
        features.join(large).with_reference(second),
        features.join(large.with_reference(second)),
        features.with_reference(second).join(large),
    ):
        np.testing.assert_array_equal(both.reference_scores, second.scores)
        np.testing.assert_array_equal(both.scores, large.scores)
        assert both.provenance == expected
        assert "reference_scores=True" in repr(both)
    assert "reference" not in repr(features.join(large))


def test_tables_of_other_questions_or_options_are_refused():
    large, second = table_of()
    with pytest.raises(ValueError, match="40 are in one only: q0, q1, q10"):
        large.with_reference(second.of_tasks(second.task_names[1:]))
    fewer = second.scores.copy()
    fewer[5, 3] = -np.inf
    unknown = np.full(len(large), -1)
    other = replace(second, labels=unknown, scores=fewer)
    large = replace(large, labels=unknown)
    with pytest.raises(ValueError, match="of the options of `scores`, 4 in row 5, but got 3"):
        large.with_reference(other)
    with pytest.raises(TypeError, match=r"`table` to be a OutputTable \(`OutputTable.from_arrays`"):
        large.with_reference(second.scores)


def test_it_learns_which_model_to_believe():
    large, second = table_of()
    table = large.with_reference(second)
    seen, unseen = table.of_tasks(table.task_names[:16]), table.of_tasks(table.task_names[16:])
    training = TrainingConfig(max_steps=150)
    alone = train(seen, ALONE, training, trainer=QUIET)
    beside = train(seen, BESIDE, training, trainer=QUIET)
    one = nll(unseen, np.full(len(unseen), beside.pooled_temperature))
    assert nll(unseen, beside.temperature(unseen)) < nll(unseen, alone.temperature(unseen)) - 0.1
    assert nll(unseen, beside.temperature(unseen)) < one - 0.1
    result = beside.calibrate(unseen)
    np.testing.assert_array_equal(result.prediction, unseen.scores.argmax(axis=1))
    assert set(result.distances) == {"scores", "reference"}


@pytest.fixture(scope="module")
def trained():
    large, second = table_of(n_tasks=6, n=20)
    table = large.with_reference(second)
    return table, train(table, BESIDE, SHORT, trainer=QUIET)


def test_a_checkpoint_knows_whose_scores_it_reads(trained, tmp_path):
    table, calibrator = trained
    assert calibrator.reads == {"scores", "reference_scores"}
    assert calibrator.record.reference == {"model": "second"}
    calibrator.save_pretrained(tmp_path / "c")
    loaded = Calibrator.from_pretrained(tmp_path / "c")
    assert loaded.record.reference == {"model": "second"}
    np.testing.assert_array_equal(loaded.temperature(table), calibrator.temperature(table))
    card = (tmp_path / "c" / "README.md").read_text()
    assert "| reads reference scores of | `second` |" in card
    assert "hidden states of" not in card  # it reads none


def test_scores_of_another_reference_model_are_refused(trained):
    table, calibrator = trained
    other = replace(table, provenance={**table.provenance, "reference_scores": {"model": "third"}})
    with pytest.raises(ValueError, match=r"of second .* reference scores of third"):
        calibrator.temperature(other)


def test_arrays_will_do(trained):
    table, calibrator = trained
    task = table.of_tasks(["task 02"])
    found = calibrator.temperature(scores=task.scores, reference_scores=task.reference_scores)
    np.testing.assert_allclose(found, calibrator.temperature(task), rtol=1e-6)
    with pytest.raises(ValueError, match="`reference_scores` to be given, since"):
        calibrator.temperature(scores=task.scores)
    with pytest.raises(ValueError, match=r"`reference_scores` to be of shape \(20, 4\)"):
        calibrator.temperature(scores=task.scores, reference_scores=task.reference_scores[:, :3])
    with pytest.raises(ValueError, match="`reference_scores` to be unnormalised"):
        calibrator.temperature(
            scores=task.scores, reference_scores=softmax(task.reference_scores, axis=1)
        )


def test_recorded_scores_have_no_model_to_load(trained):
    origins = trained[1].origins
    with pytest.raises(ValueError, match="names no template; pass `reference_scores`"):
        _ = origins["reference_scores"].lm
    with pytest.raises(ValueError, match="names no template; pass an OutputTable with features"):
        _ = origins["features"].lm


def test_responses_of_two_models_will_do(trained):
    _, calibrator = trained

    def response(a, b):
        tokens = {"A": a, "B": b}
        listed = [{"token": token, "logprob": value} for token, value in tokens.items()]
        top = {"token": "A", "logprob": a, "top_logprobs": listed}
        return {"choices": [{"message": {"content": "A"}, "logprobs": {"content": [top]}}]}

    answers, others = [response(-0.1, -3.0), response(-0.4, -1.5)], [response(-1.0, -0.6)] * 2
    found, second = (option_probabilities(r, ["A", "B"]).scores for r in (answers, others))
    result = calibrate_responses(calibrator, answers, ["A", "B"], reference_scores=second)
    expected = calibrator.calibrate(scores=found, reference_scores=second)
    np.testing.assert_array_equal(result.probs, expected.probs)


def test_a_few_labels_and_a_stream(trained):
    table, calibrator = trained
    task = table.of_tasks(["task 02"])
    arrays = {"scores": task.scores, "reference_scores": task.reference_scores}
    calibrator = calibrator.with_record(spread=0.3)
    _, factor = calibrator.update(None, task.labels, **arrays)
    assert 0 < factor.factor < np.inf
    stream = TemperatureStream(calibrator)
    streamed = [stream.push(**{k: v[i : i + 5] for k, v in arrays.items()}) for i in (0, 5, 10, 15)]
    last = calibrator.temperature(None, **arrays)[-1]
    assert streamed[-1].temperature[-1] == pytest.approx(last, rel=1e-5)
    with pytest.raises(ValueError, match="`reference_scores` to be given"):
        stream.push(task.scores)
    with pytest.raises(ValueError, match="`reference_scores` to be of shape"):
        stream.push(task.scores, reference_scores=task.reference_scores[:, :2])


def test_a_table_without_them_is_refused_in_training():
    large, _ = table_of(n_tasks=6, n=20)
    with pytest.raises(ValueError, match="Expected a table with reference_scores"):
        train(large, BESIDE, SHORT, trainer=QUIET)


def test_one_reference_model_for_several_answering_models():
    large, second = table_of(n_tasks=6, n=20)
    hotter = replace(large, scores=large.scores * 3, provenance={"scores": {"model": "hot"}})
    tables = [large.with_reference(second), hotter.with_reference(second)]
    calibrator = train(tables, BESIDE, SHORT, trainer=QUIET)
    of_hot = for_model(calibrator, "hot").temperature(tables[1])
    np.testing.assert_allclose(of_hot, 3 * calibrator.temperature(tables[0]), rtol=1e-3)
    third = replace(second, provenance={"scores": {"model": "third"}})
    with pytest.raises(ValueError, match="of one provenance of reference_scores"):
        train([tables[0], hotter.with_reference(third)], BESIDE, SHORT, trainer=QUIET)


def test_it_is_adapted_to_another_answering_model(trained):
    table, calibrator = trained
    hot = replace(
        table,
        scores=table.scores * 3,
        provenance={**table.provenance, "scores": {"model": "hot"}},
    )
    adapted = adapt(calibrator, hot)
    assert float(adapted.thermometer.model_temperatures[0]) == pytest.approx(
        3 * calibrator.pooled_temperature, rel=1e-4
    )
    assert adapted.record.reference == {"model": "second"}


def test_another_size_brings_its_own_reference_model(trained, tmp_path):
    """What disagreement means is learned once; the scale of the other pair comes from its table."""
    table, calibrator = trained
    made = {"scores": {"model": "hot"}, "reference_scores": {"model": "third"}}
    scores, second = table.scores * 3, table.reference_scores * 5
    other = replace(table, scores=scores, reference_scores=second, provenance=made)
    adapted = adapt(calibrator, other)
    own = adapt(calibrator, table)
    np.testing.assert_allclose(adapted.temperature(other), 3 * own.temperature(table), rtol=1e-3)
    adapted.save_pretrained(tmp_path / "c")
    assert Calibrator.from_pretrained(tmp_path / "c").record.reference == {"model": "third"}
    assert calibrator.record.reference == {"model": "second"}
    with pytest.raises(ValueError, match=r"of third .* of second"):
        adapted.temperature(table)


def test_networks_say_what_they_lack():
    network = Thermometer(BESIDE)
    scores = torch.randn(3, 4)
    with pytest.raises(ValueError, match="`reference_scores` to be given"):
        network(None, scores)
    assert network(None, scores, reference_scores=scores).shape == (3,)


# With language models.

TEMPLATE = Template("cloze")
TASKS = tuple(
    Task(
        f"sizes {task}",
        tuple(
            Question(
                f"{task}/{i}",
                "Which is it? " * (1 + i % 4),
                ("one", "two", "three")[: 2 + i % 2],
                i % 2,
            )
            for i in range(8)
        ),
    )
    for task in "abcd"
)
NETWORK = ThermometerConfig(
    ("scores+reference+features",), n_components=3, n_members=1, hidden_size=4
)


def lm_of(kind, seed=0, name=None):
    return LanguageModel(
        tiny.model(kind, seed=seed), tiny.tokenizer(), name=name or f"{kind}-{seed}"
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reference")

    def table(name, lm):
        return extract(lm, TASKS, folder / name, template=TEMPLATE, trainer=CPU)

    return {
        "large": table("large", lm_of("llama")),
        "small": table("small", lm_of("gpt2")),
        "base": table("base", lm_of("llama", seed=1)),
    }


@pytest.mark.parametrize("second", ["small", "base"])
def test_models_run_for_what_is_not_given(tables, second):
    """The reference model may be the small one, which is asked once, or a third."""
    table = tables["small"].join(tables["large"]).with_reference(tables[second])
    small = lm_of("gpt2")
    calibrator = train(table, NETWORK, SHORT, trainer=QUIET).with_language_model(small)
    if second == "base":
        calibrator = calibrator.with_language_model(lm_of("llama", 1), "reference_scores")
    task = TASKS[2]
    rows = table.of_tasks([task.name])
    expected = calibrator.temperature(rows)
    before = small.work.prompts
    np.testing.assert_allclose(calibrator.temperature(task, rows.scores), expected, rtol=1e-4)
    assert small.work.prompts - before == len(task)
    result = CalibratedLM(lm_of("llama"), calibrator).calibrate(task)
    np.testing.assert_allclose(result.temperature, expected, rtol=1e-4)
    texts = [prompt.text for prompt in TEMPLATE.render_task(task)]
    with pytest.raises(ValueError, match=r"`reference_scores` to be given.*no task"):
        calibrator.temperature(texts, rows.scores)
    found = calibrator.temperature(texts, rows.scores, reference_scores=rows.reference_scores)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_an_answering_model_that_reads_itself_is_asked_beside_its_reference(tables):
    table = tables["large"].with_reference(tables["base"])
    calibrator = train(table, NETWORK, SHORT, trainer=QUIET)
    calibrator = calibrator.with_language_model(lm_of("llama", 1), "reference_scores")
    large = CalibratedLM(lm_of("llama"), calibrator)
    assert large.reads_itself
    expected = calibrator.temperature(table.of_tasks([TASKS[1].name]))
    np.testing.assert_allclose(large.calibrate(TASKS[1]).temperature, expected, rtol=1e-4)


def test_the_wrong_reference_model_is_refused(tables):
    table = tables["small"].join(tables["large"]).with_reference(tables["base"])
    calibrator = train(table, NETWORK, SHORT, trainer=QUIET)
    with pytest.raises(ValueError, match="Expected reference scores of llama-1"):
        calibrator.with_language_model(lm_of("llama", 2, name="llama-1"), "reference_scores")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name, kind, seed in (("large", "llama", 0), ("base", "llama", 1), ("small", "gpt2", 0)):
        tiny.save(kind, folder / name, seed=seed)
    rows = [
        f'{{"id": "{t}/{i}", "task": "task {t}", "question": "Is it {i}?", '
        f'"choices": ["yes", "no"], "answer": {(i * t) % 2}}}'
        for t in range(5)
        for i in range(8)
    ]
    (folder / "tasks.jsonl").write_text("\n".join(rows) + "\n")
    return folder


def experiment(folders, out, **changes):
    given = {
        "tasks": TaskSource(str(folders / "tasks.jsonl")),
        "large": ModelSpec(str(folders / "large")),
        "small": ModelSpec(str(folders / "small")),
        "reference": ModelSpec(str(folders / "base")),
        "out_dir": str(out),
        "template": TEMPLATE,
        "preset": "reference",
        "network": {"n_components": 3, "n_members": 1, "hidden_size": 4},
        "training": {"max_steps": 5},
        "trainer": CPU,
        "n_resamples": 10,
    }
    return Experiment(**{**given, **changes})


def test_an_experiment_asks_the_reference_model_too(folders, tmp_path):
    report = experiment(folders, tmp_path).run()
    assert len(report.tasks) == 5
    assert {p.parent.name for p in tmp_path.glob(f"*/{MANIFEST}")} == {
        "features",
        "scores",
        "reference",
    }
    calibrator = Calibrator.from_pretrained(tmp_path / "checkpoint")
    assert calibrator.record.reference["model"] == str(folders / "base")
    [task, *_] = load_tasks(TaskSource(str(folders / "tasks.jsonl")))
    large = CalibratedLM.from_pretrained(str(folders / "large"), calibrator)
    table = experiment(folders, tmp_path).extract()  # finds what is there
    expected = calibrator.temperature(table.of_tasks([task.name]))
    np.testing.assert_allclose(large.calibrate(task).temperature, expected, rtol=1e-4)
    out = tmp_path / "calibrated.jsonl"
    source = TaskSource(str(folders / "tasks.jsonl"))
    calibrate(str(tmp_path / "checkpoint"), str(out), source, ModelSpec(str(folders / "large")))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    found = [row["temperature"] for row in rows if row["task"] == task.name]
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_small_model_that_is_the_reference_is_asked_once(folders, tmp_path):
    small = ModelSpec(str(folders / "small"))
    table = experiment(folders, tmp_path / "one", reference=small).extract()
    assert {p.parent.name for p in tmp_path.glob(f"one/*/{MANIFEST}")} == {"features", "scores"}
    beside = ModelSpec(str(folders / "small"), dtype="float32")  # the same, said otherwise
    apart = experiment(folders, tmp_path / "two", reference=beside).extract()
    np.testing.assert_allclose(table.reference_scores, apart.reference_scores, atol=1e-4)
    np.testing.assert_allclose(table.features, apart.features, atol=1e-4)
    assert table.provenance["reference_scores"] == table.provenance["features"]


def test_a_table_of_features_alone_is_not_taken_for_both(folders, tmp_path):
    plain = experiment(folders, tmp_path, preset="default", reference=None)
    plain.extract()
    small = ModelSpec(str(folders / "small"))
    with pytest.raises(ValueError, match="features holds a table without scores: delete"):
        experiment(folders, tmp_path, reference=small).extract()


def test_what_does_not_go_together_is_refused(folders, tmp_path):
    base = ModelSpec(str(folders / "base"))
    with pytest.raises(
        ValueError, match=r"`reference` to be a model.* the preset 'reference' reads"
    ):
        experiment(folders, tmp_path, reference=None)
    with pytest.raises(
        ValueError, match="`reference` to be None, since the preset 'default' reads"
    ):
        experiment(folders, tmp_path, preset="default")
    with pytest.raises(ValueError, match=r"`reference\.num_layers` to be None"):
        experiment(folders, tmp_path, reference=replace(base, num_layers=1))
    large = ModelSpec(str(folders / "large"), dtype="float32", template=TEMPLATE)
    with pytest.raises(ValueError, match="`reference` to be another model than `large`"):
        experiment(folders, tmp_path, reference=large)
    experiment(folders, tmp_path, reference=replace(large, template=Template("letter")))
    with pytest.raises(ValueError, match="`n_resamples` to be an integer of at least 1"):
        experiment(folders, tmp_path, n_resamples=0)
    assert not any(tmp_path.iterdir())


def test_an_experiment_reads_a_table_of_the_reference_model(tmp_path):
    tables = table_of(n_tasks=6, n=20)
    for name, table in zip(("large", "second"), tables, strict=True):
        rows = {
            "id": list(table.ids),
            "task": table.tasks.tolist(),
            "label": table.labels.tolist(),
            "scores": table.scores.tolist(),
        }
        pq.write_table(pa.table(rows), tmp_path / f"{name}.parquet")
    large, second = (TableSpec(str(tmp_path / f"{n}.parquet")) for n in ("large", "second"))
    given = {
        "scores": large,
        "out_dir": str(tmp_path / "out"),
        "preset": "reference",
        "network": {"views": ("scores+reference",), "n_members": 1},
        "training": {"max_steps": 5},
        "n_resamples": 10,
        "trainer": CPU,
    }
    with pytest.raises(ValueError, match="`reference` to be a model, or"):
        Experiment(**given)
    with pytest.raises(ValueError, match="`reference` to be another model"):
        Experiment(**given, reference_scores=large)
    report = Experiment(**given, reference_scores=second).run()
    assert len(report.tasks) == 6
    assert (
        Calibrator.from_pretrained(tmp_path / "out" / "checkpoint").record.reference["model"]
        == "second"
    )
