"""Logs of lm-evaluation-harness: import, measure, and calibrate a task that was left out.

``python examples/lm_eval_logs.py [LOGS] [FOLDER]``. No language model is needed. The logs that come
with the tests are tiny: they show the steps, not what a thermometer can do.
"""

import sys

import thermometer as th
from thermometer.adapters.lm_eval import import_lm_eval


def main(logs: str, folder: str) -> None:
    """Write the table and a report to `folder`."""
    table = import_lm_eval(logs, f"{folder}/table")
    print(table)

    confidence = th.scale_scores(table.scores, 1.0).max(axis=1)
    correct = table.scores.argmax(axis=1) == table.labels
    report = th.measure(confidence, correct, by={"task": table.tasks}, title="As it is")
    report.print()
    report.write(f"{folder}/report")

    left_out = table.task_names[-1]  # the thermometer never sees this task
    seen, unseen = table.tasks != left_out, table.tasks == left_out
    network, training = th.ThermometerConfig.scores_only(), th.TrainingConfig(max_steps=50)
    calibrator = th.train(
        table.select(seen), network, training, trainer={"enable_progress_bar": False}
    )
    result = calibrator.calibrate(table.select(unseen))  # its labels are not read
    print(
        f"{left_out}: accuracy {correct[unseen].mean():.2f}, mean confidence "
        f"{confidence[unseen].mean():.2f} as it is, {result.confidence.mean():.2f} calibrated "
        f"(temperature {result.task_temperature:.2f}, from {seen.sum()} questions of other tasks)"
    )
    calibrator.save_pretrained(f"{folder}/checkpoint")


if __name__ == "__main__":
    main(*(sys.argv[1:] + ["tests/data/lm_eval", "outputs/lm_eval"][len(sys.argv) - 1 :]))
