"""The page on monitoring: its Python runs, its commands exist, its figures are those measured."""

import json
import runpy
from pathlib import Path

import pages
import pytest

from thermometer.monitoring import MonitorSettings

ROOT = Path(__file__).parents[2]
TEXT = pages.text_of("docs/monitoring.md")
FILES = ROOT / "benchmarks" / "results"
RESULTS = json.loads((FILES / "monitoring.json").read_text())
SERVICE = json.loads((FILES / "monitoring_service.json").read_text())


def table_under(words):
    """Cells of the rows of the first table after some words."""
    lines = TEXT[TEXT.index(words) :].splitlines()
    rows = [line for line in lines if line.startswith("|")]
    end = next(i for i, line in enumerate(lines) if line in rows)
    rows = []
    for line in lines[end:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip(" *") for cell in line.strip("|").split("|")])
    return rows[2:]


@pytest.fixture(scope="module")
def said():
    """Names, text and folder that the blocks leave behind."""
    done = pages.run("docs/monitoring.md")
    return done.names, done.text, done.folder


def test_every_block_of_python_runs(said):
    namespace, printed, folder = said
    assert len(pages.blocks("docs/monitoring.md", "python")) == 5
    assert (folder / "monitor.html").is_file()
    assert namespace["state"].n_labelled == 3001
    assert [episode.verdict for episode in namespace["episodes"]] == ["overconfident"]
    assert "PlattScaling() refit" in printed
    assert "direction='higher'" in printed
    assert (namespace["shown"] < [0.6, 0.9]).all()


def test_the_quoted_line_is_what_it_prints(said):
    quoted = next(line[2:] for line in TEXT.splitlines() if line.startswith("> "))
    assert quoted in " ".join(said[1].split())


def test_the_defaults_are_those_that_it_names():
    settings = MonitorSettings()
    named = {
        "(0.4, 0.8 or 1.6 log-odds": settings.sizes == (0.4, 0.8, 1.6),
        "the tolerance, 0.03": settings.tolerance == 0.03,
        "up to 0.5, 0.7 and 0.9": settings.edges == (0.5, 0.7, 0.9),
        "`max_pending` (100,000)": settings.max_pending == 100_000,
        "`window` (2,000)": settings.window == 2000,
        "Of `level` (0.01)": settings.level == 0.01,
    }
    assert all(named.values())
    assert [words for words in named if words not in TEXT] == []
    assert settings.overall_level + settings.max_segments * settings.segment_level == 0.01


def test_the_false_alarms_are_those_measured():
    measured = list(RESULTS["false_alarms"]["ever"].values())
    order = [0, 2, 3, 1, 4]
    rows = table_under("**False alarms**")
    assert len(rows) == 5
    for row, place in zip(rows, order, strict=True):
        for cell, level in zip(row[1:], ("0.1", "0.05", "0.01"), strict=True):
            assert float(cell) == measured[place][level][0]
            assert float(cell) <= float(level)
    together = RESULTS["false_alarms_in_segments"]["ever"]["0.03 too sure everywhere"]
    first, second, third = (f"{together[level][0]:.3f}" for level in ("0.1", "0.05", "0.01"))
    assert f"{first}, {second} and {third}." in " ".join(TEXT.split())
    signs = RESULTS["false_signs"]["ever"]
    assert all(one[0] <= float(level) for level, one in signs.items())
    words = " and ".join(f"{one[0]:.3f} at level {level}" for level, one in signs.items())
    assert f"exchangeable numbers: {words}." in " ".join(TEXT.split())


def test_the_delays_are_those_measured():
    measured = RESULTS["delays"]
    *rows, last = table_under("**Delay**")
    keys = ("betting", "window 200", "window 500", "window 1000")
    for row in rows:
        found = measured["delay"]["shifted log-odds"][row[0].replace(",", "")]
        for cell, key in zip(row[1:], keys, strict=True):
            low, middle, high = found[key]["delay"]
            assert cell == f"{middle} ({low} to {high})"
    far = measured["false_alarms_in_100000_events"]
    assert [float(cell) for cell in last[1:]] == [far[key][0] for key in keys]


def test_what_it_tells_of_mmlu_pro_is_what_was_measured():
    real = RESULTS["real"]
    qwen = real["Qwen3-8B"]
    assert f"{qwen['answers']:,} answers" in TEXT
    assert [len(one["refits"]) for one in real.values()] == [3, 9, 6]
    assert max(one["alarms"][0]["raised"] for one in real.values()) == 57
    alarms = {a["segment"]: a for a in qwen["alarms"] if a["segment"]}
    starts = qwen["subjects_start_at"]
    waits = {name: a["raised"] - starts[name] for name, a in alarms.items()}
    assert (alarms["law"]["onset"], alarms["law"]["raised"]) == (783, 920)
    assert (starts["law"], starts["psychology"]) == (783, 1817)
    assert alarms["psychology"]["raised"] == 1869
    kept = ("biology", "chemistry", "other", "philosophy", "engineering")
    assert [waits[name] for name in kept] == [192, 448, 833, 155, 235]
    health = next(a for a in qwen["alarms"] if a["onset"] == 5805)
    assert health["raised"] - starts["health"] == 692
    assert not {"economics", "math", "physics", "computer_science"} & set(alarms)
    assert [6460, 5805, 656] in qwen["refits"]
    assert qwen["refits"][-1][0] == 11100
    assert all(a["ended_by"] == "refit" for a in qwen["alarms"])
    ended = [a for a in real["Llama-3.2-3B-Instruct"]["alarms"] if a["ended_by"] == "recovery"]
    assert [a["ended"] - a["raised"] for a in ended] == [74]
    assert qwen["early_signs"][0][3] == 832


def test_nothing_was_lost_and_memory_is_flat():
    kills, memory = SERVICE["kills"], SERVICE["flat_memory"]
    assert (kills["lost"], kills["kills"]) == (0, 30)
    assert kills["acknowledged"] > 1000
    assert f"{kills['acknowledged']:,} calls" in TEXT
    resident = memory["resident_mb_every_million"]
    assert (memory["events"], len(resident)) == (10_000_000, 10)
    assert max(resident) < 1.1 * resident[0]
    assert f"stayed at {max(resident):.0f} MB" in TEXT
    assert f"({memory['events_per_second']:,} a second)" in TEXT
    for row in table_under("**Speed**"):
        calls = row[0].replace(",", "")
        for cell, where in zip(row[1:], ("memory", "SQLite"), strict=True):
            assert cell == f"{SERVICE['throughput'][f'{where}, calls of {calls}']:,}"


def test_the_example_runs(tmp_path, capsys):
    example = runpy.run_path(str(ROOT / "examples" / "monitoring.py"))
    example["main"](str(tmp_path / "out"))
    assert (tmp_path / "out" / "monitor.html").is_file()
    printed = capsys.readouterr().out
    assert "PlattScaling() fitted" in printed
    assert "No alarm is open after 8,000 labelled answers." in printed
