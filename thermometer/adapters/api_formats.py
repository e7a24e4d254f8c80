"""Log-probabilities in the responses of OpenAI-like servers, vLLM and llama.cpp, read alike."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks, _files

_SENTINEL = -9998.0  # OpenAI and vLLM write -9999 for "not among the likeliest", llama.cpp -3e38
_ROUNDING = 1e-6  # what float32 log-probabilities leave unknown of a sum
_VOCABULARY = 262_144  # no known model has many more tokens
SPELLINGS = 1200
"""More tokens than spell or begin one option ("(A", a blank) in any of seven tokenizers: 1,062."""


class NoAnswerError(ValueError):
    """A response without an answer to read: an error, a refusal, no log-probabilities."""

    def __init__(self, expected: str, got: object, name: str = "response") -> None:
        super().__init__(str(_checks.fail(name, expected, got)))


class Candidate(NamedTuple):
    """A token that could have come, with its log-probability and its rank if the server gave it."""

    token: bytes
    logprob: float
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """One token of a reply.

    Args:
        token: The one that was chosen, as bytes, since a token may be part of a character.
        logprob: Of the chosen token; `None` if unknown.
        candidates: Tokens of known log-probability, the chosen one among them if its is known.
        ceiling: Log-probability that no token outside `candidates` exceeds; 0 if nothing is known.
    """

    token: bytes
    logprob: float | None
    candidates: tuple[Candidate, ...]
    ceiling: float


class Weights(NamedTuple):
    """Probabilities at one position, at temperature 1.

    Args:
        candidates: (C,) float64 of the listed tokens; lower bounds if the temperature was another.
        unseen: Of all others together; `candidates` and this sum to one.
        ceiling: Upper bound of each of the others.
        spelled: Upper bound of any `spellings` of the others together.
    """

    candidates: NDArray[np.float64]
    unseen: float
    ceiling: float
    spelled: float


def known(logprob: object) -> float | None:
    """A log-probability, or `None` for what servers write when they do not tell it.

    Example:
        >>> known(-0.5), known(-9999.0), known(None), known(float("nan"))
        (-0.5, None, None, None)
    """
    if logprob is None:
        return None
    if isinstance(logprob, bool) or not isinstance(logprob, int | float | np.number):
        raise TypeError(f"Expected `logprob` to be a number, but got {logprob!r}")
    value = float(logprob)
    if math.isnan(value) or value <= _SENTINEL:
        return None
    if value > 1e-3:
        raise _checks.fail("logprob", "at most 0", value)
    return min(value, 0.0)


def position(
    token: bytes,
    logprob: object,
    listed: Iterable[tuple[bytes, object, int | None]],
    ranked: bool = True,
) -> Position:
    """A position from the chosen token and what a server lists: token, log-probability, rank.

    The least of the listed log-probabilities is the ceiling of all others. The chosen token does
    not count in it where it is itself the least: servers add it when it is not among the likeliest.
    If the listed tokens are not the likeliest (`ranked` is False), nothing is known of the others.

    Example:
        >>> found = position(b"B", -2.3, [(b"A", -0.2, None), (b"C", -9999.0, None)])
        >>> [candidate.token for candidate in found.candidates], found.ceiling
        ([b'A', b'B'], -0.2)
    """
    chosen = known(logprob)
    candidates = [
        Candidate(text, value, rank)
        for text, number, rank in listed
        if (value := known(number)) is not None
    ]
    own = [c for c in candidates if c.token == token]
    if chosen is None and len(own) == 1:
        chosen = own[0].logprob
    if chosen is not None and not own:
        candidates.append(Candidate(token, chosen))
    return Position(
        token, chosen, tuple(candidates), _ceiling(candidates, token) if ranked else 0.0
    )


def _ceiling(candidates: list[Candidate], token: bytes) -> float:
    ranks = {c.rank: c.logprob for c in candidates if c.rank is not None}
    if ranks:  # those of rank 1, 2, ... without a gap are the likeliest
        gap = next(rank for rank in range(1, len(ranks) + 2) if rank not in ranks)
        return ranks[gap - 1] if gap > 1 else 0.0
    logprobs = sorted(c.logprob for c in candidates)
    if not logprobs:
        return 0.0
    if any(c.token == token and c.logprob == logprobs[0] for c in candidates):
        return logprobs[1] if len(logprobs) > 1 else 0.0
    return logprobs[0]


def weights(at: Position, temperature: float = 1.0, spellings: int = SPELLINGS) -> Weights:
    r"""Probabilities at temperature 1 from log-probabilities at another.

    With l_c the listed log-probabilities, r = 1 - sum exp(l_c) the rest and m the ceiling, raw
    weights are exp(t l_c) (the softmax inverted, as in `invert_softmax`). Of n tokens
    outside, each at most m and together at most r, the raw weights sum to at most
    min(n, r / m) m^t for t >= 1, where a power is convex, and n min(m, r / n)^t below. All is
    divided by the sum of the listed and the bound for a whole vocabulary.

    Args:
        at: The position.
        temperature: At which the server made the log-probabilities.
        spellings: Number n of tokens for `spelled`.

    Raises:
        ValueError: If the probabilities sum to much more than one.

    Example:
        >>> at = position(b"A", np.log(0.7), [(b"A", np.log(0.7), 1), (b"B", np.log(0.2), 2)])
        >>> found = weights(at)
        >>> found.candidates.round(3).tolist(), round(found.unseen, 3), round(found.ceiling, 3)
        ([0.7, 0.2], 0.1, 0.1)
    """
    logprobs = np.array([c.logprob for c in at.candidates], dtype=np.float64)
    total = float(np.exp(logprobs).sum())
    if total > 1.02:  # 8-bit mantissas of bfloat16 may add up to one per cent
        raise _checks.fail("logprobs", "of one softmax, summing to at most 1", f"{total:.3f}")
    rest = max(1 - total, _ROUNDING)
    highest = min(math.exp(at.ceiling), rest)

    def outside(n: int) -> float:
        if temperature >= 1:
            return float(min(n, rest / highest) * highest**temperature)
        return float(n * min(highest, rest / n) ** temperature)

    raw = np.exp(temperature * logprobs)
    unseen = outside(_VOCABULARY)
    norm = float(raw.sum()) + unseen
    return Weights(raw / norm, unseen / norm, outside(1) / norm, outside(spellings) / norm)


Decode = Callable[[int], str]
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_ESCAPED = re.compile(r"bytes:((?:\\x[0-9A-Fa-f]{2})+)")


def field(thing: Any, name: str) -> Any:
    """A key of a mapping or an attribute of an object; `None` if there is none."""
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def opened(response: Any) -> Any:
    """A response as something with fields: JSON text is parsed, a line of a batch file unwrapped.

    Example:
        >>> opened('{"choices": []}')
        {'choices': []}
    """
    if isinstance(response, str | bytes):
        try:
            text = response if isinstance(response, str) else response.decode()
        except UnicodeDecodeError as error:
            raise NoAnswerError("JSON in UTF-8", f"{response[:60]!r}") from error
        try:
            response = _files.parse_json(text, f"response {text[:60]!r}", halves=True)
        except ValueError as error:  # a page of a proxy, or a line cut short
            raise NoAnswerError("JSON", error) from error
    if response is None:
        raise NoAnswerError("one response with its fields", None)
    if isinstance(response, int | float | str | list | tuple):
        raise _checks.fail("response", "one response with its fields", repr(response)[:60])
    body = field(field(response, "response"), "body")
    response = response if body is None else body
    if failure := field(response, "error"):
        said = field(failure, "message") or failure
        raise NoAnswerError("an answer", f"an error of the server: {said}")
    return response


def model_of(response: Any) -> str | None:
    """The name of the model that answered, as far as a response says.

    Example:
        >>> model_of('{"model": "gpt-4o-2024-08-06", "choices": []}')
        'gpt-4o-2024-08-06'
    """
    name = field(opened(response), "model")
    return name if isinstance(name, str) and name else None


def reply_positions(
    response: Any, *, ranked: bool = True, decode: Decode | None = None
) -> list[Position]:
    """The tokens of the first reply in a response, without the prompt.

    Args:
        response: Of `/chat/completions`, `/completions` or `/responses` of OpenAI and of servers
            that speak likewise; a `RequestOutput` of vLLM; of `/completion` of llama.cpp. As the
            object of a client, its JSON text, what `json.loads` makes of that, or a line of an
            output file of OpenAI's Batch API.
        ranked: Whether the likeliest tokens are listed; False if the request named the tokens, as
            vLLM's `logprob_token_ids` does.
        decode: From a token's id to its text, for servers that were told to name tokens by ids.

    Raises:
        ValueError: If there are no log-probabilities (the message names what to request), the
            format is unknown, or the server reports an error.

    Example:
        >>> listed = [{"token": "A", "logprob": -0.1}, {"token": "B", "logprob": -2.4}]
        >>> content = [{"token": "A", "logprob": -0.1, "top_logprobs": listed}]
        >>> chat = {"choices": [{"message": {}, "logprobs": {"content": content}}]}
        >>> [position.token for position in reply_positions(chat)]
        [b'A']
    """
    body = opened(response)
    read = _Reader(ranked, decode)
    if field(body, "choices"):
        return _of_choice(read, body, field(body, "choices")[0])
    if (probabilities := field(body, "completion_probabilities")) is not None:
        return _some(_native(read, probabilities), "n_probs=20")
    if field(body, "outputs"):  # an object of vLLM
        reply = field(body, "outputs")[0]
        if not field(reply, "logprobs"):
            raise _missing("SamplingParams(logprobs=20)")
        chosen = field(reply, "token_ids")
        listed = field(reply, "logprobs")
        return [read.by_id(each, own) for own, each in zip(chosen, listed, strict=True)]
    if field(body, "output"):
        content = [part for item in field(body, "output") for part in field(item, "content") or ()]
        listed = [token for part in content for token in field(part, "logprobs") or ()]
        request = 'top_logprobs=20, include=["message.output_text.logprobs"]'
        if not listed:
            raise _missing(request)
        return _some([read.token(each) for each in listed], request)
    if field(body, "content") is not None:
        raise _missing("n_probs=20")
    raise NoAnswerError("of OpenAI, vLLM or llama.cpp", f"one with the fields {_names(body)}")


PromptToken = tuple[bytes | None, float | None]


def prompt_tokens(response: Any) -> tuple[Sequence[PromptToken], str | None]:
    """Text and log-probability of each token of the prompt; `None` where the server does not tell.

    Also the echoed string of prompt and reply, if the tokens hold the reply too.
    """
    body = opened(response)
    read = _Reader()
    choice = (field(body, "choices") or [None])[0]
    logprobs = field(choice, "logprobs")
    tokens, numbers = field(logprobs, "tokens"), field(logprobs, "token_logprobs")
    if tokens and numbers and numbers[0] is None:
        found = [(read.text(t, None), known(n)) for t, n in zip(tokens, numbers, strict=True)]
        spelled, text = b"".join(text for text, _ in found), field(choice, "text") or ""
        if len(spelled) < len(text.encode()) and text.encode().startswith(spelled):
            raise _checks.fail(
                "response",
                "with one log-probability for each echoed token",
                "one too few, as llama-cpp-python sends where a model has no BOS token: each "
                "number then belongs to another token. Begin the prompt with the BOS token's text",
            )
        return found, text
    listed = field(body, "prompt_logprobs") or field(choice, "prompt_logprobs")
    if not listed:
        raise _missing("echo=True, logprobs=1 (or vLLM's prompt_logprobs=1)")
    ids = field(body, "prompt_token_ids") or field(choice, "prompt_token_ids")
    return [_of_prompt(read, at, ids, row) for row, at in enumerate(listed)], None


class _Reader:
    """How tokens are written, in one response."""

    def __init__(self, ranked: bool = True, decode: Decode | None = None) -> None:
        self.ranked, self.decode = ranked, decode

    def token(self, entry: Any, number: str = "logprob", top: str = "top_logprobs") -> Position:
        """An entry of chat completions, of the Responses API, or of llama.cpp."""

        def read(each: Any) -> tuple[bytes, Any, None]:
            value = field(each, number)
            text = self.text(field(each, "token"), field(each, "bytes"))
            return text, _log(value) if number == "prob" else value, None

        token, logprob, _ = read(entry)
        listed = [read(each) for each in field(entry, top) or ()]
        once = {(text, repr(value)): (text, value, rank) for text, value, rank in listed}
        return position(token, logprob, once.values(), self.ranked)  # the chosen one may come twice

    def by_id(self, entries: Mapping[Any, Any], chosen: int) -> Position:
        """An entry of vLLM's objects: token ids with their `Logprob`."""
        listed = {
            int(key): (self._of_id(int(key), value), field(value, "logprob"), field(value, "rank"))
            for key, value in entries.items()
        }
        own = listed[chosen][0] if chosen in listed else b""
        return position(own, None, listed.values(), self.ranked)

    def text(self, token: Any, raw: Iterable[int] | None) -> bytes:
        """A token's bytes: as given, or of its text, with the ways to write a lone byte undone."""
        if raw is not None:
            try:
                return bytes(list(raw))  # of a number, `bytes` would make so many zeros
            except (TypeError, ValueError) as error:
                raise _checks.fail("bytes", "a list of numbers in [0, 256)", repr(raw)) from error
        if not isinstance(token, str):
            raise _checks.fail("token", "a string", repr(token))
        if token.startswith("token_id:"):
            return self._decoded(int(token.removeprefix("token_id:")))
        if match := _BYTE.fullmatch(token):
            return bytes.fromhex(match[1])
        if match := _ESCAPED.fullmatch(token):
            return bytes.fromhex(match[1].replace("\\x", ""))
        return token.encode("utf-8", "surrogatepass")

    def _of_id(self, key: int, value: Any) -> bytes:
        text = field(value, "decoded_token")
        return self._decoded(key) if text is None else self.text(text, None)

    def _decoded(self, key: int) -> bytes:
        if self.decode is None:
            raise _checks.fail("decode", "given, since tokens come as ids", "None")
        return self.decode(key).encode()


def _of_prompt(
    read: _Reader, entries: Mapping[Any, Any] | None, ids: Sequence[int] | None, row: int
) -> PromptToken:
    """A token of `prompt_logprobs` of vLLM, which lists it first, then others."""
    if not entries:
        return None, None  # the first: nothing stands before it
    keyed = {int(key): value for key, value in entries.items()}
    own = keyed[ids[row]] if ids else next(iter(keyed.values()))
    return read.text(field(own, "decoded_token"), None), known(field(own, "logprob"))


def _of_choice(read: _Reader, body: Any, choice: Any) -> list[Position]:
    logprobs, message = field(choice, "logprobs"), field(choice, "message")
    is_chat = message is not None
    if refusal := field(message, "refusal"):
        raise NoAnswerError("an answer", f"a refusal: {refusal}")
    if logprobs is None:
        if (ended := field(choice, "finish_reason")) in ("content_filter", "tool_calls"):
            raise NoAnswerError("an answer", f"one that ended with {ended}")
        raise _missing("logprobs=True, top_logprobs=20" if is_chat else "logprobs=20")
    if (content := field(logprobs, "content")) is not None:
        return _some([read.token(each) for each in content], "logprobs=True, top_logprobs=20")
    tokens, numbers = field(logprobs, "tokens"), field(logprobs, "token_logprobs")
    tops = field(logprobs, "top_logprobs")
    if tokens is not None and not tokens:
        return _some([], "")
    if not tokens or not numbers or not tops:
        raise _missing("logprobs=True, top_logprobs=20" if is_chat else "logprobs=20")
    if not len(tokens) == len(numbers) == len(tops):
        sizes = f"{len(tokens)}, {len(numbers)} and {len(tops)}"
        raise _checks.fail("tokens, token_logprobs, top_logprobs", "of one length", sizes)
    start = 0
    if numbers[0] is None:  # echoed: the prompt stands before the reply
        count = field(field(body, "usage"), "completion_tokens")
        if not count:
            raise _checks.fail("response", "with at least one token after the echo", count)
        start = len(tokens) - int(count)
    found = []
    for row in range(start, len(tokens)):
        listed = [(read.text(t, None), n, None) for t, n in (tops[row] or {}).items()]
        found.append(position(read.text(tokens[row], None), numbers[row], listed, read.ranked))
    return _some(found, "logprobs=20")


def _native(read: _Reader, entries: Sequence[Any]) -> list[Position]:
    """`completion_probabilities` of llama.cpp, before and after sampling, new and old."""
    found = []
    for entry in entries:
        if (old := field(entry, "probs")) is not None:
            listed = [
                (read.text(field(p, "tok_str"), None), _log(field(p, "prob")), None) for p in old
            ]
            found.append(position(read.text(field(entry, "content"), None), None, listed))
        elif field(entry, "top_probs") is not None:
            found.append(read.token(entry, "prob", "top_probs"))
        else:
            found.append(read.token(entry))
    return found


def _some(found: list[Position], request: str) -> list[Position]:
    """The positions, if any lists a token besides the chosen one."""
    if not found:
        raise NoAnswerError("a reply of at least one token", "an empty one")
    if not any(len(at.candidates) > 1 for at in found):
        raise _missing(request)
    return found


def _missing(request: str) -> NoAnswerError:
    return NoAnswerError(
        f"one with log-probabilities of other tokens (request them by {request})", "none"
    )


def _names(body: Any) -> str:
    keys = body if isinstance(body, Mapping) else vars(body) if hasattr(body, "__dict__") else ()
    return ", ".join(sorted(map(str, keys))) or type(body).__name__


def _log(probability: Any) -> float | None:
    return math.log(probability) if probability else None
