"""How often the monitor errs, how late it is, and what it says of MMLU-Pro, subject by subject.

.venv/bin/python benchmarks/monitoring.py --data ../shared/data/recorded/confidence

writes results/monitoring.json and two pictures into docs/images. Parts can be chosen with --only.
What it survives and how fast it is: monitoring_service.py.
"""

import argparse
import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.stats import binomtest
from simulation import map_with_ece

from thermometer.metrics import bin_index
from thermometer.monitoring import Bets, EarlySign, Monitor, MonitorSettings
from thermometer.monitoring.alarm import start_weight, unbet
from thermometer.monitoring.state import draw_monitor
from thermometer.plots import drawing
from thermometer.recalibrators.confidence import PlattScaling

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "monitoring.json"
PICTURES = HERE.parent / "docs" / "images"
SHAPE = (4.0, 2.0)
LEVELS = (0.1, 0.05, 0.01)
STABLE = {
    "calibrated": lambda c: c,
    "ECE 0.03, shifted log-odds": map_with_ece(0.03, SHAPE),
    "0.03 too sure everywhere": lambda c: np.maximum(c - 0.03, 0),
    "0.03 too modest everywhere": lambda c: np.minimum(c + 0.03, 1),
    "ECE 0.03, exaggerated": map_with_ece(0.03, SHAPE, by="slope"),
}
SHIFTS = {
    "shifted log-odds": map_with_ece(0.15, SHAPE),
    "exaggerated": map_with_ece(0.15, SHAPE, by="slope"),
}
LAST_WAIT = 3000  # events after the change


def paths(bets, chance_of, n_streams, n_events, seed, window_of=()):
    """Wealth of many streams event by event, and their ECE over sliding windows."""
    rng = np.random.default_rng(seed)
    won = np.zeros((n_streams, len(bets.all)))
    rows = np.arange(n_streams)
    sums = {w: np.zeros((n_streams, 10)) for w in window_of}
    kept = {w: [] for w in window_of}
    for t in range(1, n_events + 1):
        c = rng.beta(*SHAPE, n_streams)
        y = rng.random(n_streams) < chance_of(t)(c)
        won = (won + start_weight(t) * bets.shares) * bets.factors(c, y)
        eces = {}
        if window_of:
            index, residual = bin_index(c, 10), c - y
        for w in window_of:
            sums[w][rows, index] += residual
            kept[w].append((index, residual))
            if len(kept[w]) > w:
                old, gone = kept[w].pop(0)
                sums[w][rows, old] -= gone
            eces[w] = np.abs(sums[w]).sum(axis=1) / w if t >= w else np.zeros(n_streams)
        yield t, won.sum(axis=1) + unbet(t), eces


def share(hits):
    """Share of streams with a 95 % interval (Clopper and Pearson 1934)."""
    between = binomtest(int(hits.sum()), len(hits)).proportion_ci()
    return [round(float(x), 4) for x in (hits.mean(), between.low, between.high)]


def false_alarms(n_streams=1000, n_events=10_000):
    """How many stable streams ever raise an alarm, at the tolerance of 0.03."""
    found = {}
    for number, (name, law) in enumerate(STABLE.items()):
        highest = np.zeros(n_streams)
        for _, wealth, _ in paths(Bets(), lambda _, law=law: law, n_streams, n_events, number):
            np.maximum(highest, wealth, out=highest)
        found[name] = {str(level): share(highest >= 1 / level) for level in LEVELS}
        print(name, found[name], flush=True)
    return {"streams": n_streams, "events": n_events, "tolerance": 0.03, "ever": found}


def false_alarms_in_segments(n_streams=1000, n_events=10_000, n_segments=4):
    """The same for all answers and four segments together, at the levels of the settings."""
    found, bets = {}, Bets()
    for number, name in enumerate(("calibrated", "0.03 too sure everywhere")):
        rng = np.random.default_rng(50 + number)
        rows = np.arange(n_streams)
        n = np.zeros((n_streams, 1 + n_segments))
        won = np.zeros((n_streams, 1 + n_segments, len(bets.all)))
        highest = np.ones((n_streams, 1 + n_segments))
        for _ in range(n_events):
            c = rng.beta(*SHAPE, n_streams)
            factors = bets.factors(c, rng.random(n_streams) < STABLE[name](c))
            for place in (np.zeros(n_streams, int), rng.integers(1, 1 + n_segments, n_streams)):
                n[rows, place] += 1
                kept = 1 / np.log2(n[rows, place] + 2)
                new = 1 / np.log2(n[rows, place] + 1) - kept
                own = (won[rows, place] + new[:, None] * bets.shares) * factors
                won[rows, place] = own
                total = own.sum(axis=1) + kept
                highest[rows, place] = np.maximum(highest[rows, place], total)
        found[name] = {}
        for level in LEVELS:
            settings = MonitorSettings(level=level)
            limits = np.r_[settings.overall_level, np.full(n_segments, settings.segment_level)]
            found[name][str(level)] = share((highest >= 1 / limits).any(axis=1))
        print(name, found[name], flush=True)
    return {"streams": n_streams, "events": n_events, "segments": n_segments, "ever": found}


def false_signs(n_streams=1000, n_events=10_000):
    """How many streams of exchangeable numbers ever raise an early sign."""
    found = {}
    for level in (0.1, 0.01):
        rng = np.random.default_rng(0)
        values = (rng.lognormal(0.4, 0.3, n_events) for _ in range(n_streams))
        found[str(level)] = share(np.array([bool(EarlySign("x", level).update(v)) for v in values]))
        print("early sign", level, found[str(level)], flush=True)
    return {"streams": n_streams, "events": n_events, "ever": found}


def delays(n_streams=500, horizon=10_000, level=0.01):
    """Events from a change of ECE 0.03 to 0.15 to the alarm, against tuned fixed windows."""
    bets, windows = Bets(), (200, 500, 1000)
    before = STABLE["ECE 0.03, shifted log-odds"]
    highest = {w: np.zeros(1000) for w in windows}
    for _, _, eces in paths(bets, lambda _: before, 1000, horizon, 100, windows):
        for w in windows:
            np.maximum(highest[w], eces[w], out=highest[w])
    limits = {w: float(np.quantile(highest[w], 1 - level)) for w in windows}
    print("thresholds", limits, flush=True)
    later = {w: np.zeros(1000, bool) for w in windows}
    ours = np.zeros(1000)
    for _, wealth, eces in paths(bets, lambda _: before, 1000, 10 * horizon, 101, windows):
        np.maximum(ours, wealth, out=ours)
        for w in windows:
            later[w] |= eces[w] >= limits[w]
    far = {"betting": share(ours >= 1 / level)}
    far |= {f"window {w}": share(later[w]) for w in windows}
    print("false alarms in ten times as many events", far, flush=True)
    curves = {}
    for name, after in SHIFTS.items():
        for at in (200, 500, 1000, 2000, 5000, 9000):
            law = lambda t, at=at, after=after: before if t <= at else after  # noqa: E731
            when = {key: np.full(n_streams, np.inf) for key in ("betting", *windows)}
            run = paths(bets, law, n_streams, at + LAST_WAIT, 200 + at, windows)
            for t, wealth, eces in run:
                raised = {"betting": wealth >= 1 / level}
                raised |= {w: eces[w] >= limits[w] for w in windows}
                for key, now in raised.items():
                    when[key] = np.where(now & np.isinf(when[key]), t, when[key])
            curves.setdefault(name, {})[str(at)] = {
                str(key) if key == "betting" else f"window {key}": delay_of(times, at)
                for key, times in when.items()
            }
            print(name, at, curves[name][str(at)], flush=True)
    return {
        "streams": n_streams,
        "level": level,
        "tolerance": 0.03,
        "windows_tuned_on": f"1,000 stable streams of {horizon:,} events of ECE 0.03",
        "thresholds": {str(w): round(limit, 4) for w, limit in limits.items()},
        "false_alarms_in_100000_events": far,
        "delay": curves,
    }


def delay_of(times, at):
    """10, 50 and 90 % of the delays, false alarms before left out; infinite is None."""
    true = times[times > at] - at
    parts = np.quantile(true, [0.1, 0.5, 0.9], method="lower")
    return {
        "delay": [None if np.isinf(x) else int(x) for x in parts],
        "before_the_change": round(float((times <= at).mean()), 4),
        "not_in_time": round(float(np.isinf(times).mean()), 4),
    }


def draw_delays(found):
    """Delay over the moment of the change, the betting alarm against tuned windows."""
    colours = drawing.theme_named("light")
    figure = drawing.figure(9.0, 4.2, None, colours)
    far = found["false_alarms_in_100000_events"]
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (shift, curve) in zip(axes, found["delay"].items(), strict=True):
        drawing.style(axis, colours)
        axis.grid(color=colours.faint, linewidth=0.8, axis="y")
        x = [int(at) for at in curve]
        for name, colour in zip(far, ("#0072B2", "#D55E00", "#009E73", "#CC79A7"), strict=True):
            size = 0 if name == "betting" else int(name.split()[1])
            rows = [i for i, at in enumerate(x) if at >= size]  # a window has to fill first
            low, middle, high = np.array([p[name]["delay"] for p in curve.values()], float).T
            at = np.array(x)[rows]
            axis.plot(
                at,
                middle[rows],
                color=colour,
                linewidth=2,
                marker="o",
                markersize=4,
                label=f"{name}: {far[name][0]:.1%} false in 100,000",
            )
            if name == "betting":
                axis.fill_between(at, low[rows], high[rows], color=colour, alpha=0.15, linewidth=0)
        axis.set_xscale("log")
        axis.set_xticks(x, [f"{at:,}" for at in x])
        axis.minorticks_off()
        axis.set_title(f"ECE 0.03 to 0.15, {shift}", fontsize=drawing.TEXT, color=colours.ink)
        axis.set_xlabel("answers before the change", fontsize=drawing.SMALL, color=colours.ink)
    axes[0].set_ylabel("answers until the alarm", fontsize=drawing.SMALL, color=colours.ink)
    axes[0].set_ylim(0)
    axes[0].legend(frameon=False, fontsize=9, labelcolor=colours.ink)
    return figure


def subjects(data, model, *, first=500, wait=200, batch=20):
    """Stream MMLU-Pro subject by subject; refit when an alarm on all answers has enough labels."""
    table = pq.read_table(data / "mmlu_pro" / f"{model}.parquet")
    stated = table["stated"].to_numpy().astype(np.float64)
    keep = np.isfinite(stated)
    c, y = stated[keep].round(6), table["correct"].to_numpy()[keep]
    subject = [name.split("/")[1] for name in np.array(table["task"].to_pylist())[keep]]
    ids = np.array(table["id"].to_pylist())[keep].tolist()
    monitor = Monitor(None, MonitorSettings(window=2000))
    starts = {}
    for row, name in enumerate(subject):
        starts.setdefault(name, row + 1)
    for start in (0, *range(first, len(c), batch)):
        rows = slice(start, first if start == 0 else start + batch)
        times = np.arange(len(c), dtype=np.float64)[rows]
        monitor.record_many(ids[rows], c[rows], segment=subject[rows], time=times)
        monitor.label_many(ids[rows], y[rows])
        if start == 0:
            monitor.refit(PlattScaling(epsilon=0.01))
            continue
        for episode in monitor.alarms:
            waited = min(start + batch, len(c)) - episode.onset + 1
            if episode.ended is None and episode.segment is None and waited >= wait:
                monitor.refit(PlattScaling(epsilon=0.01), since=episode.onset)
    return monitor.state(), starts


def real(data, model):
    state, starts = subjects(data, model)
    keep = ("segment", "verdict", "where", "onset", "raised", "ended", "ended_by")
    found = {
        "answers": state.n_labelled,
        "subjects_start_at": starts,
        "refits": [[r.number, r.since, r.n] for r in state.refits],
        "alarms": [{k: getattr(e, k) for k in keep} for e in state.episodes],
        "early_signs": [[s.name, s.direction, s.onset, s.raised] for s in state.signs],
    }
    print(model, found["refits"], flush=True)
    return found, state


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="the folder recorded/confidence")
    parser.add_argument("--only", nargs="*", default=None)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    options = parser.parse_args()
    parts = {
        "false_alarms": false_alarms,
        "false_signs": false_signs,
        "delays": delays,
        "false_alarms_in_segments": false_alarms_in_segments,
    }
    result = json.loads(options.out.read_text()) if options.out.is_file() else {}
    result["command"] = "python benchmarks/monitoring.py --data DATA"
    result["versions"] = {p: version(p) for p in ("thermometer", "numpy", "scipy")}
    for name, part in parts.items():
        if options.only is None or name in options.only:
            result[name] = part()
            options.out.write_text(json.dumps(result, indent=1) + "\n")
    if options.data and (options.only is None or "real" in options.only):
        models = sorted(p.stem for p in (options.data / "mmlu_pro").glob("*.parquet"))
        result["real"] = {}
        for model in models:
            result["real"][model], state = real(options.data, model)
            if model == "Qwen3-8B":
                title = "Qwen3-8B on MMLU-Pro, subject by subject"
                draw_monitor(state, title=title).savefig(options.pictures / "monitoring.png")
    if "delays" in result:
        draw_delays(result["delays"]).savefig(options.pictures / "monitoring_delay.png")
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
