"""A confidence with what a reader must know about it: is it calibrated, and how sure is that?"""

from dataclasses import dataclass, field

from thermometer import _checks


@dataclass(frozen=True, slots=True)
class Confidence:
    """The probability that an answer is right, declared as calibrated or not.

    Args:
        value: In [0, 1].
        calibrated: Whether answers like this one were found to be right as often as it says.
        low: Lower bound of the value, at most `value`; given with `high` or not at all.
        high: Upper bound, at least `value`.

    Raises:
        TypeError: If `calibrated` is no boolean.
        ValueError: If a number is out of range, or only one bound is given.

    Example:
        >>> Confidence(0.7, calibrated=True, low=0.6, high=0.8).value
        0.7
    """

    value: float
    calibrated: bool = field(kw_only=True)
    low: float | None = field(default=None, kw_only=True)
    high: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.calibrated, bool):
            raise TypeError(f"Expected `calibrated` to be a boolean, but got {self.calibrated!r}")
        value = _checks.number("value", self.value, maximum=1.0)
        object.__setattr__(self, "value", value)
        if (self.low is None) != (self.high is None):
            raise _checks.fail("low", "given together with `high`", "one of them")
        if self.low is not None:
            object.__setattr__(self, "low", _checks.number("low", self.low, maximum=value))
            object.__setattr__(self, "high", _checks.number("high", self.high, value, 1.0))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lower and upper bound, if there are any."""
        if self.low is None or self.high is None:
            return None
        return self.low, self.high


def shown(confidence: Confidence, raw: bool) -> Confidence:
    """The confidence, if it may be shown.

    Raises:
        TypeError: If it is a plain number, which does not say whether it is calibrated.
        ValueError: If it is not calibrated, unless `raw`.
    """
    if not isinstance(confidence, Confidence):
        raise TypeError(
            f"Expected `confidence` to be a Confidence, but got {confidence!r}. "
            "Declare it: Confidence(0.7, calibrated=True), or calibrated=False for raw confidence"
        )
    if not confidence.calibrated and not raw:
        raise _checks.fail(
            "confidence", "calibrated, or shown with raw=True", "one that is not calibrated"
        )
    return confidence
