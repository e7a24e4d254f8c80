"""Features and scores on a Ray cluster, as one output table.

``python examples/ray_extract.py`` starts two workers on this machine, which read five built-in
tasks with SmolLM2. On a cluster, call `ray.init("auto")`, read the questions from where all of it
can (`ray.data.read_json`), and give each worker a GPU: ``num_gpus=1``.
"""

import sys
from pathlib import Path

import thermometer as th
from thermometer.adapters.tables import Extractor, write_table
from thermometer.tasks import question_row


def main(tasks: list[th.Task], out: Path, model: str = "bundled:smollm2") -> th.OutputTable:
    """Extract by two workers; rows come in any order, so the order that is wanted is told."""
    import ray

    template = th.Template("cloze")
    rows = [question_row(q, task.name) for task in tasks for q in task.questions]
    ray.init(num_cpus=3, include_dashboard=False)  # one CPU for each worker and one for Ray Data
    try:
        done = ray.data.from_items([{"answer": -1, **row} for row in rows]).map_batches(
            Extractor,
            fn_constructor_args=(model,),
            fn_constructor_kwargs={"template": template, "dtype": "float32"},
            compute=ray.data.ActorPoolStrategy(size=2),
            batch_size=64,
            num_cpus=1,
        )
        batches = done.iter_batches(batch_size=1024)
        return write_table(batches, out, order=[row["id"] for row in rows])
    finally:
        ray.shutdown()


if __name__ == "__main__":
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs/ray")
    print(main(th.load_tasks("builtin:capitals", limit=40), folder))
