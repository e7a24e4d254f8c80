"""Responses as servers send them: recorded from llama.cpp, written down from vLLM's interface.

The recordings are real answers of SmolLM2; tests/data/logprobs/README.md says how they were made.
"""

import dataclasses
import json
from types import SimpleNamespace

import llama_server
import numpy as np
import pytest

from thermometer.adapters.api_formats import reply_positions
from thermometer.adapters.api_logprobs import (
    continuation_logprob,
    continuation_scores,
    option_probabilities,
)

LETTERS = ["A", "B", "C"]


def recorded(name):
    """The responses of a file, as `json.loads` makes them."""
    text = (llama_server.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    return [exchange["response"] for exchange in json.loads(text)["exchanges"]]


def as_object(value):
    """Fields as attributes, as clients have them."""
    if isinstance(value, dict) and all(key.isidentifier() for key in value):
        return SimpleNamespace(**{key: as_object(each) for key, each in value.items()})
    return [as_object(each) for each in value] if isinstance(value, list) else value


def tokens(response, **options):
    return [at.token.decode() for at in reply_positions(response, **options)]


@pytest.mark.parametrize(
    ("name", "reply"),
    [
        ("chat", ["B", ".", " Paris"]),
        ("completions", [" C", ".", " Oslo"]),
        ("native", [" C", ".", " Oslo", ""]),
        ("native_chat", ["B", ".", " Paris", ""]),
        ("native_completions", [" C", ".", " Oslo", ""]),
    ],
)
def test_recorded_replies_are_read(name, reply):
    response = recorded(name)[0]
    assert tokens(response) == reply
    first = reply_positions(response)[0]
    total = sum(np.exp(candidate.logprob) for candidate in first.candidates)
    assert 0.8 < total < 1
    assert len(first.candidates) == 20
    assert first.logprob == max(candidate.logprob for candidate in first.candidates)


@pytest.mark.parametrize("name", ["chat", "completions", "native", "native_completions"])
def test_objects_dicts_text_and_lines_of_a_batch_file_are_the_same(name):
    response = recorded(name)[0]
    expected = option_probabilities([response], LETTERS)
    line = {"custom_id": "1", "response": {"status_code": 200, "body": response}, "error": None}
    text = json.dumps(response)
    for other in (text, text.encode(), as_object(response), line, json.dumps(line)):
        found = option_probabilities([other], LETTERS)
        np.testing.assert_array_equal(found.probs, expected.probs)
        np.testing.assert_array_equal(found.high, expected.high)


def test_the_official_client_reads_the_recordings():
    types = pytest.importorskip("openai.types", reason="the official client is not installed")
    chat, text = types.chat.ChatCompletion, types.Completion
    kinds = {"chat": chat, "native_chat": chat, "completions": text}
    for name, kind in kinds.items():
        response = recorded(name)[0]
        found = option_probabilities([kind.model_validate(response)], LETTERS)
        np.testing.assert_array_equal(found.probs, option_probabilities([response], LETTERS).probs)


def test_two_routes_of_one_model_agree_on_what_is_likely():
    """Another prompt, so other numbers, but letters and not words."""
    for name in ("chat", "completions"):
        found = option_probabilities(recorded(name)[:1], LETTERS)
        assert 0.5 < found.mass[0] < 1
        assert (found.low[0] < found.probs[0]).all()
        assert (found.probs[0] < found.high[0]).all()


def test_the_softmax_at_a_recorded_temperature_is_inverted():
    """llama-server divided by 2 before it took probabilities; at 0 it returns the model's own."""
    [sampled], own = recorded("native_sampled"), recorded("native")[0]
    expected = option_probabilities([own], LETTERS)
    found = option_probabilities([sampled], LETTERS, temperature=2.0)
    np.testing.assert_allclose(found.probs, expected.probs, atol=1e-4)
    flat = option_probabilities([sampled], LETTERS)
    assert np.abs(flat.probs - expected.probs).max() > 0.02
    assert (found.low <= expected.probs).all()
    assert (expected.probs <= found.high).all()


def test_a_recorded_token_beyond_the_likeliest_is_no_ceiling():
    """What was sampled at temperature 2 stands behind the 20 likeliest."""
    first = reply_positions(recorded("native_sampled")[0])[0]
    assert len(first.candidates) == 21
    assert first.logprob < first.ceiling == sorted(c.logprob for c in first.candidates)[1]


def test_two_routes_of_one_server_say_the_same():
    routes = ("native", "native_completions")
    one, other = (option_probabilities(recorded(name)[:1], LETTERS).probs for name in routes)
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_options_of_several_tokens_in_a_recorded_reply():
    """The reply was Colombia, so that what " South" goes on with stays open."""
    response = recorded("completions")[1]
    found = option_probabilities([response], llama_server.COUNTRIES)
    assert found.probs[0].argmax() == 2
    assert found.low[0, :2].tolist() == [0, 0]
    assert found.high[0, 0] > 0.5
    assert any("another option" in warning for warning in found.warnings)


def test_echoed_prompts_give_whole_options():
    prompt = llama_server.raw(llama_server.PLACES)["prompt"]
    scores = continuation_scores([recorded("echo")], [prompt], llama_server.COUNTRIES)
    assert scores.shape == (1, 3)
    assert scores[0].argmax() == 2
    for response, option, score in zip(
        recorded("echo"), llama_server.COUNTRIES, scores[0], strict=True
    ):
        logprobs = response["choices"][0]["logprobs"]
        n = len(option.split())
        assert logprobs["tokens"][-1 - n : -1] == [f" {word}" for word in option.split()]
        assert score == pytest.approx(sum(logprobs["token_logprobs"][-1 - n : -1]))


def test_echoed_numbers_that_belong_to_other_tokens_are_refused():
    """llama-cpp-python shifts them by one if the prompt does not begin with the BOS token."""
    with pytest.raises(ValueError, match="one too few, as llama-cpp-python sends"):
        continuation_logprob(recorded("echo_shifted")[0], "Answer:", " Colombia")


@pytest.mark.parametrize(
    ("prompt", "continuation", "match"),
    [
        ("", " South Africa", "`prompt` to be that of the response"),
        ("raw", " Colombia", "`prompt` to be that of the response"),
        ("raw", "", "`continuation` to be a text"),
        ("raw more", " Africa", None),
        ("raw S", "outh Africa", "made of whole tokens"),
    ],
)
def test_a_continuation_must_be_what_was_sent(prompt, continuation, match):
    response = recorded("echo")[0]
    base = llama_server.raw(llama_server.PLACES)["prompt"]
    prompt = {"": "", "raw": base, "raw more": f"{base} South", "raw S": f"{base} S"}[prompt]
    if match is None:
        alone = continuation_logprob(response, prompt, continuation)
        assert alone > continuation_logprob(response, base, " South Africa")
        return
    with pytest.raises(ValueError, match=match):
        continuation_logprob(response, prompt, continuation)


def test_rows_of_continuations_must_fit():
    echo, prompt = recorded("echo"), llama_server.raw(llama_server.PLACES)["prompt"]
    ragged = continuation_scores(
        [echo, echo[:2]], [prompt] * 2, [llama_server.COUNTRIES, llama_server.COUNTRIES[:2]]
    )
    assert ragged[1, 2] == -np.inf
    with pytest.raises(ValueError, match="3 in row 0, as options, but got 2"):
        continuation_scores([echo[:2]], [prompt], llama_server.COUNTRIES)
    with pytest.raises(ValueError, match="of one length, not 0"):
        continuation_scores([echo], [prompt] * 2, llama_server.COUNTRIES)
    with pytest.raises(ValueError, match=r"Response 0, option 1: .*`prompt` to be that"):
        continuation_scores([echo[:1] * 3], [prompt], llama_server.COUNTRIES)


@dataclasses.dataclass
class Logprob:
    """As `vllm.logprobs` of 0.33 declares it; that package needs another machine."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


def vllm_output(*steps, **more):
    """A `RequestOutput`; each step maps ids to (logprob, rank, text), the sampled one first."""
    logprobs = [{key: Logprob(*value) for key, value in step.items()} for step in steps]
    reply = SimpleNamespace(token_ids=[next(iter(step)) for step in steps], logprobs=logprobs)
    return SimpleNamespace(prompt_logprobs=None, **more, outputs=[reply])


def test_objects_of_vllm():
    """The sampled token comes first, also when it is not among the likeliest."""
    step = {9: (-6.0, 300, "z"), 1: (-0.3, 1, " A"), 2: (-1.6, 2, "B")}
    output = vllm_output(step, {3: (-0.1, 1, "\n"), 4: (-3.0, 2, ".")})
    first = reply_positions(output)[0]
    assert (first.token, first.logprob, first.ceiling) == (b"z", -6.0, -1.6)
    found = option_probabilities([output], ["A", "B"])
    np.testing.assert_allclose(found.scores, [[-0.3, -1.6]], rtol=1e-6)


def test_objects_of_vllm_as_dicts_and_as_json():
    """Keys of JSON are texts."""
    step = {5: (-0.2, 1, " A"), 6: (-1.9, 2, " B")}
    output = vllm_output(step)
    reply = output.outputs[0]
    listed = [{str(key): dataclasses.asdict(each) for key, each in reply.logprobs[0].items()}]
    fields = {"prompt_logprobs": None, "outputs": [{"token_ids": [5], "logprobs": listed}]}
    expected = option_probabilities([output], ["A", "B"])
    for same in (fields, json.dumps(fields), json.dumps(fields).encode()):
        found = option_probabilities([same], ["A", "B"])
        np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_allclose(expected.scores, [[-0.2, -1.9]], rtol=1e-6)


def test_prompt_logprobs_of_another_prompt_are_refused():
    """Rows that are shifted by one give numbers that look as good as any."""
    rows = [None, *({"1": {"logprob": -1.0, "decoded_token": t}} for t in (" sky", " is", " blue"))]
    body = {"choices": [{}], "prompt_logprobs": rows}
    assert continuation_logprob(body, "The sky is", " blue") == -1.0
    assert continuation_logprob(body, "A: The sky is", " blue") == -1.0  # a first token of 6 signs
    with pytest.raises(ValueError, match=r"`prompt` to be that of the response"):
        continuation_logprob(body, "The sea is", " blue")


def test_vllm_without_texts_needs_a_decoder():
    step = {1: (-0.3, 1, None), 2: (-1.6, 2, None)}
    with pytest.raises(ValueError, match="Response 0: Expected `decode` to be given"):
        option_probabilities([vllm_output(step)], ["A", "B"])
    found = option_probabilities([vllm_output(step)], ["A", "B"], decode={1: "A", 2: "B"}.get)
    np.testing.assert_allclose(found.scores, [[-0.3, -1.6]], rtol=1e-6)
    listed = {"token_id:1": -0.3, "token_id:2": -1.6}
    logprobs = {"tokens": ["token_id:1"], "token_logprobs": [-0.3], "top_logprobs": [listed]}
    by_http = {"choices": [{"text": "A", "logprobs": logprobs}]}
    same = option_probabilities([by_http], ["A", "B"], decode={1: "A", 2: "B"}.get)
    np.testing.assert_array_equal(same.probs, found.probs)


def test_prompt_logprobs_of_vllm():
    """The first token has none, and no text; the ids say which of the listed is the prompt's."""
    rows = [
        None,
        {"5": {"logprob": -2.0, "rank": 3, "decoded_token": " is"}},
        {"6": {"logprob": -0.7, "rank": 2, "decoded_token": " blue"}, "7": {"logprob": -0.6}},
    ]
    for body in (
        {"choices": [{"text": "!", "prompt_logprobs": rows}]},
        {"choices": [{"message": {}}], "prompt_logprobs": rows},
    ):
        assert continuation_logprob(body, "Sky is", " blue") == -0.7
        with pytest.raises(ValueError, match="what the prompt ends with"):
            continuation_logprob(body, "Sky is", " green")
    objects = [
        None if row is None else {int(k): Logprob(**v) for k, v in reversed(row.items())}
        for row in rows
    ]
    output = SimpleNamespace(prompt_logprobs=objects, prompt_token_ids=[4, 5, 6], outputs=[])
    assert continuation_logprob(output, "Sky is", " blue") == -0.7
    rows[2]["6"]["logprob"] = -9999.0
    with pytest.raises(ValueError, match="of every token of `continuation`"):
        continuation_logprob({"choices": [{}], "prompt_logprobs": rows}, "Sky is", " blue")


def test_the_responses_route():
    listed = [
        {"token": t, "logprob": n, "bytes": list(t.encode())} for t, n in [("A", -0.3), ("B", -1.6)]
    ]
    text = {"type": "output_text", "text": "A", "logprobs": [{**listed[0], "top_logprobs": listed}]}
    thought = {"type": "reasoning", "summary": []}
    body = {"error": None, "output": [thought, {"type": "message", "content": [text]}]}
    found = option_probabilities([body], ["A", "B"])
    np.testing.assert_allclose(found.scores, [[-0.3, -1.6]], rtol=1e-6)
    text["logprobs"] = []
    with pytest.raises(ValueError, match=r'include=\["message\.output_text\.logprobs"\]'):
        option_probabilities([body], ["A", "B"])


def entry(text, number, **more):
    """A token as llama-server writes it (`server-task.cpp`, 2026): with id and bytes."""
    name, value = next(iter(number.items()))
    return {"id": 7, "token": text, "bytes": list(text.encode()), name: value, **more}


def test_the_own_route_of_llama_cpp():
    """A probability of 0 is written as the lowest number of 32 bits."""
    listed = [entry(" A", {"logprob": -0.3}), entry("B", {"logprob": -1.6})]
    listed.append(entry("C", {"logprob": -3.4028234663852886e38}))
    probabilities = [entry(" A", {"logprob": -0.3}, top_logprobs=listed)]
    body = {"content": " A", "completion_probabilities": probabilities}
    found = option_probabilities([body], LETTERS)
    np.testing.assert_allclose(found.scores[0, :2], [-0.3, -1.6], rtol=1e-6)
    assert 0 < found.probs[0, 2] <= found.high[0, 2] < 0.1


def test_probabilities_of_llama_cpp_after_sampling_are_turned_back():
    """With the temperature that was sampled at; of its list nothing else may have been cut."""
    raw = np.array([2.0, 0.5, -1.0])
    sampled = np.exp(raw / 2) / np.exp(raw / 2).sum()
    listed = [entry(t, {"prob": float(p)}) for t, p in zip(LETTERS, sampled, strict=True)]
    first = entry("A", {"prob": float(sampled[0])}, top_probs=listed)
    body = {"content": "A", "completion_probabilities": [first]}
    found = option_probabilities([body], LETTERS, temperature=2.0)
    np.testing.assert_allclose(np.diff(found.scores[0]), np.diff(raw), rtol=1e-6)


def test_an_echoed_prompt_is_no_part_of_the_reply():
    logprobs = {
        "tokens": ["Sky", ":", " A"],
        "token_logprobs": [None, -2.0, -0.3],
        "top_logprobs": [None, {":": -2.0, "B": -0.1}, {" A": -0.3, "B": -1.6}],
    }
    body = {
        "choices": [{"text": "Sky: A", "logprobs": logprobs}],
        "usage": {"completion_tokens": 1},
    }
    assert tokens(body) == [" A"]
    found = option_probabilities([body], ["A", "B"])
    np.testing.assert_allclose(found.scores, [[-0.3, -1.6]], rtol=1e-6)
    body["usage"]["completion_tokens"] = 0
    with pytest.raises(ValueError, match="at least one token after the echo, but got 0"):
        option_probabilities([body], ["A", "B"])


def test_an_old_server_of_llama_cpp_gives_probabilities():
    probs = [
        {"tok_str": " A", "prob": 0.7},
        {"tok_str": "B", "prob": 0.2},
        {"tok_str": "C", "prob": 0.0},
    ]
    body = {"content": " A", "completion_probabilities": [{"content": " A", "probs": probs}]}
    found = option_probabilities([body], LETTERS)
    np.testing.assert_allclose(np.exp(found.scores[0, :2]), [0.7, 0.2], rtol=1e-6)
    assert 0 < found.probs[0, 2] < 0.12


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        ("<0xC3>", b"\xc3"),
        ("bytes:\\xc3\\xa9", b"\xc3\xa9"),
        ("<0xC3", b"<0xC3"),
        ("é", "é".encode()),
    ],
)
def test_ways_to_write_a_byte(token, expected):
    entry = {"token": token, "logprob": -0.1}
    content = [{**entry, "top_logprobs": [entry, {"token": "A", "logprob": -3.0}]}]
    [at] = reply_positions({"choices": [{"logprobs": {"content": content}}]})
    assert at.token == expected


CHAT = {"choices": [{"message": {"content": "B"}, "logprobs": None}]}
TEXT = {"choices": [{"text": "B", "logprobs": None}]}
ONLY = {
    "choices": [
        {
            "message": {},
            "logprobs": {"content": [{"token": "B", "logprob": -1.0, "top_logprobs": []}]},
        }
    ]
}


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (CHAT, r"request them by logprobs=True, top_logprobs=20\), but got none"),
        (ONLY, r"request them by logprobs=True, top_logprobs=20\)"),
        (TEXT, r"request them by logprobs=20\)"),
        ({"content": "B", "tokens_predicted": 1}, r"request them by n_probs=20\)"),
        (vllm_output(), r"SamplingParams\(logprobs=20\)"),
        ({"error": {"message": "no such model"}}, "an error of the server: no such model"),
        ({"error": "overloaded"}, "an error of the server: overloaded"),
        ({"detail": "Not Found"}, "OpenAI, vLLM or llama.cpp, but got one with the fields detail"),
        ({"choices": []}, "with the fields choices"),
        ("B", "response 'B': not JSON"),
        ("[1]", r"one response with its fields, but got \[1\]"),
        (None, "one response with its fields, but got None"),
        (0.5, "one response with its fields, but got 0.5"),
    ],
)
def test_a_response_that_says_too_little_is_refused(response, match):
    with pytest.raises(ValueError, match=f"^Response 1: .*{match}"):
        option_probabilities([recorded("chat")[0], response], ["A", "B"], strict=True)


def test_recorded_answers_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="request them by logprobs=True, top_logprobs=20"):
        option_probabilities(recorded("chat_without"), LETTERS)
    with pytest.raises(ValueError, match="a reply of at least one token, but got an empty one"):
        option_probabilities(recorded("empty"), LETTERS)
    with pytest.raises(ValueError, match="echo=True, logprobs=1"):
        continuation_logprob(recorded("chat")[0], "a", "b")
