"""Option probabilities from responses: bounds against a toy model, spellings, temperatures."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from toy_server import OPTIONS, TOKENS, ToyModel

from thermometer.adapters.api_formats import known, position, weights
from thermometer.adapters.api_logprobs import (
    OptionTexts,
    calibrate_responses,
    continuation_scores,
    option_probabilities,
)
from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.recalibrators.base import invert_softmax
from thermometer.scaling import scale_scores
from thermometer.types import Question, Task


def chat(*positions):
    """A response of chat completions; each position is {token: logprob}, the first one chosen."""
    content = []
    for listed in positions:
        entries = [{"token": t, "logprob": n, "bytes": None} for t, n in listed.items()]
        content.append({**entries[0], "top_logprobs": entries})
    return {"choices": [{"message": {"content": ""}, "logprobs": {"content": content}}]}


def logs(**probabilities):
    return {token: float(np.log(p)) for token, p in probabilities.items()}


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 10_000),
    st.integers(0, 10_000),
    st.integers(2, len(TOKENS)),
    st.sampled_from([0.5, 1.0, 1.7]),
)
@example(4079, 0, 4, 0.5)  # bounds that rest on the norm of the second token
def test_the_truth_lies_within_the_bounds(model, reply, top, temperature):
    """Whatever was sampled, however little was listed, at whatever temperature."""
    toy = ToyModel(model)
    response = toy.response(reply, top, temperature)
    found = option_probabilities(
        [response], OPTIONS, temperature=temperature, spellings=len(TOKENS)
    )
    truth = toy.masses()
    truth = truth / truth.sum()
    assert (found.low[0] <= truth + 1e-9).all()
    assert (truth <= found.high[0] + 1e-9).all()
    assert (found.low <= found.probs + 1e-9).all()
    assert (found.probs <= found.high + 1e-9).all()
    assert found.probs.sum() == pytest.approx(1)
    assert (found.probs > 0).all()


def test_the_bounds_say_much_where_much_is_listed():
    """Else bounds from 0 to 1 would pass: on average they are less than a third of that."""
    widths = []
    for seed in range(40):
        found = option_probabilities([ToyModel(seed).response(seed, len(TOKENS))], ["A", "b"])
        widths.append(float((found.high - found.low).mean()))
    assert np.mean(widths) < 0.3


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.3, 3.0))
def test_a_whole_row_gives_back_the_logits_at_any_temperature(seed, temperature):
    logits = np.random.default_rng(seed).normal(0, 2, 4)
    probs = scale_scores([logits], temperature)
    row = dict(zip("ABCD", np.log(probs[0]).tolist(), strict=True))
    found = option_probabilities([chat(row)], list("ABCD"), temperature=temperature)
    np.testing.assert_allclose(found.probs, scale_scores([logits], 1.0), atol=1e-6)
    inverted = invert_softmax(probs, floor=1e-100).scores * temperature
    np.testing.assert_allclose(np.diff(found.scores[0]), np.diff(inverted[0]), atol=1e-5, rtol=1e-5)


def test_spellings_of_an_option_are_added_up():
    row = logs(
        A=0.3,
        **{" A": 0.1, "a": 0.05, "**A": 0.05, "(A)": 0.02, "A.": 0.03, "B": 0.2, "Apple": 0.25},
    )
    found = option_probabilities([chat(row)], ["A", "B"])
    np.testing.assert_allclose(np.exp(found.scores), [[0.55, 0.2]], rtol=1e-5)
    exact = option_probabilities([chat(row)], ["A", "B"], merge="exact")
    np.testing.assert_allclose(np.exp(exact.scores), [[0.3, 0.2]], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "option"),
    [
        (" Yes", 0),
        ("yes,", 0),
        ('"YES"', 0),
        ("yesterday", None),
        ("No", 1),
        (" no way", 2),
        ("No Way.", 2),
        ("1", 3),
        ("1.", 3),
        ("1.5", 4),
        ("1,5", None),
        ("C", 5),
        ("c++", 6),
        ("Größe", 7),
        ("maybe", None),
        ("", None),
    ],
)
def test_which_text_is_which_option(text, option):
    texts = OptionTexts(["yes", "no", "no way", "1", "1.5", "C", "C++", "GRÖSSE"])
    assert texts.match(text.encode()).done == option


def test_a_text_may_still_become_longer_options():
    texts = OptionTexts(["no", "no way", "north"])
    assert texts.match(b" n").open.tolist() == [True, True, True]
    assert texts.match(b" no").open.tolist() == [False, True, True]
    assert texts.match(b"**").open.all()
    assert not texts.match(b" no.").open.any()


def test_a_character_in_two_tokens_is_read():
    """The first byte of é alone is the beginning of it, whatever a server shows in its place."""
    first = {"token": "\ufffd", "bytes": [0xC3], "logprob": np.log(0.9)}
    second = {"token": "\ufffd", "bytes": [0xA9], "logprob": np.log(0.8)}
    other = {"token": "\ufffd", "bytes": [0xA8], "logprob": np.log(0.15)}
    content = [
        {**first, "top_logprobs": [first, {"token": "a", "logprob": np.log(0.05), "bytes": [97]}]},
        {**second, "top_logprobs": [second, other]},
    ]
    response = {"choices": [{"message": {}, "logprobs": {"content": content}}]}
    found = option_probabilities([response], ["é", "è", "a"])
    np.testing.assert_allclose(np.exp(found.scores), [[0.72, 0.135, 0.05]], rtol=1e-3)


def test_options_that_begin_alike_are_told_apart_by_the_tokens_that_follow():
    steps = [logs(North=0.8, South=0.15), logs(**{" Korea": 0.6, " Macedonia": 0.3})]
    options = ["North Korea", "North Macedonia", "South Korea"]
    found = option_probabilities([chat(*steps)], options)
    np.testing.assert_allclose(np.exp(found.scores), [[0.48, 0.24, 0.15]], rtol=1e-3)
    alone = option_probabilities([chat(steps[0])], options)
    assert alone.probs[0, 0] == alone.probs[0, 1]
    assert alone.low[0, :2].tolist() == [0, 0]
    assert alone.high[0, 0] > 0.95
    assert any("another option may be the likeliest" in warning for warning in alone.warnings)


def test_an_option_that_is_the_beginning_of_another_is_not_taken_for_it():
    found = option_probabilities(
        [chat(logs(no=0.9, yes=0.1), logs(ne=0.7, **{".": 0.3}))], ["no", "none", "yes"]
    )
    np.testing.assert_allclose(found.probs, [[0.27, 0.63, 0.1]], atol=1e-4)


def test_leading_blanks_and_marks_are_passed_over():
    steps = [logs(**{"\n": 1.0 - 1e-6}), logs(**{"**": 1.0 - 1e-6}), logs(B=0.7, A=0.3)]
    steps = [{**step, "?": -30.0} for step in steps]
    found = option_probabilities([chat(*steps)], ["A", "B"])
    np.testing.assert_allclose(found.probs, [[0.3, 0.7]], atol=1e-4)


def test_the_answer_may_stand_behind_other_text():
    talk = [{"The answer": -0.1, "No": -3.0}, {" is:": -0.1, " was": -3.0}]
    response = chat(*talk, logs(B=0.6, A=0.4), logs(**{".": 0.9, "!": 0.1}))
    found = option_probabilities([response], ["A", "B"], after="is")
    np.testing.assert_allclose(found.probs, [[0.4, 0.6]], atol=1e-4)
    blind = option_probabilities([response], ["A", "B"])
    assert blind.low.tolist() == [[0, 0]]
    assert any(
        "not one of the options in 1 of 1 responses (rows from 0: 0)" in warning
        for warning in blind.warnings
    )
    assert any("below 0.5" in warning for warning in blind.warnings)
    for after in ("perhaps", "."):
        with pytest.raises(ValueError, match=r"Response 0: .*`after` to be a text in the reply"):
            option_probabilities([response], ["A", "B"], after=after)


@pytest.mark.parametrize("after", ["answer:", "answer: ", ":"])
def test_a_token_may_hold_the_end_of_what_stands_before_and_the_answer(after):
    """Of ": A" behind "answer:" the answer is A; "; B" does not begin so, and is no answer."""
    spanning = {": A": 0.5, ": B": 0.25, "; B": 0.2}
    response = chat(logs(answer=0.9, No=0.1), logs(**spanning), logs(D=0.9, B=0.1))
    found = option_probabilities([response], ["A", "B", "D"], after=after, spellings=1)
    np.testing.assert_allclose(found.scores[0, :2], np.log([0.5, 0.25]), atol=1e-3)
    assert found.mass[0] == pytest.approx(0.75, abs=0.06)
    assert found.probs[0, 2] < 0.07


NO_ANSWERS = [
    None,
    {"custom_id": "q", "response": None, "error": {"code": "batch_expired", "message": "expired"}},
    {"choices": [{"message": {"refusal": "I cannot"}, "logprobs": None}]},
    {"choices": [{"message": {}, "logprobs": None, "finish_reason": "content_filter"}]},
    {"choices": [{"message": {}, "logprobs": {"content": []}}]},
    {"error": {"message": "overloaded"}},
]


@pytest.mark.parametrize("failed", NO_ANSWERS)
def test_a_response_without_an_answer_is_left_out_and_named(failed):
    """The rest stays in its place: what is not there is NaN, not a number of another row."""
    good = chat(logs(A=0.7, B=0.2))
    found = option_probabilities([good, failed, good], ["A", "B"])
    alone = option_probabilities([good], ["A", "B"])
    for name in ("probs", "low", "high", "scores", "mass", "residual"):
        values = getattr(found, name)
        assert np.isnan(values[1]).all()
        np.testing.assert_array_equal(values[[0, 2]], getattr(alone, name)[[0, 0]])
    assert list(found.skipped) == [1]
    assert "no answer, left out in 1 of 3 responses (rows from 0: 1)" in found.warnings[0]
    assert found.warnings[-1].startswith("Response 1: ")
    with pytest.raises(ValueError, match=r"^Response 1: "):
        option_probabilities([good, failed, good], ["A", "B"], strict=True)
    with pytest.raises(ValueError, match=r"^Response 0: "):
        option_probabilities([failed], ["A", "B"])


@pytest.mark.parametrize(
    "failed",
    [
        "<html>502 Bad Gateway</html>",
        '{"choices": [{"message"',
        b"\xff\xfe",
        {"id": "batch_req_1", "response": {"status_code": 500, "body": {}}},
        {"object": "error", "message": "too long", "code": 400},
        {"choices": [{"message": {"tool_calls": [{}]}, "finish_reason": "tool_calls"}]},
        {"output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
        {"outputs": [{"token_ids": [], "logprobs": []}]},
    ],
)
def test_other_ways_to_fail_are_left_out_too(failed):
    good = chat(logs(A=0.7, B=0.2))
    found = option_probabilities([failed, good], ["A", "B"])
    assert list(found.skipped) == [0]
    assert np.isnan(found.probs[0]).all()
    np.testing.assert_array_equal(found.probs[1:], option_probabilities([good], ["A", "B"]).probs)


def test_a_refusal_is_called_one():
    message = {"message": {"refusal": "I cannot"}, "logprobs": {"content": None, "refusal": []}}
    filtered = {"message": {}, "logprobs": None, "finish_reason": "content_filter"}
    good = chat(logs(A=0.7, B=0.2))
    found = option_probabilities(
        [{"choices": [message]}, {"choices": [filtered]}, good], ["A", "B"]
    )
    assert "a refusal: I cannot" in found.skipped[0]
    assert "ended with content_filter" in found.skipped[1]


def test_a_token_that_is_listed_twice_counts_once():
    """Some servers list the chosen token again; two tokens of one text are two."""
    good = chat({**logs(A=0.5, B=0.1), " A": float(np.log(0.2))})
    again = json.loads(json.dumps(good))
    listed = again["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
    listed.append(dict(listed[0]))
    found = option_probabilities([good, again], ["A", "B"], spellings=1)
    np.testing.assert_array_equal(found.scores[0], found.scores[1])
    np.testing.assert_allclose(found.scores[1], np.log([0.7, 0.1]))


@pytest.mark.parametrize(
    ("token", "option"),
    [
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("\u00e9t\u00e9", "e\u0301te\u0301"),
        ("\u200bhiver", "hiver"),
    ],
)
def test_one_text_in_two_ways_to_write_it_is_one(token, option):
    response = chat({token: -0.5, "summer": -1.5})
    found = option_probabilities([response], [option, "summer"], spellings=1)
    np.testing.assert_allclose(found.scores, [[-0.5, -1.5]])
    with pytest.raises(ValueError, match="different texts"):
        option_probabilities([response], [option, token])


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.text("aAbB ,.1", min_size=1, max_size=3), min_size=2, max_size=5),
    st.lists(st.text("aAbB ,.1", min_size=1, max_size=3), min_size=1, max_size=6, unique=True),
)
def test_no_token_is_counted_twice(options, tokens):
    """Whatever options begin one another: what is decided and open is what was listed, at most."""
    shares = np.arange(1, len(tokens) + 1) / (len(tokens) + 1) ** 2
    response = chat(dict(zip(tokens, np.log(shares).tolist(), strict=True)))
    try:
        found = option_probabilities([response], options, spellings=1)
    except ValueError:
        return
    assert found.mass[0] <= 1 + 1e-9
    assert found.probs.sum() == pytest.approx(1)
    assert (found.low <= found.probs + 1e-9).all()
    assert (found.probs <= found.high + 1e-9).all()


def test_several_models_are_told():
    one, other = ({**chat(logs(A=0.7, B=0.2)), "model": name} for name in ("gpt-1", "gpt-2"))
    assert option_probabilities([one, one, chat(logs(A=0.9))], ["A", "B"]).model == "gpt-1"
    found = option_probabilities([one, other], ["A", "B"])
    assert found.model is None
    assert "the responses are of several models: gpt-1, gpt-2" in found.warnings


def test_behind_the_last_of_several_places_the_answer_begins():
    draft = [logs(**{"is": 0.9, "was": 0.1}), logs(A=0.7, B=0.3)]
    found = option_probabilities(
        [chat(*draft, draft[0], logs(B=0.8, A=0.2))], ["A", "B"], after="is"
    )
    np.testing.assert_allclose(found.probs, [[0.2, 0.8]], atol=1e-4)


def test_an_option_that_is_not_listed_has_a_bound_and_no_zero():
    found = option_probabilities([chat(logs(A=0.8, B=0.15, C=0.03))], ["A", "B", "D"])
    assert found.low[0, 2] == 0
    assert found.high[0, 2] == pytest.approx(0.02 / 0.97, rel=1e-6)
    assert 0 < found.probs[0, 2] <= found.high[0, 2]
    assert np.isfinite(found.scores).all()
    assert found.residual[0] == pytest.approx(0.02)
    assert found.warnings == ()


def test_few_spellings_make_narrow_bounds():
    """No unlisted token is likelier than the least likely listed one."""
    row = logs(A=0.5, B=0.3, x=0.0001)
    wide = option_probabilities([chat(row)], ["A", "B", "D"])
    narrow = option_probabilities([chat(row)], ["A", "B", "D"], spellings=2)
    unranked = option_probabilities([chat(row)], ["A", "B", "D"], spellings=2, ranked=False)
    assert narrow.high[0, 2] == pytest.approx(0.0002 / 0.8002)
    assert narrow.high[0, 2] < wide.high[0, 2] < unranked.high[0, 2]
    assert unranked.high[0, 2] == pytest.approx(0.1999 / 0.9999)


@pytest.mark.parametrize("missing", [-9999.0, -9999, None, float("nan"), float("-inf"), -3.4e38])
def test_what_stands_for_unknown_is_not_taken_for_a_number(missing):
    assert known(missing) is None
    found = option_probabilities([chat({**logs(A=0.7, C=0.2), "B": missing})], ["A", "B"])
    without = option_probabilities([chat(logs(A=0.7, C=0.2))], ["A", "B"])
    np.testing.assert_array_equal(found.probs, without.probs)
    assert found.high[0, 1] == pytest.approx(0.1 / 0.8)


def test_a_chosen_token_outside_the_likeliest_is_no_ceiling():
    """Servers add it to the list; tokens likelier than it may then be missing."""
    listed = [(b"A", -0.5, None), (b"B", -1.5, None), (b"z", -9.0, None)]
    assert position(b"z", -9.0, listed).ceiling == -1.5
    assert position(b"A", -0.5, listed).ceiling == -9.0
    assert position(b"A", -0.5, listed[:1]).ceiling == 0.0
    assert position(b"z", None, []).ceiling == 0.0


def test_ranks_say_which_tokens_are_the_likeliest():
    listed = [(b"z", -9.0, 800), (b"A", -0.5, 1), (b"B", -1.5, 2)]
    assert position(b"z", -9.0, listed).ceiling == -1.5
    assert position(b"A", -0.5, [(b"B", -1.5, 2)]).ceiling == 0.0  # named by the request


def test_probabilities_that_sum_to_much_more_than_one_are_refused():
    with pytest.raises(ValueError, match=r"Response 0: .*of one softmax, .* got 1\.300"):
        option_probabilities([chat(logs(A=0.8, B=0.5))], ["A", "B"])
    rounded = weights(position(b"A", 0.0, [(b"A", 0.0, None), (b"B", -5.0, None)]))
    assert rounded.candidates.sum() + rounded.unseen == pytest.approx(1)


def test_rows_may_have_options_of_their_own():
    responses = [chat(logs(A=0.7, B=0.2, C=0.05)), chat(logs(yes=0.6, no=0.3))]
    found = option_probabilities(responses, [["A", "B", "C"], ["yes", "no"]])
    assert found.scores[1, 2] == -np.inf
    assert (found.probs[1, 2], found.low[1, 2], found.high[1, 2]) == (0, 0, 0)
    alone = option_probabilities(responses[1:], ["yes", "no"])
    np.testing.assert_array_equal(found.probs[1:, :2], alone.probs)
    np.testing.assert_allclose(found.mass, [0.95, 0.9])
    assert len(found) == 2


GOOD = chat(logs(A=0.7, B=0.2))


@pytest.mark.parametrize(
    ("responses", "options", "error", "match"),
    [
        ([], ["A", "B"], ValueError, "at least one response"),
        (GOOD, ["A", "B"], TypeError, r"pass \[responses\]"),
        (json.dumps(GOOD), ["A", "B"], TypeError, r"pass \[responses\]"),
        ([GOOD], "AB", TypeError, "`options` to be a list of strings"),
        ([GOOD], ["A"], ValueError, "at least two texts"),
        ([GOOD], ["A", "a."], ValueError, "different texts .* got 'A' and 'a.'"),
        ([GOOD], ["A", "..."], ValueError, "with letters or digits, but got '...'"),
        ([GOOD], [["A", "B"]] * 2, ValueError, r"of length 1 \(as `responses`\), but got 2"),
        ([GOOD, chat({"A": 0.5, "B": -1.0})], ["A", "B"], ValueError, "Response 1: .*at most 0"),
        ([chat({"A": "-0.5", "B": -1.0})], ["A", "B"], TypeError, "Response 0: .* a number"),
    ],
)
def test_malformed_input_is_refused(responses, options, error, match):
    with pytest.raises(error, match=match):
        option_probabilities(responses, options)


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("temperature", 0.0, ValueError),
        ("temperature", "1", TypeError),
        ("spellings", 0, ValueError),
        ("merge", "loose", ValueError),
    ],
)
def test_malformed_settings_are_refused(name, value, error):
    with pytest.raises(error, match=name):
        option_probabilities([GOOD], ["A", "B"], **{name: value})


@pytest.fixture(scope="module")
def calibrator():
    network = Thermometer(ThermometerConfig.scores_only())
    return Calibrator(network, TrainingRecord(["law"], 1.0))


def test_a_calibrator_reads_responses(calibrator):
    responses = [chat(logs(A=0.7, B=0.2, C=0.05)), chat(logs(B=0.4, A=0.35)), json.dumps(GOOD)]
    raw = option_probabilities(responses, ["A", "B"])
    result = calibrate_responses(calibrator, responses, ["A", "B"])
    expected = calibrator.calibrate(scores=raw.scores)
    np.testing.assert_array_equal(result.probs, expected.probs)
    np.testing.assert_array_equal(result.prediction, [0, 1, 0])
    assert result.ids == ("row 1", "row 2", "row 3")
    assert raw.warnings
    assert result.warnings == (*expected.warnings, *raw.warnings)
    prompts = ["one", "two", "three"]
    named = calibrate_responses(calibrator, responses, ["A", "B"], prompts, per="task")
    assert named.ids[0] == "prompt 1"
    halved = calibrate_responses(calibrator, responses, ["A", "B"], temperature=2.0)
    assert not np.allclose(halved.probs, result.probs)


FAILED = {"error": {"message": "overloaded"}}
THREE = [chat(logs(A=0.7, B=0.2)), FAILED, chat(logs(B=0.6, A=0.3))]


def test_rows_keep_their_names_and_partners_where_some_have_no_answer(calibrator):
    alone = calibrate_responses(calibrator, [THREE[0], THREE[2]], ["A", "B"])
    task = Task("t", tuple(Question(f"q{n}", "Which?", ("x", "y")) for n in range(3)))
    for prompts, ids in (
        (None, ("row 1", "row 3")),
        (["one", "two", "three"], ("prompt 1", "prompt 3")),
        (task, ("q0", "q2")),
    ):
        found = calibrate_responses(calibrator, THREE, ["A", "B"], prompts)
        assert found.ids == ids
        np.testing.assert_array_equal(found.probs, alone.probs)
    for n in (2, 4):
        with pytest.raises(ValueError, match=r"`prompts` to be of length 3 \(as `responses`\)"):
            calibrate_responses(calibrator, THREE, ["A", "B"], ["a prompt"] * n)


def test_a_reference_model_that_gave_no_answer_leaves_its_row_out(calibrator):
    config = ThermometerConfig(("scores", "reference"))
    both = Calibrator(Thermometer(config), TrainingRecord(["law"], 1.0))
    good = THREE[0]
    responses, others = [good, FAILED, good, good], [good, good, FAILED, THREE[2]]
    reference = option_probabilities(others, ["A", "B"]).scores
    found = calibrate_responses(both, responses, ["A", "B"], reference_scores=reference)
    assert found.ids == ("row 1", "row 4")
    assert "no reference scores, left out (rows from 0: 2)" in found.warnings
    kept = calibrate_responses(both, [good, good], ["A", "B"], reference_scores=reference[[0, 3]])
    np.testing.assert_array_equal(found.probs, kept.probs)
    with pytest.raises(ValueError, match=r"`reference_scores` to be of length 4"):
        calibrate_responses(both, responses, ["A", "B"], reference_scores=reference[:3])


def test_another_model_than_that_of_the_training_is_told():
    record = TrainingRecord(["law"], 1.0, targets=[{"model": "gpt-1"}])
    calibrator = Calibrator(Thermometer(ThermometerConfig.scores_only()), record)
    good = chat(logs(A=0.7, B=0.2))
    for model, told in (("gpt-1", False), ("gpt-2", True)):
        found = calibrate_responses(calibrator, [{**good, "model": model}] * 2, ["A", "B"])
        assert any("gpt-2" in text for text in found.warnings) == told


def echo(prompt, option, *logprobs):
    tokens = [prompt, *(option[i : i + 2] for i in range(0, len(option), 2))]
    numbers = [None, *(logprobs if logprobs else [-1.0] * (len(tokens) - 1))]
    content = {"tokens": tokens, "token_logprobs": numbers}
    return {"choices": [{"text": prompt + option, "logprobs": content}]}


def test_continuations_of_which_one_failed():
    rows = [[echo("Is it?", " yes"), echo("Is it?", " no")], [echo("Is it?", " yes"), FAILED]]
    prompts = ["Is it?"] * 2
    with pytest.warns(UserWarning, match=r"no answer, NaN: rows from 0: 1\. Response 1, option 1"):
        scores = continuation_scores(rows, prompts, [" yes", " no"])
    assert scores.tolist()[0] == [-2.0, -2.0]
    assert np.isnan(scores[1]).all()
    with pytest.raises(ValueError, match=r"Response 1, option 1: .*overloaded"):
        continuation_scores(rows, prompts, [" yes", " no"], strict=True)
    with pytest.raises(ValueError, match=r"Response 0, option 1: .*overloaded"):
        continuation_scores(rows[1:], prompts[1:], [" yes", " no"])


def test_continuations_that_no_model_can_have_scored():
    sure = [echo("Is it?", text, -0.1, -0.1) for text in (" yes", "  no")]
    with pytest.raises(ValueError, match=r"at most 1, but got 1\.64 in row 0"):
        continuation_scores([sure], ["Is it?"], [" yes", "  no"])
    nested = [echo("1 + 9 =", " 1", -0.1), echo("1 + 9 =", " 10", -0.1, -0.1)]
    with pytest.warns(UserWarning, match="an option begins another one"):
        continuation_scores([nested], ["1 + 9 ="], [" 1", " 10"])
    with pytest.raises(ValueError, match=r"different texts, .*in question row 0"):
        continuation_scores([[echo("Is it?", " yes")] * 2], ["Is it?"], [" yes", " yes"])


def test_scores_alone_are_enough_where_nothing_else_is_read(calibrator):
    scores = np.random.default_rng(0).normal(size=(5, 3))
    expected = calibrator.calibrate(["a", "b", "c", "d", "e"], scores)
    found = calibrator.calibrate(scores=scores)
    np.testing.assert_array_equal(found.probs, expected.probs)
    np.testing.assert_array_equal(calibrator.temperature(scores=scores), expected.temperature)
    updated, factor = calibrator.with_record(spread=0.3).update(None, [0, 1, -1, -1, 2], scores)
    assert factor.n_labels == 3
    np.testing.assert_allclose(updated.temperature, expected.temperature * factor.factor)


def test_what_is_missing_is_named(calibrator):
    with pytest.raises(ValueError, match="`prompts` to be given, since there are no `scores`"):
        calibrator.calibrate()
    with pytest.raises(ValueError, match="`scores` to be given, since this thermometer reads them"):
        calibrator.calibrate(["a"])
    with pytest.raises(ValueError, match="`scores` to be at least one score"):
        calibrator.calibrate(scores=np.zeros((0, 2)))
    config = replace(ThermometerConfig.features_only(), n_components=0)
    reader = Calibrator(Thermometer(config, 8), TrainingRecord(["law"], 1.0))
    with pytest.raises(
        ValueError, match="`prompts` to be given, since this thermometer reads feat"
    ):
        reader.calibrate(scores=np.zeros((3, 2)))
