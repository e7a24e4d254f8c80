"""From the tokens of a reply to the mass of each option: what is decided, and what stays open.

The walk follows the reply token by token for as long as its text is only the beginning of options.
Nothing here knows formats.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thermometer.logprobs.positions import SPELLINGS, Position, weights
from thermometer.logprobs.spelling import Match, OptionTexts

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Masses:
    """Probability that goes to each of K options, as far as a reply tells.

    Args:
        decided: (K,) of texts that are the option.
        likely: (K,) one way to share out what is open; > 0.
        possible: (K,) what the option may get at most of that which is open.
        others: (K,) what all other options together may get at most of that which is open.
        open: All that is open.
    """

    decided: Vector
    likely: Vector
    possible: Vector
    others: Vector
    open: float

    @property
    def low(self) -> Vector:
        """(K,) least probability among the options that the open part allows."""
        total = self.decided.sum() + self.others
        return _ratio(self.decided, total, 0.0)

    @property
    def high(self) -> Vector:
        """(K,) greatest probability among the options that the open part allows."""
        total = self.decided.sum() + self.possible
        return _ratio(self.decided + self.possible, total, 1.0)


def _ratio(part: Vector, total: Vector, otherwise: float) -> Vector:
    full = np.full(len(total), otherwise)
    return np.asarray(np.divide(part, total, out=full, where=total > 0), np.float64)


class _Ledger:
    """Books every piece of mass to an option, to several that it may belong to, or to none."""

    def __init__(self, n_options: int) -> None:
        self.decided = np.zeros(n_options)
        self.shared = np.zeros(n_options)
        self.guessed = np.zeros(n_options)
        self.possible = np.zeros(n_options)
        self.others = np.zeros(n_options)
        self.open = 0.0

    def text(self, mass: float, match: Match) -> None:
        """The mass of a text that is, or may become, an option."""
        if not match.open.any():
            if match.done is not None:
                self.decided[match.done] += mass
            return
        able = _able(match)
        self._open(mass, mass, able)
        if match.done is not None:
            self.shared[match.done] += mass
        else:
            self.shared[able] += mass / able.sum()

    def unseen(self, mass: float, spelled: float, ceiling: float, able: NDArray[np.bool_]) -> None:
        """The mass of tokens that the server did not list."""
        self._open(mass, spelled, able)
        guess = min(ceiling, mass / able.sum())
        self.guessed[able] = np.maximum(self.guessed[able], guess)

    def masses(self) -> Masses:
        seen = self.decided + self.shared
        likely = np.where(seen > 0, seen, np.maximum(self.guessed, 1e-30))
        return Masses(self.decided, likely, self.possible, self.others, self.open)

    def _open(self, mass: float, each: float, able: NDArray[np.bool_]) -> None:
        self.open += mass
        self.possible[able] += min(mass, each)
        self.others += np.minimum(mass, each * (able.sum() - able))


def _able(match: Match) -> NDArray[np.bool_]:
    able = match.open.copy()
    if match.done is not None:
        able[match.done] = True
    return able


def walk(
    positions: Sequence[Position],
    options: OptionTexts,
    *,
    temperature: float = 1.0,
    spellings: int = SPELLINGS,
) -> Masses:
    """Mass of each option in the tokens of a reply.

    At the first position every listed token counts for the option that it is. A token that is
    only the beginning of options ("North" of North Korea and North Macedonia, or a blank) is open,
    unless it is the one that was chosen: then its probability is shared out by what the server
    lists at the next position, and so on. Tokens that are not listed are open for all options that
    the text so far allows.

    Of what is open, `likely` gives a beginning to the option that it already is, else to all that
    it can become alike; and to an option that no listed token begins, the probability of the least
    likely listed token, if so much is left: nobody knows it, but it is not 0.

    Args:
        positions: Tokens from where the answer begins; at least one.
        options: Their texts.
        temperature: At which the server made the log-probabilities.
        spellings: How many unlisted tokens may be, or begin, one option.

    Example:
        >>> from thermometer.logprobs.positions import position
        >>> listed = [(b"A", -0.1, None), (b" A", -3.0, None), (b"B", -4.0, None)]
        >>> masses = walk([position(b"A", -0.1, listed)], OptionTexts(["A", "B", "C"]))
        >>> masses.decided.round(3).tolist(), masses.likely.round(3).tolist()
        ([0.955, 0.018, 0.0], [0.955, 0.018, 0.009])
    """
    ledger = _Ledger(len(options))
    reach, text = 1.0, b""
    for number, at in enumerate(positions, start=1):
        shares = weights(at, temperature, spellings)
        followed: float | None = None
        for candidate, share in zip(at.candidates, shares.candidates, strict=True):
            match = options.match(text + candidate.token)
            is_next = candidate.token == at.token and followed is None
            if is_next and match.open.any() and number < len(positions):
                followed = reach * float(share)
            else:
                ledger.text(reach * float(share), match)
        # At another temperature the norm itself is a bound, which only the first position cancels.
        spelled = shares.spelled if temperature == 1 or number == 1 else shares.unseen
        able = _able(options.match(text))
        ledger.unseen(reach * shares.unseen, reach * spelled, reach * shares.ceiling, able)
        if followed is None:
            break
        reach, text = followed, text + at.token
    return ledger.masses()
