"""How a recommendation reads: the reason in plain words, and the candidates as a table."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from thermometer.baselines.cross_fitting import NONE

if TYPE_CHECKING:
    from thermometer.metrics.intervals import Interval
    from thermometer.recommendation import Candidate, Recommendation

_METHODS = {
    "temperature": "one temperature",
    "platt": "Platt scaling",
    "stated": "the calibration of stated confidence",
    "isotonic": "isotonic calibration",
    "histogram": "histogram binning",
}


def table(recommendation: "Recommendation") -> str:
    """One line per candidate; the recommended one is marked."""
    level = f"{recommendation.level:.0%} interval"
    rows = [("", "NLL", level, "against none", level, "AUROC")]
    for name, candidate in recommendation.candidates.items():
        nll, gain = candidate.nll, candidate.versus_none
        rows.append(
            (
                f"{'>' if name == recommendation.best else ' '} {name}",
                f"{nll.estimate:.3f}",
                f"{nll.low:.3f} to {nll.high:.3f}",
                f"{gain.estimate:+.3f}",
                f"{gain.low:+.3f} to {gain.high:+.3f}",
                f"{candidate.auroc:.3f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def reason(
    best: str,
    candidates: "Mapping[str, Candidate]",
    n: int,
    worth: float,
    labels_needed: int | None,
) -> str:
    """Why the best is the best, or why nobody can say."""
    if best != NONE:
        return _gain(best, candidates, n)
    if labels_needed is None:
        return f"Leave it as it is: no recalibrator could gain {worth:g} nats per row."
    name = rival(candidates, worth)
    difference = candidates[name].versus_none
    if difference.estimate < 0:
        finding = f"{_METHODS[name]} gains {_range(difference)} nats per row, which may be chance"
    else:
        finding = f"{_METHODS[name]} does not gain, but could by up to {-difference.low:.3f} nats"
    return (
        f"{n:,} rows are too few to say: {finding}. Leave it as it is until there are about "
        f"{labels_needed:,} labelled rows."
    )


def rival(candidates: "Mapping[str, Candidate]", worth: float) -> str:
    """Of the candidates that could be better than none by `worth`, the one that seems best."""
    could = [name for name, c in candidates.items() if c.versus_none.low <= -worth]
    return min(could, key=lambda name: candidates[name].versus_none.estimate)


def _gain(best: str, candidates: "Mapping[str, Candidate]", n: int) -> str:
    chosen, before = candidates[best], candidates[NONE]
    words = [
        f"{_METHODS[best][0].upper()}{_METHODS[best][1:]} lowers the NLL of rows that it was not "
        f"fitted on from {before.nll.estimate:.3f} to {chosen.nll.estimate:.3f}, "
        f"by {_range(chosen.versus_none)}."
    ]
    lowest = min(candidates, key=lambda name: candidates[name].nll.estimate)
    if lowest != best:
        words.append(
            f"That {_METHODS[lowest]} is lower by another {chosen.versus_best.estimate:.4f} may be "
            f"chance on {n:,} rows; the simpler one is preferred."
        )
    words.append(f"AUROC is {before.auroc:.3f} before and {chosen.auroc:.3f} after.")
    if chosen.estimator is not None:
        words += [f"{note[0].upper()}{note[1:]}." for note in chosen.estimator.notes_]
    return " ".join(words)


def _range(difference: "Interval") -> str:
    """A difference as a gain."""
    low, high = sorted((-difference.low, -difference.high))
    return f"{-difference.estimate:.3f} ({low:+.3f} to {high:+.3f})"
