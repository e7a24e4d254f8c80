"""Sampling answers at a temperature per prompt, and what that does to them.

``python examples/generate.py``. SmolLM2 answers three questions again and again, as it is and
at temperatures that a thermometer predicts for them (here written down: `Calibrator.temperature`
gives them, see docs/generation.md). An overconfident model is heated, and varies more.
"""

from collections import Counter

import thermometer as th
from thermometer.generation import TemperatureLogitsProcessor

PROMPTS = (
    "Question: What is the capital of Peru?\nAnswer:",
    "Question: What is the Danish word for tree?\nAnswer:",
    "Question: Which planet is the third from the sun?\nAnswer:",
)
TEMPERATURES = (0.8, 2.5, 1.4)  # one for each prompt


def main(model: str = "bundled:smollm2", n: int = 20) -> None:
    """Sample `n` first words for each prompt, without and with its temperature."""
    lm = th.LanguageModel.from_pretrained(model, dtype="bfloat16")
    inputs = lm.tokenizer(PROMPTS, return_tensors="pt", padding=True, padding_side="left")
    for temperatures in ((1.0, 1.0, 1.0), TEMPERATURES):
        tokens = lm.model.generate(
            **inputs,
            logits_processor=[TemperatureLogitsProcessor(temperatures)],
            do_sample=True,
            top_k=0,  # sample all tokens, not the 50 most probable
            max_new_tokens=2,
            num_return_sequences=n,  # n rows of each prompt share its temperature
        )
        texts = lm.tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :])
        for row, (prompt, temperature) in enumerate(zip(PROMPTS, temperatures, strict=True)):
            said = Counter(text.strip() for text in texts[row * n : (row + 1) * n])
            shown = ", ".join(f"{text!r} {count}" for text, count in said.most_common(4))
            question = prompt.splitlines()[0].removeprefix("Question: ")
            print(f"{question:42} at {temperature}: {len(said):2} different, {shown}")


if __name__ == "__main__":
    main()
