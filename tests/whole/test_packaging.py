"""The release: what wheel and sdist hold, that they install and start, what is stated once."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml

import thermometer as th
from thermometer._files import description, versions

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_SOURCE = (".*", "build", "dist", "outputs", "*.egg-info", "__pycache__", "site")
MODULES = {
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / "thermometer").rglob("*.py")
    if "__pycache__" not in path.parts
}
PACKAGED = {*MODULES, "thermometer/builtin_tasks.jsonl.gz", "thermometer/py.typed"}


def run(*arguments, cwd):
    """What a command prints; its end must be good."""
    # pytest's own settings of warnings and paths are none of the child's business
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [*map(str, arguments)], cwd=cwd, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A folder with wheel and sdist, made offline; the wheel is made from the sdist."""
    folder = tmp_path_factory.mktemp("release")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(*NOT_SOURCE))
    run(
        *(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "source"),
        cwd=folder,
    )
    return folder


@pytest.fixture(scope="module")
def python(built):
    """The interpreter of an environment with the wheel, which finds what it depends on here."""
    venv.create(built / "env", with_pip=False)
    interpreter = built / "env" / "bin" / "python"
    find = "import sysconfig; print(sysconfig.get_path('purelib'), end='')"
    site = Path(run(interpreter, "-c", find, cwd=built))
    (wheel,) = built.glob("*.whl")
    here = sysconfig.get_path("purelib")
    run(
        *(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"),
        *("--target", site, wheel),
        cwd=built,
    )
    (site / "dependencies.pth").write_text(f"{here}\n", encoding="utf-8")
    return interpreter


@pytest.mark.slow
def test_the_wheel_holds_the_package_and_nothing_else(built):
    (wheel,) = built.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"thermometer-{PROJECT['version']}.dist-info"
    assert {name for name in names if not name.startswith(info)} == PACKAGED
    assert f"{info}/licenses/LICENSE" in names


@pytest.mark.slow
def test_the_sdist_holds_what_the_wheel_is_made_from(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {*PACKAGED, "CITATION.cff", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    assert not {name.split("/")[0] for name in names} & {"tests", "checkpoints", "docs", "examples"}


@pytest.mark.slow
def test_the_installed_package_starts_and_measures(built, python, tmp_path):
    answers = tmp_path / "answers.csv"
    answers.write_text("p,right\n" + "0.9,1\n0.8,0\n0.7,1\n" * 20, encoding="utf-8")
    where = run(python, "-c", "import thermometer; print(thermometer.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(built / "env")
    printed = run(python, "-m", "thermometer", "--version", cwd=tmp_path)
    assert printed.splitlines()[0] == f"thermometer {PROJECT['version']}"
    arguments = ("measure", answers, "--confidence", "p", "--correct", "right", "--n_resamples", 20)
    assert "ECE" in run(python, "-m", "thermometer", *arguments, cwd=tmp_path)


def test_the_version_stands_in_one_place():
    assert th.__version__ == PROJECT["version"]
    assert versions()["thermometer"] == PROJECT["version"]
    for file in ("CITATION.cff", "mkdocs.yml", "thermometer/__init__.py"):
        assert PROJECT["version"] not in (ROOT / file).read_text(encoding="utf-8")


def test_a_bug_report_names_every_dependency():
    named = {line.split()[0] for line in description().splitlines()}
    floors = {one.partition(">=")[0].partition("[")[0] for one in PROJECT["dependencies"]}
    assert named >= {"thermometer", "python", "platform", *floors}
    assert "pytest" not in named
    assert "CUDA" in next(line for line in description().splitlines() if line.startswith("torch "))


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_a_missing_extra_is_named_as_ours(monkeypatch, tmp_path, package):
    (tmp_path / "model.gguf").touch()
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    with pytest.raises(ImportError, match=r"pip install \"thermometer\[gguf\]\""):
        th.LanguageModel.from_pretrained(str(tmp_path / "model.gguf"))


def test_every_floor_lies_at_or_below_the_version_that_is_tested():
    from packaging.requirements import Requirement
    from packaging.version import Version

    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    )
    pinned = {name.lower().replace("_", "-"): Version(number) for name, number in pinned.items()}
    extras = [one for extra in PROJECT["optional-dependencies"].values() for one in extra]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras]):
        if requirement.name == "thermometer":  # an extra that takes in another
            continue
        (floor,) = requirement.specifier
        assert floor.operator == ">="
        assert pinned[requirement.name.lower().replace("_", "-")] >= Version(floor.version)


def test_the_citation_is_whole():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": author["name"]} for author in PROJECT["authors"]]
    paper = citation["preferred-citation"]
    assert paper["authors"][0] == {"family-names": "Shen", "given-names": "Maohao"}
    assert paper["year"] == 2024
