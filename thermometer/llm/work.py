"""What an extraction computed: tokens, padding, what sharing saved, operations, time.

Nothing here runs a model; `ModelSize` is all that is known about it.
"""

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from thermometer.llm.forward import Batch

PEAKS = {
    # bfloat16 (T4: float16), dense, in TFLOP/s; of NVIDIA's figures "with sparsity" a half. The
    # first name found in that of the device counts.
    # https://www.nvidia.com/en-us/data-center/h200/
    "H200 NVL": 835.5,
    "H200": 989.5,
    # https://www.nvidia.com/en-us/data-center/h100/
    # PCIe: https://resources.nvidia.com/en-us-tensor-core/nvidia-tensor-core-gpu-datasheet
    "H100 PCIe": 756.0,
    "H100 NVL": 835.5,
    "H100": 989.5,
    # https://nvdam.widen.net/content/tf2prbffgy/original/grace-hopper-superchip-datasheet-nvidia-2705455.pdf
    "GH200": 990.0,
    # https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf
    "A100": 312.0,
    # https://d1.awsstatic.com/product-marketing/ec2/NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf
    "A10G": 70.0,
    # https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/a10-datasheet.pdf
    "A10": 125.0,
    # https://images.nvidia.com/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf
    "A40": 149.7,
    # https://www.pny.com/en-eu/File%20Library/Professional/DATASHEET/DATA%20CENTER%20CARDS/PNY-NVIDIA-L40S-Datasheet.pdf
    "L40S": 362.0,
    # https://www.nvidia.com/content/dam/en-zz/Solutions/design-visualization/support-guide/NVIDIA-L40-Datasheet-January-2023.pdf
    "L40": 181.0,
    # https://resources.nvidia.com/en-us-data-center-overview-mc/en-us-data-center-overview/l4-gpu-datasheet
    "L4": 121.0,
    # https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/tesla-t4/t4-tensor-core-datasheet-951643.pdf
    "T4": 65.0,
}


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
class Summary:
    """What one run of an extraction computed, over all ranks.

    Args:
        work: Counts.
        seconds: Time in the forward passes, summed over the ranks.
        operations: Floating-point operations, see `ModelSize.operations`.
        devices: Names of the devices, one for each rank.

    `None` stands for a figure that nothing is known about.
    """

    work: Work
    seconds: float
    operations: float
    devices: tuple[str, ...] = ("cpu",)

    def __add__(self, other: "Summary") -> "Summary":
        return Summary(
            self.work + other.work,
            self.seconds + other.seconds,
            self.operations + other.operations,
            self.devices + other.devices,
        )

    @property
    def tokens_per_second(self) -> float:
        """Tokens of the input, read in a second by one device."""
        return self.work.input_tokens / self.seconds if self.seconds else 0.0

    @property
    def mfu(self) -> float | None:
        """Operations as a share of the bfloat16 peak of the devices, if all are known."""
        peaks = [peak_of(device) for device in self.devices]
        known = [peak for peak in peaks if peak is not None]
        if len(known) < len(peaks) or not known or not self.seconds:
            return None
        return self.operations / self.seconds / (sum(known) / len(known))

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
            "devices": list(self.devices),
        }

    def __str__(self) -> str:
        work, mfu = self.work, self.mfu
        line = (
            f"{work.prompts:,} prompts, {work.input_tokens:,} tokens, {work.reused:.0%} of them "
            f"from shared prefixes, {work.padded:.1%} padding, {self.seconds:,.1f} s, "
            f"{self.tokens_per_second:,.0f} tokens/s, {self.operations / 1e12:,.3g} TFLOP"
        )
        return line if mfu is None else f"{line}, MFU {mfu:.0%}"


def peak_of(device: str) -> float | None:
    """Peak of a device, in operations a second, by its name; `None` if that is unknown.

    Example:
        >>> peak_of("NVIDIA H100 80GB HBM3"), peak_of("cpu")
        (989500000000000.0, None)
    """
    words = f" {device.replace('-', ' ').replace('_', ' ')} "
    return next((1e12 * peak for name, peak in PEAKS.items() if f" {name} " in words), None)


def device_name(device: torch.device) -> str:
    """What a device is called: the name of the GPU, else its type."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
