"""What an extraction computed: tokens, padding, what sharing saved, operations, time."""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thermometer.llm.forward import Batch


@dataclass(frozen=True, slots=True)
class Work:
    """Counts that add up over forward passes.

    Args:
        prompts: Prompts that were read.
        input_tokens: Tokens of these prompts and of the options that were read, each prompt once.
        tokens: Tokens that were computed, without padding; fewer where a prefix was shared.
        padding: Positions that were computed for nothing.
        pairs: Pairs of a token and one that it attends to.
        sources: Positions at which the output head was evaluated.

    Example:
        >>> total = Work(2, 200, 120, 6) + Work(1, 100, 60, 3)
        >>> total.prompts, total.reused, round(total.padded, 3)
        (3, 0.4, 0.048)
    """

    prompts: int = 0
    input_tokens: int = 0
    tokens: int = 0
    padding: int = 0
    pairs: int = 0
    sources: int = 0

    @classmethod
    def of_batch(cls, batch: "Batch", prompts: int = 0, input_tokens: int = 0) -> "Work":
        """What a forward pass over a batch computes."""
        padding = batch.input_ids.numel() - batch.n_tokens
        sources = len(batch.sources)
        return cls(prompts, input_tokens, batch.n_tokens, padding, batch.n_pairs, sources)

    def __add__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other: "Work") -> "Work":
        return Work(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    @property
    def reused(self) -> float:
        """Share of the input's tokens, in [0, 1], that came from a shared prefix."""
        return max(0.0, 1 - self.tokens / self.input_tokens) if self.input_tokens else 0.0

    @property
    def padded(self) -> float:
        """Share of the computed positions, in [0, 1], that were padding."""
        computed = self.tokens + self.padding
        return self.padding / computed if computed else 0.0


@dataclass(frozen=True, slots=True)
class ModelSize:
    """What the operations of a model depend on.

    Args:
        blocks: Number of weights that every token is multiplied by.
        head: Number of weights of the output head.
        attention: Blocks times heads times width of a head.
    """

    blocks: int
    head: int
    attention: int

    @classmethod
    def of(cls, model: Any) -> "ModelSize":
        """The size of a transformers model."""
        config = model.config.get_text_config(decoder=True)
        embeddings = {id(e.weight) for e in _embeddings(model)}
        weights = sum(p.numel() for p in model.parameters() if id(p) not in embeddings)
        output = model.get_output_embeddings()
        heads = getattr(config, "num_attention_heads", None) or 0
        width = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
        layers = getattr(config, "num_hidden_layers", 0)
        head = 0 if output is None else output.weight.numel()
        return cls(weights, head, layers * heads * width)

    def operations(self, work: Work) -> float:
        """Floating-point operations of some work, padding left out.

        2 (blocks x tokens + head x sources) + 4 attention x pairs: a multiplication and an addition
        for each weight, and for each pair of tokens in the products of queries with keys and of
        attention with values (Kaplan et al. 2020, their formula with the attended length counted).
        In a mixture of experts all experts are counted, so that the figure is too high.

        Example:
            >>> ModelSize(10, 5, 2).operations(Work(tokens=3, pairs=6, sources=1))
            118.0
        """
        linear = self.blocks * work.tokens + self.head * work.sources
        return 2.0 * linear + 4.0 * self.attention * work.pairs


def _embeddings(model: Any) -> list[Any]:
    found = (model.get_input_embeddings(), model.get_output_embeddings())
    return [embedding for embedding in found if embedding is not None]


@dataclass(frozen=True, slots=True)
class Device:
    """What a rank computes on.

    Args:
        name: Of the GPU, else the type.
        peak: Its bfloat16 operations a second, if they are known.
    """

    name: str = "cpu"
    peak: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What one run of an extraction computed, over all ranks.

    Args:
        work: Counts.
        seconds: Time in the forward passes, summed over the ranks.
        operations: Floating-point operations, see `ModelSize.operations`.
        devices: One for each rank.

    `None` stands for a figure that nothing is known about.
    """

    work: Work
    seconds: float
    operations: float
    devices: tuple[Device, ...] = (Device(),)

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the input, read in a second by one device."""
        return self.work.input_tokens / self.seconds if self.seconds else 0.0

    @property
    def mfu(self) -> float | None:
        """Operations as a share of the bfloat16 peak of the devices, if all are known."""
        peaks = [device.peak for device in self.devices if device.peak is not None]
        if len(peaks) < len(self.devices) or not self.seconds:
            return None
        return self.operations / self.seconds / (sum(peaks) / len(peaks))

    def to_dict(self) -> dict[str, Any]:
        """JSON values: counts and shares."""
        return {
            **asdict(self.work),
            "padding_share": round(self.work.padded, 4),
            "reused_share": round(self.work.reused, 4),
            "seconds": round(self.seconds, 3),
            "tokens_per_second": round(self.tokens_per_second, 1),
            "operations": self.operations,
            "mfu": self.mfu,
            "devices": [device.name for device in self.devices],
        }

    def __str__(self) -> str:
        work, mfu = self.work, self.mfu
        line = (
            f"{work.prompts:,} prompts, {work.input_tokens:,} tokens, {work.reused:.0%} of them "
            f"from shared prefixes, {work.padded:.1%} padding, {self.seconds:,.1f} s, "
            f"{self.tokens_per_second:,.0f} tokens/s, {self.operations / 1e12:,.3g} TFLOP"
        )
        return line if mfu is None else f"{line}, MFU {mfu:.0%}"
