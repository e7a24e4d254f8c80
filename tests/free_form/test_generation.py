"""Generated lines against a plain greedy loop, one prompt at a time."""

import free_forms
import pytest
import tiny
import torch

from thermometer.generation import Line, generate_lines
from thermometer.language_model import LanguageModel
from thermometer.templates import Prompt, Template

PROMPTS = [
    Prompt(f"q{n}", "Question: " + "the capital " * n + "\nAnswer:") for n in (3, 0, 9, 1, 12, 5)
]
END = "</s>"


def in_order(lm, prompts, **options):
    found = {}
    for rows, lines in generate_lines(lm, prompts, **options):
        assert len(rows) == len(lines)
        found |= dict(zip(rows, lines, strict=True))
    assert sorted(found) == list(range(len(prompts)))
    return [found[row] for row in range(len(prompts))]


def greedy(kind, text, n):
    """The first line that a model says, by its own logits of the whole text at every step."""
    model, tokenizer = tiny.model(kind), tiny.tokenizer()
    read = tokenizer(text)["input_ids"]
    said = [0] if model.config.is_encoder_decoder else list(read)
    start = len(said)
    while len(said) < start + n:
        with torch.inference_mode():
            if model.config.is_encoder_decoder:
                inputs = {"decoder_input_ids": torch.tensor([said])}
                logits = model(torch.tensor([read]), **inputs).logits
            else:
                logits = model(torch.tensor([said])).logits
        said.append(int(logits[0, -1].argmax()))
        line = tokenizer.decode(said[start:], skip_special_tokens=True)
        if said[-1] == 2 or "\n" in line.lstrip():
            return Line(line.strip().split("\n")[0].strip())
    return Line(line.strip().split("\n")[0].strip(), cut_at=n)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2", "bloom", "t5"])
def test_batches_say_what_single_prompts_say(kind):
    lm = LanguageModel(tiny.model(kind), tiny.tokenizer(), name=kind)
    expected = [greedy(kind, prompt.text, 6) for prompt in PROMPTS]
    assert len(set(expected)) > 1
    for budget in (30, 4096):
        assert in_order(lm.with_token_budget(budget), PROMPTS, max_new_tokens=6) == expected


@pytest.mark.parametrize(
    ("pieces", "line"),
    [
        ((" Paris", END), Line("Paris")),
        ((" Paris", "\n", "Rome"), Line("Paris")),
        (("\n", " Paris", END), Line("Paris")),
        (("\n", " Paris", "A", "B", "\n"), Line("ParisAB", cut_at=4)),
        ((END,), Line("")),
        (("\n", END), Line("")),
        (("A", "A"), Line("AAAA", cut_at=4)),
    ],
)
def test_an_answer_ends_with_its_line(pieces, line):
    lm = free_forms.speaker(*pieces)
    assert in_order(lm, PROMPTS[:2], max_new_tokens=4) == [line, line]


def test_a_chat_is_answered_after_its_header():
    lm = free_forms.speaker("A", END, after="<|assistant|>")
    assert in_order(lm, [Prompt("q", "Question?", chat=True)]) == [Line("A")]


def test_units_keep_to_the_budget(lm):
    sizes = {len(rows) for rows, _ in generate_lines(lm.with_token_budget(50), PROMPTS)}
    assert sizes == {1, 2}


def test_impossible_prompts_are_refused(lm):
    long = Prompt("long", "capital " * 500)
    with pytest.raises(ValueError, match=r"at most 496 tokens .* 5\d\d tokens for question long"):
        list(generate_lines(lm, [*PROMPTS, long]))
    with pytest.raises(ValueError, match="at most 12 tokens"):
        list(generate_lines(lm, PROMPTS, max_new_tokens=500))
    with pytest.raises(ValueError, match="at least one prompt"):
        list(generate_lines(lm, []))
    with pytest.raises(ValueError, match="`max_new_tokens`"):
        list(generate_lines(lm, PROMPTS, max_new_tokens=0))
    cut = LanguageModel(tiny.model("llama"), tiny.tokenizer(), name="cut", num_layers=1)
    with pytest.raises(ValueError, match="cut to its first layers"):
        list(generate_lines(cut, PROMPTS))


def test_generation_leaves_the_model_as_it_was(lm):
    before = lm.model.generation_config.to_dict()
    scores = lm.outputs([Prompt("q", "Is it", (" A", " B"))], Template()).scores
    in_order(lm, PROMPTS, max_new_tokens=3)
    assert lm.model.generation_config.to_dict() == before
    assert (lm.outputs([Prompt("q", "Is it", (" A", " B"))], Template()).scores == scores).all()
