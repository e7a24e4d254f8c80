"""Dataclasses out of JSON values, strictly by their annotations, and values for JSON.

So that a file which somebody changed, or a disk damaged, is refused at the key that is wrong, and
not where a number is used. NaN, which JSON does not have, is ``null`` where a float is expected.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np

from thermometer import _checks

T = TypeVar("T")


def from_plain(kind: type[T], value: Any, name: str = "value") -> T:
    """The value of a given type that a JSON value stands for.

    Args:
        kind: A dataclass whose fields are of these types: `str`, `int`, `float`, `bool`, literals,
            lists, tuples of any length, dicts with texts as keys, numpy arrays, dataclasses, any of
            them or `None`; or one of these types itself.
        value: What `json.loads` gave.
        name: Named in errors, before the key.

    Raises:
        ValueError: For a missing or unknown key, a value of another type, or one that the dataclass
            itself refuses. The message names the key.

    Example:
        >>> from thermometer.metrics.intervals import Interval
        >>> from_plain(Interval, {"estimate": 1, "low": 0.5, "high": None}, "ece")
        Interval(estimate=1.0, low=0.5, high=nan)
        >>> from_plain(Interval, {"estimate": 1, "low": "0", "high": 2}, "ece")
        Traceback (most recent call last):
        ...
        ValueError: Expected `ece.low` to be a number, but got '0'
    """
    made: T = _made(kind, value, name)
    return made


def plain(value: Any) -> Any:
    """JSON values: arrays as lists, NaN as None.

    Example:
        >>> plain({"a": np.array([1.0, np.nan])})
        {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _made(kind: Any, value: Any, name: str) -> Any:
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if origin in (Union, UnionType):
        options = [option for option in inner if option is not NoneType]
        return None if value is None else _made(options[0], value, name)
    if origin is Literal:
        if value not in inner:
            raise _checks.fail(name, f"one of {', '.join(map(repr, inner))}", repr(value))
        return value
    if is_dataclass(kind):
        return _dataclass(kind, value, name)
    if origin in (dict, Mapping):
        pairs = _of_type(dict, value, name, "an object").items()
        return {key: _made(inner[1], item, f"{name}.{key}") for key, item in pairs}
    if origin in (tuple, list):
        items = enumerate(_of_type(list, value, name, "a list"))
        return origin(_made(inner[0], item, f"{name}[{i}]") for i, item in items)
    if origin is np.ndarray:
        return _array(get_args(inner[1])[0], value, name)
    return _scalar(kind, value, name)


def _dataclass(kind: Any, value: Any, name: str) -> Any:
    found = _of_type(dict, value, name, "an object")
    declared = {field.name: field for field in fields(kind) if field.init}
    needed = [
        key
        for key, field in declared.items()
        if field.default is MISSING and field.default_factory is MISSING
    ]
    if missing := [key for key in needed if key not in found]:
        raise _checks.fail(name, f"an object with {', '.join(missing)}", f"{sorted(found)}")
    if unknown := sorted(set(found) - set(declared)):
        raise _checks.fail(name, f"an object without {', '.join(unknown)}", f"{sorted(found)}")
    hints = get_type_hints(kind)
    made = {key: _made(hints[key], item, f"{name}.{key}") for key, item in found.items()}
    try:
        return kind(**made)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _array(dtype: Any, value: Any, name: str) -> Any:
    kind = int if np.issubdtype(dtype, np.integer) else float
    items = [_scalar(kind, item, name) for item in _of_type(list, value, name, "a list")]
    try:
        return np.array(items, dtype=dtype)
    except OverflowError:
        raise _checks.fail(name, f"numbers of {np.dtype(dtype)}", repr(value)) from None


def _scalar(kind: Any, value: Any, name: str) -> Any:
    if kind is float and value is None:
        return float("nan")
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise _checks.fail(name, "a number", f"one of {len(str(value))} digits") from None
    words = {float: "a number", int: "an integer", str: "a text", bool: "true or false"}
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _checks.fail(name, words[kind], repr(value))
    return value


def _of_type(kind: type[T], value: Any, name: str, words: str) -> T:
    if not isinstance(value, kind):
        raise _checks.fail(name, words, repr(value))
    return value
