"""Signals of tiny real models against plain forward passes, scripted replies and brute force."""

import warnings

import free_forms
import numpy as np
import pytest
import reference
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import chisquare, entropy

from thermometer import signals
from thermometer.free_form import FreeFormQuestion, FreeFormTask, render_question
from thermometer.generation import generate_lines
from thermometer.language_model import LanguageModel
from thermometer.signals.consistency import meaning_certainty, meanings
from thermometer.templates import Prompt, Template

QUESTIONS = ["What is the capital of France?", "Which is larger?", "What is the capital?"]
ANSWERS = ["Paris", " the larger one ", "Rome or London"]
END = "</s>"
ALL = [
    lambda *given, **options: signals.stated_confidence(*given, **options).confidence,
    signals.sequence_probability,
    lambda *given, **options: signals.consistency(*given, n_samples=2, **options).agreement,
    signals.p_true,
]


@pytest.mark.parametrize("kind", ["llama", "bloom"])
@pytest.mark.parametrize("normalised", [True, False])
def test_sequence_probability_is_that_of_the_tokens(kind, normalised):
    lm = LanguageModel(tiny.model(kind), tiny.tokenizer(), name=kind)
    found = signals.sequence_probability(lm, QUESTIONS, ANSWERS, normalised=normalised)
    for question, answer, value in zip(QUESTIONS, ANSWERS, found, strict=True):
        text = render_question(FreeFormQuestion("q", question), Template("verify")).text
        option = f" {answer.strip()}"
        (total,) = reference.option_scores(lm.model, lm.tokenizer, text, [option])
        whole = lm.tokenizer(text + option)["input_ids"]
        n_tokens = len(whole) - len(lm.tokenizer(text)["input_ids"]) if normalised else 1
        assert value == pytest.approx(np.exp(total / n_tokens), rel=1e-3)


def test_p_true_is_the_share_of_yes(lm):
    found = signals.p_true(lm, QUESTIONS, ANSWERS)
    for question, answer, value in zip(QUESTIONS, ANSWERS, found, strict=True):
        text = (
            f"Choose A, or B,\n Answer in as few words as possible. \nQuestion:{question}. \n"
            f"Answer: {answer.strip()} \nIs the above answer correct? \nA. Yes, \nB. No, \nAnswer:"
        )
        scores = reference.option_scores(lm.model, lm.tokenizer, text, [" A", " B"])
        assert value == pytest.approx(softmax(scores)[0], rel=1e-3)


@pytest.mark.parametrize(
    ("pieces", "scale", "confidence"),
    [
        (("9", "0", "%", END), "percent", 0.9),
        (("8", "5", END), "percent", 0.85),
        (("8", "5", END), "unit", np.nan),
        (("0", ".", "7", "\n"), "unit", 0.7),
        ((" Paris", END), "percent", np.nan),
        ((END,), "percent", np.nan),
    ],
)
def test_what_a_model_states_is_read_on_the_declared_scale(pieces, scale, confidence):
    lm = free_forms.speaker(*pieces, after="Confidence:")
    found = signals.stated_confidence(lm, QUESTIONS, ["Paris", "", "Rome"], scale=scale)
    np.testing.assert_allclose(found.confidence, [confidence, np.nan, confidence])
    said = "".join(pieces).replace(END, "").strip()
    assert found.replies == (said, None, said)
    assert found.parse_rate == float(not np.isnan(confidence))


def test_without_answers_nothing_is_asked_and_no_rate_is_known(lm):
    found = signals.stated_confidence(lm, QUESTIONS, [""] * 3)
    assert found.replies == (None, None, None)
    assert np.isnan(found.parse_rate)


def test_the_question_of_confidence_names_scale_answer_and_passage():
    prompts = []

    class Listening(LanguageModel):
        def encode(self, given, template):
            prompts.extend(given)
            return super().encode(given, template)

    lm = Listening(tiny.model("llama"), tiny.tokenizer(), name="listening")
    for scale, words in (("percent", "percentage from 0%"), ("unit", "from 0.00")):
        prompts.clear()
        signals.stated_confidence(
            lm, QUESTIONS[:1], ANSWERS[:1], "A passage.", scale=scale, chat=True, max_new_tokens=2
        )
        (prompt,) = prompts
        assert prompt.chat
        for piece in ("A passage.", QUESTIONS[0], "Answer: Paris\n", words):
            assert piece in prompt.text
        assert prompt.text.endswith("nothing else.")  # the reply begins after the chat's header


@pytest.mark.parametrize("signal", ALL)
def test_an_empty_answer_has_no_signal_and_the_rest_do_not_change(signal, lm):
    whole = signal(lm, QUESTIONS, ANSWERS)
    assert whole.dtype == np.float64
    gaps = signal(lm, QUESTIONS, [ANSWERS[0], "  ", ANSWERS[2]])
    np.testing.assert_allclose(gaps[[0, 2]], whole[[0, 2]], rtol=1e-4)
    assert np.isnan(gaps[1])
    assert np.isnan(signal(lm, QUESTIONS, [""] * 3)).all()


@pytest.mark.parametrize("signal", ALL)
def test_a_task_brings_its_passages(signal, lm):
    passages = ["Paris is large.", None, "Rome."]
    task = FreeFormTask(
        "capitals",
        tuple(
            FreeFormQuestion(f"q{i}", text, context=passage)
            for i, (text, passage) in enumerate(zip(QUESTIONS, passages, strict=True))
        ),
    )
    found = signal(lm, task, ANSWERS)
    np.testing.assert_array_equal(found, signal(lm, QUESTIONS, ANSWERS, passages))


@pytest.mark.parametrize("signal", ALL)
@pytest.mark.parametrize(
    ("questions", "answers", "error", "message"),
    [
        ("What?", ["a"], TypeError, "`questions` to be a list of strings"),
        (["What?"], "a", TypeError, "`answers` to be a list of strings"),
        (["What?"], ["a", "b"], ValueError, "`answers` to be of length 1"),
        ([], [], ValueError, "at least one question"),
        (["capital " * 600], ["a"], ValueError, "tokens"),
    ],
)
def test_bad_input_is_refused(signal, questions, answers, error, message, lm):
    with pytest.raises(error, match=message):
        signal(lm, questions, answers)


def test_samples_follow_the_distribution_of_the_model(lm):
    prompt = Prompt("q", "Question: What is the capital of France?\nAnswer:")
    n = 3000
    drawn = {}
    for rows, lines in generate_lines(lm, [prompt] * n, seeds=range(n), max_new_tokens=1):
        drawn |= {row: line.text for row, line in zip(rows, lines, strict=True)}
    ids = torch.tensor([lm.tokenizer(prompt.text)["input_ids"]])
    with torch.inference_mode():
        probs = lm.model(ids).logits[0, -1].double().softmax(0).numpy()
    expected = {}
    for token, prob in enumerate(probs):
        text = lm.tokenizer.decode([token], skip_special_tokens=True)
        line = text.strip().partition("\n")[0].strip()
        expected[line] = expected.get(line, 0.0) + n * prob
    often = [line for line, count in expected.items() if count >= 8]
    observed = np.array([sum(text == line for text in drawn.values()) for line in often])
    awaited = np.array([expected[line] for line in often])
    assert len(often) > 20
    rest = chisquare([*observed, n - observed.sum()], [*awaited, n - awaited.sum()])
    assert rest.pvalue > 1e-4


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "mistral", "bloom", "lfm2", "t5"])
def test_samples_to_equal_prompts_are_those_to_each_alone(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lm = LanguageModel(tiny.model(kind), tiny.tokenizer(), name=kind)
    texts = ["Answer: the capital is", "Question: What is the capital of France?\nAnswer:", "A"]
    prompts = [Prompt("q", texts[i]) for i in (0, 1, 0, 0, 1, 2, 0, 1)]
    options = {"seeds": range(8), "max_new_tokens": 5}
    ((rows, lines),) = generate_lines(lm, prompts, **options)
    together = dict(zip(rows, lines, strict=True))
    assert len({line.text for line in lines}) > 5
    for row, prompt in enumerate(prompts):
        ((_, alone),) = generate_lines(lm, [prompt], seeds=[row], max_new_tokens=5)
        assert alone == [together[row]]


def test_a_prompt_of_many_samples_is_read_once():
    lm = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="tiny-llama")
    sizes = []
    lm.model.model.register_forward_hook(
        lambda _module, _inputs, output: sizes.append(output.last_hidden_state[..., 0].numel())
    )
    prompt = Prompt("q", "Question: What is the capital of France?\nAnswer:")
    n_tokens = len(lm.tokenizer(prompt.text)["input_ids"])
    list(generate_lines(lm, [prompt] * 5, seeds=range(5), max_new_tokens=1))
    assert sum(sizes) == n_tokens - 1 + 5


def test_samples_depend_on_the_seed_and_on_nothing_else(lm):
    options = {"n_samples": 6, "max_new_tokens": 4}
    whole = signals.consistency(lm, QUESTIONS, ANSWERS, **options)
    assert len({*sum(whole.samples, ())}) > 6
    alone = signals.consistency(lm.with_token_budget(60), QUESTIONS[1:2], ["other"], **options)
    assert alone.samples == whole.samples[1:2]
    other = signals.consistency(lm, QUESTIONS, ANSWERS, seed=1, **options)
    assert other.samples != whole.samples
    more = signals.consistency(lm, QUESTIONS, ANSWERS, n_samples=9, max_new_tokens=4)
    assert [said[:6] for said in more.samples] == list(whole.samples)


def test_every_question_has_random_numbers_of_its_own():
    """To a model that finds all tokens alike, questions differ by nothing else."""
    model = tiny.model("llama")
    model.lm_head.weight.data.zero_()
    lm = LanguageModel(model, tiny.tokenizer(), name="flat")
    first, second, _ = signals.consistency(lm, QUESTIONS, ANSWERS, max_new_tokens=2).samples
    assert len({*first, *second}) > 15


def test_consistency_counts_meanings(lm):
    options = {"n_samples": 8, "max_new_tokens": 1, "equivalence": same_initial}
    first = signals.consistency(lm, QUESTIONS[:2], ["x", "y"], **options).samples
    answers = [max(said, key=len) for said in first]
    found = signals.consistency(lm, QUESTIONS[:2], answers, **options)
    for said, answer, agreement, certainty in zip(
        found.samples, answers, found.agreement, found.certainty, strict=True
    ):
        initials = [text[:1] for text in said]
        assert agreement == np.mean([initial == answer[:1] for initial in initials])
        counts = np.unique(initials, return_counts=True)[1]
        assert certainty == pytest.approx(1 - entropy(counts / 8) / np.log(8))


def same_initial(_question, pairs):
    return [a[:1] == b[:1] for a, b in pairs]


def test_a_model_that_always_says_the_same_is_consistent():
    lm = free_forms.speaker(" Paris", END)
    found = signals.consistency(lm, QUESTIONS, ["paris.", "Rome", ""])
    assert found.agreement[:2].tolist() == [1.0, 0.0]
    assert np.isnan(found.agreement[2])
    assert found.certainty.tolist() == [1.0, 1.0, 1.0]
    assert found.samples == (("Paris",) * 10,) * 3


def test_few_samples_are_refused(lm):
    with pytest.raises(ValueError, match="`n_samples` to be an integer of at least 2"):
        signals.consistency(lm, QUESTIONS, ANSWERS, n_samples=1)


@given(st.lists(st.sampled_from(["Goethe", "goethe.", "The Goethe", "Schiller", ""]), min_size=1))
def test_equal_words_have_one_meaning(answers):
    found = meanings("Who?", answers, signals.same_words)
    words = [answer.lower().replace("the ", "").strip(".") for answer in answers]
    numbers = {word: i for i, word in enumerate(dict.fromkeys(words))}
    assert found == [numbers[word] for word in words]


def test_a_meaning_is_that_of_its_first_answer():
    """Neighbours are alike, so 3 goes with 2's meaning only if 2 is the first of one."""

    def near(_question, pairs):
        return [abs(int(a) - int(b)) <= 1 for a, b in pairs]

    assert meanings("?", ["1", "2", "3", "4"], near) == [0, 0, 1, 1]
    assert meanings("?", ["2", "1", "3", "4"], near) == [0, 0, 0, 1]


def test_an_equivalence_that_counts_wrong_is_refused():
    with pytest.raises(ValueError, match="`equivalence` to be 1 verdicts, but got 0"):
        meanings("?", ["a", "b"], lambda _question, _pairs: [])


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_certainty_is_the_entropy_turned_round(labels):
    counts = np.unique(labels, return_counts=True)[1]
    expected = 1 - entropy(counts / len(labels)) / np.log(len(labels))
    assert meaning_certainty(labels) == pytest.approx(expected, abs=1e-12)


@given(st.integers(0, 10_000))
def test_signals_of_option_scores(seed):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(5, 4)) * 5
    scores[0, 2:] = -np.inf
    probs = softmax(scores, axis=1)
    ordered = np.sort(probs, axis=1)
    np.testing.assert_allclose(signals.largest_probability(scores), ordered[:, -1])
    np.testing.assert_allclose(signals.margin(scores), ordered[:, -1] - ordered[:, -2], atol=1e-12)
    expected = 1 - entropy(probs, axis=1) / np.log([2, 4, 4, 4, 4])
    np.testing.assert_allclose(signals.option_certainty(scores), expected, atol=1e-9)


@pytest.mark.parametrize(
    "signal", [signals.largest_probability, signals.margin, signals.option_certainty]
)
def test_option_scores_that_are_none_are_refused(signal):
    with pytest.raises(ValueError, match="`scores` to be finite"):
        signal([[0.0, np.nan]])
