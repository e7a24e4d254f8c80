"""What a server says of one token of its reply: the likeliest tokens and their log-probabilities.

Numbers that stand for "unknown" are told apart here. Nothing here knows formats or options.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thermometer import _checks

_SENTINEL = -9998.0  # OpenAI and vLLM write -9999 for "not among the likeliest", llama.cpp -3e38
_ROUNDING = 1e-6  # what float32 log-probabilities leave unknown of a sum
_VOCABULARY = 262_144  # no known model has many more tokens
SPELLINGS = 1200
"""More tokens than spell or begin one option ("(A", a blank) in any of seven tokenizers: 1,062."""


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
        ceiling: That none of the others exceeds.
        spelled: That no `spellings` of the others together exceed.
    """

    candidates: NDArray[np.float64]
    unseen: float
    ceiling: float
    spelled: float


def known(logprob: object) -> float | None:
    """A log-probability, or `None` for what servers write when they do not tell it.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is above 0.

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
    """A position from what a server lists.

    The least of the listed log-probabilities is the ceiling of all others. The chosen token does
    not count in it where it is itself the least: servers add it when it is not among the likeliest.

    Args:
        token: The chosen one.
        logprob: Of the chosen one.
        listed: Token, log-probability and rank (if given) of the likeliest.
        ranked: Whether they are the likeliest; else nothing is known of the others.

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
        run = 0
        while run + 1 in ranks:
            run += 1
        return ranks[run] if run else 0.0
    logprobs = sorted(c.logprob for c in candidates)
    if not logprobs:
        return 0.0
    if any(c.token == token and c.logprob == logprobs[0] for c in candidates):
        return logprobs[1] if len(logprobs) > 1 else 0.0
    return logprobs[0]


def weights(at: Position, temperature: float = 1.0, spellings: int = SPELLINGS) -> Weights:
    r"""Probabilities at temperature 1 from log-probabilities at another.

    With l_c the listed log-probabilities, r = 1 - sum exp(l_c) the rest and m the ceiling, raw
    weights are exp(t l_c) (the softmax inverted, as in `baselines.invert_softmax`). Of n tokens
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
