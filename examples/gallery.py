"""All pictures of the package from recorded answers, for light and for dark pages.

.venv/bin/python examples/gallery.py ../shared/data/recorded docs/images/gallery

The folder of recorded answers holds ``options/mmlu/MODEL.parquet`` (task, label, scores) and
``confidence/mmlu_pro/MODEL.parquet`` (correct, and confidences of several kinds).
"""

import argparse
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

import thermometer as th
from thermometer import metrics
from thermometer.metrics.intervals import bootstrap
from thermometer.plots.curves import draw_risk_coverage, draw_temperatures
from thermometer.plots.reliability import (
    draw_reliability,
    draw_smooth_reliability,
    prepare_reliability,
    prepare_smooth_reliability,
)
from thermometer.plots.terminal import text_bars, text_reliability

KINDS = ["stated", "linguistic", "sequence_probability"]


def options(path):
    """Scores, labels and tasks of recorded answers to multiple-choice questions."""
    table = pq.read_table(path)
    tasks = [name.rpartition("/")[2] for name in table["task"].to_pylist()]
    return np.array(table["scores"].to_pylist()), np.array(table["label"]), np.array(tasks)


def oracle_temperatures(scores, labels, tasks):
    """The temperature fitted on each task's own labels."""
    return {
        str(task): th.fit_temperature(scores[tasks == task], labels[tasks == task])
        for task in np.unique(tasks)
    }


def gap_of(task, rows, tasks):
    """Name, signed gap and its interval."""
    confidence, correct = (column[tasks == task] for column in rows)
    gap = bootstrap(metrics.signed_gap, confidence, correct)
    return task, gap.estimate, gap.low, gap.high


def pictures(small, large, stated):
    """Functions that draw in a theme, by file name; the numbers are prepared once."""
    scores, labels, tasks = small
    one = th.fit_temperature(scores, labels).temperature
    rows = {
        "uncalibrated": metrics.top_label(th.scale_scores(scores, 1.0), labels),
        "pooled temperature": metrics.top_label(th.scale_scores(scores, one), labels),
    }
    bins = {name: prepare_reliability(*row, n_bins=10) for name, row in rows.items()}
    smooth = {name: prepare_smooth_reliability(*row) for name, row in rows.items()}
    after = rows["pooled temperature"]
    known = {kind: stated[kind] for kind in KINDS if kind in stated}
    curves = {kind: metrics.risk_coverage(known[kind], stated["correct"]) for kind in known}
    areas = {kind: metrics.aurc(known[kind], stated["correct"]) for kind in known}
    ours, theirs = oracle_temperatures(*small), oracle_temperatures(*large)
    best = {task: fit.temperature for task, fit in ours.items()}
    inner = [task for task, fit in ours.items() if not fit.at_bound]
    print(text_reliability(bins["uncalibrated"]), end="\n\n")
    chosen = ("college_physics", "professional_law", "marketing", "us_foreign_policy", "virology")
    print(text_bars([gap_of(task, after, tasks) for task in chosen if task in best], 72))
    return {
        "reliability": lambda theme: draw_reliability(bins, theme=theme),
        "smooth_reliability": lambda theme: draw_smooth_reliability(smooth, theme=theme),
        "risk_coverage": lambda theme: draw_risk_coverage(curves, aurc=areas, theme=theme),
        "temperatures": lambda theme: draw_temperatures(
            {task: best[task] for task in inner},
            {task: theirs[task].temperature for task in inner},
            at_bound=[task for task in inner if theirs[task].at_bound],
            theme=theme,
        ),
    }


def save(figure, path, width=900):
    """A PNG of 128 colours, `width` pixels wide."""
    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=width / figure.get_figwidth())
    Image.open(buffer).convert("RGB").quantize(128, dither=0).save(path, optimize=True)


def main(recorded, out):
    """Draw everything into `out`."""
    stated = pq.read_table(recorded / "confidence" / "mmlu_pro" / "gpt-4o-mini-2024-07-18.parquet")
    stated = stated.select(["correct", *KINDS]).drop_null()
    columns = {name: np.array(stated[name], dtype=np.float64) for name in stated.column_names}
    mmlu = recorded / "options" / "mmlu"
    small, large = (options(mmlu / f"Llama-2-{size}-chat-hf.parquet") for size in ("7b", "13b"))
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in pictures(small, large, columns).items():
        for theme in ("light", "dark"):
            save(draw(theme), out / f"{name}_{theme}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recorded", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    main(arguments.recorded, arguments.out)
