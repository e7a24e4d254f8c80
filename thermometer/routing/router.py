"""Accept, review or reject by calibrated confidence, with hysteresis per key."""

import json
from collections import OrderedDict
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, NamedTuple

from scipy.special import expit, logit

from thermometer import __version__, _checks, _threads
from thermometer._files import from_plain

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
        if confidence < 0 or confidence > 1:
            raise _checks.fail("confidence", "in [0, 1]", confidence)
        if confidence >= (self.accept_until if previous == "accept" else self.accept_above):
            return "accept"
        if confidence < (self.reject_until if previous == "reject" else self.reject_below):
            return "reject"
        return "review"


FORMAT_VERSION = 1


@dataclass(frozen=True)
class _State:
    """All that a router is, as it stands in JSON."""

    bands: Bands
    max_keys: int
    decisions: dict[Action, int]
    changes: int
    evicted: int
    actions: dict[str, Action]
    format_version: int = FORMAT_VERSION
    thermometer_version: str = __version__


class Decision(NamedTuple):
    """What to do with one answer.

    Args:
        action: "accept", "review" or "reject".
        previous: The last action for this key; `None` if the router does not know it.
        confidence: What was decided on; `None` if it was missing.
    """

    action: Action
    previous: Action | None
    confidence: float | None

    @property
    def changed(self) -> bool:
        """Whether the key was known and had another action."""
        return self.previous is not None and self.previous != self.action


class Router:
    """Decides for each key (conversation, customer, kind of query), remembering its last action.

    A key that is not known is decided as if it had been under review: accepted from the upper edge
    of the upper band on, rejected below the lower edge of the lower one. A missing confidence
    (`None` or NaN) is reviewed, whatever came before, and leaves its key under review; it is never
    accepted. Keys do not influence one another, but for this: the router knows at most `max_keys`
    of them and forgets the one that was used longest ago, `evicted` counts how often. A forgotten
    key is new again, which can only turn what would have been decided into a review.

    Any number of threads may call `decide`; each decision is one step, and calls for one key count
    in the order in which they come. Several processes do not share a router: send each key to one.

    Args:
        bands: The thresholds.
        max_keys: Most keys remembered, at least 1; 100,000 take about 20 MB.

    Attributes:
        changes: How often the action of a known key changed.
        evicted: How often a key was forgotten because there were too many.

    Raises:
        TypeError: If `bands` is no `Bands`.
        ValueError: If `max_keys` is out of range.

    Example:
        >>> router = Router(Bands(accept_above=0.9, accept_until=0.8))
        >>> [router.decide("customer 7", c).action for c in (0.85, 0.91, 0.85, 0.79, 0.85)]
        ['review', 'accept', 'accept', 'review', 'review']
        >>> router.changes
        2
    """

    def __init__(self, bands: Bands, *, max_keys: int = 100_000) -> None:
        if not isinstance(bands, Bands):
            raise TypeError(f"Expected `bands` to be Bands, but got {type(bands).__name__}")
        self.bands = bands
        self.max_keys = _checks.integer("max_keys", max_keys)
        self._actions: OrderedDict[str, Action] = OrderedDict()
        self._decisions: dict[Action, int] = dict.fromkeys(ACTIONS, 0)
        self.changes = self.evicted = 0
        self._lock = _threads.Lock()

    def decide(self, key: str, confidence: float | None) -> Decision:
        """What to do with an answer of a key.

        Args:
            key: Whose answer it is.
            confidence: In [0, 1]; `None` or NaN if missing.

        Raises:
            TypeError: If the key is no string, or the confidence no number.
            ValueError: If the confidence is outside [0, 1]; the state is then as before.
        """
        if not isinstance(key, str):
            raise TypeError(f"Expected `key` to be a string, but got {key!r}")
        claimed = _or_missing(confidence)
        with self._lock:
            previous = self._actions.get(key)
            action: Action = "review"
            if claimed is not None:
                action = self.bands.action(claimed, previous or "review")
            self._actions[key] = action
            self._actions.move_to_end(key)
            if len(self._actions) > self.max_keys:
                self._actions.popitem(last=False)
                self.evicted += 1
            decision = Decision(action, previous, claimed)
            self._decisions[action] += 1
            self.changes += decision.changed
        return decision

    @property
    def actions(self) -> dict[str, Action]:
        """The last action of every key remembered, the one used longest ago first; a copy."""
        with self._lock:
            return dict(self._actions)

    @property
    def decisions(self) -> dict[Action, int]:
        """How often each action was decided; a copy."""
        with self._lock:
            return dict(self._decisions)

    def with_bands(self, bands: Bands) -> "Router":
        """A router with other thresholds that goes on from the same state."""
        return _restored(replace(self._state(), bands=bands))

    def to_json(self) -> str:
        """Everything, as one line of JSON; taken between two decisions, never within one."""
        return json.dumps(asdict(self._state()), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Router":
        """The router that `to_json` wrote; it decides as that one would have.

        Raises:
            ValueError: For what is no such text: not JSON, a missing, unknown or mistyped key, a
                newer format, an unknown action, more keys than remembered.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(f"Expected `text` to be JSON of a router, but got {error}") from error
        version = content.get("format_version") if isinstance(content, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ValueError(
                f"Expected `format_version` to be at most {FORMAT_VERSION}, but got {version}, "
                f"written by thermometer {content.get('thermometer_version')}; this is "
                f"{__version__}, upgrade it"
            )
        return _restored(from_plain(_State, content, "text"))

    def __len__(self) -> int:
        return len(self._actions)

    def __repr__(self) -> str:
        return f"Router({self.bands!r}, max_keys={self.max_keys})"

    def _state(self) -> _State:
        with self._lock:
            own = self.bands, self.max_keys, dict(self._decisions), self.changes, self.evicted
            return _State(*own, dict(self._actions))


def _or_missing(confidence: Any) -> float | None:
    """A confidence in [0, 1], or `None` for what is missing."""
    if confidence is None:
        return None
    if getattr(confidence, "ndim", 0) == 0 and confidence != confidence:  # only NaN
        return None
    return _checks.number("confidence", confidence, maximum=1.0)


def _restored(state: _State) -> Router:
    if state.format_version != FORMAT_VERSION:
        raise _checks.fail("format_version", str(FORMAT_VERSION), state.format_version)
    router = Router(state.bands, max_keys=state.max_keys)
    if set(state.decisions) != set(ACTIONS):
        raise _checks.fail("decisions", "a count of every action", state.decisions)
    for action in ACTIONS:
        count = _checks.integer(f"decisions of {action}", state.decisions[action], minimum=0)
        router._decisions[action] = count
    router.changes = _checks.integer("changes", state.changes, minimum=0)
    router.evicted = _checks.integer("evicted", state.evicted, minimum=0)
    router._actions.update(state.actions)
    if len(router) > router.max_keys:
        raise _checks.fail("actions", f"of at most {router.max_keys} keys", len(router))
    return router
