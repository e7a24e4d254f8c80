"""The pages on routing and display: their Python runs, what they quote is printed; the example."""

import contextlib
import io
import json
import re
import runpy
from pathlib import Path

import pages
import pytest

from thermometer.display import PHRASES

ROOT = Path(__file__).parents[2]


def text_of(name):
    return pages.text_of(f"docs/{name}.md")


def run(name):
    """Names and text that the blocks of a page leave behind, and how many there are."""
    done = pages.run(f"docs/{name}.md")
    return done.names, done.text, len(done.printed)


def quoted(name):
    return [line[2:] for line in text_of(name).splitlines() if line.startswith("> ")]


@pytest.fixture(scope="module")
def routing():
    return run("routing")


def test_every_block_on_routing_runs_and_does_what_the_page_says(routing):
    namespace, printed, n = routing
    assert n == 6
    assert printed.splitlines()[:6] == [
        "0.85 review False",
        "0.91 accept True",
        "0.84 accept False",
        "0.79 review True",
        "0.84 review False",
        "None review False",
    ]
    assert " ".join(quoted("routing")) == str(namespace["found"])
    assert not namespace["few"].enough
    assert namespace["costs"].thresholds == (0.25, 0.9)
    assert namespace["check"].hindsight <= namespace["check"].cost.estimate
    assert 0.9 < 3 * namespace["noise"] < 1.1
    assert namespace["kept"].enough
    assert namespace["router"].bands.accept_until == 0.9


def test_every_block_on_display_runs_and_prints_what_is_quoted():
    namespace, printed, n = run("display")
    assert n == 4
    assert printed.splitlines() == [*quoted("display"), "reliable"]
    assert "Paris &lt;France&gt;" in namespace["page"]


def test_the_table_of_words_is_the_default_one():
    rows = re.findall(r"^\| (\d+) % \| (.*) \|$", text_of("display"), flags=re.MULTILINE)
    assert [(int(edge) / 100, text) for edge, text in rows] == list(PHRASES.levels)


def rows(title):
    """Cells of the rows of the table under a title of the page on routing."""
    table = text_of("routing").split(f"**{title}")[1].split("\n\n**")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_tables_are_those_of_the_benchmark():
    found = json.loads((ROOT / "benchmarks" / "results" / "routing.json").read_text())
    for cells, world in zip(rows("Flicker"), found["hysteresis"]["worlds"], strict=True):
        ours, share, error = (
            world[k] for k in ("hysteresis", "cutoff_same_share", "cutoff_same_error")
        )
        assert cells[0] == f"{world['spread']}, {world['persistence']}, {world['noise']}"
        assert cells[1] == f"{ours['changes_per_1000']:.1f}, {ours['error']:.3f}"
        assert cells[2].startswith(f"{share['changes_per_1000']:.1f} ({share['times_ours']}x)")
        assert cells[2].endswith(f"{share['error']:.3f}")
        assert cells[3].startswith(f"{error['changes_per_1000']:.1f} ({error['times_ours']}x)")
        assert f"{error['share_accepted']:.3f} instead" in cells[3]
    worlds = found["guarantee"]["worlds"]
    for cells, (name, (_, plain, unlabelled, many)) in zip(
        rows("Guarantee.**"), worlds.items(), strict=True
    ):
        assert cells[:3] == [name, f"{plain['oracle_share']:.2f}", f"{plain['violated']:.3f}"]
        assert cells[3:] == [
            f"{plain['share_of_oracle']:.2f}",
            f"{unlabelled['share_of_oracle']:.2f}",
            f"{plain['refused']:.2f}",
            f"{many['share_of_oracle']:.2f}",
        ]
    assert max(one["violated"] for world in worlds.values() for one in world) == 0.082
    ways = found["through_hysteresis"]["ways"].values()
    for cells, way in zip(rows("Guarantee with"), ways, strict=True):
        numbers = f"{way['violated']:.3f}", f"{way['refused']:.2f}", f"{way['mean_share']:.2f}"
        assert tuple(cells[1:]) == numbers


def test_the_example_decides_and_says_when_labels_are_too_few():
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(ROOT / "examples" / "routing.py"), run_name="__main__")
    text = printed.getvalue()
    assert "No threshold: 54 labelled answers" in text
    assert "Accept from 0.73" in text
    assert re.search(r"^accept  #+\.* \d\d %, very likely right$", text, flags=re.MULTILINE)
    assert re.search(r"^review  #+\.* \d\d %, ", text, flags=re.MULTILINE)
