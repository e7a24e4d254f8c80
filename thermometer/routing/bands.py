"""The thresholds between accepting, reviewing and rejecting, each with two edges.

A decision is entered at the far edge of its band and left at the near one (a Schmitt trigger). The
rule is a pure function; `router` remembers what was decided.
"""

from dataclasses import dataclass, fields
from typing import Literal

from scipy.special import expit, logit

from thermometer import _checks

Action = Literal["accept", "review", "reject"]
ACTIONS: tuple[Action, ...] = ("accept", "review", "reject")


@dataclass(frozen=True, slots=True)
class Bands:
    """Four edges: confidences at which accepting and rejecting begin and end.

    An answer is accepted from `accept_above` on, and then stays accepted down to `accept_until`. It
    is rejected below `reject_below`, and then stays rejected as long as it is below `reject_until`.
    Everything else is reviewed. So whatever the history, nothing below `accept_until` is accepted
    and nothing from `reject_until` on is rejected. Edges that coincide make a hard cutoff; with
    ``reject_below=0, reject_until=0`` nothing is rejected; with ``reject_below=accept_until`` and
    ``reject_until=accept_above`` a decision, once made, changes only between accept and reject.

    Args:
        accept_above: Accepting begins at this confidence, in [0, 1].
        accept_until: Accepting ends below this one; at most `accept_above`.
        reject_below: Rejecting begins below this confidence; at most `accept_until`.
        reject_until: Rejecting ends at this one; from `reject_below` to `accept_above`.

    Raises:
        ValueError: If an edge is outside [0, 1], or they are out of order.

    Example:
        >>> bands = Bands(accept_above=0.9, accept_until=0.8)
        >>> bands.action(0.85), bands.action(0.85, "accept"), bands.action(0.79, "accept")
        ('review', 'accept', 'review')
    """

    accept_above: float
    accept_until: float
    reject_below: float = 0.0
    reject_until: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            edge = _checks.number(field.name, getattr(self, field.name), maximum=1.0)
            object.__setattr__(self, field.name, edge)
        for lower, upper in (
            ("accept_until", "accept_above"),
            ("reject_below", "reject_until"),
            ("reject_below", "accept_until"),
            ("reject_until", "accept_above"),
        ):
            if getattr(self, lower) > getattr(self, upper):
                limit = f"at most `{upper}` ({getattr(self, upper)})"
                raise _checks.fail(lower, limit, getattr(self, lower))

    @classmethod
    def around(cls, accept: float, reject: float = 0.0, width: float = 0.75) -> "Bands":
        """Bands on the safe side of two thresholds.

        Nothing below `accept` is ever accepted, and nothing from `reject` on is ever rejected; the
        far edges lie `width` logits beyond: expit(logit(accept) + width) and
        expit(logit(reject) - width). Three times the standard deviation of the noise of the
        confidence, in logits, is a good width.

        Args:
            accept: Where accepting ends, in [0, 1].
            reject: Where rejecting ends, in [0, accept]; 0 rejects nothing.
            width: Distance of the edges of a band, at least 0; 0 makes hard cutoffs.

        Example:
            >>> round(Bands.around(0.8, 0.3, width=0.5).accept_above, 3)
            0.868
        """
        accept = _checks.number("accept", accept, maximum=1.0)
        reject = _checks.number("reject", reject, maximum=accept)
        width = _checks.number("width", width, maximum=1e3)
        if not width:
            return cls(accept, accept, reject, reject)
        above = max(float(expit(logit(accept) + width)), accept)  # rounding never crosses an edge
        below = min(float(expit(logit(reject) - width)), reject)
        return cls(above, accept, below, reject)

    def action(self, confidence: float, previous: Action = "review") -> Action:
        """What to do at a confidence in [0, 1] after a previous action; NaN is reviewed."""
        if confidence >= (self.accept_until if previous == "accept" else self.accept_above):
            return "accept"
        if confidence < (self.reject_until if previous == "reject" else self.reject_below):
            return "reject"
        return "review"
