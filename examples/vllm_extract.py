"""Tables of features and scores by vLLM, for models that need its tensor parallelism or speed.

``python examples/vllm_extract.py questions.jsonl --model meta-llama/Llama-3.1-8B-Instruct --out
outputs/scores`` writes the letters' scores; with ``--features`` the last hidden states instead,
from vLLM's pooling runner. Join the two: ``thermometer merge outputs/features outputs/scores --out
outputs/both``. UNTESTED inside vLLM (0.33.0 was read, and needs a GPU); what it does with vLLM's
responses is tested. Compare a few rows with `thermometer extract` before you trust it.
"""

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from transformers import AutoTokenizer

import thermometer as th
from thermometer.adapters import vllm as tables
from thermometer.adapters.tables import write_table
from thermometer.tokenization import encode_prompts


def batches(args: argparse.Namespace, template: th.Template) -> Iterator[Mapping[str, Any]]:
    """One batch per task."""
    from vllm import LLM, PoolingParams, SamplingParams
    from vllm.config import PoolerConfig

    engine: dict[str, Any] = {"tensor_parallel_size": args.tensor_parallel}
    if args.features:  # the hidden state of the last token after the final norm, as it is
        pooler = PoolerConfig(seq_pooling_type="LAST", use_activation=False)
        engine |= {"runner": "pooling", "convert": "embed", "pooler_config": pooler}
    llm, tokenizer = LLM(args.model, **engine), AutoTokenizer.from_pretrained(args.model)
    for task in th.load_tasks(args.questions):
        trees = encode_prompts(tokenizer, template.render_task(task))
        if args.features:
            params = PoolingParams(use_activation=False)
            prompts = [tables.feature_prompt(tree) for tree in trees]
            pooled = llm.encode(prompts, params, pooling_task="embed")
            yield tables.batch_of(task, trees, pooled=pooled)
        else:
            asked = [SamplingParams(**tables.score_params(tree)) for tree in trees]
            scored = llm.generate([tables.score_prompt(tree) for tree in trees], asked)
            yield tables.batch_of(task, trees, scored=scored)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("questions")
    parser.add_argument("--model", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--features", action="store_true")
    parser.add_argument("--tensor_parallel", type=int, default=1)
    arguments, letters = parser.parse_args(), th.Template()
    product = "features" if arguments.features else "scores"
    made_by = {product: tables.provenance(arguments.model, letters)}
    print(write_table(batches(arguments, letters), arguments.out, provenance=made_by))
