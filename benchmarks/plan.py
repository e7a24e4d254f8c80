"""What the plan of an extraction saves: shared prefixes and padding, counted without a model.

.venv/bin/python benchmarks/plan.py --data ../shared/data          # 2 minutes on one core

The tokens are those of SmolLM2; the model that plans is a random one of two narrow blocks, which
computes nothing here. 4,096 tokens a pass.
"""

import argparse
import itertools
import time
from pathlib import Path

import transformers

import thermometer as th
from thermometer.loading import _locate

SETS = (  # file, template, tasks at most
    ("mmlu", th.Template(), None),
    ("mmlu", th.Template(shots=4), 20),  # one subject has only four demonstrations
    ("mmlu", th.Template("cloze"), None),
    ("agieval", th.Template(), None),
    ("logicbench", th.Template(), None),
    ("bbq", th.Template(), None),
    ("bigbench", th.Template("cloze"), None),
    ("bbeh", th.Template(), None),
    ("boolq", th.Template(), None),
)
BUDGET = 4096


def planner():
    folder, file = _locate("bundled:smollm2", None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=8192,
    )
    model = transformers.AutoModelForCausalLM.from_config(config)
    return th.LanguageModel(model, tokenizer, name="planner", token_budget=BUDGET)


def count(trees, units):
    """Tokens of the input, tokens to compute, and these with padding."""
    needed = computed = 0
    for prefixes, several in itertools.groupby(units, key=lambda unit: unit.prefixes):
        sizes = [size for _, size in prefixes]
        needed += sum(sizes)
        computed += len(sizes) * max(sizes, default=0)
        for unit in several:
            shared = unit.shared or [0] * len(unit)
            own = [trees[i].n_tokens - n for i, n in zip(unit.rows, shared, strict=True)]
            needed += sum(own)
            computed += len(own) * max(own)
    return sum(tree.n_tokens for tree in trees), needed, computed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    lm = planner()
    print("| prompts | questions | tokens | reused | padding | tokenised in | planned in |")
    print("| --- | --: | --: | --: | --: | --: | --: |")
    for name, template, limit in SETS:
        shots = {"split": "test", "demonstrations": "dev"} if name == "mmlu" else {}
        tasks = th.load_tasks(str(data / f"{name}.jsonl.gz"), **shots)[:limit]
        prompts = [prompt for task in tasks for prompt in template.render_task(task)]
        start = time.process_time()
        trees = lm.encode(prompts, template)
        tokenised = time.process_time()
        units = lm.plan(trees, scores=True)
        planned = time.process_time()
        tokens, needed, computed = count(trees, units)
        print(
            f"| {name}, {template.style}, {template.shots} shots | {len(trees):,} | {tokens:,} "
            f"| {1 - needed / tokens:.0%} | {1 - needed / computed:.1%} "
            f"| {tokenised - start:.1f} s | {planned - tokenised:.2f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
