"""What a report says in words: the result, how to read it, how it was measured.

Terminal, Markdown and HTML show the same sentences. Nothing here knows their syntax.
"""

from collections.abc import Callable, Mapping
from math import exp, isnan
from typing import TYPE_CHECKING, Any

from thermometer.comparison import Difference, MethodResult, Numbers
from thermometer.metrics.intervals import Interval

if TYPE_CHECKING:
    from thermometer.reports.report import Report, TaskResult

MINUS = "\N{MINUS SIGN}"
_REST = "the other options share the rest as one temperature has it; answers stay"
METHOD_NOTES = {
    "vanilla": "the model's own confidence, temperature 1.",
    "one temperature": "fitted on the labelled tasks that the thermometer was trained on: the "
    "baseline that needs no thermometer.",
    "thermometer": "a temperature for each question, predicted without labels.",
    "thermometer, per task": "the mean of these predictions over the task's questions, "
    "used for all.",
    "Platt": f"a sigmoid of the log odds, fitted on the seen tasks; {_REST}.",
    "isotonic": f"a rising step function, fitted on the seen tasks; {_REST}.",
    "histogram binning": f"the accuracy of 15 equal-mass bins of the seen tasks; {_REST}.",
    "batch calibration": "each task's mean log-odds taken off, without labels (Zhou et al. 2023), "
    "then one temperature fitted on the seen tasks so treated; may change answers.",
    "topline (uses labels)": "the temperature that suits each task's own labels best: no method, "
    "but the most that one temperature per task can reach.",
}
METRIC_NOTES = {
    "accuracy": "no temperature changes an answer; of all methods only batch calibration may.",
    "NLL, Brier": "of the right option; lower is better. Brier is summed over options.",
    "ECE": "mean distance of confidence and accuracy over bins of equal width, closed on the "
    "right.",
    "smooth ECE": "the same without bins (Błasiok and Nakkiran 2024).",
    f"conf. {MINUS} acc.": "mean confidence minus accuracy; above zero is overconfident.",
    "gap closed": "share of the NLL gap from one temperature (0 %) to the topline (100 %). A "
    "temperature per question can pass 100 %.",
    "chance": "what the ECE would be on so few questions if the thermometer were perfectly "
    "calibrated. No method can be expected below it.",
}


def verdict(report: "Report") -> list[str]:
    """The result in sentences, as honest when it is worse."""
    n, seen = len(report.tasks), len(report.seen)
    sentences = []
    if seen:
        sentences.append(f"No test on unseen tasks: the thermometer was trained on {seen} of {n}.")
    vanilla, pooled, ours = (
        report.methods[name].mean_over_tasks for name in ("vanilla", "pooled", "thermometer")
    )
    to_vanilla = report.difference("thermometer", "vanilla")
    to_pooled = report.difference("thermometer", "pooled")
    kind = (
        ("task" if n == 1 else "tasks") if seen else ("unseen task" if n == 1 else "unseen tasks")
    )
    ece = _change("the mean task ECE (10 bins)", vanilla, ours, to_vanilla, "ece_10")
    nll = _change("the NLL", vanilla, ours, to_vanilla, "nll")
    sentences.append(f"On {n} {kind} ({report.n_rows:,} questions) {ece}, and {nll}.")
    ece = _change("the ECE", pooled, ours, to_pooled, "ece_10")
    nll = _change("the NLL", pooled, ours, to_pooled, "nll")
    sentences.append(f"Against one temperature for all tasks, {ece}, and {nll}.")
    closed = ours["gap_closed"]
    if isnan(closed.estimate):
        sentences.append(
            "Fitting each task on its own labels gains nothing: there is no gap to close."
        )
    elif closed.estimate < 0:
        sentences.append(
            "It is further from the labelled optimum of each task than one temperature is: NLL gap "
            f"closed {percent(closed.estimate)}{_between(closed, percent)}."
        )
    else:
        sentences.append(
            f"Of the NLL gap from one temperature to the labelled optimum of each task, it closes "
            f"{percent(closed.estimate)}{_between(closed, percent)}."
        )
    worse = [t for t in report.tasks if gain(t) > 0]
    if worse:
        worst = max(worse, key=gain)
        sentences.append(
            f"Its NLL is worse than vanilla's on {len(worse)} of {n}, most on {worst.task} "
            f"({signed(gain(worst))})."
        )
    other = report.methods.get("batch")
    but = f" but batch calibration ({_accuracy(other)})" if other else ""
    accuracy = _accuracy(report.methods["vanilla"])
    sentences.append(f"The accuracy is {accuracy} with every method{but}.")
    return sentences


def temperature_note(report: "Report") -> str:
    """How near the task temperatures are to the best ones."""
    ours, pooled = (
        report.methods[n].mean_over_tasks["log_ratio"].estimate for n in ("thermometer", "pooled")
    )
    bounded = [task.task for task in report.tasks if task.at_bound]
    words = []
    if not isnan(ours):
        words.append(
            "Task temperatures miss the best ones by a factor of "
            f"{exp(ours):.2f} on (geometric) average; one temperature for all, by "
            f"{exp(pooled):.2f}."
        )
    if bounded:
        words.append(
            f"Tasks without a best temperature, because the search ended at its bound (all answers "
            f"right, or scores that say nothing): {len(bounded)}. They are drawn as triangles at "
            "the edge, and not counted in that average."
        )
    return " ".join(words)


def facts(report: "Report") -> list[tuple[str, str]]:
    """How it was measured, as pairs of name and value."""
    settings = report.settings
    made = [(k, _source(report.provenance.get(k))) for k in ("features", "scores")]
    return [
        ("protocol", str(report.protocol["description"])),
        ("measured on", f"{report.n_rows:,} questions of {len(report.tasks)} tasks"),
        (
            "intervals",
            f"{percent(settings['level'])}, percentiles of {settings['n_resamples']:,} draws of "
            f"whole tasks (seed {settings['seed']}), the same draws for every method; they do not "
            "cover the chance of training. Of ECE over all questions they sit high, as ECE is "
            "biased upwards",
        ),
        *((name, source) for name, source in made if source),
        ("made with", ", ".join(f"{name} {number}" for name, number in report.versions.items())),
        ("made on", report.created),
    ]


def percent(share: float) -> str:
    """A share as whole per cent."""
    return f"{100 * share:.0f} %".replace("-", MINUS)


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.3f}".replace("-", MINUS)


def gain(task: "TaskResult") -> float:
    """NLL of the thermometer minus vanilla's; below zero it is better."""
    return task.metrics["thermometer"]["nll"] - task.metrics["vanilla"]["nll"]


def _change(what: str, old: Numbers, new: Numbers, difference: Difference, key: str) -> str:
    """'the NLL falls from 1.300 to 1.100 (−0.200, between −0.250 and −0.150)'."""
    change = difference.mean_over_tasks[key]
    verb = "falls" if change.estimate < 0 else "rises"
    before, after = f"{old[key].estimate:.3f}", f"{new[key].estimate:.3f}"
    if change.low <= 0 <= change.high:
        verb = "barely moves" if before == after else f"{verb} within chance"
    return f"{what} {verb} from {before} to {after} ({signed(change.estimate)}{_between(change)})"


def _accuracy(method: MethodResult) -> str:
    return f"{method.mean_over_tasks['accuracy'].estimate:.3f}"


def _between(interval: Interval, show: Callable[[float], str] = signed) -> str:
    if isnan(interval.low):
        return ""
    return f", between {show(interval.low)} and {show(interval.high)}"


def _source(made: Mapping[str, Any] | None) -> str:
    """A model in a few words."""
    if not isinstance(made, Mapping):
        return "" if made is None else str(made)
    words = [str(made.get("model", "unknown"))]
    words += [f"{key} {made[key]}" for key in ("revision", "dtype", "layer") if made.get(key)]
    if made.get("num_layers"):
        words.append(f"first {made['num_layers']} blocks")
    return ", ".join(words)
