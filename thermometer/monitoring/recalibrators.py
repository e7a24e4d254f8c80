"""A fitted recalibrator as JSON text, for a row of a database.

The classes are those of `thermometer.baselines` that read confidences; a text chooses among them
and cannot name anything else.
"""

import json
from typing import Any

import numpy as np

from thermometer import _checks
from thermometer.baselines.loading import CLASSES
from thermometer.baselines.protocol import ConfidenceRecalibrator

_KINDS = {name: kind for name, kind in CLASSES.items() if issubclass(kind, ConfidenceRecalibrator)}
_DTYPES: dict[str, type] = {"vector": np.float64, "counts": np.int64}


def to_json(recalibrator: ConfidenceRecalibrator) -> str:
    """A fitted recalibrator as text, exact to the last bit.

    Raises:
        ValueError: If its class is none of `thermometer.baselines`.

    Example:
        >>> from thermometer.baselines import PlattScaling
        >>> fitted = PlattScaling().fit([0.6, 0.9, 0.8], [0, 1, 1])
        >>> from_json(to_json(fitted)).slope_ == fitted.slope_
        True
    """
    kind = type(recalibrator)
    if _KINDS.get(kind.__name__) is not kind:
        raise _checks.fail("recalibrator", f"one of {', '.join(sorted(_KINDS))}", kind.__name__)
    content = {
        "class": kind.__name__,
        "parameters": recalibrator.get_params(deep=False),
        "fitted": {name: _plain(getattr(recalibrator, name)) for name in kind.fitted},
    }
    return json.dumps(content, sort_keys=True, allow_nan=False)


def from_json(text: str) -> ConfidenceRecalibrator:
    """What `to_json` wrote; nothing in it is executed.

    Raises:
        ValueError: For an unknown class, a missing or unknown key, or values that no fit gives.
    """
    content = json.loads(text)
    name = content.get("class") if isinstance(content, dict) else None
    if name not in _KINDS:
        raise _checks.fail("recalibrator", f"one of {', '.join(sorted(_KINDS))}", repr(name))
    kind = _KINDS[name]
    wanted = {"parameters": set(kind().get_params(deep=False)), "fitted": set(kind.fitted)}
    for part, names in wanted.items():
        if not isinstance(content.get(part), dict) or set(content[part]) != names:
            raise _checks.fail(part, f"an object of {sorted(names)}", content.get(part))
    recalibrator = kind(**content["parameters"])
    for key, value in content["fitted"].items():
        dtype = _DTYPES.get(kind.fitted[key])
        setattr(recalibrator, key, value if dtype is None else np.asarray(value, dtype))
    recalibrator._check_parameters()
    recalibrator._check_fit()
    return recalibrator


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
