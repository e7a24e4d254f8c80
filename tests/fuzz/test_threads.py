"""Threads, forks and tasks share objects; each call says what it says alone."""

import asyncio
import copy
import io
import json
import os
import pickle
import signal
import threading
import time
import warnings
from types import SimpleNamespace

import free_forms
import numpy as np
import pytest
import threads
import tiny
import torch
import transformers
from threads import TEMPLATE, WORDS, batches, difference, pausing, soak, together
from worlds import QUIET, SCORES, answers

import thermometer as th
from thermometer import _lightning, ats, free_form, recalibrators
from thermometer._threads import Lock
from thermometer.adaptation import TemperatureStream
from thermometer.adapters import vllm
from thermometer.ats.network import AtsConfig, AtsHead
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.extraction import extract
from thermometer.generation import GumbelNoise, TemperatureLogitsProcessor, lines_of
from thermometer.language_model import LanguageModel
from thermometer.metrics import intervals
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.plots import reliability
from thermometer.reports.confidence_report import measure
from thermometer.training import TrainingConfig, train

PROMPTS = list(batches())
COMMON = {
    "vocab_size": len(tiny.tokenizer()),
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 512,
    "initializer_range": 0.25,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def small(**options):
    model = tiny.model("llama", **threads.SMALL)
    return LanguageModel(model, tiny.tokenizer(), name="llama", **options)


def of_config(config):
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return LanguageModel(model, tiny.tokenizer(), name=config.model_type)


def with_others(other, work):
    """What `work` returns while another thread does `other` over and over."""
    done, failed = threading.Event(), []

    def go():
        while not done.is_set():
            try:
                other()
            except Exception as error:
                failed.append(error)
                return

    thread = threading.Thread(target=go)
    thread.start()
    try:
        return work()
    finally:
        done.set()
        thread.join()
        assert not failed


def test_no_call_sees_the_prefixes_or_states_of_another():
    found = soak(list(threads.models()), calls=90, seed=1)
    assert (found["calls"], found["wrong"]) == (90, 0), found


def test_a_model_that_keeps_its_state_is_run_by_one_thread_at_a_time():
    """RecurrentGemma writes its recurrent states into its modules."""
    lm = of_config(
        transformers.RecurrentGemmaConfig(**COMMON, lru_width=16, attention_window_size=24)
    )
    assert isinstance(lm.alone, Lock)
    prompts = TEMPLATE.render_task(th.Task("t", tuple(map(question, range(4)))))
    jobs = [
        lambda: lm.outputs(prompts[:2], TEMPLATE).scores.tolist(),
        lambda: lm.outputs(prompts, TEMPLATE).scores.tolist(),
        lambda: lines_of(lm, prompts[:3], max_new_tokens=4),
        lambda: lines_of(lm, prompts[1:], max_new_tokens=4),
    ]
    agree(jobs, lm, calls=24)


def question(i):
    return th.Question(f"q{i}", f"Is it {WORDS[i]}?", ("yes", "no"))


def agree(jobs, lm=None, calls=40):
    """Every call of some jobs in threads returns what it returned alone."""
    alone = [job() for job in jobs]
    hooks = [] if lm is None else pausing(lm.model, seed=0)
    for place, found in together(jobs, calls, seed=0):
        assert np.array_equal(found, alone[place]), (place, found)
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("kind", ["llama", "mamba", "t5"])
def test_most_models_are_run_by_all_threads_at_once(kind):
    lm = LanguageModel(tiny.model(kind), tiny.tokenizer(eos=kind == "t5"), name=kind)
    assert not isinstance(lm.alone, Lock)


def test_a_short_prompt_beside_a_long_one_keeps_its_frequencies():
    """Long RoPE chooses them by the longest position of a pass: long prompts are run one by one."""
    rope = {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "short_factor": [1.0] * 4,
        "long_factor": [4.0] * 4,
        "original_max_position_embeddings": 40,
    }
    config = transformers.Phi3Config(
        **COMMON, rope_parameters=rope, original_max_position_embeddings=40
    )
    lm = of_config(config)
    texts = [*WORDS[:4], *[f"{threads.SHARED} {word}" for word in WORDS[:3]]]
    questions = [th.Question(str(i), f"Is it {t}?", ("yes", "no")) for i, t in enumerate(texts)]
    prompts = TEMPLATE.render_task(th.Task("t", tuple(questions)))
    found = lm.outputs(prompts, TEMPLATE)
    for row, prompt in enumerate(prompts):
        alone = lm.outputs([prompt], TEMPLATE)
        assert np.allclose(found.scores[row], alone.scores[0], atol=1e-4)
        assert np.allclose(found.features[row], alone.features[0], atol=1e-4)
    said = lines_of(lm, prompts, max_new_tokens=6)
    assert said == [lines_of(lm, [prompt], max_new_tokens=6)[0] for prompt in prompts]


def test_a_model_is_loaded_while_others_are_asked(tmp_path):
    """Meanwhile transformers changes torch's default dtype and the tying of weights for all."""
    saved = tiny.model("llama", **threads.SMALL, tie_word_embeddings=True).to(torch.bfloat16)
    saved.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    lm, other = small(), LanguageModel.from_pretrained(str(tmp_path), dtype="bfloat16")
    jobs = [lambda lm=lm, p=p: lm.outputs(p, TEMPLATE).scores.tolist() for p in PROMPTS[:3]]
    expected = other.outputs(PROMPTS[0], TEMPLATE).scores.tolist()

    def load():
        loaded = LanguageModel.from_pretrained(str(tmp_path), dtype="bfloat16")
        return loaded.outputs(PROMPTS[0], TEMPLATE).scores.tolist()

    assert load() == expected
    agree([*jobs, load], lm, calls=32)
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_no_number_depends_on_the_default_dtype(dtype):
    lm, encoder_decoder = small(), LanguageModel(tiny.model("t5"), tiny.tokenizer(), name="t5")
    letters = th.Template().render_task(th.Task("t", tuple(map(question, range(4)))))
    calibrator = free_forms.calibrator_of(lm, TEMPLATE)
    weights, config = calibrator.thermometer.state_dict(), calibrator.thermometer.config
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float32)

    def numbers():
        again = Thermometer(config, lm.n_features)
        again.load_state_dict(weights)
        params = SimpleNamespace(extra_args={vllm.ARGUMENT: 1.234567})
        first = vllm.TemperatureV1(None, torch.device("cpu"), is_pin_memory=False)
        first.update_state(SimpleNamespace(removed=[], added=[(0, params, None, [])], moved=[]))
        places = SimpleNamespace(max_num_reqs=2, device=torch.device("cpu"))
        second = vllm.TemperatureV2(None, places)
        second.add_request(0, params)
        second.apply_staged_writes()
        slots = torch.tensor([0, 1])
        context = SimpleNamespace(
            idx_mapping_np=slots.numpy(), idx_mapping=slots, expanded_idx_mapping=slots
        )
        yield first.apply(logits[:2].clone()).numpy()
        yield second.apply(logits[:2].clone(), context).numpy()
        yield lm.outputs(PROMPTS[1], TEMPLATE).scores
        yield encoder_decoder.outputs(letters, th.Template()).scores
        yield GumbelNoise([1, 2, 3])(None, logits).numpy()
        made = Calibrator(again, calibrator.record, calibrator.origins)
        yield made.temperature(th.Task("t", tuple(map(question, range(4)))))

    expected = list(numbers())
    torch.set_default_dtype(dtype)
    try:
        found = list(numbers())
    finally:
        torch.set_default_dtype(torch.float32)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


def test_an_extraction_counts_its_own_work(tmp_path):
    """Four into four folders at once, while another thread asks the same model."""
    lm = small()
    task = th.Task("t", tuple(map(question, range(8))))

    def job():
        folder = tmp_path / str(time.monotonic_ns()) / str(threading.get_ident())
        table = extract(lm, task, folder, template=TEMPLATE, trainer=QUIET)
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["prompts"] == 8
        return [table.scores.tolist(), table.features.tolist(), summary["tokens"]]

    expected = job()
    prompts = TEMPLATE.render_task(task)
    found = with_others(
        lambda: lm.outputs(prompts, TEMPLATE), lambda: together([job], 4, seed=0, n_threads=4)
    )
    assert all(one == expected for _, one in found), found


def test_trainings_wait_for_each_other():
    table, _ = answers("hot", 4.0, seed=0)

    def job():
        made = train([table], SCORES, TrainingConfig(max_steps=5), trainer=QUIET)
        return [p.tolist() for p in made.thermometer.parameters()]

    expected = job()
    found = together([job], 3, seed=0, n_threads=3)
    assert all(one == expected for _, one in found)


def test_a_model_that_several_threads_need_is_loaded_once(tmp_path, monkeypatch):
    tiny.save("llama", tmp_path)
    lm = LanguageModel.from_pretrained(str(tmp_path))
    calibrator = free_forms.calibrator_of(lm, TEMPLATE)
    head = AtsHead(AtsConfig("linear"), lm.n_features)
    style = ats.PairFormat(chat=False)
    provenance = ats.AtsCalibrator.provenance_of(lm, style)
    of_tokens = ats.AtsCalibrator(head, provenance=provenance, pooled_temperature=1.5)
    loaded, load = [], LanguageModel.from_pretrained

    def counted(*args, **options):
        loaded.append(args)
        return load(*args, **options)

    monkeypatch.setattr(LanguageModel, "from_pretrained", counted)
    lazy = Calibrator(calibrator.thermometer, calibrator.record)
    found = together([lambda: lazy.language_model], 8, seed=0, pause=0.0)
    assert len({id(one) for _, one in found}) == len(loaded) == 1
    found = together([lambda: of_tokens.language_model], 8, seed=0, pause=0.0)
    assert len({id(one) for _, one in found}) == 1
    assert len(loaded) == 2


def test_a_stream_takes_one_push_at_a_time():
    """With a window of one prompt each has the temperature that it has alone."""
    config = ThermometerConfig(("scores",), n_members=1, hidden_size=8, dropout=0.0)
    network = Thermometer(config)
    torch.nn.init.normal_(network.members[0].combine.weight, std=3.0)
    calibrator = Calibrator(network, TrainingRecord(["law"], 1.0))
    rows = np.random.default_rng(0).normal(size=(8, 1, 3)) * 3

    def alone(row):
        return TemperatureStream(calibrator, window=1).push(scores=row).temperature

    expected = [alone(row) for row in rows]
    assert len(np.unique(expected)) == 8
    network.register_forward_pre_hook(lambda *_: time.sleep(0.001))
    stream = TemperatureStream(calibrator, window=1)
    jobs = [lambda row=row: stream.push(scores=row).temperature for row in rows]
    for place, found in together(jobs, 80, seed=0):
        assert np.array_equal(found, expected[place])
    again = copy.deepcopy(stream)
    assert np.array_equal(again.push(scores=rows[0]).temperature, expected[0])


def test_a_processor_serves_several_generations():
    """Another thread's shorter rows do not make the second step look like the first."""
    processor = TemperatureLogitsProcessor([0.5, 2.0])
    scores = torch.zeros(4, 7)
    processor(torch.ones(4, 5, dtype=torch.int64), scores)
    other = threading.Thread(target=processor, args=(torch.ones(4, 9, dtype=torch.int64), scores))
    other.start()
    other.join()
    continued = torch.cat([torch.ones(4, 5), torch.arange(4)[:, None]], dim=1).long()
    assert processor(continued, scores).shape == (4, 7)
    with pytest.raises(ValueError, match="of more prompts"):
        processor(continued, scores)  # the first step of another generation


def test_quiet_threads_leave_the_filters_of_others():
    before = list(warnings.filters)
    first = _lightning.quiet()
    first.__enter__()
    with _lightning.quiet():
        warnings.filterwarnings("ignore", message="by a thread of the user")
        first.__exit__(None, None, None)
        warnings.warn("The 'predict' does not have many workers", stacklevel=1)  # still ignored
    assert warnings.filters[1:] == before
    assert warnings.filters[0][1].pattern == "by a thread of the user"


def in_fork(work):
    """Exit code of a forked process that runs `work`, which returns whether all is well."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of threads
        child = os.fork()
    if child == 0:
        signal.alarm(30)  # a process that waits forever is killed
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_lock():
    lock = Lock()
    assert isinstance(pickle.loads(pickle.dumps(lock)), Lock)
    inside = []

    def job():
        with lock, lock:
            inside.append(1)
            time.sleep(0.0005)
            assert len(inside) == 1
            inside.pop()

    assert [one for _, one in together([job], 40, seed=0, pause=0.0)] == [None] * 40


def test_tasks_of_asyncio():
    lm = small(layer=1)
    expected = [lm.outputs(prompts, TEMPLATE) for prompts in PROMPTS]
    hooks = pausing(lm.model, seed=0)

    async def ask():
        calls = [asyncio.to_thread(lm.outputs, PROMPTS[i % 8], TEMPLATE) for i in range(24)]
        return await asyncio.gather(*calls)

    for i, found in enumerate(asyncio.run(ask())):
        assert difference(found, expected[i % 8]) <= threads.MARGIN
    for hook in hooks:
        hook.remove()


def picture(figure):
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=30)
    return out.getvalue()


def test_what_is_built_on_a_model_and_on_numbers(tmp_path):
    """Answers, verdicts, temperatures of tokens; metrics, recalibrators, reports and pictures."""
    lm = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="llama")
    choosing = CalibratedLM(lm, free_forms.calibrator_of(lm, th.Template()))
    speaking = CalibratedLM(lm, free_forms.calibrator_of(lm))
    head = AtsHead(AtsConfig("linear"), lm.n_features)
    torch.nn.init.normal_(head.output.weight, std=0.3)
    provenance = ats.AtsCalibrator.provenance_of(lm, ats.PairFormat(chat=False))
    tokens = ats.AtsCalibrator(
        head, provenance=provenance, pooled_temperature=1.5, language_model=lm
    )
    texts = [f"What is {word}?" for word in WORDS]
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.3, 1, 300)
    right = (rng.random(300) < confidence).astype(int)
    fitted = [
        kind().fit(confidence, right)
        for kind in (recalibrators.PlattScaling, recalibrators.IsotonicCalibration)
    ]
    diagram = reliability.prepare_reliability(confidence, right)

    def report():
        file = tmp_path / f"{threading.get_ident()}.json"
        found = measure({"p": confidence, "q": confidence**2}, right)
        file.write_text(found.to_json())
        return json.loads(file.read_text())["series"]

    agree(
        [
            lambda: repr(choosing.classify(texts[:3], ["yes", "no"])),
            lambda: repr(choosing.classify(texts[2:7], ["yes", "no", "perhaps"])),
            lambda: repr(free_form.answer(speaking, texts[:2], max_new_tokens=4)),
            lambda: repr(
                list(free_form.answer_stream(speaking, texts[3:6], window=2, max_new_tokens=4))
            ),
            lambda: repr(free_form.verify(speaking, texts[:2], ["Paris", "Rome"])),
            lambda: tokens.temperature(texts[:4]).tolist(),
            lambda: tokens.logprobs(texts[4:6]).tolist(),
            *[lambda one=one: one.recalibrate(confidence[:20]).tolist() for one in fitted],
            lambda: repr(intervals.ece_interval(confidence, right, n_resamples=50)),
            report,
            lambda: picture(reliability.draw_reliability(diagram, title="A")),
        ],
        lm,
        calls=48,
    )
