"""A language model as a configuration names it, and how it is loaded."""

from dataclasses import dataclass

from thermometer import _checks
from thermometer.llm.language_model import LanguageModel, Position
from thermometer.templates import Template


@dataclass(frozen=True)
class ModelSpec:
    """A language model and how it reads the questions.

    Args:
        model: Hub id, local folder, GGUF file, or ``bundled:smollm2``.
        revision: Branch, tag or commit of a hub id.
        dtype: ``auto``, ``float32``, ``bfloat16`` or ``float16``.
        num_layers: Run only the first so many blocks (features only).
        layer: Hidden state that is the feature: -1 is the last, after the final norm.
        position: Take it at the ``last`` token of the prompt, or as the ``mean`` over its tokens.
        device_map: For a model larger than one device, as transformers has it.
        gguf_file: A GGUF file inside the repository or folder.
        template: How questions are rendered for this model, if not as the experiment says.
        token_budget: Largest number of tokens, padding included, in one forward pass; by default
            what suits the device.
    """

    model: str
    revision: str | None = None
    dtype: str = "auto"
    num_layers: int | None = None
    layer: int = -1
    position: Position = "last"
    device_map: str | None = None
    gguf_file: str | None = None
    template: Template | None = None
    token_budget: int | None = None

    def load(self) -> LanguageModel:
        """Load the model."""
        return LanguageModel.from_pretrained(
            self.model,
            revision=self.revision,
            dtype=self.dtype,
            num_layers=self.num_layers,
            layer=self.layer,
            position=self.position,
            device_map=self.device_map,
            gguf_file=self.gguf_file,
            token_budget=self.token_budget,
        )

    def asks(self, template: Template) -> tuple[object, ...]:
        """Which model is asked, and how; `template` is that of the experiment."""
        return self.model, self.revision, self.gguf_file, self.template or template

    def require_whole(self, name: str) -> None:
        """Raise `ValueError`, naming the argument, if the model is cut: it could not answer."""
        if self.num_layers is not None:
            expected = "None: an answering model is whole"
            raise _checks.fail(f"{name}.num_layers", expected, self.num_layers)
