"""One thermometer for several answering models, for a new one, and for a stream of prompts.

What a network has learned from one model's scores holds for another if each is read on its own
scale: scores are divided by the model's pooled temperature, and every statistic is standardised
over that model's prompts (Li et al. 2016, arXiv 1603.04779, do so with activations).
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from thermometer import _checks, _threads
from thermometer.calibrator import Calibrator, Origin, check_same_origin
from thermometer.network import Thermometer
from thermometer.objective import scaled_nll
from thermometer.scaling import fit_temperature, fit_to_reference, label_doubts
from thermometer.tables import OutputTable

Array = NDArray[np.float64]
_SHRINKAGE_SPREAD = 0.5  # standard deviation of the prior on the shrinkage w, whose mean is 1


def for_model(calibrator: Calibrator, model: str | int) -> Calibrator:
    """The same thermometer set to another answering model of its training.

    Scores of any model are then calibrated without a warning.

    Args:
        calibrator: Trained on tables of several answering models.
        model: Its name, or its place in `calibrator.record.targets`.

    Raises:
        ValueError: If there is no such model, or several of that name.
    """
    _checks.instance("calibrator", calibrator, Calibrator, "`train` makes one")
    names = [str(target.get("model")) for target in calibrator.record.targets]
    if isinstance(model, str):
        if names.count(model) != 1:
            expected = f"the name of one answering model, of {', '.join(map(repr, names))}"
            raise _checks.fail("model", expected, repr(model))
        model = names.index(model)
    place = _checks.integer("model", model, minimum=0)
    if place >= len(names):
        raise _checks.fail("model", f"less than {len(names)}", place)
    return replace(calibrator, chosen=place)


def adapt(calibrator: Calibrator, table: OutputTable) -> Calibrator:
    """A thermometer for an answering model that was not in its training.

    The weights of the members do not change. The table gives the new model's pooled temperature t,
    from the rows that have a label, and mean and deviation of every statistic, from all rows. Then
    the labels decide how far predictions are shrunk towards t: a + w (b - a) with a = -log t and
    the most probable w in [0, 1] under a prior N(1, 1/2), which few labels hardly move. At 0 the
    new model gets the pooled temperature.

    Without any label t comes from a reference model, see `scaling.fit_to_reference`: it must be
    what the new model was tuned from, as confident as the reference of the training, and w is 1.

    Args:
        calibrator: Of any answering model.
        table: Scores of the new model on several tasks, some rows with labels, or with reference
            scores that the thermometer reads; the more tasks, the better. The tasks that are
            calibrated later need not be among them.

    Returns:
        A calibrator for the new model alone, beside the reference model of the table if one is
        read. Its `spread` and `domain` are those of the training.

    Raises:
        ValueError: If the table has no scores, neither labels nor reference scores that are read,
            fewer than two tasks, or features of another model than those of the training.

    Example:
        >>> from thermometer.training import resolve, train
        >>> rng = np.random.default_rng(0)
        >>> true = rng.normal(size=(600, 4)) * rng.uniform(0.5, 3, 20).repeat(30)[:, None]
        >>> labels = (true + rng.gumbel(size=(600, 4))).argmax(axis=1)
        >>> ids, tasks = [f"q{i}" for i in range(600)], [f"task {i // 30}" for i in range(600)]
        >>> cool, hot = (OutputTable.from_arrays(ids, tasks, labels, true * t) for t in (1, 3))
        >>> network, training = resolve("scores", {"n_members": 1}, {"max_steps": 10})
        >>> calibrator = train(cool, network, training, trainer={"enable_progress_bar": False})
        >>> of_hot = adapt(calibrator, hot).temperature(hot)
        >>> bool(np.allclose(of_hot / calibrator.temperature(cool), 3, rtol=0.05))
        True
    """
    _checks.instance("calibrator", calibrator, Calibrator, "`train` makes one")
    _checks.instance("table", table, OutputTable, "of one answering model")
    if "features" in calibrator.reads:
        check_same_origin("features", calibrator.record.features, table.provenance.get("features"))
    scores, old = table.require("scores"), calibrator.thermometer
    if len(table.task_names) < 2:
        raise _checks.fail("table", "of two or more tasks", len(table.task_names))
    pooled, of_reference = _temperatures(calibrator, table)
    network = Thermometer(old.config, old.n_features)
    learned = {k: v for k, v in old.state_dict().items() if not k.startswith("score_inputs.")}
    one = torch.ones(1, dtype=torch.float32)
    of_model = {"model_temperatures": pooled * one, "shrinkage": one}
    reference = None
    if "reference_scores" in calibrator.reads:
        of_model["reference_temperatures"] = of_reference * one
        reference = torch.tensor(table.require("reference_scores") / of_reference)
    network.load_state_dict({**network.state_dict(), **learned, **of_model})
    if "scores" in calibrator.reads:
        z = torch.tensor(scores / pooled)
        groups = torch.from_numpy(np.unique(table.tasks, return_inverse=True)[1])
        network.score_inputs.fit(z, groups, torch.zeros_like(groups), reference)
    if (known := table.labels >= 0).any():
        for doubt in label_doubts(scores[known], table.labels[known], table.tasks[known]):
            warnings.warn(doubt, stacklevel=2)
        network.shrinkage.fill_(_shrinkage(network, table))
    record = replace(
        calibrator.record,
        targets=[dict(table.provenance.get("scores") or {})],
        pooled_temperature=pooled,
        metrics={},  # measured with another model
        pictures={},
    )
    origins = calibrator.origins
    provenance = dict(table.provenance.get("reference_scores") or {})
    if reference is not None and provenance != record.reference:
        record = replace(record, reference=provenance)
        origins = {**origins, "reference_scores": Origin("reference_scores", provenance)}
    return Calibrator(network, record, origins)


def _temperatures(calibrator: Calibrator, table: OutputTable) -> tuple[float, float]:
    """The pooled temperature of a new model, and of its reference model, 1 if there is none."""
    scores, known = table.require("scores"), table.labels >= 0
    reads = "reference_scores" in calibrator.reads
    others = table.require("reference_scores") if reads else None
    if known.any():
        labels = table.labels[known]
        pooled = fit_temperature(scores[known], labels).temperature
        return pooled, 1.0 if others is None else fit_temperature(others[known], labels).temperature
    if others is None:
        expected = "labelled in some rows, or a thermometer that reads a reference model"
        raise _checks.fail("table", expected, "no label")
    usual = float(calibrator.thermometer.reference_temperatures.log().mean().exp())
    return fit_to_reference(scores, others / usual).temperature, usual


@torch.no_grad()
def _shrinkage(network: Thermometer, table: OutputTable) -> float:
    r"""The weight w of the predictions that suits the labelled rows best; tasks weigh equally.

    With q the weights of the N labelled rows and a = -log t of the pooled temperature:

    .. math:: \arg\min_{0 \le w \le 1} \sum_i q_i
        [-\log \mathrm{softmax}(e^{a + w (b_i - a)} s_i)_{y_i}] + \frac{(w - 1)^2}{2 N \sigma^2}
    """
    groups = torch.from_numpy(np.unique(table.tasks, return_inverse=True)[1])
    given = {name: torch.tensor(table.require(name)) for name in network.config.needs}
    b = network.eval()(**given, groups=groups).double().log().neg()
    known = torch.from_numpy(table.labels >= 0)
    scores = torch.from_numpy(table.require("scores"))[known]
    labels = torch.from_numpy(table.labels)[known]
    a = -network.model_temperatures[0].double().log()
    deviation = b[known] - a
    sizes = torch.bincount(groups[known]).double()
    share = 1 / sizes[groups[known]] / (sizes > 0).sum()

    def loss(weight: float) -> float:
        nll = scaled_nll(scores, labels, a + weight * deviation)
        prior = (weight - 1) ** 2 / (2 * len(labels) * _SHRINKAGE_SPREAD**2)
        return float(share @ nll) + prior

    found = minimize_scalar(loss, bounds=(0, 1), method="bounded", options={"xatol": 1e-6})
    return float(found.x)


@dataclass(frozen=True, eq=False)
class Streamed:
    """Temperatures of some prompts of a stream.

    Args:
        temperature: (N,) of each prompt, > 0.
        task_temperature: (N,) running temperature of the stream after each prompt: the harmonic
            mean of all so far, weighted by 2^(-age / half_life).
    """

    temperature: Array
    task_temperature: Array


class TemperatureStream:
    """Predicts the temperature of each prompt of a stream, and a running one; threads take turns.

    Args:
        calibrator: Any thermometer.
        window: Number of latest prompts that serve as context, the new one among them.
        half_life: Number of prompts after which one counts half in the running temperature.

    Raises:
        ValueError: If a number is out of range.

    Example:
        >>> from thermometer.checkpoint import TrainingRecord
        >>> from thermometer.network import Thermometer, ThermometerConfig
        >>> network = Thermometer(ThermometerConfig.scores_only())
        >>> stream = TemperatureStream(Calibrator(network, TrainingRecord(["law"], 1.0)))
        >>> stream.push(scores=[[2.0, 0.0], [1.0, 0.5]]).temperature.shape
        (2,)
    """

    def __init__(self, calibrator: Calibrator, window: int = 200, half_life: float = 100.0) -> None:
        self.calibrator = calibrator
        self.window = _checks.integer("window", window)
        self.half_life = _checks.number("half_life", half_life, strict=True)
        self._latest: dict[str, NDArray[Any]] = {}
        self._sum, self._weight = 0.0, 0.0
        self._lock = _threads.Lock()

    def push(
        self,
        scores: ArrayLike | None = None,
        features: ArrayLike | None = None,
        reference_scores: ArrayLike | None = None,
    ) -> Streamed:
        """Temperatures of the next N prompts, in order; each sees only those before it.

        Args:
            scores: (N, K) of the answering model, if the thermometer reads them; K may differ from
                call to call, ``-inf`` pads short rows.
            features: (N, D) of the small model, if the thermometer reads them.
            reference_scores: (N, K) of the reference model, if the thermometer reads them.

        Raises:
            ValueError: If something that is read is missing or malformed, or lengths differ. The
                stream stays as it was.
        """
        given = {"scores": scores, "features": features, "reference_scores": reference_scores}
        rows = {
            name: self._features(values)
            if name == "features"
            else _checks.score_matrix(name, values)
            for name, values in given.items()
            if values is not None
        }
        for name in set(rows) - {"features"}:  # a single row cannot show of which kind it is
            _checks.unnormalised(name, _joined(self._latest.get(name), rows[name]))
        for name in sorted(self.calibrator.reads - set(rows)):
            raise _checks.fail(name, f"given, since this thermometer reads {name}", "None")
        sizes = {name: len(values) for name, values in rows.items()}
        if len(set(sizes.values())) != 1:
            raise _checks.fail(" and ".join(given), "of one length", sizes)
        if "scores" in rows and "reference_scores" in rows:
            _checks.same_options(rows["scores"], rows["reference_scores"])
        with self._lock:
            return self._pushed(rows, next(iter(sizes.values())))

    def _pushed(self, rows: Mapping[str, NDArray[Any]], n_rows: int) -> Streamed:
        temperature, running = [], []
        forgetting = 0.5 ** (1 / self.half_life)
        for row in range(n_rows):
            for name, values in rows.items():
                latest = _joined(self._latest.get(name), values[row : row + 1])
                self._latest[name] = latest[-self.window :]
            with torch.inference_mode():
                window = {name: torch.tensor(values) for name, values in self._latest.items()}
                found = self.calibrator.thermometer(**window, model=self.calibrator.model)
            temperature.append(float(found[-1]))
            self._sum = forgetting * self._sum + 1 / temperature[-1]
            self._weight = forgetting * self._weight + 1
            running.append(self._weight / self._sum)
        return Streamed(np.array(temperature), np.array(running))

    def _features(self, values: ArrayLike) -> NDArray[Any]:
        """Features of the width of the training: wrong ones would stay in the window."""
        found = _checks.array("features", values, np.float32)
        width = self.calibrator.thermometer.n_features
        if found.ndim != 2 or width not in (0, found.shape[1]):
            raise _checks.fail("features", f"of shape (N, {width or 'D'})", f"shape {found.shape}")
        if not np.isfinite(found).all():
            row = int(np.flatnonzero(~np.isfinite(found).all(axis=1))[0])
            raise _checks.fail("features", "finite", f"NaN or infinity at row {row}")
        return found


def _joined(old: NDArray[Any] | None, new: NDArray[Any]) -> NDArray[Any]:
    """New rows after old ones; scores of different K are padded with ``-inf``."""
    if old is None:
        return new
    width = max(old.shape[1], new.shape[1])
    pads = [((0, 0), (0, width - rows.shape[1])) for rows in (old, new)]
    both = zip((old, new), pads, strict=True)
    return np.concatenate([np.pad(rows, pad, constant_values=-np.inf) for rows, pad in both])
