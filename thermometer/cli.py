"""The command line: stages of an `Experiment`, a `Study`, and functions of their own."""

import json
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from thermometer import __version__, table_files
from thermometer.calibrated_lm import CalibratedLM
from thermometer.calibrator import Calibrator, Level
from thermometer.experiment import Experiment, ModelSpec
from thermometer.report_command import report
from thermometer.study import Study
from thermometer.tasks import TaskSource, load_tasks
from thermometer.types import Calibration, Task

_STAGES = {
    "run": "extract, measure on unseen tasks, train, write report and checkpoint",
    "extract": "write the tables of features and scores (resumes)",
    "train": "train on all tasks and write the checkpoint",
    "evaluate": "measure on unseen tasks and write the report",
}
_COMPARE = "compare methods on recorded scores: unseen tasks, few labels, other models"


class _Parser(ArgumentParser):  # type: ignore[misc]
    """Says what is wrong in one line, not after a page of all options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with status 2, as is usual for a mistake on the command line."""
        print(_line(f"{message} (see {self.prog} --help)"), file=sys.stderr)  # noqa: T201
        sys.exit(2)


def calibrate(
    checkpoint: str,
    tasks: TaskSource,
    out: str,
    scores: ModelSpec | None = None,
    level: Level = "sample",
) -> None:
    """Predict temperatures for new tasks and, if a model is given, calibrated probabilities.

    Args:
        checkpoint: Folder or hub id of a trained thermometer.
        tasks: Questions; labels are not needed.
        out: JSON lines to write, one per question.
        scores: The answering model.
        level: Divide each question's scores by its own temperature or by its task's.
    """
    calibrator = Calibrator.from_pretrained(checkpoint)
    large = None if scores is None else CalibratedLM(scores.load(), calibrator)
    rows = []
    for task in load_tasks(tasks):
        result = calibrator.calibrate(task) if large is None else large.calibrate(task, level=level)
        rows += _rows(task, result)
    table_files.write_text(Path(out), "\n".join(json.dumps(row) for row in rows) + "\n")
    print(f"{len(rows)} questions calibrated: {out}")  # noqa: T201


_FUNCTIONS: dict[str, tuple[Callable[..., None], str]] = {
    "calibrate": (calibrate, "apply a checkpoint to new questions"),
    "report": (report, "measure confidences of a file or folder: numbers, pictures, segments"),
}
_OWN: dict[str, dict[str, dict[str, Any]]] = {  # arguments that are not of the form --name VALUE
    "report": {
        "source": {
            "type": str,
            "help": "a .csv, .jsonl or .parquet file, folder of an output table, or report.json",
        },
        "--terminal": {"action": "store_true", "help": "draw the pictures in the terminal, too"},
        "--skip_empty": {"action": "store_true", "help": "leave out rows with an empty number"},
    }
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `thermometer` command."""
    command, fields = parse(arguments)
    if command in _FUNCTIONS:
        with _plain_errors():
            _FUNCTIONS[command][0](**fields)
        return
    with _plain_errors(TypeError):  # types are the user's only until the work begins
        if command == "compare":
            work = Study(**fields).run
        else:
            work = getattr(Experiment(**fields), command)
    with _plain_errors():
        work()


def parse(arguments: Sequence[str] | None = None) -> tuple[str, dict[str, Any]]:
    """Which command is asked for, and the arguments of its function or class."""
    parser = _Parser(prog="thermometer", description=__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=_versions())
    commands = parser.add_subcommands(metavar="command")
    for name, text in _STAGES.items():
        commands.add_subcommand(name, _class_parser(Experiment, text), help=text)
    commands.add_subcommand("compare", _class_parser(Study, _COMPARE), help=_COMPARE)
    for name, (_, text) in _FUNCTIONS.items():
        commands.add_subcommand(name, _function_parser(name), help=text)
    parsed = parser.parse_args(arguments)
    with _plain_errors(TypeError):
        return parsed.subcommand, _fields(parser.instantiate(parsed)[parsed.subcommand])


def train_main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``train.py``: the `train` command."""
    main(["train", *(sys.argv[1:] if arguments is None else arguments)])


def _class_parser(kind: type, description: str) -> ArgumentParser:
    parser = _Parser(description=description)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file; see configs/")
    parser.add_class_arguments(kind, as_positional=False)
    return parser


def _function_parser(name: str) -> ArgumentParser:
    function, text = _FUNCTIONS[name]
    parser = _Parser(description=text)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file of these options")
    own = _OWN.get(name, {})
    for flag, keywords in own.items():
        parser.add_argument(flag, **keywords)
    skip = {flag.removeprefix("--") for flag in own}
    parser.add_function_arguments(function, as_positional=False, skip=skip)
    return parser


def _fields(chosen: Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(chosen).items() if name != "config"}


def _rows(task: Task, result: Calibration) -> list[dict[str, Any]]:
    rows = []
    for number, question in enumerate(task.questions):
        row: dict[str, Any] = {
            "id": question.id,
            "task": task.name,
            "temperature": float(result.temperature[number]),
            "task_temperature": result.task_temperature,
        }
        if result.probs is not None:
            row["answer"] = int(result.prediction[number])
            row["confidence"] = float(result.confidence[number])
            row["probs"] = result.probs[number, : len(question.options)].tolist()
        rows.append(row)
    return rows


@contextmanager
def _plain_errors(*more: type[Exception]) -> Iterator[None]:
    """Show what the user can mend as one line; anything else keeps its traceback."""
    kinds: tuple[type[Exception], ...] = (ValueError, OSError, ImportError, *more)
    try:
        yield
    except kinds as error:
        sys.exit(_line(str(error)))


def _line(message: str) -> str:
    return f"thermometer: error: {' '.join(message.split())}"


def _versions() -> str:
    lines = [f"thermometer {__version__}", f"python {platform.python_version()}"]
    for package in ("torch", "lightning", "transformers", "datasets", "numpy"):
        try:
            lines.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package} missing")
    return ", ".join(lines)
