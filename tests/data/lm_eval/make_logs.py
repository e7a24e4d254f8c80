"""Makes the logs beside it: lm-evaluation-harness 0.4.13 measures SmolLM2 on tasks written here.

See README.md. The questions are read off the logs that it replaces, the blanks are made up.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import yaml

import thermometer as th

HERE = Path(__file__).parent
MODEL = "SmolLM2-135M-Instruct"
FACTS = ("antonyms/verbs", "capitals/europe", "categories/animals", "plurals/things")
RUNS = {"facts": "facts", "others": "animals_letters,antonyms_mutual,blanks,plurals_written"}
QUESTION = "Question: {{question}}\nAnswer:"
LETTERS = "{{question}}\n{% for c in choices %}{{'ABCDE'[loop.index0]}}. {{c}}\n{% endfor %}Answer:"
BLANKS = [
    ("The pot did not fit into the box because the _ was too large.", "pot", "box", 0),
    ("The pot did not fit into the box because the _ was too small.", "pot", "box", 1),
    ("Ann thanked Beth since _ had got a present.", "Ann", "Beth", 0),
    ("Ann thanked Beth since _ had given a present.", "Ann", "Beth", 1),
    ("The truck overtook the bus, for the _ was slow.", "truck", "bus", 1),
    ("The truck overtook the bus, for the _ was fast.", "truck", "bus", 0),
    ("Water ran from the jug into the cup until the _ was empty.", "jug", "cup", 0),
    ("Water ran from the jug into the cup until the _ was full.", "jug", "cup", 1),
]


def metrics(*names):
    return [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in names]


def questions(name):
    (log,) = (HERE / "facts" / MODEL).glob(f"samples_{name.replace('/', '_')}_*.jsonl")
    return [json.loads(line)["doc"] for line in log.read_text(encoding="utf-8").splitlines()]


def tasks():
    """Rows and settings of each task; what lm-eval writes differs between them."""
    rows = {name: questions(name) for name in FACTS}
    choice = {"output_type": "multiple_choice", "doc_to_target": "label"}
    cloze = {
        **choice,
        "doc_to_text": QUESTION,
        "doc_to_choice": "choices",
        "metric_list": metrics("acc", "acc_norm", "acc_bytes"),
    }
    for name in FACTS:
        yield name.replace("/", "_"), rows[name], cloze
    letters = {
        **choice,
        "doc_to_target": "{{'ABCDE'[label]}}",
        "doc_to_text": LETTERS,
        "doc_to_choice": "{{['A', 'B', 'C', 'D', 'E'][:choices|length]}}",
        "num_fewshot": 2,
        "fewshot_split": "test",
        "metric_list": metrics("acc"),
    }
    yield "animals_letters", rows["categories/animals"], letters
    known = {
        **cloze,
        "metric_list": [{"metric": "brier_score"}, *metrics("acc_mutual_info", "acc")],
    }
    said = {**known, "doc_to_target": "{{choices[label]}}"}
    yield "antonyms_mutual", rows["antonyms/verbs"][:6], said
    blanks = {
        "output_type": "multiple_choice",
        "doc_to_text": "label",
        "doc_to_choice": "{{[text.split('_')[0] + first, text.split('_')[0] + second]}}",
        "doc_to_target": "{{text.split('_')[1].strip()}}",
        "metric_list": metrics("acc"),
    }
    named = ("text", "first", "second", "label")
    yield "blanks", [dict(zip(named, row, strict=True)) for row in BLANKS], blanks
    written = {
        "output_type": "generate_until",
        "doc_to_text": QUESTION,
        "doc_to_target": "{{choices[label]}}",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
        "metric_list": metrics("exact_match"),
    }
    yield "plurals_written", rows["plurals/things"][:2], written


def main():
    assert version("lm_eval") == "0.4.13"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = folder / "tasks"
        made.mkdir()
        for task, rows, settings in tasks():
            lines = "\n".join(json.dumps(row) for row in rows) + "\n"
            (made / f"{task}.jsonl").write_text(lines)
            source = {
                "dataset_path": "json",
                "dataset_kwargs": {"data_files": {"test": f"tasks/{task}.jsonl"}},
                "test_split": "test",
            }
            (made / f"{task}.yaml").write_text(yaml.safe_dump({"task": task, **source, **settings}))
        facts = [name.replace("/", "_") for name in FACTS]
        group = {"group": "facts", "task": facts, "aggregate_metric_list": metrics("acc")}
        group["aggregate_metric_list"][0].pop("higher_is_better")
        (made / "facts.yaml").write_text(yaml.safe_dump(group))
        lm = th.LanguageModel.from_pretrained("bundled:smollm2", dtype="float32")
        lm.model.save_pretrained(folder / MODEL)
        lm.tokenizer.save_pretrained(folder / MODEL)
        for run, names in RUNS.items():
            command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu"]
            command += ["--model_args", f"pretrained={MODEL},dtype=float32", "--batch_size", "8"]
            command += ["--include_path", "tasks", "--tasks", names]
            command += ["--output_path", run, "--log_samples"]
            subprocess.run(command, cwd=folder, check=True)
            shutil.rmtree(HERE / run, ignore_errors=True)
            shutil.copytree(folder / run, HERE / run)


if __name__ == "__main__":
    main()
