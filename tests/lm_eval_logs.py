"""Logs of lm-evaluation-harness for tests: real ones, changed ones, and made-up ones."""

import json
import shutil
from pathlib import Path

LOGS = Path(__file__).parent / "data" / "lm_eval"
STAMP = "2026-01-02T03-04-05.678901"


def only(folder, task):
    """A folder with one task of the real logs."""
    folder.mkdir()
    (samples,) = LOGS.rglob(f"samples_{task}_2*.jsonl")
    (results,) = samples.parent.glob("results_*.json")
    for path in (samples, results):
        shutil.copy(path, folder)
    return folder / samples.name, folder / results.name


def edit_line(path, number, change):
    lines = path.read_text().splitlines()
    row = json.loads(lines[number])
    change(row)
    lines[number] = json.dumps(row)
    path.write_text("\n".join(lines) + "\n")


def edit_results(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def write_log(folder, way, docs, flip=None):
    """What lm-eval would have written; the accuracy of document `flip` is turned round."""
    lines = []
    for number, (scores, label) in enumerate(docs):
        options = [f"option {7 * k + 10}" for k in range(len(scores))]
        inside = way == "context"
        asked = [
            (f"It is {text}" if inside else "What?", " so." if inside else f" {text}")
            for text in options
        ]
        right = float(max(range(len(scores)), key=scores.__getitem__) == label)
        target = {"index": label, "context": "so."}.get(way, options[label])
        row = {
            "doc_id": number,
            "target": str((label + 1) % len(scores) if way == "metric" else target),
            "arguments": {
                f"gen_args_{k}": {"arg_0": a, "arg_1": b} for k, (a, b) in enumerate(asked)
            },
            "filtered_resps": [[str(value), "False"] for value in scores],
            "filter": "none",
            "acc": 1 - right if number == flip else right,
        }
        if way == "metric":
            row["brier_score"] = [label, "[0.5 0.5]"]
        lines.append(row)
    folder.mkdir()
    (folder / f"samples_made_{STAMP}.jsonl").write_text("\n".join(map(json.dumps, lines)))
    mean = sum(row["acc"] for row in lines) / len(lines)
    results = {"results": {"made": {"acc,none": mean}}, "model_name": "m"}
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))
