"""What provenance says of the answering model: whether it is another one, and how it was asked.

What nobody has named is taken at its word.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from thermometer.templates import Template

Made = Mapping[str, Any]


def doubts(targets: Sequence[Made], made: Made | None) -> tuple[str, ...]:
    """A warning if scores are of another answering model than a thermometer is set to.

    Args:
        targets: Provenance of the scores that it was trained for; it is set to the first.
        made: Provenance of the scores, if known.

    Returns:
        One sentence, or none: if the models agree, or either is unnamed.

    Example:
        >>> doubts([{"model": "7B"}], {"model": "70B"})[0].split(":")[0]
        "The scores are of '70B', but the thermometer was trained for '7B'"
        >>> doubts([{"model": "7B"}], {"model": "somewhere/7b"}), doubts([{"model": "7B"}], None)
        ((), ())
    """
    target = targets[0]
    if not (made and made.get("model") and target.get("model")) or _same(made, target):
        return ()
    if (place := place_of(targets, made)) is not None:
        return (
            f"The scores are of {made['model']!r}, but the thermometer is set to "
            f"{target['model']!r}: choose with "
            f"`for_model(calibrator, {targets[place]['model']!r})`.",
        )
    if "file" in made:  # whose name need not be that of a model
        return ()
    trained = [t for t in targets if t.get("model")]
    names = ", ".join(repr(t["model"]) for t in trained)
    weights = " with other weights" if _name(made) in map(_name, trained) else ""
    return (
        f"The scores are of {made['model']!r}, but the thermometer was trained for {names}"
        f"{weights}: its temperatures may be far off. Adapt it to this model (`adapt`), or train "
        "one for it.",
    )


def place_of(targets: Sequence[Made], made: Made) -> int | None:
    """Which answering model of the training gave scores of some provenance, if one did.

    Example:
        >>> place_of([{"model": "7B"}, {"model": "70B"}], {"model": "70B"})
        1
    """
    for place, target in enumerate(targets):
        if made.get("model") and target.get("model") and _same(made, target):
            return place
    return None


def scores_template(target: Made) -> Template:
    """The template of the scores that a calibrator was trained for.

    Raises:
        ValueError: If their provenance names none: the scores were made elsewhere.
    """
    if (fields := target.get("template")) is None:
        raise ValueError(
            "Expected a calibrator of scores made by this package, but its checkpoint names no "
            "template; call `calibrator.calibrate` with the scores"
        )
    return Template(**fields)


def _same(made: Made, target: Made) -> bool:
    """By the fingerprint of weights where both have one (rounded ones differ), else by name."""
    ours, theirs = made.get("fingerprint"), target.get("fingerprint")
    if ours and theirs and (ours == theirs or made.get("dtype") == target.get("dtype")):
        return bool(ours == theirs)
    return _name(made) == _name(target)


def _name(made: Made) -> str:
    """The name of a model without the place where it lies."""
    return str(made["model"]).rstrip("/").rpartition("/")[2].casefold()
