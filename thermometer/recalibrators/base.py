"""What a recalibrator is, how it is saved, and how confidence becomes probabilities again.

Recalibrators follow scikit-learn: parameters in `__init__`, `fit` returns `self`. They are saved as
JSON and safetensors.
"""

import json
import math
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save
from scipy.special import logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from thermometer import __version__, _checks, _files

FORMAT_VERSION = 1
CONFIG = "recalibrator.json"
ARRAYS = "recalibrator.safetensors"

Kind = Literal["number", "integer", "flag", "texts", "vector", "matrix", "counts"]
Kinds = Mapping[str, Kind]
"""What each value is that `fit` learns, by name."""
Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

_KEYS = {
    "format_version": int,
    "thermometer_version": str,
    "class": str,
    "parameters": dict,
    "fitted": dict,
}
_SHAPES: Mapping[str, tuple[int, type]] = {
    "vector": (1, np.float64),
    "matrix": (2, np.float64),
    "counts": (1, np.int64),
}
_SMALLEST = float(np.finfo(np.float64).tiny)
_LARGEST = 1 - float(np.finfo(np.float64).epsneg)
SEEN: Kinds = {"seen_": "vector", "least_": "number", "most_": "number"}
_GAP = 1.0  # log-odds; across less, lines in log-odds and in confidence part by 0.03 at slope 1


class Recalibrator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A scikit-learn estimator whose fit is a few numbers, declared, checked and saved as such."""

    reads: ClassVar[Literal["scores", "confidence"]]
    fitted: ClassVar[Kinds]
    """What `fit` sets, by name (with the underscore at the end), and of what kind it is."""

    @property
    def notes_(self) -> tuple[str, ...]:
        """What the user should know about this fit before relying on it; empty if nothing."""
        return ()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write parameters and fit to a folder, as JSON and safetensors; `load` reads it.

        Raises:
            FileExistsError: If the folder exists and holds anything but a recalibrator.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        path = Path(folder).resolve()
        with _files.settled(path):
            ours = path.is_dir() and {file.name for file in path.iterdir()} <= {CONFIG, ARRAYS}
            is_other = path.exists() and not ours
        if is_other:
            raise FileExistsError(f"{path} holds something else than a recalibrator")
        fitted = {name: getattr(self, name) for name in self.fitted}
        names = [name for name, kind in self.fitted.items() if kind in _SHAPES]
        arrays = {name: np.ascontiguousarray(fitted.pop(name)) for name in names}
        config = {
            "format_version": FORMAT_VERSION,
            "thermometer_version": __version__,
            "class": type(self).__name__,
            "parameters": self.get_params(deep=False),
            "fitted": fitted,
        }
        with _files.replaced_folder(path) as new:
            text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False)
            (new / CONFIG).write_text(text + "\n", encoding="utf-8")
            (new / ARRAYS).write_bytes(save(arrays))

    def __sklearn_is_fitted__(self) -> bool:
        return all(hasattr(self, name) for name in self.fitted)

    def _check_parameters(self) -> None:
        """Raise for parameters that no fit could use."""

    def _check_fit(self) -> None:
        """Raise for fitted values that `fit` could not have given; for what comes from a file."""


class ScoreRecalibrator(Recalibrator):
    """Reads unnormalised option scores and gives option probabilities.

    `scores` are (N, K), with ``-inf`` on the right of rows that have fewer than K options.

    Args:
        per_task: Fit every task by itself; `tasks` are then needed to fit and to predict.
    """

    reads = "scores"

    def __init__(self, per_task: bool = False) -> None:
        self.per_task = per_task

    @abstractmethod
    def fit(
        self, scores: ArrayLike, labels: ArrayLike | None = None, tasks: ArrayLike | None = None
    ) -> Self:
        """Learn from (N, K) scores, and from (N,) labels and task names where the method does."""

    @abstractmethod
    def predict_proba(self, scores: ArrayLike, tasks: ArrayLike | None = None) -> Matrix:
        """(N, K) probabilities; rows sum to one and padding has probability 0."""

    def _task_names(self, tasks: ArrayLike | None, n: int) -> NDArray[np.str_]:
        """Checked names of the tasks of N rows, which `per_task` needs."""
        if tasks is None:
            raise _checks.fail("tasks", "given, as `per_task` needs them", "None")
        array = np.asarray(tasks)
        if array.shape != (n,):
            raise _checks.fail("tasks", f"a vector of length {n}", f"shape {array.shape}")
        return array.astype(np.str_)

    def _check_parameters(self) -> None:
        if not isinstance(self.per_task, bool):
            raise TypeError(f"Expected `per_task` to be a boolean, but got {self.per_task!r}")


class ConfidenceRecalibrator(ClassifierMixin, Recalibrator):  # type: ignore[misc]
    """Reads confidences, (N,) or (N, 1), and gives the probability that the answer is right.

    To scikit-learn it is a binary classifier of answers: class 0 is wrong, class 1 is right.

    No method extrapolates: a confidence beyond those that were fitted counts as the nearest of
    them. Where two neighbours among these are more than one log-odds apart, results between lie on
    the straight line, in confidence, from one to the other, so that 0.999 is near 1.

    Attributes:
        seen_: (2S,) float64, ascending: where each of the S stretches of fitted confidences without
            such a gap begins and ends.
        least_, most_: Bounds of all results.
    """

    reads = "confidence"
    classes_ = np.array([0, 1])
    fitted = SEEN

    def fit(self, confidence: ArrayLike, correct: ArrayLike) -> Self:
        """Learn from (N,) confidences in [0, 1] and whether each answer was right, (N,) 0 or 1.

        Raises:
            ValueError: If N is 0 or the lengths differ, or a value is NaN or out of range.
        """
        self._check_parameters()
        column = self._column(confidence)
        right = _checks.binary("correct", correct, len(column))
        self.least_, self.most_ = 0.0, 1.0
        self._fit(column, right)
        self.seen_ = _stretches(column[~np.isnan(column)])
        return self

    def recalibrate(self, confidence: ArrayLike) -> Vector:
        """(N,) float64 probabilities of being right, in (0, 1).

        Raises:
            ValueError: If N is 0 or a value is NaN or out of range.
            sklearn.exceptions.NotFittedError: Before `fit`.
        """
        check_is_fitted(self)
        held = self._column(confidence).clip(self.seen_[0], self.seen_[-1])
        place = np.searchsorted(self.seen_, held)
        in_gap = (place % 2 == 0) & (place < len(self.seen_))  # NaN is placed last
        known = [self._recalibrate(c).clip(self.least_, self.most_) for c in (self.seen_, held)]
        return inside(np.where(in_gap, np.interp(held, self.seen_, known[0]), known[1]))

    def predict_proba(self, confidence: ArrayLike) -> Matrix:
        """(N, 2) float64: P(wrong), P(right). Errors are those of `recalibrate`."""
        right = self.recalibrate(confidence)
        return np.column_stack([1 - right, right])

    def predict(self, confidence: ArrayLike) -> NDArray[np.int64]:
        """(N,) int64: 1 where the answer is more probably right than wrong, else 0."""
        return (self.recalibrate(confidence) > 0.5).astype(np.int64)

    def _column(self, confidence: ArrayLike) -> Vector:
        """Checked confidences as (N,); the (N, 1) of scikit-learn is taken too."""
        return _checks.unit_interval("confidence", as_column(confidence))

    @abstractmethod
    def _fit(self, confidence: Vector, correct: Vector) -> None:
        """Learn from checked arguments."""

    @abstractmethod
    def _recalibrate(self, confidence: Vector) -> Vector:
        """Recalibrate checked confidences; in [0, 1]."""

    def _check_fit(self) -> None:
        seen = _checks.unit_interval("seen_", self.seen_)
        if len(seen) % 2 or (np.diff(seen) < 0).any():
            raise _checks.fail("seen_", "pairs in ascending order", seen.tolist())
        _checks.number("least_", self.least_, 0.0, _checks.number("most_", self.most_, 0.0, 1.0))


def _stretches(confidence: Vector) -> Vector:
    """Where stretches without a gap begin and end, see `ConfidenceRecalibrator`."""
    values = np.unique(confidence)
    before = np.flatnonzero(np.diff(logit(inside(values))) > _GAP)
    return np.sort(values[np.concatenate([[0], before, before + 1, [len(values) - 1]])])


def as_column(confidence: ArrayLike) -> NDArray[Any]:
    """(N, 1) as (N,), anything else as it is."""
    array = _checks.array("confidence", confidence)
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def inside(probability: Vector) -> Vector:
    """The nearest float64 numbers in the open interval (0, 1), so that no log is infinite."""
    return np.clip(probability, _SMALLEST, _LARGEST)


def share_tied(confidence: Vector, recalibrated: Vector) -> float:
    """Share of rows that now equal a row from which their confidence differed; in [0, 1].

    Example:
        >>> share_tied(np.array([0.1, 0.2, 0.2, 0.9]), np.array([0.5, 0.5, 0.5, 0.7]))
        0.75
    """
    _, level = np.unique(recalibrated, return_inverse=True)
    pairs = np.unique(np.column_stack([level, confidence]), axis=0)
    n_confidences = np.bincount(pairs[:, 0].astype(np.int64))
    return float((n_confidences[level] > 1).mean())


_Kind = TypeVar("_Kind", bound=Recalibrator)


def read_name(folder: str | Path) -> str:
    """Name of the class of a saved recalibrator; errors are those of `restored`."""
    name: str = _read_config(Path(folder) / CONFIG)["class"]
    return name


def restored(folder: str | Path, kind: type[_Kind]) -> _Kind:
    """The saved recalibrator of a known class; nothing in its files is executed.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: For a missing, unknown or mistyped key, a newer format, values that no fit
            gives, or a damaged file. The message names the file and the key.
    """
    file = Path(folder) / CONFIG
    config = _read_config(file)
    kinds, parameters, fitted = kind.fitted, config["parameters"], config["fitted"]
    _same_keys(file, "parameters", parameters, set(kind().get_params(deep=False)))
    numbers = {name for name in kinds if kinds[name] not in _SHAPES}
    _same_keys(file, "fitted", fitted, numbers)
    values = {name: _value(file, name, kinds[name], fitted[name]) for name in numbers}
    values |= _read_arrays(Path(folder) / ARRAYS, set(kinds) - numbers, kinds)
    try:
        recalibrator = kind(**parameters)
        for name, value in values.items():
            setattr(recalibrator, name, value)
        recalibrator._check_parameters()
        recalibrator._check_fit()
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    return recalibrator


def _read_config(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: missing; {file.parent} is no recalibrator")
    config = _files.read_json(file)
    version = config.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ValueError(
            f"{file}: written by thermometer {config.get('thermometer_version')} in format "
            f"{version}; this is {__version__}, which reads up to {FORMAT_VERSION}; upgrade it"
        )
    _same_keys(file, "file", config, set(_KEYS))
    for key, kind in _KEYS.items():
        if not isinstance(config[key], kind):
            raise ValueError(f"{file}: expected {key} to be {kind.__name__}, got {config[key]!r}")
    if config["format_version"] < 1:
        raise ValueError(f"{file}: expected format_version to be at least 1, got {version}")
    return config


def _read_arrays(file: Path, names: set[str], kinds: Kinds) -> dict[str, NDArray[Any]]:
    if not file.is_file():
        raise FileNotFoundError(f"{file}: missing from the recalibrator")
    try:
        arrays: dict[str, NDArray[Any]] = load_file(file)
    except (SafetensorError, ValueError) as error:
        raise ValueError(f"{file}: damaged arrays ({error})") from error
    _same_keys(file, "arrays", arrays, names)
    for name, array in arrays.items():
        n_axes, dtype = _SHAPES[kinds[name]]
        if array.ndim != n_axes or array.dtype != dtype:
            raise ValueError(
                f"{file}: expected {name} to be {np.dtype(dtype)} of {n_axes} axes, "
                f"got {array.dtype} of shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{file}: {name} holds NaN or infinity")
    return arrays


def _value(file: Path, name: str, kind: Kind, value: Any) -> Any:
    """A fitted value from JSON, if it is of its kind."""
    if kind == "texts" and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind == "flag" and isinstance(value, bool):
        return value
    if kind in ("integer", "number") and isinstance(value, int) and not isinstance(value, bool):
        return value if kind == "integer" else float(value)
    if kind == "number" and isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(f"{file}: expected {name} to be of kind {kind}, got {value!r}")


def _same_keys(file: Path, where: str, found: Mapping[str, Any], declared: set[str]) -> None:
    if missing := sorted(declared - set(found)):
        raise ValueError(f"{file}: missing {', '.join(missing)} in {where}")
    if unknown := sorted(set(found) - declared):
        raise ValueError(f"{file}: unknown {', '.join(unknown)} in {where}")


class InvertedSoftmax(NamedTuple):
    """Scores whose softmax are the given probabilities.

    Attributes:
        scores: (N, K) float64; ``-inf`` beyond the options of a row.
        n_floored: Number of probabilities below the floor, which now count as the floor.
    """

    scores: NDArray[np.float64]
    n_floored: int


def invert_softmax(
    probs: ArrayLike, floor: float, n_options: ArrayLike | None = None
) -> InvertedSoftmax:
    """Scores s_ik = log max(p_ik, floor), for probabilities that come without logits.

    A softmax forgets only a constant per row, which no temperature can see, so that the temperature
    fitted to these scores, and softmax(scores / t), are those of the lost logits (the "invert
    softmax" step of Wang et al. 2024, arXiv 2410.06707). Dividing the probabilities themselves by a
    temperature and taking the softmax of that is another, wrong thing: of six options even a
    certain one would get 0.35.

    Args:
        probs: (N, K); every row sums to one.
        floor: In (0, 1); what a smaller probability counts as. A model that states "0 %" does not
            mean minus infinity, but what it means nobody knows: the floor decides how much such a
            row costs when it is wrong, and thereby the fitted temperature. Report it.
        n_options: (N,) number of options of each row, where rows have fewer than K; all K by
            default.

    Raises:
        ValueError: If N is 0, a row does not sum to one, or the floor is out of range.

    Example:
        >>> inverted = invert_softmax([[0.8, 0.2, 0.0]], floor=0.01)
        >>> inverted.scores.round(3).tolist(), inverted.n_floored
        ([[-0.223, -1.609, -4.605]], 1)
    """
    probs = _checks.prob_matrix("probs", probs)
    floor = _checks.number("floor", floor, maximum=1 - 1e-9, strict=True)
    option = _options(n_options, probs)
    scores = np.where(option, np.log(np.maximum(probs, floor)), -np.inf)
    return InvertedSoftmax(scores, int((option & (probs < floor)).sum()))


def with_confidence(
    probs: ArrayLike, confidence: ArrayLike, n_options: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Give the answers new confidences; the other options share the rest in proportion.

    With a the first most probable option of a row and c its new confidence, q_a = c and
    q_k = (1 - c) p_k / (1 - p_a). Where p_a is 1 the others share equally. So a recalibrator of
    confidences becomes one of option probabilities. An answer whose new confidence is below the
    share of another option is no longer the most probable.

    Args:
        probs: (N, K); every row sums to one.
        confidence: (N,) in [0, 1].
        n_options: As for `invert_softmax`.

    Raises:
        ValueError: If N is 0, the lengths differ, a row does not sum to one or has a probability
            beyond its options, or a confidence is out of range.

    Example:
        >>> with_confidence([[0.8, 0.15, 0.05]], [0.6]).round(3).tolist()
        [[0.6, 0.3, 0.1]]
    """
    probs = _checks.prob_matrix("probs", probs)
    confidence = _checks.unit_interval("confidence", confidence, len(probs))
    option = _options(n_options, probs)
    each, answer = np.arange(len(probs)), probs.argmax(axis=1)
    others = probs.copy()
    others[each, answer] = 0
    alone = others.sum(axis=1) == 0
    others[alone] = option[alone]
    others[each, answer] = 0
    others /= others.max(axis=1, keepdims=True)  # a share of a number near 0 would overflow
    others *= ((1 - confidence) / others.sum(axis=1))[:, None]
    others[each, answer] = confidence
    return others


def _options(n_options: ArrayLike | None, probs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N, K), whether there is such an option."""
    n, width = probs.shape
    if n_options is None:
        return np.ones((n, width), dtype=bool)
    counts = _checks.vector("n_options", n_options, n)
    if (bad := (counts < 2) | (counts > width) | (counts % 1 > 0)).any():
        row = int(np.flatnonzero(bad)[0])
        raise _checks.fail("n_options", f"integers in [2, {width}]", f"{counts[row]} at row {row}")
    option: NDArray[np.bool_] = np.arange(width) < counts[:, None]
    if (bad := (probs * ~option).any(axis=1)).any():
        row = int(np.flatnonzero(bad)[0])
        raise _checks.fail("probs", "0 beyond the options", f"more at row {row}")
    return option
