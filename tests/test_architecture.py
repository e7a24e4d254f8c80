"""The shape of the package: who may import whom, what it never calls, how small its files are."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import thermometer

PACKAGE = Path(thermometer.__file__).parent
# Each module imports only modules to its left. A folder of `WHOLE` is one name; of the others the
# name alone is the folder's `__init__`.
WHOLE = (
    "ats",
    "baselines",
    "display",
    "ensemble",
    "families",
    "logprobs",
    "monitoring",
    "routing",
    "signals",
    "simulation",
)
ORDER = """
    _checks _files _records _versions progress types free_form free_form.questions free_form.judging
    free_form.answers simulation display logprobs metrics.smooth_calibration
    metrics.calibration_error metrics.risk_coverage metrics.basic metrics metrics.intervals
    metrics.paired_differences metrics.resampling metrics.summary metrics.streaming scaling llm
    llm.gumbel_noise llm.repeated_prompts llm.logits_processor integrations integrations.vllm
    baselines ensemble routing outcomes pictures
    pictures.drawing pictures.reliability_panels pictures.reliability pictures.smooth_reliability
    pictures.small_multiples pictures.temperature_plot pictures.temperature_spread
    pictures.risk_plot pictures.terminal_plots comparison reports reports.blocks
    reports.numbers reports.render recommendation monitoring commands
    commands.monitor segmentation segmentation.gap_comparison segmentation.segment_columns
    segmentation.segment_errors segmentation.segment_report
    reports.report reports.confidence_report protocols families dataset_tasks
    tasks templates llm.tokenization llm.token_store llm.sharing llm.planning llm.forward llm.work
    llm.prefix_cache llm.runners llm.memory llm.engine llm.loading llm.language_model
    llm.generation table_files column_files tables merging commands.merge table_writer
    integrations.ray integrations.vllm_tables segmentation.question_columns _lightning predicting
    extraction two_models networks networks.objective networks.components networks.score_statistics
    networks.reference_statistics networks.score_inputs networks.pooling networks.config
    networks.member networks.view networks.thermometer
    checkpoint_upgrades checkpoint model_card domain answered_by origins
    combining posterior prompt_inputs free_form.question_inputs signals calibrator online
    free_form.answering free_form.verdict_shift calibrated_lm free_form.answer_files
    free_form.verify_tasks networks.answering_models stacking adaptation data training_loop
    training selection ats methods held_out evaluation presets model_spec
    experiment harness
    harness.samples harness.logs commands.import_lm_eval recorded curves pictures.curve_plot
    reports.study_tables reports.study_report study confidence_files commands.report
    commands.placing commands.calibrate commands.answer commands.import_logprobs cli __main__
""".split()  # noqa: SIM905
FILES = sorted(PACKAGE.rglob("*.py"))


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path):
    """The name in `ORDER` of a file of the package."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts[0] in WHOLE:
        return parts[0]
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def run_time_nodes(node):
    """All nodes but those under `if TYPE_CHECKING:`, which no program runs."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from run_time_nodes(child)


def imported(path):
    """Dotted names of everything that a file imports when it runs, also inside functions."""
    for node in run_time_nodes(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            if node.module.split(".")[0] == "thermometer":
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def inner_module(name):
    """The name in `ORDER` of what `import name` loads; empty for other packages."""
    first, *rest = name.split(".")
    if first != "thermometer":
        return ""
    names = [".".join(rest[:length]) for length in range(len(rest), 0, -1)]
    return next((inner for inner in names if inner in MODULES), "")


def dependencies():
    """For each module, the other modules of the package that it imports."""
    found = {}
    for path in FILES:
        inner = {inner_module(name) for name in imported(path)} - {"", module_of(path)}
        found.setdefault(module_of(path), set()).update(inner)
    return found


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_order_names_every_module_once():
    assert sorted(ORDER) == sorted({module_of(path) for path in FILES} - {"__init__"})


def test_every_module_imports_only_modules_earlier_in_the_order():
    """So there is no cycle; the package itself imports nothing before a name is asked for."""
    found = dependencies()
    assert found.pop("__init__") == set()
    wrong = {
        name: sorted(inner - set(ORDER[: ORDER.index(name)]))
        for name, inner in found.items()
        if inner - set(ORDER[: ORDER.index(name)])
    }
    assert wrong == {}
    assert found["experiment"] >= {"extraction", "reports.report"}, (
        "the parser of imports finds nothing"
    )


def test_only_these_modules_import_lightning():
    users = {
        module_of(path)
        for path in FILES
        if any(name.split(".")[0] in ("lightning", "pytorch_lightning") for name in imported(path))
    }
    assert users == {"predicting", "training_loop", "ats", "data", "_lightning"}


def test_the_mathematics_loads_neither_transformers_nor_lightning():
    modules = [
        "metrics",
        "metrics.summary",
        "scaling",
        "networks.objective",
        "networks.thermometer",
    ]
    loaded = run_python(
        "import sys, json, importlib\n"
        f"for name in {modules}: importlib.import_module('thermometer.' + name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    assert not {"transformers", "lightning", "pytorch_lightning", "datasets"} & set(loaded)


def test_importing_the_package_is_light_and_fast():
    seconds, loaded = run_python(
        "import sys, json, time\n"
        "start = time.perf_counter()\n"
        "import thermometer\n"
        "seconds = time.perf_counter() - start\n"
        "print(json.dumps([seconds, sorted({name.split('.')[0] for name in sys.modules})]))"
    )
    heavy = "torch transformers lightning datasets numpy scipy sklearn pyarrow matplotlib rich"
    assert not set(heavy.split()) & set(loaded)
    assert seconds < 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_runs_code_that_a_file_brought_along(path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in (
                "eval",
                "exec",
                "compile",
                "__import__",
                "torch.load",
                "yaml.load",
                "yaml.unsafe_load",
            )
            assert "trust_remote_code" not in {keyword.arg for keyword in node.keywords}
        if isinstance(node, ast.Constant):
            assert node.value != "trust_remote_code"  # as the key of a dict of keywords
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_are_short_and_say_what_they_are(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300
    assert ast.get_docstring(tree(path))


@pytest.mark.parametrize("name", thermometer.__all__)
def test_every_public_name_resolves_and_is_documented(name):
    value = getattr(thermometer, name)
    if name == "__version__":
        assert value.count(".") == 2
        return
    assert value.__doc__
    assert not value.__doc__.startswith(f"{name}("), "the docstring that dataclass makes"
    assert name in dir(thermometer)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        thermometer.nonsense  # noqa: B018


def test_the_names_for_type_checkers_are_the_names_at_run_time():
    block = next(node for node in tree(PACKAGE / "__init__.py").body if isinstance(node, ast.If))
    for_checkers = {
        alias.asname: node.module.removeprefix("thermometer.")
        for node in block.body
        for alias in node.names
    }
    assert for_checkers == thermometer._HOME
