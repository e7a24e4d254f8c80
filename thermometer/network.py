"""The thermometer: light networks from what is known of a question to a temperature.

`ThermometerConfig` says what is read and how large the networks are; a `Member` is one network; the
`Thermometer` makes the numbers that they read and averages what they predict. All of them predict
b = -log temperature, so that every temperature is positive.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from thermometer import _checks
from thermometer.scaling import MAX_TEMPERATURE
from thermometer.score_features import WIDTHS, ScoreInputs

SOURCES = ("features", "scores", "positions", "debiased", "reference", "model")
"""What a member can read, see `ThermometerConfig.views`."""
LIMIT = math.log(MAX_TEMPERATURE)
"""Bound of |b|: predicted temperatures have the range of those that are fitted."""
_MADE_OF = {"features": ("features",), "reference": ("scores", "reference_scores"), "model": ()}


@dataclass(frozen=True)
class ThermometerConfig:
    """Shape of the network.

    Args:
        views: What the members read: sources of `SOURCES` joined by ``+``, one string for each
            group of members. `features` is the small model's hidden state; of the answering model's
            option scores, `scores` are statistics, `positions` the scores of each position, and
            `debiased` statistics without the position bias that all prompts of the task at hand
            show; `reference` is how sure a second language model is, and how far it agrees; `model`
            is how overconfident the answering model is as a whole, which tells several of them
            apart. A thermometer needs every source of its views.
        n_components: Project standardised features on so many principal components; 0 hands the
            raw features to the network, as the paper does.
        whitening: How far the variances of the components are equalised: v becomes v^(1-whitening),
            then scaled to 1 on average: 0 keeps their ratios, and 1 makes all equal.
        n_members: Number of networks of each view, trained apart, whose b is averaged.
        n_branches: Parallel two-layer branches of a member; their outputs are combined linearly.
        hidden_size: Width of each branch.
        activation: `relu` or `silu`.
        dropout: Of hidden units, in training only.
        input_dropout: Of what a member reads, in training only.
        output: What a member's last number is: `log`, b itself, or `softplus`, the inverse
            temperature before a softplus, as in the paper.
        pool_size: How many numbers a member learns to read off each prompt's scores, whose means
            over the task it reads as well; 0 takes each prompt by itself, but for `debiased`.

    Raises:
        ValueError: For numbers out of range or unknown names.
    """

    views: tuple[str, ...] = ("scores+positions+debiased", "scores+debiased+features")
    n_components: int = 64
    whitening: float = 0.5
    n_members: int = 5
    n_branches: int = 1
    hidden_size: int = 64
    activation: Literal["relu", "silu"] = "silu"
    dropout: float = 0.5
    input_dropout: float = 0.0
    output: Literal["log", "softplus"] = "log"
    pool_size: int = 32

    def __post_init__(self) -> None:
        # numpy's numbers become plain ones, which a checkpoint can hold
        least = {"n_members": 1, "n_branches": 1, "hidden_size": 1}
        for name, minimum in {**least, "n_components": 0, "pool_size": 0}.items():
            value: float = _checks.integer(name, getattr(self, name), minimum)
            object.__setattr__(self, name, value)
        for name, maximum in {"whitening": 1.0, "dropout": 0.95, "input_dropout": 0.95}.items():
            value = _checks.number(name, getattr(self, name), 0.0, maximum)
            object.__setattr__(self, name, value)
        _checks.one_of("activation", self.activation, ("relu", "silu"))
        _checks.one_of("output", self.output, ("log", "softplus"))
        object.__setattr__(self, "views", _checks.strings("views", self.views))
        if not self.views:
            raise _checks.fail("views", "at least one view", "none")
        for view in self.views:
            for source in view.split("+"):
                _checks.one_of("views", source, SOURCES)
            if view == "model":
                raise _checks.fail("views", "of sources that tell rows apart, too", repr(view))

    @property
    def sources(self) -> frozenset[str]:
        """What the members read."""
        return frozenset(source for view in self.views for source in view.split("+"))

    @property
    def needs(self) -> frozenset[str]:
        """Of `features`, `scores` and `reference_scores`, what the sources are made of."""
        return frozenset(of for name in self.sources for of in _MADE_OF.get(name, ("scores",)))

    @classmethod
    def features_only(cls) -> "ThermometerConfig":
        """For answering models whose scores the thermometer does not see, as in the paper."""
        return cls(views=("features",), input_dropout=0.25)

    @classmethod
    def scores_only(cls) -> "ThermometerConfig":
        """For answering models without a small relative, such as those behind an API."""
        return cls(views=("scores+positions+debiased",), n_members=10)

    @classmethod
    def with_reference(cls) -> "ThermometerConfig":
        """For answering models beside which a second one scores the same options."""
        return cls(
            views=("scores+positions+debiased+reference", "scores+debiased+reference+features")
        )

    @classmethod
    def for_family(cls) -> "ThermometerConfig":
        """For several answering models at once, such as the sizes of a family."""
        return cls(views=("scores+positions+debiased+model", "scores+debiased+features+model"))

    @classmethod
    def paper(cls, hidden_size: int = 256) -> "ThermometerConfig":
        """Shen et al. (ICML 2024): three ReLU branches on raw features, softplus of 1/temperature.

        The authors take width 256 for features of 2,048 and 512 for features of 4,096.
        """
        return cls(
            views=("features",),
            n_components=0,
            n_members=1,
            n_branches=3,
            hidden_size=hidden_size,
            activation="relu",
            dropout=0.0,
            output="softplus",
        )


_MANY = 32  # rows of a group; more of them make its means hardly surer


class Pool(nn.Module):
    """Pools the rows of each group into some numbers, which do not depend on their order.

    Every number is a mean over the group of the outputs of one layer (Zaheer et al. 2017, arXiv
    1703.06114). With these `size` numbers comes 1 / sqrt(n), how unsure means of n rows are.

    Example:
        >>> pool = Pool(5, 3)
        >>> rows, groups = torch.randn(4, 5), torch.tensor([0, 1, 0, 1])
        >>> pooled = pool(rows, groups)
        >>> pooled.shape, bool((pooled[0] == pooled[2]).all())
        (torch.Size([4, 4]), True)
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.read = nn.Linear(width, size)

    def forward(self, rows: Tensor, groups: Tensor) -> Tensor:
        """(N, P + 1) numbers of the group of each row; (N, R) rows, (N,) int64 groups from 0."""
        return pool_together([self], rows, groups)[groups, 0].to(rows)


def pool_together(pools: Sequence[Pool], rows: Tensor, groups: Tensor) -> Tensor:
    """The (G, M, P + 1) numbers of M pools of one shape, by group, in at least float32.

    `rows` are (N, R), which all pools read, and `groups` (N,) int64; means of empty groups are 0.
    """
    weight = torch.cat([pool.read.weight for pool in pools])
    bias = torch.cat([pool.read.bias for pool in pools])
    values = nn.functional.silu(nn.functional.linear(rows, weight, bias), inplace=True)
    values = values.to(torch.promote_types(values.dtype, torch.float32))  # sums of many rows
    counts = torch.bincount(groups).to(values)[:, None]
    sums = values.new_zeros(len(counts), values.shape[1]).index_add(0, groups, values)
    means = (sums / counts.clamp(min=1)).reshape(len(counts), len(pools), -1)
    unsure = counts.clamp(1, _MANY).rsqrt()[:, None].expand(-1, len(pools), -1)
    return torch.cat([means, unsure], dim=2)


class Member(nn.Module):
    """One network that predicts b = -log temperature.

    Args:
        config: Shape of the network.
        view: The sources that it reads, joined by ``+``.
        n_inputs: Width R of the features, after the projection.
    """

    def __init__(self, config: ThermometerConfig, view: str, n_inputs: int = 0) -> None:
        super().__init__()
        self._output = config.output
        self.sources = tuple(view.split("+"))
        widths = {"features": n_inputs, "model": 1, **WIDTHS}
        # Hidden states are not pooled: tasks are too few to learn from their means.
        self.pooled = tuple(name for name in self.sources if name in WIDTHS)
        self.pool: Pool | None = None
        width = sum(widths[name] for name in self.sources)
        if config.pool_size and self.pooled:
            self.pool = Pool(sum(widths[name] for name in self.pooled), config.pool_size)
            width += config.pool_size + 1
        activation = nn.ReLU if config.activation == "relu" else nn.SiLU
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Dropout(config.input_dropout),
                nn.Linear(width, config.hidden_size),
                activation(inplace=True),
                nn.Dropout(config.dropout),
                nn.Linear(config.hidden_size, 1),
            )
            for _ in range(config.n_branches)
        )
        self.combine = nn.Linear(config.n_branches, 1)

    @torch.no_grad()
    def start_at(self, temperature: float) -> None:
        """Make the untrained network predict one temperature; with `softplus` it is random."""
        if self._output == "log":
            for branch in self.branches:
                branch[-1].weight.zero_()  # type: ignore[index]
                branch[-1].bias.zero_()  # type: ignore[index]
            share = min(max(-math.log(temperature) / LIMIT, -0.9), 0.9)  # beyond is no slope
            self.combine.bias.fill_(LIMIT * math.atanh(share))

    def forward(self, inputs: Mapping[str, Tensor], groups: Tensor) -> Tensor:
        """(N,) b within [-LIMIT, LIMIT], from (N, ...) numbers by source and (N,) int64 groups."""
        row, pooled = self.read(inputs)
        if self.pool is not None:
            row = torch.cat([row, self.pool(pooled, groups)], dim=1)
        outputs = torch.cat([branch(row) for branch in self.branches], dim=1)
        return self.bounded(self.combine(outputs).squeeze(1))

    def read(self, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """(N, R) numbers of each row by itself, and those that are pooled."""
        row = torch.cat([inputs[name] for name in self.sources], dim=1)
        pooled = [inputs[name] for name in self.pooled]
        same = self.pooled == self.sources
        return row, row if same or not pooled else torch.cat(pooled, dim=1)

    def bounded(self, value: Tensor) -> Tensor:
        """Any last numbers as b within [-LIMIT, LIMIT]."""
        if self._output == "log":
            return LIMIT * torch.tanh(value / LIMIT)
        # log softplus(z) is z for very negative z, where softplus itself would underflow.
        log_softplus = nn.functional.softplus(value.clamp(min=-20)).log()
        return torch.where(value < -20, value, log_softplus).clamp(-LIMIT, LIMIT)


class Thermometer(nn.Module):
    """Predicts one temperature per row.

    It may know several answering models. Scores are divided by the pooled temperature of their
    model, t_a, before anything is read of them, and what the members say is about scores on the
    common scale of the anchor, the geometric mean of the t_a: b_a = b - log(t_a / anchor).

    Args:
        config: Shape of the network.
        n_features: Width D of the features; 0 if no view reads them.
        n_models: Number A of answering models.

    Raises:
        ValueError: If there are more components than features, or features are read but have no
            width.

    Example:
        >>> config = ThermometerConfig(n_components=4)
        >>> thermometer = Thermometer(config, n_features=8)
        >>> thermometer(torch.zeros(3, 8), torch.randn(3, 5)).shape
        torch.Size([3])
    """

    shift: Tensor
    projection: Tensor
    model_temperatures: Tensor
    reference_temperatures: Tensor
    anchor: Tensor
    shrinkage: Tensor
    model_shift: Tensor
    model_gain: Tensor

    def __init__(self, config: ThermometerConfig, n_features: int = 0, n_models: int = 1) -> None:
        super().__init__()
        self.config = config
        self.n_models = _checks.integer("n_models", n_models)
        self.register_buffer("model_temperatures", torch.ones(n_models))
        self.register_buffer("anchor", torch.ones(()))
        self.register_buffer("shrinkage", torch.ones(n_models))
        reads_features = "features" in config.sources
        self.n_features = _checks.integer("n_features", n_features, minimum=int(reads_features))
        if reads_features and config.n_components > n_features:
            raise _checks.fail("n_components", f"at most {n_features}", config.n_components)
        width = config.n_components or n_features
        if reads_features and config.n_components:
            self.register_buffer("shift", torch.zeros(n_features))
            self.register_buffer("projection", torch.eye(width, n_features))
        if "scores" in config.needs:
            self.score_inputs = ScoreInputs(config.sources, n_models)
        if "reference" in config.sources:
            self.register_buffer("reference_temperatures", torch.ones(n_models))
        if "model" in config.sources:
            self.register_buffer("model_shift", torch.zeros(()))
            self.register_buffer("model_gain", torch.zeros(()))
        self.members = nn.ModuleList(
            Member(config, view, width) for view in config.views for _ in range(config.n_members)
        )
        self.float()  # whatever torch's default dtype is

    def __repr__(self) -> str:
        return f"Thermometer({self.config}, n_features={self.n_features}, n_models={self.n_models})"

    def forward(
        self,
        features: Tensor | None = None,
        scores: Tensor | None = None,
        groups: Tensor | None = None,
        model: int = 0,
        reference_scores: Tensor | None = None,
    ) -> Tensor:
        """Temperatures: exp of minus the mean b of the replicas.

        Args:
            features: (N, D), any float dtype; needed if a view reads features.
            scores: (N, K) unnormalised scores of the answering model, ``-inf`` in short rows;
                needed if a view reads anything but features.
            groups: (N,) int64 from 0, the task of each row; one by default.
            model: Number of the answering model.
            reference_scores: (N, K) unnormalised scores of the same options by the reference
                model; needed if a view reads `reference`.

        Returns:
            (N,) float32, > 0; in [1/1000, 1000] where there is one answering model.

        Raises:
            ValueError: If something that is read is missing, or of another width than in training.
        """
        inputs = self.inputs(features, scores, groups, model, reference_scores)
        return self.predict(inputs, groups, model).mean(dim=0).neg().exp()

    def inputs(
        self,
        features: Tensor | None = None,
        scores: Tensor | None = None,
        groups: Tensor | None = None,
        models: Tensor | int = 0,
        reference_scores: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """The numbers of each source that a view reads, (N, ...) float32.

        `models` is the answering model of each row, (N,) int64, or of all; all else is as for
        `forward`.
        """
        given = {"features": features, "scores": scores, "reference_scores": reference_scores}
        needs = self.config.needs
        for name in sorted(needs):
            if given[name] is None:
                raise _checks.fail(name, f"given, since this thermometer reads {name}", "None")
        found = {}
        if features is not None and "features" in needs:
            found["features"] = self.components(features)
        if scores is not None and "scores" in needs:
            if "features" in found and len(found["features"]) != len(scores):
                raise _checks.fail("scores", f"of length {len(found['features'])}", len(scores))
            if groups is None:
                groups = torch.zeros(len(scores), dtype=torch.int64, device=scores.device)
            z, reference = self._scaled(scores, reference_scores, models)
            found |= self.score_inputs(z, groups, models, reference)
        if "model" in self.config.sources:  # log t_a, from -2 for the least of the training to 2
            logs = self.model_temperatures[models].log()
            number = ((logs - self.model_shift) * self.model_gain).clamp(-2, 2)
            found["model"] = number[..., None].expand(len(next(iter(found.values()))), 1)
        return found

    def components(self, features: Tensor) -> Tensor:
        """(N, R) float32 inputs of the members from (N, D) features; constant in training."""
        if features.ndim != 2 or features.shape[1] != self.n_features:
            expected = f"of shape (N, {self.n_features})"
            raise _checks.fail("features", expected, f"shape {tuple(features.shape)}")
        features = features.float()
        return (features - self.shift) @ self.projection.T if self.config.n_components else features

    def _scaled(
        self, scores: Tensor, reference_scores: Tensor | None, models: Tensor | int
    ) -> tuple[Tensor, Tensor | None]:
        """Scores over the temperature of their model; those of the reference model, if read."""
        z = scores.float() / self.model_temperatures[models][..., None]
        if reference_scores is None or "reference" not in self.config.sources:
            return z, None
        return z, reference_scores.float() / self.reference_temperatures[models][..., None]

    def predict(
        self, inputs: Mapping[str, Tensor], groups: Tensor | None = None, model: int = 0
    ) -> Tensor:
        """(M, N) b of M replicas, each of one member of every view; b itself is their mean.

        The b of a replica is the mean of its members. For an answering model of temperature t_a it
        is drawn towards -log anchor by `shrinkage`, and log(t_a / anchor) is subtracted.
        """
        if self.training:  # with dropout
            of_views = self.predict_views(inputs, groups)
        else:
            groups = _one_group(inputs) if groups is None else groups
            members, size = cast(list[Member], list(self.members)), self.config.n_members
            views = [members[start : start + size] for start in range(0, len(members), size)]
            of_views = torch.stack([batched_forward(view, inputs, groups) for view in views])
        b = of_views.mean(dim=0)
        if self.shrinkage[model] != 1:
            start = -self.anchor.log()
            b = start + self.shrinkage[model] * (b - start)
        return b - (self.model_temperatures[model] / self.anchor).log()

    def predict_views(self, inputs: Mapping[str, Tensor], groups: Tensor | None = None) -> Tensor:
        """(V, M, N) b of every member, by view, as in training; groups as for `forward`."""
        groups = _one_group(inputs) if groups is None else groups
        found = torch.stack([member(inputs, groups) for member in self.members])
        return found.reshape(len(self.config.views), self.config.n_members, -1)

    @torch.no_grad()
    def fit_inputs(
        self,
        features: Tensor | None,
        scores: Tensor | None,
        groups: Tensor | None,
        temperatures: float | Sequence[float],
        models: Tensor | None = None,
        reference_scores: Tensor | None = None,
        reference_temperatures: float | Sequence[float] = 1.0,
    ) -> None:
        """Learn the scale of what is read from the training rows, before any member is trained.

        Arrays are as for `inputs`, of more rows than components; no group has rows of two models.
        `temperatures` and `reference_temperatures` are pooled ones, for each answering model.
        """
        self.set_model_temperatures(temperatures)
        if "features" in self.config.sources and self.config.n_components:
            assert features is not None
            shift, projection = principal_components(
                features, self.config.n_components, self.config.whitening
            )
            self.shift.copy_(shift)
            self.projection.copy_(projection)
        if "reference" in self.config.sources:
            of_models = torch.tensor(reference_temperatures, dtype=torch.float64)
            self.reference_temperatures.copy_(of_models.reshape(self.n_models))
        if "scores" in self.config.needs:
            assert scores is not None
            assert groups is not None
            if models is None:
                models = torch.zeros(len(scores), dtype=torch.int64)
            z, reference = self._scaled(scores, reference_scores, models)
            self.score_inputs.fit(z, groups, models, reference)

    def set_model_temperatures(self, temperatures: float | Sequence[float]) -> None:
        """Set the temperature of each answering model, and with them the anchor."""
        of_models = torch.tensor(temperatures, dtype=torch.float64).reshape(self.n_models)
        self.model_temperatures.copy_(of_models)
        # One model is its own anchor to the last bit.
        self.anchor.copy_(of_models.log().mean().exp() if self.n_models > 1 else of_models[0])
        if "model" in self.config.sources:
            lowest, highest = of_models.log().aminmax()
            self.model_shift.copy_((lowest + highest) / 2)
            # Of one model, or several alike, there is nothing to tell: the number is 0.
            apart = highest - lowest
            self.model_gain.copy_(torch.where(apart > 1e-4, 4 / apart, 0.0))

    def architecture(self) -> dict[str, Any]:
        """What `from_architecture` needs to build the same network, as JSON values."""
        sizes = {"n_features": self.n_features, "n_models": self.n_models}
        return {**sizes, **asdict(self.config), "views": list(self.config.views)}

    @classmethod
    def from_architecture(cls, architecture: dict[str, Any]) -> "Thermometer":
        """The inverse of `architecture`; missing and unknown keys raise `ValueError`."""
        expected = {"n_features", "n_models", *ThermometerConfig.__dataclass_fields__}
        if differing := sorted(expected ^ set(architecture)):
            raise _checks.fail("network", f"the keys {sorted(expected)}", f"{differing} amiss")
        fields = dict(architecture)
        sizes = fields.pop("n_features"), fields.pop("n_models")
        return cls(ThermometerConfig(**fields), *sizes)


def _one_group(inputs: Mapping[str, Tensor]) -> Tensor:
    """One group for all rows."""
    some = next(iter(inputs.values()))
    return torch.zeros(len(some), dtype=torch.int64, device=some.device)


def batched_forward(
    members: Sequence[Member], inputs: Mapping[str, Tensor], groups: Tensor
) -> Tensor:
    """`Member.forward` of several members, without dropout; equal but for rounding, and faster.

    They read the same numbers. What their first layers make of the pooled ones is the same for all
    rows of a group: it is computed once and added like a bias.

    The M members are of one view and one configuration; the result is their (M, N) b.
    """
    one = members[0]
    row, pooled = one.read(inputs)
    branches = [cast(nn.Sequential, branch) for m in members for branch in m.branches]
    firsts = [cast(nn.Linear, branch[1]) for branch in branches]
    lasts = [cast(nn.Linear, branch[-1]) for branch in branches]
    weights = torch.stack([first.weight for first in firsts])  # (L, H, R) of all branches
    biases = torch.stack([first.bias for first in firsts])[:, None]  # (L, 1, H), or (L, G, H)
    if pools := [m.pool for m in members if m.pool is not None]:
        of_groups = pool_together(pools, pooled, groups).to(row)
        of_groups = of_groups.transpose(0, 1).repeat_interleave(len(one.branches), dim=0)
        biases = biases + of_groups @ weights[:, :, row.shape[1] :].mT
    activation, n_own = branches[0][2], row.shape[1]
    outputs = []
    for weight, bias, last in zip(weights[:, :, :n_own], biases, lasts, strict=True):
        of_rows = bias[groups] if len(bias) > 1 else bias[0]
        hidden = activation(torch.addmm(of_rows, row, weight.T))
        outputs.append(hidden @ last.weight[0] + last.bias)
    combine = torch.cat([m.combine.weight for m in members])[..., None]  # (M, B, 1)
    combined = (torch.stack(outputs).reshape(*combine.shape[:2], -1) * combine).sum(dim=1)
    return one.bounded(combined + torch.stack([m.combine.bias for m in members]))


def principal_components(features: Tensor, size: int, whitening: float) -> tuple[Tensor, Tensor]:
    """Standardise, rotate, scale, cut: (D,) shift and (R, D) projection of principal components.

    Components are ``(features - shift) @ projection.T``. One of variance v gets v^(1 - whitening),
    then all are scaled to variance 1 on average. PCA is randomised, from torch's global generator:
    a full eigendecomposition of 4,096 features would take longer than the training.
    There must be more rows of (N, D) features than the `size` R of the projection.

    Example:
        >>> shift, projection = principal_components(torch.randn(50, 6), size=2, whitening=1.0)
        >>> shift.shape, projection.shape
        (torch.Size([6]), torch.Size([2, 6]))
    """
    if len(features) <= size:
        raise too_few_rows(len(features), size)
    data = features.float()
    shift, scale = data.mean(dim=0), data.std(dim=0)
    # What is constant but for rounding carries no information, and must not be magnified.
    scale = scale.where(scale > 1e-6 * shift.abs().clamp(min=1e-6), torch.inf)
    data = (data - shift) / scale
    oversampled = min(size + 16, *data.shape)
    _, values, vectors = torch.pca_lowrank(data, q=oversampled, center=False, niter=4)
    spread = values[:size] / math.sqrt(len(data))
    real = spread > 1e-4 * spread[0]
    wanted = spread ** (1 - whitening)
    gain = (wanted / wanted[real].square().mean().sqrt() / spread).where(real, 0.0)
    return shift, (vectors[:, :size] * gain / scale[:, None]).T


def too_few_rows(n_rows: int, size: int) -> ValueError:
    """The error for fewer rows than components, which says what else there is."""
    expected = f"less than the number of questions to train on, which is {n_rows}"
    return _checks.fail(
        "n_components", expected, f"{size}. Take fewer, or the preset `scores`, which has none"
    )
