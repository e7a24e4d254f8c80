"""Option probabilities of a black-box model, from the log-probabilities in its responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks
from thermometer.logprobs.formats import Decode, reply_positions
from thermometer.logprobs.positions import SPELLINGS, Position
from thermometer.logprobs.spelling import Merge, OptionTexts
from thermometer.logprobs.walk import Masses, walk

Matrix = NDArray[np.float64]
WIDE = 0.1
"""An interval of the answer's probability that is wider than this is warned of."""
LITTLE = 0.5
"""So is less than this probability on all options together."""


@dataclass(frozen=True, eq=False)
class OptionProbabilities:
    """What responses tell of each option, among the options and in all.

    Args:
        probs: (N, K) float64, one way to share out what the server did not list; rows sum to one,
            0 only beyond the options of a row.
        low: (N, K) the least that each may be, whatever was not listed.
        high: (N, K) the most that it may be.
        scores: (N, K) log of `probs` before they were made to sum to one: log-probabilities of the
            options, ``-inf`` on the right of short rows. What a calibrator reads.
        mass: (N,) probability of all options together, of all that the model might say.
        residual: (N,) probability of which nobody knows to which option it belongs, if to any.
        warnings: What to know before trusting them; rows are numbered from 0.
    """

    probs: Matrix
    low: Matrix
    high: Matrix
    scores: Matrix
    mass: NDArray[np.float64]
    residual: NDArray[np.float64]
    warnings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.probs)


def option_probabilities(
    responses: Sequence[Any],
    options: Sequence[str] | Sequence[Sequence[str]],
    *,
    after: str | None = None,
    merge: Merge = "spelling",
    temperature: float = 1.0,
    ranked: bool = True,
    spellings: int = SPELLINGS,
    decode: Decode | None = None,
) -> OptionProbabilities:
    """Probability of each option, with bounds, from responses to one prompt each.

    Tokens that spell the same option are added up. Where options begin alike, or with a token that
    is only their beginning, the reply is followed over several tokens. What the server does not
    list makes an interval, see `logprobs.walk`; an option that is nowhere listed has a small
    probability, not none.

    Args:
        responses: N of them, as `logprobs.reply_positions` takes them. Of several replies in one
            response the first is read.
        options: Texts that the model was asked to choose among (letters, if it was asked for
            letters): the same K for all rows, or one sequence per row.
        after: Text in the reply behind which the answer begins ("Answer:"); where it stands more
            than once, the last counts. The probabilities then hold given the text before it. By
            default the reply begins with the answer.
        merge: How differently written tokens become one option, see `logprobs.OptionTexts`.
        temperature: By which the server divided the logits before it took log-probabilities. 1 for
            OpenAI, vLLM and llama.cpp, whatever temperature they sample at, unless told otherwise
            (`processed_logprobs`, `post_sampling_probs`).
        ranked: False if the request named the tokens, as vLLM's `logprob_token_ids` does.
        spellings: Number of unlisted tokens that may spell, or begin, one option; some 30 will do
            where replies never begin with blanks or brackets, and make bounds narrower.
        decode: From token id to text, for servers that were told to name tokens by ids.

    Raises:
        TypeError: If `responses` is one response.
        ValueError: For no responses, options that are alike, or a response without
            log-probabilities or without `after`; the message names the response and what to do.

    Example:
        >>> listed = [{"token": " Yes", "logprob": -0.3}, {"token": "no", "logprob": -1.6}]
        >>> content = [{"token": " Yes", "logprob": -0.3, "top_logprobs": listed}]
        >>> response = {"choices": [{"message": {}, "logprobs": {"content": content}}]}
        >>> found = option_probabilities([response], ["yes", "no", "unknown"])
        >>> found.probs.round(3).tolist(), found.high.round(3).tolist()
        ([[0.77, 0.21, 0.02]], [[0.798, 0.259, 0.057]])
    """
    if isinstance(responses, str | bytes) or not isinstance(responses, Sequence):
        raise TypeError(
            "Expected `responses` to be a list of responses, "
            f"but got {type(responses).__name__}. For a single one pass [responses]"
        )
    if not responses:
        raise _checks.fail("responses", "at least one response", "none")
    temperature = _checks.number("temperature", temperature, strict=True)
    spellings = _checks.integer("spellings", spellings)
    texts = _texts(options, len(responses), merge)
    masses, off = [], []
    for row, (response, own) in enumerate(zip(responses, texts, strict=True)):
        try:
            positions = reply_positions(response, ranked=ranked, decode=decode)
            positions = positions if after is None else behind(positions, after)
            found = walk(positions, own, temperature=temperature, spellings=spellings)
        except (TypeError, ValueError) as error:
            raise type(error)(f"Response {row}: {error}") from error
        except (AttributeError, LookupError, OverflowError) as error:
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"Response {row}: of no known format ({what})") from error
        masses.append(found)
        reply = b"".join(at.token for at in positions)
        if own.match(reply).done is None:
            off.append(row)
    return _gathered(masses, off)


def behind(positions: list[Position], after: str) -> list[Position]:
    """The positions behind the last `after` in the reply.

    Raises:
        ValueError: If the reply does not hold it, or ends with it.
    """
    ends = np.cumsum([len(at.token) for at in positions])
    reply = b"".join(at.token for at in positions)
    found = reply.rfind(after.encode())
    first = int(np.searchsorted(ends, found + len(after.encode()))) + 1
    if found < 0 or first >= len(positions):
        shown = reply.decode(errors="replace")
        raise _checks.fail("after", "a text in the reply before its answer", f"{shown[-60:]!r}")
    return positions[first:]


def _texts(
    options: Sequence[str] | Sequence[Sequence[str]], n: int, merge: Merge
) -> list[OptionTexts]:
    if isinstance(options, str):
        raise TypeError(f"Expected `options` to be a list of strings, but got {options!r}")
    if all(isinstance(option, str) for option in options):
        return [OptionTexts(options, merge)] * n  # type: ignore[arg-type]
    if len(options) != n:
        raise _checks.fail("options", f"of length {n} (as `responses`)", len(options))
    return [OptionTexts(own, merge) for own in options]


def _gathered(masses: list[Masses], off: list[int]) -> OptionProbabilities:
    width = max(len(found.likely) for found in masses)

    def rows(values: list[NDArray[np.float64]], fill: float) -> Matrix:
        return np.stack([np.pad(v, (0, width - len(v)), constant_values=fill) for v in values])

    low = rows([found.low for found in masses], 0.0)
    high = rows([found.high for found in masses], 0.0)
    likely = rows([found.likely for found in masses], 0.0)
    mass = likely.sum(axis=1)
    probs = likely / mass[:, None]
    with np.errstate(divide="ignore"):
        scores = np.log(likely)
    answer = probs.argmax(axis=1)
    each = np.arange(len(masses))
    width_of_answer = (high - low)[each, answer]
    rival = high.copy()
    rival[each, answer] = -np.inf
    warnings = _warnings(
        {
            "the reply is not one of the options": off,
            "another option may be the likeliest": rival.max(axis=1) > low[each, answer],
            f"the answer's probability is known no better than to {WIDE}": width_of_answer > WIDE,
            f"all options together have a probability below {LITTLE}": mass < LITTLE,
        },
        len(masses),
    )
    residual = np.array([found.open for found in masses])
    return OptionProbabilities(probs, low, high, scores, mass, residual, warnings)


def _warnings(found: dict[str, Any], n: int) -> tuple[str, ...]:
    said = []
    for what, where in found.items():
        rows = where if isinstance(where, list) else np.flatnonzero(where).tolist()
        if rows:
            shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
            said.append(f"{what} in {len(rows)} of {n} responses (rows from 0: {shown})")
    return tuple(said)
