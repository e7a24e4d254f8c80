"""Recipes for the tiny models of the tests: real transformers classes, random weights."""

from functools import cache

import torch
import transformers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SENTENCES = [
    "Question: What is the capital of France?\nAnswer: Paris",
    "Question: What is the capital of Italy?\nAnswer: Rome",
    "Choose A, B, C, or D. \nQuestion:Which is larger. \nA. one. \nB. two. \nAnswer: A",
    "The answer is Paris, the answer is Rome, the answer is London, the answer is Lisbon.",
    "A B C D E F G H yes no true false Paris Rome London Lisbon",
    "user assistant question choose answer capital larger which what is the of",
]
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@cache
def tokenizer(bos=True, eos=False, chat=True, lower=False):
    """Byte-level BPE: every text can be encoded, and " A" and "A" are different tokens."""
    core = Tokenizer(models.BPE())
    if lower:
        core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(SENTENCES, trainer)
    start, end = "<s> " if bos else "", " </s>" if eos else ""
    pieces = [(piece, core.token_to_id(piece)) for piece in ("<s>", "</s>")]
    core.post_processor = processors.TemplateProcessing(
        single=f"{start}$A{end}", special_tokens=pieces
    )
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    wrapped.chat_template = CHAT if chat else None
    return wrapped


def _config(kind, vocab):
    common = {
        "vocab_size": vocab,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "initializer_range": 0.25,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    t = transformers
    if kind == "llama":
        return t.LlamaConfig(**common)
    if kind == "gpt2":
        return t.GPT2Config(
            vocab_size=vocab,
            n_embd=32,
            n_layer=3,
            n_head=4,
            n_positions=512,
            initializer_range=0.25,
        )
    if kind == "gemma2":
        return t.Gemma2Config(
            **common,
            head_dim=8,
            sliding_window=24,
            query_pre_attn_scalar=8,
            attn_logit_softcapping=5.0,
            final_logit_softcapping=3.0,
        )
    if kind == "gemma3":
        return t.Gemma3TextConfig(**common, head_dim=8, sliding_window=24, query_pre_attn_scalar=8)
    if kind == "qwen3":
        return t.Qwen3Config(**common, head_dim=8)
    if kind == "neox":
        return t.GPTNeoXConfig(
            **{name: value for name, value in common.items() if name != "num_key_value_heads"}
        )
    if kind in ("falcon", "alibi"):  # both kinds of Falcon
        return t.FalconConfig(
            vocab_size=vocab,
            hidden_size=32,
            num_hidden_layers=3,
            num_attention_heads=4,
            initializer_range=0.25,
            alibi=kind == "alibi",
            bos_token_id=1,
            eos_token_id=2,
        )
    if kind == "opt":
        return t.OPTConfig(
            vocab_size=vocab,
            hidden_size=32,
            word_embed_proj_dim=32,
            ffn_dim=48,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=512,
            init_std=0.25,
        )
    if kind == "mistral":
        return t.MistralConfig(**common, sliding_window=16)
    if kind == "qwen2":
        return t.Qwen2Config(
            **common, use_sliding_window=True, sliding_window=16, max_window_layers=1
        )
    if kind == "phi3":
        return t.Phi3Config(**common)
    if kind == "olmo2":
        return t.Olmo2Config(**common)
    if kind == "mixtral":
        return t.MixtralConfig(**common, num_local_experts=4, num_experts_per_tok=2)
    if kind == "cohere":
        return t.CohereConfig(**common, logit_scale=0.25)
    if kind == "granite":
        return t.GraniteConfig(**common, logits_scaling=3.0)
    if kind == "bloom":
        return t.BloomConfig(
            vocab_size=vocab, hidden_size=32, n_layer=3, n_head=4, initializer_range=0.25
        )
    if kind == "lfm2":  # short convolutions run over the columns; one block of attention
        return t.Lfm2Config(**common, block_auto_adjust_ff_dim=False, full_attn_idxs=[1])
    if kind == "bert":
        return t.BertConfig(
            **{name: value for name, value in common.items() if name != "num_key_value_heads"},
            is_decoder=True,
        )
    if kind == "mamba":
        return t.MambaConfig(
            vocab_size=vocab,
            hidden_size=32,
            state_size=8,
            num_hidden_layers=3,
            initializer_range=0.25,
        )
    if kind == "t5":
        return t.T5Config(
            vocab_size=vocab,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=3,
            num_heads=4,
            decoder_start_token_id=0,
            pad_token_id=0,
            initializer_factor=2.0,
        )
    raise ValueError(kind)


def model(kind, seed=0, **changes):
    """A model of the kind in float32, the same for the same seed."""
    config = _config(kind, len(tokenizer()))
    for name, value in changes.items():
        setattr(config, name, value)
    torch.manual_seed(seed)
    auto = (
        transformers.AutoModelForSeq2SeqLM
        if config.is_encoder_decoder
        else transformers.AutoModelForCausalLM
    )
    return auto.from_config(config, dtype=torch.float32).eval()


def save(kind, folder, seed=0):
    """A saved model with its tokenizer, for `from_pretrained`."""
    model(kind, seed).save_pretrained(folder)
    tokenizer(eos=kind == "t5").save_pretrained(folder)
