"""One language model, eight threads: ``python tests/fuzz/threads.py --calls 100000 --seed 1``.

Every call must say what it says alone. Threads pause at random between calls and inside the blocks
of the model, since threads in lockstep hide what they share. A few calls run with the tests;
docs/reliability.md has the result of the last long run. Ends with 1 if a call differs.
"""

import argparse
import json
import random
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch
from rich.progress import Progress

from thermometer import LanguageModel, Question, Task, Template

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]
import tiny  # noqa: E402

MARGIN = 1e-3
"""Largest difference of a score or feature from the same call alone."""
TEMPLATE = Template("cloze")
WORDS = (
    "apple",
    "river",
    "stone",
    "cloud",
    "engine",
    "violin",
    "copper",
    "winter",
    "garden",
    "oak",
)
SHARED = " ".join(WORDS[i * 7 % 9] for i in range(40))
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}


def models(kinds=("llama",)):
    """Language models whose features are last hidden states, those of a middle block, or a mean."""
    for kind in kinds:
        sizes = SMALL if kind == "llama" else {}
        for options in ({}, {"layer": 1}, {"position": "mean"}):
            model = tiny.model(kind, **sizes)
            yield LanguageModel(model, tiny.tokenizer(), name=kind, token_budget=512, **options)


def batches():
    """Prompts that share a beginning, several, or none: what a call keeps differs between them."""
    for k in range(8):
        beginning = SHARED[k % 3 :] if k % 2 else WORDS[k]
        words = WORDS[k % 3 : k % 3 + 3 + k % 4]
        texts = [f"{beginning if i < 3 + k % 3 else 'Now'} {word}?" for i, word in enumerate(words)]
        questions = [
            Question(f"q{i}", text, ("yes", "no", "perhaps")) for i, text in enumerate(texts)
        ]
        yield TEMPLATE.render_task(Task(f"t{k}", tuple(questions)))


def difference(found, expected):
    """Largest difference of two outputs."""
    apart = 0.0
    for name in ("features", "scores", "option_mass"):
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None) == (b is None)
        if a is not None:
            apart = max(apart, float(np.abs(a - b).max()))
    return apart


def together(jobs, calls, seed, n_threads=8, pause=0.001, tell=lambda: None):
    """What `calls` calls of random jobs, in threads, returned: a list of (job, result or error)."""
    results = [[] for _ in range(n_threads)]

    def go(number):
        rng = random.Random(f"{seed} {number}")
        for _ in range(calls // n_threads + (number < calls % n_threads)):
            time.sleep(rng.random() * pause)
            name = rng.randrange(len(jobs))
            try:
                results[number].append((name, jobs[name]()))
            except Exception as error:
                results[number].append((name, error))
            tell()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=go, args=(number,)) for number in range(n_threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    return [one for of_thread in results for one in of_thread]


def pausing(model, seed, longest=0.0005):
    """Let every block of a model wait now and then, so that other threads come in between."""
    rng = random.Random(seed)

    def wait(*_):
        if rng.random() < 0.1:
            time.sleep(rng.random() * longest)

    layers = next(m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    return [layer.register_forward_hook(wait) for layer in layers]


def soak(lms, calls, seed, tell=lambda: None):
    """Calls, those that failed or differ, and the largest difference."""
    wrong, largest, errors = 0, 0.0, set()
    for lm in lms:
        jobs = []
        for prompts in batches():
            for features, scores in ((True, True), (True, False), (False, True)):
                wanted = {"features": features, "scores": scores}
                jobs.append(lambda p=prompts, w=wanted, lm=lm: lm.outputs(p, TEMPLATE, **w))
        alone = [job() for job in jobs]
        hooks = pausing(lm.model, seed)
        measured = [
            lambda job=job, expected=expected: difference(job(), expected)
            for job, expected in zip(jobs, alone, strict=True)
        ]
        for _, apart in together(measured, calls // len(lms), seed, tell=tell):
            if isinstance(apart, Exception):
                errors.add(repr(apart)[:200])
                wrong += 1
            else:
                wrong += apart > MARGIN
                largest = max(largest, apart)
        for hook in hooks:
            hook.remove()
    return {"calls": calls // len(lms) * len(lms), "wrong": wrong, "largest": largest} | (
        {"errors": sorted(errors)} if errors else {}
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--kinds", nargs="+", default=["llama"], help="of models, see tests/tiny.py"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    start = time.process_time()
    with Progress() as bar:
        shown = bar.add_task("calls", total=given.calls)
        found = soak(list(models(given.kinds)), given.calls, given.seed, lambda: bar.advance(shown))
    seconds = round(time.process_time() - start, 1)
    print(json.dumps({**found, "cpu_seconds": seconds}))
    return int(found["wrong"] > 0)


if __name__ == "__main__":
    sys.exit(main())
