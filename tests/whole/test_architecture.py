"""The shape of the package: its layers, a spine that imports no room, and what it never calls."""

import ast
import json
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import thermometer
from thermometer.checkpoint import TrainingRecord

PACKAGE = Path(thermometer.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# From the ground up. A module imports modules of its own layer and of those above it in this list.
LAYERS = {
    "ground": "_checks _threads _files _lightning",
    "questions": "types tasks templates",
    "language model": "tokenization planning forward runners loading language_model",
    "tables": "table_files tables extraction",
    "network": "scaling score_features network objective",
    "calibration": "posterior checkpoint calibrator",
    "training": "data training adaptation calibrated_lm",
    "measures": "metrics recalibrators display protocols",
    "pictures": "plots reports.blocks reports.render",
    "findings": "recalibrators.recommend segments comparison methods",
    "reports": "reports routing monitoring",
    "beyond option scores": "generation free_form signals ats adapters",
    "whole": "evaluation experiment commands table_commands cli __main__",
}
SPINE = [
    *LAYERS["questions"].split(),
    *LAYERS["language model"].split(),
    *LAYERS["tables"].split(),
    *LAYERS["network"].split(),
    *LAYERS["calibration"].split(),
    *LAYERS["training"].split(),
]
LAYER_OF = {name: i for i, names in enumerate(LAYERS.values()) for name in names.split()}


def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path):
    """Dotted name of a file inside the package; empty for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts).removesuffix("__init__").removesuffix(".")


def name_of(module):
    """What stands in `LAYERS` for a module: itself, or the room that it is in."""
    return module if module in LAYER_OF else module.split(".")[0]


MODULES = {module_of(path): path for path in FILES}


def imports(path):
    """Module and name of everything that a file imports: in functions and for type checkers, too.

    A module that is imported whole has no name.
    """
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                is_module = whole.removeprefix("thermometer.") in MODULES
                yield (whole, "") if is_module else (node.module, alias.name)


@cache
def dependencies():
    """For each module of the package, the other modules of the package that it imports."""
    found = {}
    for module, path in MODULES.items():
        names = {name for name, _ in imports(path) if name.startswith("thermometer.")}
        found[module] = {name.removeprefix("thermometer.") for name in names} - {module}
    del found[""]  # the package itself only names what is found when asked for
    return found


def run_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_every_module_has_one_layer():
    assert len(LAYER_OF) == sum(len(names.split()) for names in LAYERS.values())
    assert set(LAYER_OF) == {name_of(module) for module in MODULES} - {""}


def test_modules_import_their_own_layer_and_lower_ones():
    wrong = {
        f"{module} -> {inner}"
        for module, found in dependencies().items()
        for inner in found
        if LAYER_OF[name_of(inner)] > LAYER_OF[name_of(module)]
    }
    assert wrong == set()
    assert "extraction" in dependencies()["experiment"], "the parser of imports finds nothing"


def test_there_is_no_circle():
    """Also counting what is imported inside functions and under `TYPE_CHECKING`."""
    list(TopologicalSorter(dependencies()).static_order())  # raises CycleError


def test_the_spine_is_small_and_imports_no_room():
    assert len(SPINE) <= 24
    # 7,500 before it refused what is no number
    assert sum(len(MODULES[name].read_text().splitlines()) for name in SPINE) <= 7800
    allowed = {*SPINE, *LAYERS["ground"].split()}
    assert {inner for name in SPINE for inner in dependencies()[name]} <= allowed


def test_nobody_imports_the_private_names_of_another_module():
    wrong = [
        f"{module}: {inner}.{name}"
        for module, path in MODULES.items()
        for inner, name in imports(path)
        if inner.startswith("thermometer") and name.startswith("_") and name != "__version__"
    ]
    assert wrong == []


def test_the_house_stays_small():
    assert len(FILES) <= 90
    assert sum(len(path.read_text().splitlines()) for path in FILES) <= 27_400  # likewise 26,000
    assert len(thermometer.__all__) <= 25


def test_only_these_modules_import_lightning():
    users = {
        module
        for module, path in MODULES.items()
        if any(
            name.split(".")[0] in ("lightning", "pytorch_lightning") for name, _ in imports(path)
        )
    }
    assert users == {"_lightning", "extraction", "training", "ats.training"}


def test_the_mathematics_loads_neither_transformers_nor_lightning():
    modules = ["metrics", "metrics.summary", "scaling", "objective", "network"]
    loaded = run_python(
        "import sys, json, importlib\n"
        f"for name in {modules}: importlib.import_module('thermometer.' + name)\n"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    assert not {"transformers", "lightning", "pytorch_lightning", "datasets"} & set(loaded)


def test_calibrating_an_array_loads_neither_transformers_nor_lightning(tmp_path):
    """Whoever has scores from elsewhere should not wait for the libraries of language models."""
    network = thermometer.Thermometer(thermometer.ThermometerConfig.scores_only())
    made = thermometer.Calibrator(network, TrainingRecord(["law"], 1.0))
    made.save_pretrained(tmp_path / "checkpoint")
    shape, loaded = run_python(
        "import sys, json, numpy as np, thermometer as th\n"
        f"calibrator = th.Calibrator.from_pretrained({str(tmp_path / 'checkpoint')!r})\n"
        "result = calibrator.calibrate(scores=np.eye(3))\n"
        "names = sorted({name.split('.')[0] for name in sys.modules})\n"
        "print(json.dumps([result.probs.shape, names]))"
    )
    assert shape == [3, 3]
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


@pytest.mark.parametrize("path", FILES, ids=module_of)
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
            given = [(keyword.arg, keyword.value) for keyword in node.keywords]
            assert all(ast.unparse(v) == "False" for k, v in given if k == "trust_remote_code")
        if isinstance(node, ast.Dict):  # keywords, perhaps
            given = zip([k and ast.unparse(k) for k in node.keys], node.values, strict=True)
            assert all(ast.unparse(v) == "False" for k, v in given if k == "'trust_remote_code'")
    roots = {name.split(".")[0] for name, _ in imports(path)}
    assert not roots & {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_every_file_says_what_it_is(path):
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
