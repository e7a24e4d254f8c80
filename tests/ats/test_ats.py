"""ATS as a whole: known temperatures are found, the model stays as it is, runs can be resumed."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
import yaml
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

from thermometer import Template, ats, metrics
from thermometer.ats.data import TokenReader
from thermometer.ats.training import STATE_FILE, Batches
from thermometer.calibrator import Calibrator
from thermometer.language_model import LanguageModel
from thermometer.scaling import scale_scores
from thermometer.tasks import load_task

pytestmark = pytest.mark.filterwarnings("ignore:No validation was better than the start")

NETWORK = ats.AtsConfig(head_size=8, hidden_size=16)
SHORT = ats.AtsTraining(max_steps=12, validate_every=4, learning_rate=3e-3, patience=0)
PLAIN = ats.PairFormat(chat=False)
QUIET = {"enable_progress_bar": False, "accelerator": "cpu"}
PAIRS = [
    ats.Pair(f"What is the capital of {place}?", city, f"task {i % 3}")
    for i, (place, city) in enumerate(
        [("France", "Paris"), ("Italy", "Rome"), ("England", "London"), ("Portugal", "Lisbon")] * 6
    )
]


def train(lm, pairs, network=NETWORK, training=SHORT, **keywords):
    return ats.train(lm, pairs, network, training, trainer=QUIET, **keywords)


def truth(hidden):
    """Log temperature between -0.3 and 1.3, read off one direction of the hidden states."""
    direction = torch.linspace(-1, 1, hidden.shape[-1]).double()
    return 0.5 + 0.8 * torch.tanh(hidden.double() @ direction / direction.norm())


def draw(lm, n, seed):
    """Pairs whose responses are drawn, token by token, from logits / true temperature."""
    generator = torch.Generator().manual_seed(seed)
    vocabulary = TokenReader(lm).vocabulary
    size = lm.model.config.vocab_size
    ids = torch.randint(5, size, (n, 6), generator=generator)
    logs = []
    with torch.no_grad():
        for _ in range(24):
            hidden = lm.model.model(input_ids=ids).last_hidden_state[:, -1]
            log_temperature = truth(hidden)
            logits = torch.cat(list(vocabulary.chunks(hidden)), dim=1).double()
            probs = (logits / log_temperature.exp()[:, None]).softmax(dim=1)
            ids = torch.cat([ids, torch.multinomial(probs, 1, generator=generator)], dim=1)
            logs.append(log_temperature)
    pairs = [ats.TokenPair(tuple(row.tolist()), 6) for row in ids]
    return pairs, torch.stack(logs, dim=1).numpy()


@pytest.fixture(scope="module")
def world(lm):
    return draw(lm, 220, seed=0)


@pytest.fixture(scope="module")
def many(lm):
    """9,600 unseen tokens: with few, what is gained in confidence is lost in chance."""
    return draw(lm, 400, seed=1)[0]


@pytest.fixture(scope="module")
def learned(lm, world):
    training = ats.AtsTraining(
        loss="nll", learning_rate=3e-3, max_steps=200, validate_every=50, patience=0
    )
    return train(lm, world[0][:180], training=training)


def test_known_temperatures_are_recovered_on_unseen_pairs(learned, world):
    """Root mean squared error of log temperature below 0.3; the pooled one is off by 0.5."""
    pairs, log_temperature = world
    unseen = log_temperature[180:].ravel()
    got = learned.responses(pairs[180:])
    assert got.pair.tolist() == np.repeat(np.arange(40), 24).tolist()
    error = np.log(got.temperature) - unseen
    pooled = np.log(learned.pooled_temperature) - unseen
    assert np.sqrt((pooled**2).mean()) > 0.45
    assert np.sqrt((error**2).mean()) < 0.3
    assert np.corrcoef(np.log(got.temperature), unseen)[0, 1] > 0.85


@pytest.mark.filterwarnings("error:No validation was better than the start")
def test_nothing_is_said_where_training_helps(lm, world):
    training = ats.AtsTraining(loss="nll", learning_rate=3e-3, max_steps=60, patience=0)
    assert train(lm, world[0], training=training).head.output.weight.any()


def test_likelihood_and_calibration_gain_over_the_pooled_temperature(learned, many):
    """In proper scores; the calibration error of the pooled temperature may be small by chance."""
    got = learned.responses(many)
    one = learned.responses(many, temperature=learned.pooled_temperature)
    assert (got.correct == one.correct).all()
    assert got.logprob.mean() > one.logprob.mean() + 0.05
    ours, theirs = (np.mean((r.confidence - r.correct) ** 2) for r in (got, one))
    assert ours < theirs - 0.0003


def test_selective_smoothing_learns_which_tokens_to_doubt(lm, world, many):
    """Wrong tokens get the higher temperature on unseen pairs, and its own loss falls."""
    training = ats.AtsTraining(
        learning_rate=3e-3, max_steps=120, validate_every=60, patience=0, monitor="loss"
    )
    spy = Spy("val_loss")
    trainer = {**QUIET, "callbacks": spy}
    learned = ats.train(lm, world[0][:180], NETWORK, training, trainer=trainer)
    assert spy.losses[-1] < spy.losses[0] - 0.05
    got = learned.responses(many)
    assert metrics.auroc(1 / (1 + got.temperature), got.correct) > 0.52  # chance: 0.5, SE 0.013


class Spy(Callback):
    """What a user's own callback sees."""

    def __init__(self, watched="val_nll", stop_after=None):
        self.losses, self.batches = [], []
        self.watched, self.stop_after = watched, stop_after
        self.keys = set()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.batches.append(batch)

    def on_validation_end(self, trainer, pl_module):
        self.losses.append(float(trainer.callback_metrics[self.watched]))
        self.keys = set(pl_module.state_dict())
        if self.stop_after is not None and trainer.global_step >= self.stop_after:
            raise KeyboardInterrupt


def test_training_lowers_the_validation_loss_and_keeps_the_best(lm, world):
    spy = Spy()
    training = replace(SHORT, loss="nll", max_steps=40, validate_every=20)
    trainer = {**QUIET, "callbacks": [spy]}
    calibrator = ats.train(lm, world[0], NETWORK, training, trainer=trainer)
    assert "Spy" in yaml.safe_load(calibrator.training)["trainer"]["callbacks"][0]
    assert len(spy.losses) == 3  # before the first step, and two more
    assert min(spy.losses[1:]) < spy.losses[0] - 0.02
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        ats.AtsHead(NETWORK, lm.n_features)
        kept = torch.randperm(len(world[0])).tolist()[:22]
    got = calibrator.responses([world[0][i] for i in kept])
    assert -got.logprob.mean() == pytest.approx(min(spy.losses), abs=1e-5)


def test_the_start_is_kept_where_training_only_harms(lm):
    training = replace(SHORT, loss="balanced", learning_rate=1.0, max_steps=8)
    with pytest.warns(UserWarning, match=r"No validation .* predicts the pooled temperature \d"):
        calibrator = train(lm, PAIRS, training=training, style=PLAIN)
    got = calibrator.responses(PAIRS[:3])
    np.testing.assert_allclose(got.temperature, calibrator.pooled_temperature, rtol=1e-5)


def test_the_language_model_is_untouched_and_in_no_state(lm, world):
    before = {name: value.clone() for name, value in lm.model.state_dict().items()}
    spy = Spy()
    ats.train(lm, world[0][:30], NETWORK, SHORT, trainer={**QUIET, "callbacks": spy})
    after = lm.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert spy.keys == {f"head.{name}" for name in ats.AtsHead(NETWORK, 32).state_dict()}
    assert not any(p.requires_grad or p.grad is not None for p in lm.model.parameters())


def same(a, b):
    return all(torch.equal(a.head.state_dict()[k], v) for k, v in b.head.state_dict().items())


def test_the_same_seed_gives_the_same_head_and_leaves_the_generator_alone(lm):
    torch.manual_seed(5)
    first = train(lm, PAIRS, style=PLAIN)
    after = torch.rand(3)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(3), after)
    assert same(first, train(lm, PAIRS, style=PLAIN))
    assert not same(first, train(lm, PAIRS, training=replace(SHORT, seed=1), style=PLAIN))


def test_a_killed_run_goes_on_to_the_same_head(lm, world, tmp_path):
    training = replace(SHORT, loss="nll", accumulate=2, cache_bytes=0)
    whole = train(lm, world[0][:60], training=training)
    trainer = {**QUIET, "callbacks": Spy(stop_after=4)}
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        ats.train(lm, world[0][:60], NETWORK, training, trainer=trainer, log_dir=tmp_path)
    settings = json.loads(_metadata(tmp_path / STATE_FILE)["counters"])
    assert settings["step"] == 4
    spy = Spy()
    resumed = ats.train(
        lm, world[0][:60], NETWORK, training, trainer={**QUIET, "callbacks": spy}, log_dir=tmp_path
    )
    assert len(spy.batches) == 2 * 8
    assert same(whole, resumed)
    assert resumed.pooled_temperature == whole.pooled_temperature
    done = Spy()
    again = ats.train(
        lm, world[0][:60], NETWORK, training, trainer={**QUIET, "callbacks": done}, log_dir=tmp_path
    )
    assert done.batches == []
    assert same(whole, again)
    with pytest.raises(ValueError, match="other settings, model or pairs"):
        train(lm, world[0][:61], training=training, log_dir=tmp_path)
    (tmp_path / STATE_FILE).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="damaged state"):
        train(lm, world[0][:60], training=training, log_dir=tmp_path)


def _metadata(file):
    from safetensors import safe_open

    with safe_open(file, framework="pt") as content:
        return content.metadata()


def test_the_log_folder_holds_curves_and_no_weight_of_the_model(lm, tmp_path):
    train(lm, PAIRS, log_dir=tmp_path, style=PLAIN)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows if row["val_nll"]] == [3, 7, 11]
    assert {path.name for path in tmp_path.iterdir()} >= {STATE_FILE, "metrics.csv"}
    heads = load_file(tmp_path / STATE_FILE)
    assert {name.split("/")[0] for name in heads} == {"weights", "best_weights", "averages"}
    assert sum(v.numel() for k, v in heads.items() if k.startswith("weights/")) == sum(
        p.numel() for p in ats.AtsHead(NETWORK, 32).parameters()
    )


def test_patience_stops_early(lm):
    spy = Spy()
    training = replace(SHORT, max_steps=400, validate_every=1, patience=2, learning_rate=1.0)
    trainer = {**QUIET, "callbacks": spy}
    ats.train(lm, PAIRS, NETWORK, training, style=PLAIN, trainer=trainer)
    assert len(spy.batches) < 100


def test_batches_are_epochs_in_an_order_of_their_own():
    def take(first, n):
        stream = iter(Batches(10, 3, seed=4, first=first))
        return [next(stream) for _ in range(n)]

    six = take(0, 6)
    for epoch in (six[:3], six[3:]):
        assert len({i for batch in epoch for i in batch}) == 9
    assert six[:3] != six[3:]
    assert take(4, 2) == six[4:]


def test_mixed_precision_trains_the_head_and_not_the_logits(lm, world):
    training = replace(SHORT, loss="nll")
    plain = train(lm, world[0][:60], training=training)
    trainer = {**QUIET, "precision": "bf16-mixed"}
    mixed = ats.train(lm, world[0][:60], NETWORK, training, trainer=trainer)
    assert next(mixed.head.parameters()).dtype == torch.float32
    one = plain.responses(world[0][60:], temperature=1.3)
    other = mixed.responses(world[0][60:], temperature=1.3)
    np.testing.assert_array_equal(one.logprob, other.logprob)
    assert mixed.pooled_temperature == pytest.approx(plain.pooled_temperature, rel=1e-4)
    a, b = plain.responses(world[0][60:]), mixed.responses(world[0][60:])
    np.testing.assert_allclose(np.log(a.temperature), np.log(b.temperature), atol=0.1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = plain.responses(world[0][60:], temperature=1.3)
    np.testing.assert_allclose(one.logprob, again.logprob, atol=1e-6)


@pytest.fixture(scope="module")
def saved(learned, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ats") / "checkpoint"
    learned.metrics = {"nll": 1.5}
    learned.save_pretrained(folder)
    return folder


def test_a_saved_calibrator_is_the_same(learned, saved, lm, world):
    loaded = ats.AtsCalibrator.from_pretrained(saved, language_model=lm)
    assert same(learned, loaded)
    assert loaded.head.config == NETWORK
    assert loaded.metrics == {"nll": 1.5}
    assert loaded.pooled_temperature == learned.pooled_temperature
    assert yaml.safe_load(loaded.training)["training"]["loss"] == "nll"
    a, b = learned.responses(world[0][:5]), loaded.responses(world[0][:5])
    np.testing.assert_array_equal(a.logprob, b.logprob)
    assert sorted(path.name for path in saved.iterdir()) == [
        "README.md",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "training.yaml",
    ]


def test_another_model_is_refused(saved):
    other = LanguageModel(tiny.model("llama", seed=1), tiny.tokenizer(), name="other")
    with pytest.raises(ValueError, match=r"fingerprint \w+, but got other with"):
        ats.AtsCalibrator.from_pretrained(saved, language_model=other)


def test_the_model_is_loaded_when_first_needed(llama_folder, tmp_path):
    lm = LanguageModel.from_pretrained(llama_folder)
    train(lm, PAIRS, style=PLAIN).save_pretrained(tmp_path / "c")
    loaded = ats.AtsCalibrator.from_pretrained(tmp_path / "c")
    assert loaded.style == PLAIN
    assert loaded.language_model.name == llama_folder
    assert loaded.train_tasks == ("task 0", "task 1", "task 2")


def test_checkpoints_of_other_kinds_are_refused(saved, tmp_path):
    with pytest.raises(ValueError, match=r"keys .* amiss"):
        Calibrator.from_pretrained(saved)
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in saved.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    config = json.loads((saved / "config.json").read_text())
    for network, message in [
        ({**config["network"], "architecture": "other"}, "not a checkpoint of ATS"),
        ({**config["network"], "kind": "conv"}, "one of 'linear'"),
        ({**config["network"], "hidden_size": 12}, "size mismatch"),
    ]:
        (broken / "config.json").write_text(json.dumps({**config, "network": network}))
        with pytest.raises(ValueError, match=message):
            ats.AtsCalibrator.from_pretrained(broken)
    for features, message in [
        ({"model": "m"}, r"no \['dtype', 'fingerprint', 'format'\]"),
        ({**config["features"], "format": {"x": 1}}, "unexpected keyword"),
    ]:
        (broken / "config.json").write_text(json.dumps({**config, "features": features}))
        with pytest.raises(ValueError, match=message):
            ats.AtsCalibrator.from_pretrained(broken)


PROMPTS = ["What is the capital of France?", "The answer is", "Which is larger. \nAnswer:"]


@pytest.fixture(scope="module")
def plain(learned):
    """The learned head, for prompts that are written as they are."""
    return ats.AtsCalibrator(
        learned.head,
        provenance=ats.AtsCalibrator.provenance_of(learned.language_model, PLAIN),
        pooled_temperature=learned.pooled_temperature,
        language_model=learned.language_model,
    )


def test_next_tokens_are_the_models_own_divided_by_the_temperature(plain, lm):
    temperature, logprobs = plain.temperature(PROMPTS), plain.logprobs(PROMPTS)
    assert np.ptp(temperature) > 0.01
    for row, prompt in enumerate(PROMPTS):
        ids = torch.tensor([lm.tokenizer(prompt)["input_ids"]])
        with torch.no_grad():
            output = lm.model(ids, output_hidden_states=True)
            states = output.hidden_states[-1]
            own = float(plain.head(states)[0, -1])
        logits = output.logits[0, -1].double().numpy()
        assert temperature[row] == pytest.approx(own, rel=1e-5)
        odds = np.exp((logits - logits.max()) / own)
        np.testing.assert_allclose(np.exp(logprobs[row]), odds / odds.sum(), atol=1e-6)
        assert logprobs[row].argmax() == logits.argmax()
    np.testing.assert_allclose(plain.probs(PROMPTS).sum(axis=1), 1, atol=1e-5)


def test_a_batch_of_one_equals_a_row_of_a_batch(plain):
    together = plain.logprobs(PROMPTS)
    for row, prompt in enumerate(PROMPTS):
        np.testing.assert_allclose(plain.logprobs([prompt])[0], together[row], atol=1e-5)
    one = ats.AtsCalibrator(
        plain.head,
        provenance=plain.provenance,
        pooled_temperature=plain.pooled_temperature,
        language_model=plain.language_model.with_token_budget(1),
    )
    apart = one.logprobs(PROMPTS)
    np.testing.assert_allclose(apart, together, atol=1e-5)


def test_response_tokens_are_those_of_one_forward_pass(plain, lm):
    pair = ats.TokenPair((1, 40, 77, 130, 99, 200), 3)
    got = plain.responses([pair, ats.TokenPair((1, 60, 50), 2)], temperature=2.0)
    assert got.pair.tolist() == [0, 0, 0, 1]
    with torch.no_grad():
        logits = lm.model(torch.tensor([pair.ids])).logits[0].double() / 2.0
    table = logits.log_softmax(dim=1)
    for number, place in enumerate((3, 4, 5)):
        assert got.logprob[number] == pytest.approx(table[place - 1, pair.ids[place]].item(), 1e-5)
        assert got.confidence[number] == pytest.approx(table[place - 1].max().exp().item(), 1e-5)
        best = int(table[place - 1].argmax())
        assert got.correct[number] == (best == pair.ids[place])
    assert (got.temperature == 2.0).all()


def test_option_scores_make_a_table_with_the_same_answers(plain, lm):
    task = load_task("builtin:capitals", names=["*/europe"], limit=12)
    template = Template("letter")
    table = plain.table(task, template)
    outputs = lm.outputs(template.render_task(task), template, features=False)
    assert table.ids == tuple(question.id for question in task.questions)
    assert table.labelled
    assert (table.scores.argmax(axis=1) == outputs.scores.argmax(axis=1)).all()
    prompts = [prompt.text for prompt in template.render_task(task)]
    temperature = plain.temperature(prompts)
    np.testing.assert_allclose(
        scale_scores(table.scores, 1.0), scale_scores(outputs.scores, temperature), atol=1e-5
    )
    assert table.provenance["scores"]["recalibrated"] == "ats"
    assert table.option_mass.max() <= 1
    other = load_task("builtin:capitals", names=["*/asia"], limit=3)
    assert plain.table([task, other], template).ids[-3:] == tuple(q.id for q in other.questions)
    with pytest.raises(ValueError, match=r"one token each, but got several in question capitals"):
        plain.table(task, Template("cloze"))


def test_chats_are_wrapped_as_in_training(learned, lm):
    assert learned.style.chat
    text = "What is the capital of France?"
    ids = tuple(
        lm.tokenizer(f"<s><|user|>{text}\n<|assistant|>", add_special_tokens=False).input_ids
    )
    row = learned.responses([ats.TokenPair((*ids, 5), len(ids))])
    assert learned.temperature([text])[0] == pytest.approx(row.temperature[0], rel=1e-5)


def test_trainings_can_share_a_reader(lm):
    reader = TokenReader(lm, cache_bytes=1 << 20)
    calls = []
    handle = lm.model.model.register_forward_hook(lambda *_: calls.append(1))
    try:
        first = train(reader, PAIRS, style=PLAIN)
        assert calls
        calls.clear()
        second = train(reader, PAIRS, style=PLAIN)
        assert len(calls) == 2  # the calibrator tries out a reader of its own
    finally:
        handle.remove()
    assert second.language_model is lm
    assert second.pooled_temperature == pytest.approx(first.pooled_temperature, rel=1e-4)


def test_what_cannot_be_measured_is_refused(plain, lm):
    with pytest.raises(TypeError, match="one string"):
        plain.temperature("What?")
    with pytest.raises(ValueError, match="at least one prompt"):
        plain.logprobs([])
    with pytest.raises(ValueError, match="at most 512 tokens"):
        plain.temperature(["one " * 600])
    with pytest.raises(ValueError, match="at least one pair"):
        plain.responses([])
    with (
        pytest.warns(UserWarning, match="Left out"),
        pytest.raises(ValueError, match="prompts below 1024 tokens, but got 1 longer ones"),
    ):
        plain.responses([*PAIRS[:2], ats.Pair("one " * 1200, "two")])
    for temperature in (0.0, 1e-30, 1e4):  # 1e-30 made infinite logits
        with pytest.raises(ValueError, match=r"`temperature` to be a number in \[0.001, 1000\]"):
            plain.responses(PAIRS[:1], temperature=temperature)
    with pytest.raises(ValueError, match="`pairs` to be at least two, but got 1"):
        train(lm, PAIRS[:1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"loss": "ce"}, "one of 'balanced', 'nll', 'selective'"),
        ({"alpha": 2}, "`alpha` to be a number in"),
        ({"learning_rate": 0}, r"number in \(0"),
        ({"batch_size": 0}, "at least 1"),
        ({"validation_fraction": 1.0}, "number in"),
    ],
)
def test_bad_settings_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ats.AtsTraining(**fields)


def test_the_settings_of_the_authors():
    paper = ats.AtsTraining.paper(n_pairs=52_002)
    assert paper.batch_size * paper.accumulate == 8
    assert paper.max_steps == 13_000
    assert paper.learning_rate == 5e-5
    assert math.isclose(paper.alpha, 0.5)
