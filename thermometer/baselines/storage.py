"""The two files of a saved recalibrator: JSON and safetensors, nothing that could run.

`recalibrator.json` holds the name of the class, its parameters and what `fit` learned;
`recalibrator.safetensors` holds the arrays. What may stand there is declared by the class, and
anything else is refused. Nothing here knows the classes.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from thermometer import __version__, _checks, _files

FORMAT_VERSION = 1
CONFIG = "recalibrator.json"
ARRAYS = "recalibrator.safetensors"

Kind = Literal["number", "integer", "flag", "texts", "vector", "matrix", "counts"]
Kinds = Mapping[str, Kind]
"""What each value is that `fit` learns, by name."""

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


@dataclass(frozen=True, eq=False)
class Content:
    """What is saved of a recalibrator.

    Args:
        name: Of its class.
        parameters: What its constructor took.
        fitted: What `fit` learned: numbers, tuples of strings, arrays.
    """

    name: str
    parameters: Mapping[str, Any]
    fitted: Mapping[str, Any]


def write(folder: str | Path, content: Content, kinds: Kinds) -> None:
    """Write a recalibrator under a temporary name, then rename; one in that place is replaced.

    Raises:
        FileExistsError: If the folder exists and holds anything else.
    """
    path = Path(folder).resolve()
    if path.exists() and not (path.is_dir() and _names(path) <= {CONFIG, ARRAYS}):
        raise FileExistsError(f"{path} holds something else than a recalibrator; choose another")
    config = {
        "format_version": FORMAT_VERSION,
        "thermometer_version": __version__,
        "class": content.name,
        "parameters": dict(content.parameters),
        "fitted": {k: v for k, v in content.fitted.items() if kinds[k] not in _SHAPES},
    }
    arrays = {k: v for k, v in content.fitted.items() if kinds[k] in _SHAPES}
    with _files.replaced_folder(path) as new:
        text = json.dumps(config, indent=2, sort_keys=True, allow_nan=False)
        (new / CONFIG).write_text(text + "\n", encoding="utf-8")
        weights = save({k: np.ascontiguousarray(v) for k, v in arrays.items()})
        (new / ARRAYS).write_bytes(weights)


def read_name(folder: str | Path) -> str:
    """Name of the class of a saved recalibrator; errors are those of `read`."""
    name: str = _read_config(Path(folder) / CONFIG)["class"]
    return name


def read(folder: str | Path, parameters: set[str], kinds: Kinds) -> Content:
    """Read a recalibrator; nothing in it is executed.

    Args:
        folder: Where `write` put it.
        parameters: Names of the parameters of its class.
        kinds: What its class declares as fitted.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: For a missing, unknown or mistyped key, a newer format, NaN, infinity, or a
            damaged file. The message names the file and the key.
    """
    file = Path(folder) / CONFIG
    config = _read_config(file)
    _same_keys(file, "parameters", config["parameters"], parameters)
    numbers = {name for name, kind in kinds.items() if kind not in _SHAPES}
    _same_keys(file, "fitted", config["fitted"], numbers)
    fitted = {name: _value(file, name, kinds[name], config["fitted"][name]) for name in numbers}
    fitted.update(_read_arrays(Path(folder) / ARRAYS, set(kinds) - numbers, kinds))
    return Content(config["class"], config["parameters"], fitted)


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
    try:
        _checks.integer("format_version", version)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
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


def _names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()}
