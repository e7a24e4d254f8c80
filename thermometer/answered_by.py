"""What provenance says of the answering model: whether it is another one, and how it was asked.

Nothing here looks at the scores themselves: what nobody has named is taken at its word.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from thermometer import _checks
from thermometer.templates import Template

if TYPE_CHECKING:
    from thermometer.calibrator import Calibrator

Made = Mapping[str, Any]


def doubts(calibrator: "Calibrator", made: Made | None) -> tuple[str, ...]:
    """A warning if scores are of another answering model than the thermometer is set to.

    Args:
        calibrator: Whose `target` says which model that is.
        made: Provenance of the scores, if known.

    Returns:
        One sentence, or none: if the models agree, either is unnamed, or somebody has chosen the
        model with `adaptation.for_model`.

    Example:
        >>> from types import SimpleNamespace
        >>> target = {"model": "7B"}
        >>> of_7b = SimpleNamespace(targets=(target,), target=target, is_chosen=False)
        >>> doubts(of_7b, {"model": "70B"})[0].split(":")[0]
        "The scores are of '70B', but the thermometer was trained for '7B'"
        >>> doubts(of_7b, {"model": "somewhere/7b"}), doubts(of_7b, None)
        ((), ())
    """
    target = calibrator.target
    if calibrator.is_chosen or not (made and made.get("model") and target.get("model")):
        return ()
    if _same(made, target):
        return ()
    if (place := place_of(calibrator, made)) is not None:
        other = calibrator.targets[place]
        return (
            f"The scores are of {made['model']!r}, but the thermometer is set to "
            f"{target['model']!r}: choose with `for_model(calibrator, {other['model']!r})`.",
        )
    if "file" in made:  # whose name need not be that of a model
        return ()
    trained = [t for t in calibrator.targets if t.get("model")]
    names = ", ".join(repr(t["model"]) for t in trained)
    weights = " with other weights" if _name(made) in map(_name, trained) else ""
    return (
        f"The scores are of {made['model']!r}, but the thermometer was trained for {names}"
        f"{weights}: its temperatures may be far off. Adapt it to this model (`adapt`), or train "
        "one for it.",
    )


def place_of(calibrator: "Calibrator", made: Made) -> int | None:
    """Which answering model of the training gave scores of some provenance, if one did.

    Example:
        >>> from types import SimpleNamespace
        >>> place_of(SimpleNamespace(targets=({"model": "7B"}, {"model": "70B"})), {"model": "70B"})
        1
    """
    for place, target in enumerate(calibrator.targets):
        if made.get("model") and target.get("model") and _same(made, target):
            return place
    return None


def scores_template(calibrator: "Calibrator") -> Template:
    """The template of the scores that a calibrator was trained for.

    Raises:
        ValueError: If its checkpoint names none: the scores were made elsewhere.
    """
    fields = calibrator.target.get("template")
    if fields is None:
        raise ValueError(
            "Expected a calibrator of scores made by this package, but its checkpoint names no "
            "template; call `calibrator.calibrate` with the scores"
        )
    return Template(**fields)


def verify_template(calibrator: "Calibrator") -> Template:
    """As `scores_template`, of a calibrator of answers in words.

    Raises:
        ValueError: If the calibrator was trained on questions with options.
    """
    template = scores_template(calibrator)
    if template.style != "verify":
        raise wrong_calibrator("answers in words (template style 'verify')", template)
    return template


def wrong_calibrator(expected: str, template: Template) -> ValueError:
    """The error for a calibrator that was trained on something else; the caller raises it."""
    return _checks.fail("calibrator", f"trained on {expected}", f"one for {template}")


def _same(made: Made, target: Made) -> bool:
    """By the fingerprint of weights where both have one (rounded ones differ), else by name."""
    ours, theirs = made.get("fingerprint"), target.get("fingerprint")
    if ours and theirs and (ours == theirs or made.get("dtype") == target.get("dtype")):
        return bool(ours == theirs)
    return _name(made) == _name(target)


def _name(made: Made) -> str:
    """The name of a model without the place where it lies."""
    return str(made["model"]).rstrip("/").rpartition("/")[2].casefold()
