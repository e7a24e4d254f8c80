"""Every page of the documentation: its Python runs and prints what it says, its commands exist.

Pages that have a test of their own, which also looks at what the blocks leave behind, are run there
and not here: files of tests may run in processes of their own.
"""

import ast
import contextlib
import re
from pathlib import Path

import pages
import pytest

import thermometer as th
from thermometer import cli
from thermometer.experiment import Experiment

ROOT = pages.ROOT
RUN_ELSEWHERE = {  # with data or models of their own, or looking at what is left behind
    "README.md": "docs/test_readme.py",
    "docs/black_box.md": "docs/test_black_box_page.py",
    "docs/free_form.md": "docs/test_free_form_page.py",
    "docs/gallery.md": "plots/test_gallery.py",
    "docs/generation.md": "docs/test_generation_page.py",
    "docs/lm_eval.md": "adapters/test_lm_eval.py",
    "docs/measuring.md": "docs/test_measuring_page.py",
    "docs/monitoring.md": "docs/test_monitoring_page.py",
    "docs/scale.md": "docs/test_scale_page.py",
    "docs/signals.md": "docs/test_signals_page.py",
    "docs/thermometer.md": "docs/test_thermometer_page.py",
}
WITH_PYTHON = [page for page in pages.PAGES if pages.blocks(page, "python")]
RUN_HERE = [page for page in WITH_PYTHON if page not in RUN_ELSEWHERE]
SLOW = [page for page in RUN_HERE if pages.BUNDLED in str(pages.expected(page))]
FAST = sorted(set(RUN_HERE) - set(SLOW))


@pytest.mark.parametrize("page", FAST)
def test_every_page_runs_and_prints_what_it_says(page):
    pages.run(page)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_every_page_with_a_language_model_runs(page):
    pages.run(page)


def test_the_pages_run_elsewhere_have_a_test():
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / "tests" / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", WITH_PYTHON)
def test_every_block_is_in_the_house_style(page):
    for block in pages.blocks(page, "python"):
        ast.parse(block.text)
        assert max(map(len, block.text.splitlines())) <= 100, f"{page}, line {block.line}"


def test_the_first_experiment_of_ones_own_can_be_trained_on_the_questions_of_its_page(monkeypatch):
    page = "docs/how_to/own_data.md"
    folder = pages.run(page).folder
    [block] = pages.blocks(page, "yaml")
    (folder / "my_experiment.yaml").write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(folder)
    experiment = Experiment(**cli.parse(["run", "--config", "my_experiment.yaml"])[1])
    monkeypatch.setattr(Experiment, "_tables", lambda self, tasks: tasks)  # what is asked
    assert len(experiment._trainable(experiment.protocol)) == 2  # refuses too few questions


@pytest.mark.parametrize("page", [page for page in pages.PAGES if pages.commands(page)])
def test_every_command_is_understood(page, tmp_path):
    """Parsed with the files that it names; those that a page writes beforehand are made here."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for block in pages.blocks(page, "yaml"):
        if name := re.match(r"# (\S+\.yaml)", block.text):
            (tmp_path / name[1]).write_text(block.text, encoding="utf-8")
    for words in pages.commands(page):
        if words in (["--version"], ["COMMAND", "--help"]) or not words:
            continue
        with contextlib.chdir(tmp_path):
            assert cli.parse(words)[0] == words[0], words


@pytest.mark.parametrize("page", pages.PAGES)
def test_scripts_and_targets_that_a_page_names_exist(page):
    plain = "\n".join(block.text for block in pages.blocks(page, "", "bash", "sh"))
    for name in re.findall(r"python ((?:benchmarks|examples|docs)/\S+\.py)", pages.text_of(page)):
        assert (ROOT / name).is_file(), f"{page}: {name}"
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"^make ([a-z]+)", plain, flags=re.MULTILINE)
    assert set(named) <= set(targets), f"{page}: {named}"


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_link_leads_to_a_file(page):
    here = (ROOT / page).parent
    made = {"checkpoints.md", "benchmarks.md", "contributing.md", "changelog.md", "command_line.md"}
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", pages.text_of(page)):
        if "://" in target or (Path(target).name in made and page.startswith("docs/")):
            continue
        assert (here / target).exists(), f"{page}: {target}"


def test_every_public_name_is_in_the_reference():
    text = "".join(path.read_text() for path in (ROOT / "docs" / "api").glob("*.md"))
    named = set(re.findall(r"^::: thermometer\.(\w+)$", text, flags=re.MULTILINE))
    rooms = {name for name in named if (ROOT / "thermometer" / name / "__init__.py").is_file()}
    assert named - rooms == set(th.__all__) - {"__version__"}


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path):
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    build(load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    assert "Calibrator" in (tmp_path / "api" / "thermometers.html").read_text(encoding="utf-8")
