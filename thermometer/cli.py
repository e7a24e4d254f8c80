"""The command line: stages of an `Experiment`, and functions of their own.

Only the module of the command that is asked for is imported, so that `measure`, which needs no
language model, does not wait for the libraries of one.
"""

import re
import sys
from argparse import SUPPRESS, Action
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ActionConfigFile, ArgumentParser, Namespace

from thermometer import _checks, _files


@dataclass(frozen=True)
class _Command:
    """What a command does: a stage of `Experiment`, or the function of its name in a module.

    Args:
        text: For the list of commands.
        module: Of the package.
        own: Arguments that are not of the form --name VALUE, by flag.
        resumes: Whether the same command goes on with what an interrupted one left on disk.
    """

    text: str
    module: str = "experiment"
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    resumes: bool = False

    def find(self, name: str) -> Callable[..., Any]:
        """The class whose fields are the arguments, or the function."""
        attribute = "Experiment" if self.module == "experiment" else name.replace("-", "_")
        found: Callable[..., Any] = getattr(import_module(f"thermometer.{self.module}"), attribute)
        return found


_ABOUT = "Confidence of a language model that one can believe, on tasks without labels."
COMMANDS = {
    "run": _Command(
        "extract, measure on unseen tasks, train, write report and checkpoint", resumes=True
    ),
    "extract": _Command("write the tables of features and scores (resumes)", resumes=True),
    "train": _Command("train on all tasks and write the checkpoint", resumes=True),
    "evaluate": _Command("measure on unseen tasks and write the report", resumes=True),
    "calibrate": _Command("apply a checkpoint to new questions", "commands"),
    "verify-tasks": _Command(
        "answer free-form questions and judge the answers: training data (resumes)",
        "commands",
        resumes=True,
    ),
    "answer": _Command(
        "answer free-form questions with a calibrated confidence (resumes)",
        "commands",
        own={"questions": {"type": str, "help": "JSON lines, or a folder or pattern of them"}},
        resumes=True,
    ),
    "import-lm-eval": _Command(
        "turn logs of lm-evaluation-harness into an output table",
        "table_commands",
        own={"source": {"type": str, "help": "folder of lm_eval, or a results_….json in it"}},
    ),
    "import-logprobs": _Command(
        "turn responses of an API into an output table",
        "table_commands",
        own={"--strict": {"action": "store_true", "help": "stop at one that holds no answer"}},
    ),
    "measure": _Command(
        "measure confidences of a file or folder: numbers, pictures, segments",
        "table_commands",
        own={
            "source": {
                "type": str,
                "help": "a .csv, .jsonl or .parquet file, folder of an output table, "
                "or report.json",
            },
            "--terminal": {"action": "store_true", "help": "draw the pictures in the terminal"},
            "--skip_empty": {"action": "store_true", "help": "leave out rows with an empty number"},
        },
    ),
    "merge": _Command(
        "make output tables of several machines or programs one",
        "table_commands",
        own={
            "folders": {"nargs": "+", "type": str, "help": "finished output tables"},
            "--allow_missing": {
                "action": "store_true",
                "help": "merge although questions are missing, and write them to missing.jsonl",
            },
        },
    ),
    "monitor": _Command(
        "show a monitor: alarms, calibration in use, drift",
        "table_commands",
        own={"source": {"type": str, "help": "the SQLite file of a Monitor"}},
    ),
}


_FIRST = {
    "tasks": "source",
    "large": "model",
    "scores": "table",
    "small": "model",
    "features": "table",
    "reference": "model",
    "reference_scores": "table",
    "template": "style",
    "protocol": "folds",
}
"""A field of each argument that has fields, to tell how they are given."""


class _Parser(ArgumentParser):  # type: ignore[misc]
    """Says what is wrong in one line, not after a page of all options."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Exit with status 2, as is usual for a mistake on the command line."""
        if not self.exit_on_error:  # a parser of a value, whose key the outer one names
            super().error(message, ex)
        parser = getattr(ex, "subcommand_parser", None) or self
        see = f"see {parser.prog.replace('[options] ', '')} --help"
        print(_line(f"{_plain(message)} ({see})"), file=sys.stderr)  # noqa: T201
        sys.exit(2)


class _Version(Action):
    """Print versions and machine when asked, and only then look for them."""

    def __call__(self, *_: object) -> NoReturn:
        print(_files.description())  # noqa: T201
        sys.exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `thermometer` command; an interrupt ends it with status 130."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        _run(given)
    except KeyboardInterrupt:
        command = COMMANDS.get(given[0]) if given else None
        resumes = command is not None and command.resumes
        more = "; the same command goes on with what is on disk" if resumes else ""
        print(f"\nthermometer: stopped{more}", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def _run(arguments: Sequence[str]) -> None:
    name, fields = parse(arguments)
    found = COMMANDS[name].find(name)
    work = partial(found, **fields)
    if isinstance(found, type):
        with _plain_errors(TypeError):  # types are the user's only until the work begins
            work = getattr(work(), name)
    with _plain_errors():
        work()


def parse(arguments: Sequence[str] | None = None) -> tuple[str, dict[str, Any]]:
    """Which command is asked for, and the arguments of its function or class."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = _Parser(prog="thermometer", description=_ABOUT, allow_abbrev=False)
    parser.add_argument(
        "--version", action=_Version, nargs=0, default=SUPPRESS, help="what a bug report needs"
    )
    commands = parser.add_subcommands(metavar="command")
    asked = next((word for word in given if word in COMMANDS), "")
    for name, command in COMMANDS.items():
        with _plain_errors():  # of imports
            inner = command_parser(name) if name == asked else _Parser()
        commands.add_subcommand(name, inner, help=command.text)
    with _plain_errors():
        _check_configs(given)
    parsed = parser.parse_args(given)
    for name, value in vars(parsed[parsed.subcommand]).items():
        if name in ("protocol", "template") and not isinstance(value, Namespace | None):
            parser.error(_fields(name))
    with _plain_errors(TypeError):
        chosen = vars(parser.instantiate(parsed)[parsed.subcommand])
    return parsed.subcommand, {key: value for key, value in chosen.items() if key != "config"}


def train_main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of ``train.py``: the `train` command."""
    main(["train", *(sys.argv[1:] if arguments is None else arguments)])


def command_parser(name: str) -> ArgumentParser:
    """The parser of a command's arguments."""
    command = COMMANDS[name]
    found = command.find(name)
    parser = _Parser(description=command.text)
    parser.add_argument("--config", action=ActionConfigFile, help="a YAML file; see configs/")
    for flag, keywords in command.own.items():
        parser.add_argument(flag, **keywords)
    if isinstance(found, type):
        parser.add_class_arguments(found, as_positional=False)
        _shorten(parser)
    else:
        skip = {flag.removeprefix("--") for flag in command.own}
        parser.add_function_arguments(found, as_positional=False, skip=skip)
    return parser


def _shorten(parser: ArgumentParser) -> None:
    """Leave out of an experiment's help what it says elsewhere: --small.help has all fields."""
    parser.usage = "thermometer [options] COMMAND --config CONFIG [--FIELD VALUE ...]"
    for action in parser._actions:
        if action.dest == "print_config":
            action.help = "print all fields as YAML and exit"
        elif action.dest in ("template", "protocol"):
            action.help = SUPPRESS  # a whole section from a file
        elif action.option_strings[:1] in (["--large.help"], ["--reference.help"]):
            action.help = SUPPRESS  # as of `small`
        elif action.option_strings[:1] in (["--features.help"], ["--reference_scores.help"]):
            action.help = SUPPRESS  # as of `scores`


def _check_configs(given: Sequence[str]) -> None:
    """Refuse a config that is no text, which the parser would not name."""
    for flag, following in zip(given, [*given, ""][1:], strict=True):
        name, equals, value = flag.partition("=")
        path = Path(value if equals else following)
        if name == "--config" and path.is_file():
            _files.read_text(path)


@contextmanager
def _plain_errors(*more: type[Exception]) -> Iterator[None]:
    """Show what the user can mend as one line; anything else keeps its traceback."""
    kinds: tuple[type[Exception], ...] = (ValueError, OSError, ImportError, *more)
    try:
        yield
    except kinds as error:
        sys.exit(_line(str(error)))


_UNION = (
    r'Parser key "([\w.]+)": Does not validate against any of the Union subtypes Subtypes: .*? '
    r"Errors: - (.*) Given value type: .*?( Given value: .*)"
)
"""What the parser says where one of several types is meant, each with what is wrong about it."""


def _plain(message: str) -> str:
    """What the parser says of a value, without the types that it tried, and the flag as typed.

    Example:
        >>> _plain(
        ...     'Parser key "folds": Does not validate against any of the Union subtypes Subtypes: '
        ...     "[int, <class 'NoneType'>] Errors: - Expected a <class 'int'> - Expected a <class "
        ...     "'NoneType'> Given value type: <class 'str'> Given value: two"
        ... )
        '--folds: Expected an int. Given value: two'
        >>> _plain('Parser key "tasks": Unable to load config "a.jsonl"')
        '--tasks: Expected its fields one by one, as in --tasks.source VALUE, or in a \
config tasks: {source: VALUE}'
        >>> _plain("the following arguments are required: measure.source, merge.out_dir")
        'the following arguments are required: source, --out_dir'
    """
    flat = re.sub(r"<class '([\w.]+)'>", r"\1", " ".join(message.split()))
    if flat.startswith("the following arguments are required: "):
        return re.sub(r"\b([\w-]+)\.([\w.]+)", _flag, flat)
    field = r"Problem with given class_path 'thermometer\.[\w.]+': (.*) - Expected a NoneType"
    within = ""
    while (found := re.fullmatch(_UNION, flat)) and (inner := re.fullmatch(field, found[2])):
        within, flat = f"{within}{found[1]}.", inner[1]
    if found is not None:
        tried = [why for why in found[2].split(" - ") if "NoneType" not in why]
        flat = f'Parser key "{found[1]}": {" or ".join(tried)}.{found[3]}'
    flat = re.sub(r"Option '([\w.]+)' is not accepted", r'Parser key "\1": No such field', flat)
    flat = re.sub(r"a typing\.Literal\[([^]]*)\]", r"one of \1", flat).replace("a int", "an int")
    key = re.match(r'Parser key "([\w.]+)": (.*)', flat)
    if key is None:
        return flat
    name, why = within + key[1], key[2]
    said = "Unable to load config|Expected a?.?dot import path|Not a valid subclass|Problem with"
    return _fields(name) if name in _FIRST and re.match(said, why) else f"--{name}: {why}"


def _fields(name: str) -> str:
    """How an argument is given that has fields."""
    ways = f"--{name}.{_FIRST[name]} VALUE, or in a config {name}: {{{_FIRST[name]}: VALUE}}"
    return f"--{name}: Expected its fields one by one, as in {ways}"


def _flag(required: re.Match[str]) -> str:
    """How an argument of a command is given, from what the parser calls it."""
    command = COMMANDS.get(required[1])
    return required[2] if command and required[2] in command.own else f"--{required[2]}"


def _line(message: str) -> str:
    return f"thermometer: error: {_checks.shown(' '.join(message.split()))}"
