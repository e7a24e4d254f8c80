"""A calibrator with tiny real models: what goes in, what is refused, what never changes."""

from dataclasses import FrozenInstanceError, asdict, replace

import numpy as np
import pytest
import tiny
import torch

from thermometer.calibrated_lm import Answer, CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.language_model import LanguageModel
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.scaling import harmonic_mean, scale_scores
from thermometer.tables import OutputTable
from thermometer.templates import Template
from thermometer.types import Question, Task

TEMPLATE = Template("cloze")
TASK = Task(
    "capitals",
    tuple(
        Question(f"q{n}", f"Which is the capital {'of the ' * n}?", options)
        for n, options in enumerate(
            [
                ("Paris", "Rome"),
                ("Rome", "London", "Lisbon"),
                ("yes", "no"),
                ("one", "two", "true", "false"),
                ("A B", "C D", "E F"),
            ]
        )
    ),
)
N = len(TASK)
PROMPTS = [prompt.text for prompt in TEMPLATE.render_task(TASK)]
SCORES = np.random.default_rng(0).normal(size=(N, 4)) * 5


def network(seed=0, width=32):
    """A network whose temperatures differ widely between prompts."""
    torch.manual_seed(seed)
    config = ThermometerConfig(
        ("features",), n_components=0, n_members=2, hidden_size=16, dropout=0.0
    )
    thermometer = Thermometer(config, width)
    for member in thermometer.members:
        torch.nn.init.normal_(member.combine.weight, std=3.0)
    return thermometer


def calibrator_of(lm, template=TEMPLATE, *, own=True, **changes):
    record = TrainingRecord(
        ["a", "b"],
        1.5,
        features={**lm.provenance(template), **changes},
        targets=[{"model": "large", "template": asdict(template)}],
    )
    made = Calibrator(network(), record)
    return made.with_language_model(lm) if own else made


@pytest.fixture(scope="module")
def calibrator(lm):
    return calibrator_of(lm)


@pytest.fixture(scope="module")
def table(lm):
    outputs = lm.outputs(TEMPLATE.render_task(TASK), TEMPLATE)
    ids = [question.id for question in TASK.questions]
    made = lm.provenance(TEMPLATE)
    return OutputTable.from_arrays(
        ids,
        ["capitals"] * N,
        scores=outputs.scores,
        features=outputs.features,
        provenance={"features": made, "scores": made},
    )


def test_task_prompts_and_table_have_the_same_temperatures(calibrator, table):
    of_task = calibrator.temperature(TASK)
    assert of_task.dtype == np.float64
    assert of_task.shape == (N,)
    assert (of_task > 0).all()
    assert of_task.max() / of_task.min() > 1.1
    np.testing.assert_allclose(calibrator.temperature(PROMPTS), of_task, rtol=1e-5)
    np.testing.assert_allclose(calibrator.temperature(tuple(PROMPTS)), of_task, rtol=1e-5)
    np.testing.assert_allclose(calibrator.temperature(table), of_task, rtol=1e-5)


@pytest.mark.parametrize("token_budget", [1, 40, 100_000])
def test_a_prompt_alone_has_the_temperature_that_it_has_among_others(calibrator, token_budget):
    lm = calibrator.language_model.with_token_budget(token_budget)
    calibrator = calibrator.with_language_model(lm)
    together = calibrator.temperature(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        alone = calibrator.temperature([prompt])
        assert alone.shape == (1,)
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-4)
    backwards = calibrator.temperature(PROMPTS[::-1])
    np.testing.assert_allclose(backwards[::-1], together, rtol=1e-4)


def test_one_string_is_refused(calibrator):
    for call in (
        lambda: calibrator.temperature("Question"),
        lambda: calibrator.calibrate("Question"),
        lambda: calibrator.calibrate("Question", SCORES),
    ):
        with pytest.raises(TypeError, match=r"list of strings, but got one string: 'Question'"):
            call()


def test_prompts_of_another_kind_are_refused(calibrator):
    with pytest.raises(TypeError, match="`prompts` to be a list of strings"):
        calibrator.calibrate(42)


def test_its_template_is_that_of_the_training(calibrator):
    assert calibrator.template == TEMPLATE


def test_no_prompts_are_refused(calibrator):
    with pytest.raises(ValueError, match="at least one prompt"):
        calibrator.temperature([])
    with pytest.raises(ValueError, match="at least one prompt"):
        calibrator.calibrate([], np.zeros((0, 2)))


def test_other_things_than_strings_are_refused(calibrator):
    with pytest.raises(TypeError, match="int at position 1"):
        calibrator.temperature(["a", 3])


def test_probabilities_are_scores_divided_by_temperatures(calibrator):
    result = calibrator.calibrate(TASK, SCORES)
    np.testing.assert_array_equal(result.probs, scale_scores(SCORES, result.temperature))
    assert result.ids == tuple(question.id for question in TASK.questions)
    assert result.n_prompts == N
    assert calibrator.calibrate(PROMPTS, SCORES).ids[:2] == ("prompt 1", "prompt 2")


def test_a_task_has_one_temperature_at_the_level_of_tasks(calibrator):
    sample = calibrator.calibrate(TASK, SCORES, per="sample")
    task = calibrator.calibrate(TASK, SCORES, per="task")
    np.testing.assert_array_equal(sample.temperature, task.temperature)
    assert sample.task_temperature == task.task_temperature == harmonic_mean(task.temperature)
    assert task.task_temperature == pytest.approx(N / (1 / task.temperature).sum())
    np.testing.assert_array_equal(task.probs, scale_scores(SCORES, task.task_temperature))
    assert not np.allclose(sample.probs, task.probs)


@pytest.mark.parametrize("per", ["sample", "task"])
def test_the_answer_never_changes(calibrator, per):
    result = calibrator.calibrate(TASK, SCORES, per=per)
    np.testing.assert_array_equal(result.prediction, SCORES.argmax(axis=1))


def test_an_unknown_per_is_refused(calibrator):
    with pytest.raises(ValueError, match="`per` to be one of 'sample', 'task'"):
        calibrator.calibrate(TASK, SCORES, per="row")


@pytest.mark.parametrize("n", [0, 1, N - 1, N + 1])
def test_scores_of_another_length_are_refused(calibrator, table, n):
    scores = np.zeros((n, 2))
    for prompts in (TASK, PROMPTS, table):
        with pytest.raises(ValueError, match=rf"`scores` to be of length {N} .*, but got {n}"):
            calibrator.calibrate(prompts, scores)


def test_scores_are_those_of_the_table_unless_given(calibrator, table):
    own = calibrator.calibrate(table)
    np.testing.assert_array_equal(own.probs, scale_scores(table.scores, own.temperature))
    given = calibrator.calibrate(table, SCORES)
    np.testing.assert_array_equal(given.probs, scale_scores(SCORES, own.temperature))
    assert own.ids == table.ids


def test_without_scores_there_are_temperatures_only(calibrator, table):
    for prompts in (TASK, replace(table, scores=None)):
        result = calibrator.calibrate(prompts)
        assert result.probs is None
        with pytest.raises(ValueError, match="`scores` to have been given"):
            _ = result.prediction


def test_labels_play_no_part(calibrator):
    assert not TASK.labelled
    labelled = Task("capitals", tuple(replace(q, answer=1) for q in TASK.questions))
    np.testing.assert_array_equal(calibrator.temperature(labelled), calibrator.temperature(TASK))


def test_a_table_without_features_is_refused(calibrator, table):
    with pytest.raises(ValueError, match="a table with features"):
        calibrator.temperature(replace(table, features=None))


def test_features_of_another_width_are_refused(calibrator, table):
    narrow = replace(table, features=table.features[:, :8])
    with pytest.raises(ValueError, match=r"of shape \(N, 32\), but got shape \(5, 8\)"):
        calibrator.temperature(narrow)


def test_features_of_another_model_are_refused_with_both_names(calibrator, table):
    made = {**table.provenance["features"], "model": "other-llama", "fingerprint": "0123"}
    other = replace(table, provenance={"features": made})
    with pytest.raises(ValueError, match=r"features of tiny-llama .*got features of other-llama"):
        calibrator.temperature(other)


@pytest.mark.parametrize(("key", "value"), [("layer", 1), ("num_layers", 2)])
def test_features_of_another_layer_are_refused_with_both_values(calibrator, table, key, value):
    made = {**table.provenance["features"], key: value}
    expected = table.provenance["features"][key]
    with pytest.raises(ValueError, match=f"{key}={expected!r}, but got {key}={value!r}"):
        calibrator.temperature(replace(table, provenance={"features": made}))


def test_features_of_another_template_are_refused_with_both_digests(calibrator, table):
    other = Template("letter")
    made = {**table.provenance["features"], "template_digest": other.digest}
    with pytest.raises(ValueError, match=rf"{TEMPLATE.digest}.*but got.*{other.digest}"):
        calibrator.temperature(replace(table, provenance={"features": made}))


def test_the_wrong_language_model_is_refused(lm, calibrator):
    another = LanguageModel(tiny.model("llama", seed=1), tiny.tokenizer(), name="tiny-llama")
    with pytest.raises(ValueError, match=r"Expected features of tiny-llama \(fingerprint"):
        calibrator.with_language_model(another)
    with pytest.raises(ValueError, match="`gives` to be one of"):
        calibrator.with_language_model(another, "scores")


def test_a_calibrator_never_changes(lm, calibrator, table):
    with pytest.raises(FrozenInstanceError):
        calibrator.record = None
    measured = calibrator.with_record(metrics={"nll": 0.5})
    assert (measured.record.metrics, calibrator.record.metrics) == ({"nll": 0.5}, {})
    again = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny-llama")
    other = measured.with_language_model(again)
    assert (other.language_model, measured.language_model) == (again, lm)
    np.testing.assert_array_equal(other.temperature(table), calibrator.temperature(table))


def test_the_language_model_is_loaded_when_first_needed(llama_folder, lm, table, tmp_path):
    made = LanguageModel.from_pretrained(llama_folder)
    calibrator_of(made).save_pretrained(tmp_path / "checkpoint")
    loaded = Calibrator.from_pretrained(tmp_path / "checkpoint")
    assert "lm" not in vars(loaded.origins["features"])
    of_table = loaded.temperature(table)  # the same weights: the fingerprint says so
    assert "lm" not in vars(loaded.origins["features"])
    np.testing.assert_allclose(loaded.temperature(TASK), of_table, rtol=1e-5)
    assert loaded.language_model is loaded.language_model
    assert loaded.language_model.name == llama_folder
    given = Calibrator.from_pretrained(tmp_path / "checkpoint", language_model=lm)
    assert given.language_model is lm


def test_a_folder_that_now_holds_another_model_is_refused(tmp_path):
    tiny.save("llama", tmp_path / "model")
    calibrator_of(LanguageModel.from_pretrained(str(tmp_path / "model"))).save_pretrained(
        tmp_path / "checkpoint"
    )
    tiny.save("llama", tmp_path / "model", seed=1)
    loaded = Calibrator.from_pretrained(tmp_path / "checkpoint")
    with pytest.raises(ValueError, match="fingerprint"):
        loaded.temperature(TASK)


@pytest.mark.parametrize(("what", "value"), [("num_layers", 2), ("layer", 1), ("position", "mean")])
def test_the_model_is_loaded_as_its_features_were_read(llama_folder, tmp_path, what, value):
    read = LanguageModel.from_pretrained(llama_folder, **{what: value})
    made = calibrator_of(read)
    made.save_pretrained(tmp_path / "checkpoint")
    loaded = Calibrator.from_pretrained(tmp_path / "checkpoint")
    np.testing.assert_array_equal(loaded.temperature(TASK), made.temperature(TASK))
    assert getattr(loaded.language_model, what) == value


def test_arrays_of_unknown_origin_need_a_table(table):
    made = Calibrator(network(), TrainingRecord(["a"], 1.0))
    bare = replace(table, provenance={})
    assert made.temperature(bare).shape == (N,)
    with pytest.raises(ValueError, match="names no template; pass an OutputTable"):
        made.temperature(TASK)


def test_few_shot_prompts_are_rendered_with_their_demonstrations(lm):
    shots = (Question("d", "Which is larger?", ("one", "two"), answer=1),)
    few = replace(TASK, demonstrations=shots)
    with_shots = calibrator_of(lm, Template("cloze", shots=1))
    assert not np.allclose(
        with_shots.temperature(few), calibrator_of(lm).temperature(few), rtol=1e-3
    )
    with pytest.raises(ValueError, match="at least 1 answered questions"):
        with_shots.temperature(TASK)


@pytest.fixture(scope="module")
def answering(lm):
    large = LanguageModel(tiny.model("gpt2"), tiny.tokenizer(), name="tiny-gpt2")
    return CalibratedLM(large, calibrator_of(lm))


QUESTIONS = ["Which is the capital?", "Which is the capital of France?", "Which is larger?"]


def check(answers, options):
    for answer, own in zip(answers, options, strict=True):
        assert isinstance(answer, Answer)
        assert tuple(answer.probs) == tuple(own)
        assert sum(answer.probs.values()) == pytest.approx(1)
        assert answer.answer == max(answer.probs, key=answer.probs.get)
        assert answer.confidence == answer.probs[answer.answer]
        assert answer.temperature > 0


def test_answers_come_with_calibrated_probabilities(answering):
    options = ("Paris", "Rome", "London")
    answers = answering.classify(QUESTIONS, options, task="capitals")
    check(answers, [options] * 3)
    task = Task(
        "capitals", tuple(Question(f"q{i}", text, options) for i, text in enumerate(QUESTIONS))
    )
    raw = answering.lm.outputs(TEMPLATE.render_task(task), TEMPLATE, features=False).scores
    expected = answering.calibrator.calibrate(task, raw)
    for row, answer in enumerate(answers):
        assert answer.temperature == pytest.approx(expected.temperature[row])
        np.testing.assert_allclose(list(answer.probs.values()), expected.probs[row], rtol=1e-6)
        assert answer.answer == options[int(raw[row].argmax())]


def test_options_may_differ_between_prompts(answering):
    options = [("Paris", "Rome"), ["London", "Lisbon", "Rome", "Paris"], ("one", "two", "A")]
    answers = answering.classify(QUESTIONS, options)
    check(answers, options)
    alone = answering.classify(QUESTIONS[1:2], options[1:2])
    assert alone[0].answer == answers[1].answer
    assert alone[0].confidence == pytest.approx(answers[1].confidence, rel=1e-4)


def test_at_the_level_of_tasks_all_answers_share_a_temperature(answering):
    answers = answering.classify(QUESTIONS, ("Paris", "Rome"), per="task")
    assert len({answer.temperature for answer in answers}) == 1
    by_sample = answering.classify(QUESTIONS, ("Paris", "Rome"))
    assert [a.answer for a in by_sample] == [a.answer for a in answers]
    mean = harmonic_mean(np.array([a.temperature for a in by_sample]))
    assert answers[0].temperature == pytest.approx(mean)


def test_an_unlabelled_task_is_calibrated(answering):
    result = answering.calibrate(TASK)
    assert result.probs.shape == (N, 4)
    np.testing.assert_allclose(result.probs.sum(axis=1), 1)
    assert (result.probs[0, 2:] == 0).all()


def test_small_and_large_may_be_one_model(lm, calibrator):
    answers = CalibratedLM(lm, calibrator).classify(QUESTIONS, ("Paris", "Rome"))
    check(answers, [("Paris", "Rome")] * 3)


@pytest.mark.parametrize(
    ("prompts", "options", "error", "match"),
    [
        ([], ("a", "b"), ValueError, "at least one prompt"),
        ("Which?", ("a", "b"), TypeError, "got one string: 'Which[?]'"),
        (["Which?"], "ab", TypeError, "`options` to be a list of strings"),
        (["Which?"], ("a",), ValueError, "at least two texts"),
        (["Which?"], [], ValueError, "at least two texts"),
        (["Which?"], ("a", "a"), ValueError, "different texts"),
        (["Which?", "What?"], [("a", "b")], ValueError, "of length 2"),
        (["Which?", "What?"], [("a", "b"), "cd"], TypeError, "got one string: 'cd'"),
        ([" "], ("a", "b"), ValueError, "non-empty"),
    ],
)
def test_malformed_questions_are_refused(answering, prompts, options, error, match):
    with pytest.raises(error, match=match):
        answering.classify(prompts, options)


def test_both_models_are_loaded_from_folders(llama_folder, tmp_path):
    calibrator_of(LanguageModel.from_pretrained(llama_folder)).save_pretrained(tmp_path / "c")
    loaded = CalibratedLM.from_pretrained(llama_folder, tmp_path / "c")
    check(loaded.classify(["Which?"], ("Paris", "Rome")), [("Paris", "Rome")])
    assert "llama" in repr(loaded)


def test_scores_of_unknown_origin_cannot_be_rendered(lm):
    made = calibrator_of(lm).with_record(targets=[{}])
    with pytest.raises(ValueError, match=r"names no template; call `calibrator\.calibrate`"):
        CalibratedLM(lm, made).classify(["Which?"], ("a", "b"))
