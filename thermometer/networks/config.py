"""The shape of a thermometer's network, and its presets."""

from dataclasses import dataclass
from typing import Literal

from thermometer import _checks

SOURCES = ("features", "scores", "places", "fair", "reference", "model")
"""What a member can read: hidden states, and what the row's and the whole task's scores say."""

_MADE_OF = {"features": ("features",), "reference": ("scores", "reference_scores"), "model": ()}


@dataclass(frozen=True)
class ThermometerConfig:
    """Shape of the network.

    Args:
        views: What the members read: sources of `SOURCES` joined by ``+``, one string for each
            group of members. `features` is the small model's hidden state; of the answering model's
            option scores, `scores` are statistics, `places` what is said of each place, and `fair`
            statistics without the liking for places that all prompts of the task at hand show;
            `reference` is how sure a second language model is, and how far it agrees; `model` is
            how overconfident the answering model is as a whole, which tells several of them apart.
            A thermometer needs every source of its views.
        n_components: Project standardised features on so many principal components; 0 hands the
            raw features to the network, as the paper does.
        whitening: How far the variances of the components are equalised: v becomes v^(1-whitening),
            then scaled to 1 on average, so that 0 leaves them as they are and 1 makes all equal.
        n_members: Number of networks of each view, trained apart, whose b is averaged.
        n_branches: Parallel two-layer branches of a member; their outputs are combined linearly.
        hidden_size: Width of each branch.
        activation: `relu` or `silu`.
        dropout: Of hidden units, in training only.
        input_dropout: Of what a member reads, in training only.
        output: What a member's last number is: `log`, b itself, or `softplus`, the inverse
            temperature before a softplus, as in the paper.
        pool_size: How many numbers a member learns to read off each prompt's scores, whose means
            over the task it reads as well; 0 takes each prompt by itself, but for `fair`.

    Raises:
        ValueError: For numbers out of range or unknown names.
    """

    views: tuple[str, ...] = ("scores+places+fair", "scores+fair+features")
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
        plain = {  # numpy's numbers would not go into a checkpoint
            "n_components": _checks.integer("n_components", self.n_components, minimum=0),
            "whitening": _checks.number("whitening", self.whitening, 0.0, 1.0),
            "pool_size": _checks.integer("pool_size", self.pool_size, minimum=0),
            "n_members": _checks.integer("n_members", self.n_members),
            "n_branches": _checks.integer("n_branches", self.n_branches),
            "hidden_size": _checks.integer("hidden_size", self.hidden_size),
            "dropout": _checks.number("dropout", self.dropout, 0.0, 0.95),
            "input_dropout": _checks.number("input_dropout", self.input_dropout, 0.0, 0.95),
        }
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
        for name, value in plain.items():
            object.__setattr__(self, name, value)

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
        return cls(views=("scores+places+fair",), n_members=10)

    @classmethod
    def with_reference(cls) -> "ThermometerConfig":
        """For answering models beside which a second one scores the same options."""
        return cls(views=("scores+places+fair+reference", "scores+fair+reference+features"))

    @classmethod
    def for_family(cls) -> "ThermometerConfig":
        """For several answering models at once, such as the sizes of a family."""
        return cls(views=("scores+places+fair+model", "scores+fair+features+model"))

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
