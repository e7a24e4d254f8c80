"""Free-form questions, a calibrator of verdicts on answers, a model that says what one wants."""

from itertools import pairwise

import tiny
import torch
import transformers

from thermometer.calibrator import Calibrator
from thermometer.checkpoint import TrainingRecord
from thermometer.free_form import FreeFormQuestion, FreeFormTask
from thermometer.language_model import LanguageModel
from thermometer.network import Thermometer, ThermometerConfig
from thermometer.templates import Template

VERIFY = Template("verify")
WORDS = ("France", "Italy", "Paris", "Rome", "London", "Lisbon", "the capital", "one", "two")


def task(n=12, name="capitals", prefix="q"):
    """Questions of different lengths, each with an accepted answer."""
    return FreeFormTask(
        name,
        tuple(
            FreeFormQuestion(
                f"{prefix}{i}",
                f"What is the {'larger ' * (i % 4)}{WORDS[i % 9]}?",
                (WORDS[(i + 1) % 9],),
            )
            for i in range(n)
        ),
    )


def calibrator_of(lm, template=VERIFY, **target):
    """A calibrator that reads `lm` and whose temperatures differ widely between prompts."""
    config = ThermometerConfig(
        ("features",), n_components=0, n_members=2, hidden_size=16, dropout=0.0
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        thermometer = Thermometer(config, lm.n_features)
        for member in thermometer.members:
            torch.nn.init.normal_(member.combine.weight, std=3.0)
    made = lm.provenance(template)
    record = TrainingRecord(["a"], 1.5, features=made, targets=[made | target])
    return Calibrator(thermometer, record).with_language_model(lm)


def speaker(*pieces, after="Answer:"):
    """A Llama that says `pieces` after a text, one token each: every token has one successor.

    Blocks add nothing, embeddings are unit vectors and the head is a table of successors.
    """
    tokenizer = tiny.tokenizer()
    said = [tokenizer(text, add_special_tokens=False)["input_ids"][-1] for text in (after, *pieces)]
    size = len(tokenizer)
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=size,
            hidden_size=size + size % 2,
            intermediate_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            max_position_embeddings=512,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    )
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size, model.config.hidden_size))
        model.lm_head.weight.zero_()
        for token, following in pairwise(said):
            model.lm_head.weight[following, token] = 1.0
    return LanguageModel(model, tokenizer, name="speaker")
