"""The same option scores by the programs that users run instead, and the practical limit.

Each function takes a `LanguageModel`, rendered prompts and a batch size, and returns (N, K) scores
in the order of the prompts. All run the very same transformers model.
"""
# ruff: noqa: ARG001 (one signature for all)

import logging
import warnings

import numpy as np
import torch


def engine(lm, prompts, template, batch_size, token_budget=None):
    """This package: features and scores, planned by itself."""
    return lm.with_token_budget(token_budget).outputs(prompts, template).scores


def lm_eval(lm, prompts, template, batch_size):
    """lm-evaluation-harness: HFLM with its cache of logits, in batches of one size.

    ``batch_size="auto"`` makes the same batches after trying sizes, longest prompts first, five
    times each; that search, which takes minutes on a CPU, is left out in its favour.
    """
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it was given a model, not a name
        harness = HFLM(pretrained=lm.model, tokenizer=lm.tokenizer, batch_size=batch_size)
    requests = [
        Instance("loglikelihood", {}, (prompt.text, option), number)
        for prompt in prompts
        for number, option in enumerate(prompt.options)
    ]
    values = iter(harness.loglikelihood(requests, disable_tqdm=True))
    return _table([[next(values)[0] for _ in prompt.options] for prompt in prompts])


@torch.inference_mode()
def generate(lm, prompts, template, batch_size):
    """Naive transformers: `generate` one token with scores and hidden states, padded on the left.

    Right only for options of one token, so for letters.
    """
    tokenizer = lm.tokenizer
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows = []
    for batch in _batches(prompts, batch_size):
        inputs = tokenizer([prompt.text for prompt in batch], return_tensors="pt", padding=True)
        answer = lm.model.generate(
            **inputs,
            max_new_tokens=1,
            do_sample=False,
            output_scores=True,
            output_hidden_states=True,
            return_dict_in_generate=True,
            pad_token_id=tokenizer.pad_token_id,
        )
        assert answer.hidden_states[0][-1][:, -1].isfinite().all()  # the features
        for prompt, logprobs in zip(batch, answer.scores[0].float().log_softmax(-1), strict=True):
            ids = [
                tokenizer(option, add_special_tokens=False).input_ids for option in prompt.options
            ]
            rows.append([float(logprobs[token]) for (token,) in ids])
    return _table(rows)


@torch.inference_mode()
def per_option(lm, prompts, template, batch_size):
    """One row of a forward pass for every option, all positions through the head."""
    tokenizer = lm.tokenizer
    pad = tokenizer.pad_token_id or 0
    encoded = []
    for prompt in prompts:
        shared = len(tokenizer(prompt.text).input_ids)
        encoded += [(tokenizer(prompt.text + o).input_ids, shared) for o in prompt.options]
    order = sorted(range(len(encoded)), key=lambda row: -len(encoded[row][0]))
    values = np.zeros(len(encoded))
    for batch in _batches(order, batch_size):
        rows = [torch.tensor(encoded[row][0]) for row in batch]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad)
        mask = torch.arange(ids.shape[1]) < torch.tensor([[len(row)] for row in rows])
        logprobs = lm.model(ids, attention_mask=mask.long()).logits.float().log_softmax(-1)
        for number, row in enumerate(batch):
            whole, shared = encoded[row]
            places = torch.arange(shared - 1, len(whole) - 1)
            values[row] = float(logprobs[number, places, torch.tensor(whole[shared:])].sum())
    of_option = iter(values)
    return _table([[next(of_option) for _ in prompt.options] for prompt in prompts])


@torch.inference_mode()
def backbone(lm, prompts, template, batch_size, token_budget=4096):
    """Not a rival but the limit: the layers alone, on as many tokens in rows of one length."""
    total = sum(tree.n_prompt_tokens for tree in lm.encode(prompts, template))
    length = round(total / len(prompts))
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(10, 10_000, (round(total / length), length), generator=generator)
    for batch in ids.split(max(1, token_budget // length)):
        lm.model.base_model(batch, use_cache=False)


METHODS = {f.__name__: f for f in (engine, lm_eval, generate, per_option, backbone)}


def _batches(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def _table(rows):
    table = np.full((len(rows), max(map(len, rows))), -np.inf)
    for row, values in enumerate(rows):
        table[row, : len(values)] = values
    return table
