"""Make recorded MMLU scores fit for `configs/mmlu_methods.yaml`, with features of a small model.

    .venv/bin/python benchmarks/prepare_recorded.py ../shared/data/recorded outputs/recorded

writes questions.jsonl, one Parquet file of scores per model, and two tables of features: hidden
states of SmolLM2-135M (first 12 of 30 blocks, letter prompts) at the last token of the prompt, and
their means over the prompt (features-mean); 15 minutes each on a core. In the source
69 rows stand twice under one id (the same question was matched twice): the second gets an id of its
own, so that all 9,964 rows are kept, as in the published figures. Options that repeat another
option, or are empty, get a word that tells them apart; they are shown to the small model only.
"""

import argparse
import gzip
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import thermometer as th


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorded", type=Path, help="the folder with options/ and questions/")
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = sorted((arguments.recorded / "options" / "mmlu").glob("*.parquet"))
    for file in files:
        table = pq.read_table(file)
        ids = numbered(table["id"].to_pylist())
        table = table.set_column(table.column_names.index("id"), "id", pa.array(ids))
        pq.write_table(table, arguments.out / file.name)
    with gzip.open(arguments.recorded / "questions" / "mmlu.jsonl.gz", "rt") as lines:
        questions = {row["id"]: row for row in map(json.loads, lines)}
    with (arguments.out / "questions.jsonl").open("w") as out:
        for identifier in ids:
            row = questions[identifier.split("#")[0]]
            row = {**row, "id": identifier, "choices": different(row["choices"])}
            out.write(json.dumps(row) + "\n")
    print(f"{len(ids)} questions, {len(files)} models: {arguments.out}")
    tasks = th.load_tasks(str(arguments.out / "questions.jsonl"))
    for name, position in (("features", "last"), ("features-mean", "mean")):
        small = th.LanguageModel.from_pretrained(
            "bundled:smollm2", dtype="bfloat16", num_layers=12, position=position
        )
        folder, letters = arguments.out / name, th.Template("letter")
        print(th.extract(small, tasks, folder, template=letters, scores=False))


def numbered(ids: list[str]) -> list[str]:
    """The same ids, the second `x` as `x#2`."""
    seen: Counter[str] = Counter()
    unique = []
    for identifier in ids:
        seen[identifier] += 1
        times = seen[identifier]
        unique.append(identifier if times == 1 else f"{identifier}#{times}")
    return unique


def different(choices: list[str]) -> list[str]:
    """The same texts, repeated and empty ones marked."""
    kept: list[str] = []
    for choice in choices:
        text = choice if choice.strip() else "(empty)"
        while text in kept:
            text += " (again)"
        kept.append(text)
    return kept


if __name__ == "__main__":
    main()
