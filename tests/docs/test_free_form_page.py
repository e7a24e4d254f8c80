"""The page on answers in words: its Python runs, with a tiny model in place of the bundled one."""

import json
import re

import pages

from thermometer.free_form import JUDGES

PAGE = "docs/free_form.md"
TEXT = pages.text_of(PAGE)


def test_every_block_runs():
    done = pages.run(PAGE)
    namespace = done.names
    assert len(done.printed) == 3
    assert namespace["calibrator"].train_tasks[0] == "addition/one_digit"
    assert namespace["calibrated"].reads_itself
    assert list(namespace["frame"]["question"]) == namespace["questions"]
    assert (done.folder / "outputs/words/checkpoint/model.safetensors").is_file()


def test_all_judges_are_described():
    table = TEXT[TEXT.index("| judge |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, flags=re.MULTILINE) == list(JUDGES)


def test_the_figures_are_those_of_the_benchmark():
    file = pages.ROOT / "benchmarks" / "results" / "free_form.json"
    found = json.loads(file.read_text(encoding="utf-8"))
    methods = found["free_form"]["methods"]
    row = r"^\| .* \| (\d\.\d{3}) \|.*\| (\d\.\d{3}) \(.*\| (\d\.\d{3}) \| (\d\.\d\d) \|$"
    rows = re.findall(row, TEXT, flags=re.MULTILINE)
    expected = {
        (
            *(f"{summary[key]['estimate']:.3f}" for key in ("nll", "ece", "smooth_ece")),
            f"{summary['auroc']['estimate']:.2f}",
        )
        for summary in methods.values()
    }
    assert set(rows) == expected
    for seconds in list(found["cost"]["median_cpu_seconds"].values())[:4]:
        assert f"| {seconds:.2f} |" in TEXT
    for task in found["classify"].values():
        for key in ("nll", "ece"):
            pair = [f"{task[when][key]['estimate']:.3f}" for when in ("before", "after")]
            assert " → ".join(pair) in TEXT
