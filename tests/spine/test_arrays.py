"""Every function that takes numbers takes them from whatever holds them, with the same result."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import thermometer as th
from thermometer import metrics, recalibrators
from thermometer.adaptation import TemperatureStream
from thermometer.checkpoint import TrainingRecord
from thermometer.metrics.intervals import bootstrap
from thermometer.metrics.summary import summarise
from thermometer.monitoring import CalibrationAlarm, EarlySign, Monitor
from thermometer.recalibrators.recommend import recommend
from thermometer.routing import Bands, Costs, Router, guaranteed_threshold, held_confidence
from thermometer.segments.report import segments

RNG = np.random.default_rng(0)
N, K = 40, 4
# All numbers are those of bfloat16, so that every container can hold them exactly.
SCORES = np.round(RNG.normal(0, 3, (N, K)) * 8) / 8
PROBS = np.array([RNG.permutation([0.5, 0.25, 0.125, 0.125]) for _ in range(N)])
CONFIDENCE = RNG.integers(1, 128, N) / 128
LABELS = RNG.integers(0, K, N)
CORRECT = (RNG.random(N) < CONFIDENCE).astype(np.int64)
TASKS = np.repeat(["law", "art"], N // 2)


def tensors(values):
    yield "torch", torch.tensor(values)
    if values.dtype.kind == "f":
        yield "bfloat16", torch.tensor(values, dtype=torch.bfloat16)
        yield "gradient", torch.tensor(values, requires_grad=True)
        yield "negative", torch._neg_view(torch.tensor(-values))


def vectors(values):
    yield "list", values.tolist()
    yield "tuple", tuple(values.tolist())
    yield "narrow", values.astype(np.float32 if values.dtype.kind == "f" else np.int16)
    yield "strided", np.repeat(values, 2)[::2]
    yield from tensors(values)
    yield "pandas", pd.Series(values, index=np.arange(N)[::-1])
    yield "nullable", pd.Series(values).convert_dtypes()
    yield "pandas-arrow", pd.Series(values).convert_dtypes(dtype_backend="pyarrow")
    yield "pyarrow", pa.array(values)
    yield "chunked", pa.chunked_array([pa.array(values[:7]), pa.array(values[7:])])


def matrices(values):
    yield "lists", values.tolist()
    yield "narrow", values.astype(np.float32)
    yield "transposed", np.asfortranarray(values)
    yield from tensors(values)
    yield "tensors", [torch.tensor(row, dtype=torch.bfloat16, requires_grad=True) for row in values]
    yield "frame", pd.DataFrame(values, index=np.arange(N)[::-1])
    yield "frame-arrow", pd.DataFrame(values).convert_dtypes(dtype_backend="pyarrow")
    yield "column of lists", pd.Series(values.tolist())
    yield "column of arrays", pd.Series(list(values), index=np.arange(N)[::-1])
    yield "pyarrow lists", pa.array(values.tolist())
    yield "pyarrow fixed", pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), K)
    yield (
        "pyarrow chunks",
        pa.chunked_array([pa.array(values[:5].tolist()), pa.array(values[5:].tolist())]),
    )


# The names of the arguments of the calls below: scores, probs, confidence, labels, right or wrong.
NUMPY = {"s": SCORES, "p": PROBS, "c": CONFIDENCE, "y": LABELS, "r": CORRECT}
KINDS = {
    name: dict(matrices(values) if values.ndim == 2 else vectors(values))
    for name, values in NUMPY.items()
}
FEW = {"n_resamples": 3}
BY = {"task": TASKS}
IDS = [f"answer {row}" for row in range(N)]


def calibrator():
    torch.manual_seed(0)
    network = th.Thermometer(th.ThermometerConfig.scores_only())
    return th.Calibrator(network, TrainingRecord(["law"], 1.0, spread=0.3))


READER = calibrator()


def streamed(scores):
    return TemperatureStream(READER, window=5).push(scores).temperature


def alarmed(confidence, correct):
    alarm = CalibrationAlarm()
    alarm.update(confidence, correct)
    return alarm.wealth


def early(confidence):
    sign = EarlySign("confidence")
    sign.update(confidence)
    return sign.wealth


def monitored(confidence, correct):
    with Monitor() as monitor:
        shown = monitor.record_many(IDS, confidence)
        monitor.label_many(IDS, correct)
        return shown


def table(scores, labels):
    made = th.OutputTable.from_arrays(IDS, TASKS, labels, scores, features=scores)
    return made.scores, made.labels, made.features


def recalibrated(kind):
    return lambda c, r: kind().fit(c, r).recalibrate(c)


ENTRIES = {
    "fit_temperature": lambda s, y, c: th.fit_temperature(s, y, weights=c),
    "scale_scores": lambda s, c: th.scale_scores(s, c),
    "calibrate": lambda s: READER.calibrate(scores=s).probs,
    "temperature": lambda s: READER.temperature(scores=s),
    "update": lambda s, y: READER.update(None, y, s)[1],
    "stream": lambda s: streamed(s),
    "table": lambda s, y: table(s, y),
    "summarise": lambda c, r: summarise(c, r, **FEW).to_dict(),
    "measure": lambda c, r: str(th.measure(c, r, by=BY, advise=False, **FEW)),
    "recommend": lambda c, r: recommend(confidence=c, correct=r, **FEW).to_dict(),
    "recommend of scores": lambda s, y: recommend(scores=s, labels=y, **FEW).to_dict(),
    "segments": lambda c, r: str(segments(c, r, BY, **FEW)),
    "segments by": lambda c: str(segments(CONFIDENCE, CORRECT, {"by": c}, **FEW)),
    "guaranteed_threshold": lambda c, r: guaranteed_threshold(c, r, risk=0.5),
    "held_confidence": lambda c: held_confidence(c),
    "costs": lambda c: Costs(5.0, 1.0, 2.0).expected(c),
    "alarm": lambda c, r: alarmed(c, r),
    "early sign": lambda c: early(c),
    "monitor": lambda c, r: monitored(c, r),
    "bootstrap": lambda c, r: bootstrap(metrics.signed_gap, c, r, **FEW),
    "risk_coverage": lambda c, r: metrics.risk_coverage(c, r).risk,
    "bin_index": lambda c: metrics.bin_index(c, 7),
    "calibration_floor": lambda c: metrics.calibration_floor(c),
    "top_label": lambda p, y: metrics.top_label(p, y),
    "accuracy": lambda p, y: metrics.accuracy(p, y),
    "nll": lambda p, y: metrics.nll(p, y),
    "brier": lambda p, y: metrics.brier(p, y),
    "top_label_ece": lambda p, y: metrics.top_label_ece(p, y),
    "binary_nll": lambda c, r: metrics.binary_nll(c, r),
    "binary_brier": lambda c, r: metrics.binary_brier(c, r),
    "auroc": lambda c, r: metrics.auroc(c, r),
    "signed_gap": lambda c, r: metrics.signed_gap(c, r),
    "aurc": lambda c, r: metrics.aurc(c, r),
    "debiased_ece": lambda c, r: metrics.debiased_ece(c, r),
    "smooth_ece": lambda c, r: metrics.smooth_ece(c, r),
    "ece": lambda c, r: metrics.expected_calibration_error(c, r),
    "platt": recalibrated(recalibrators.PlattScaling),
    "isotonic": recalibrated(recalibrators.IsotonicCalibration),
    "histogram": recalibrated(recalibrators.HistogramBinning),
    "stated": recalibrated(recalibrators.StatedConfidenceCalibration),
    "scaling": lambda s, y: recalibrators.TemperatureScaling().fit(s, y).predict_proba(s),
    "batch": lambda s: recalibrators.BatchCalibration().fit(s).predict_proba(s),
    "invert_softmax": lambda p: recalibrators.invert_softmax(p, 1e-3).scores,
    "with_confidence": lambda p, c: recalibrators.with_confidence(p, c),
}


def names_of(entry):
    code = ENTRIES[entry].__code__
    return code.co_varnames[: code.co_argcount]


def assert_same(found, expected):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, tuple | list):
        for mine, theirs in zip(found, expected, strict=True):
            assert_same(mine, theirs)
    elif isinstance(expected, np.ndarray | float):
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_container_of_the_numbers_plays_no_part(entry):
    """One argument at a time comes in each kind of container."""
    names = names_of(entry)
    expected = ENTRIES[entry](*(NUMPY[name] for name in names))
    for name in names:
        for kind, values in KINDS[name].items():
            arguments = [values if each == name else NUMPY[each] for each in names]
            try:
                assert_same(ENTRIES[entry](*arguments), expected)
            except Exception as error:
                error.add_note(f"{name} as {kind}")
                raise


@pytest.mark.parametrize("entry", ENTRIES)
def test_arguments_are_left_as_they_were(entry):
    arguments = [NUMPY[name].copy() for name in names_of(entry)]
    for values in arguments:
        values.flags.writeable = False  # a change of it would raise
    ENTRIES[entry](*arguments)


@pytest.mark.parametrize("number", [np.float32(0.875), np.array(0.875), torch.tensor(0.875)])
def test_a_router_takes_single_numbers_of_any_kind(number):
    router = Router(Bands.around(0.8))
    assert router.decide("a", number) == router.decide("b", 0.875)
    assert router.decide("a", number * float("nan")).action == "review"
    with pytest.raises(TypeError, match="`confidence` to be a number"):
        router.decide("a", np.array([0.5, 0.6]))


@pytest.mark.parametrize(
    ("values", "error", "match"),
    [
        (
            [[1.0, 2.0], [3.0]],
            ValueError,
            r"`scores` to be rows of one length, .* lengths \[1, 2\]",
        ),
        (pd.Series([[1.0, 2.0], [3.0]]), ValueError, "rows of one length"),
        ([["a", "b"]], TypeError, "`scores` to hold numbers, but got could not convert"),
        ("ab", TypeError, "`scores` to hold numbers"),
        (pd.Series([1.0, 2.0]), ValueError, r"shape \(N, K\), but got shape \(2,\)"),
        (pa.array([[1.0, None], [2.0, 3.0]]), ValueError, "finite, but got nan at row 0, option 1"),
        (np.ma.masked_values([[1.0, 2.0]], 2.0), ValueError, "finite, but got nan at row 0"),
        (torch.zeros(2, 2, dtype=torch.complex64), TypeError, "`scores` to hold real numbers"),
        ([[None, 1.0]], ValueError, "finite, but got nan at row 0, option 0"),
    ],
)
def test_what_holds_no_numbers_is_refused(values, error, match):
    with pytest.raises(error, match=match):
        th.scale_scores(values, 1.0)


def test_missing_values_of_a_frame_are_refused():
    frame = pd.DataFrame({"confidence": [0.5, None], "correct": [1, 0]}).convert_dtypes()
    with pytest.raises(ValueError, match="`confidence` to be finite, but got nan at row 1"):
        metrics.auroc(frame["confidence"], frame["correct"])
