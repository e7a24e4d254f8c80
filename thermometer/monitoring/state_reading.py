"""The state of a monitor, read at one moment and then measured. Nothing here changes anything."""

import json
from typing import Any

from thermometer._records import from_plain
from thermometer.metrics.summary import summarise
from thermometer.monitoring.alarm import CalibrationAlarm
from thermometer.monitoring.ledger import Ledger, Row
from thermometer.monitoring.state import Measured, MonitorState, Refit
from thermometer.monitoring.watches import load_episodes, load_signs


def read_state(ledger: Ledger, **measuring: Any) -> MonitorState:
    """Read everything of one moment; measure it when other processes may write again.

    Args:
        ledger: Of the monitor.
        measuring: `n_resamples`, `seed` and `level` of `summarise`.
    """
    store, settings = ledger.store, ledger.settings
    with store.reading(), store.decoding():
        ledger.refresh()
        counts, pending, watches = dict(ledger.counts), ledger.n_pending, ledger.watches
        members: dict[str | None, list[Row]] = {None: ledger.window()}
        for row in members[None]:
            if row[3] is not None:
                members.setdefault(row[3], []).append(row)
        for name in watches.segments:
            members.setdefault(name, [])
        alarms: dict[str | None, CalibrationAlarm] = {None: watches.overall}
        alarms.update(watches.segments)
        empty = [_unmeasured(name, alarms.get(name)) for name in members]
        points = watches.history.points(measuring["level"])
        episodes, signs = load_episodes(store), load_signs(store)
        refits = [
            from_plain(Refit, json.loads(text)["refit"], "refit") for text in store.events("refit")
        ]
    overall, *segments = [
        _measured(one, members[one.segment], n_bins=settings.n_bins, **measuring) for one in empty
    ]
    return MonitorState(
        settings=settings,
        n_recorded=counts["recorded"],
        n_labelled=counts["labelled"],
        n_pending=pending,
        n_forgotten=counts["forgotten"],
        overall=overall,
        segments=tuple(sorted(segments, key=_rank)),
        points=tuple(points),
        episodes=tuple(episodes),
        signs=tuple(signs),
        refits=tuple(refits),
    )


def _unmeasured(name: str | None, alarm: CalibrationAlarm | None) -> Measured:
    if alarm is None:
        return Measured(name, None, None, None, None)
    return Measured(name, None, alarm.evidence, alarm.level, alarm.episode)


def _measured(one: Measured, rows: list[Row], **measuring: Any) -> Measured:
    if not rows:
        return one
    summary = summarise([row[6] for row in rows], [row[7] for row in rows], **measuring)
    return Measured(one.segment, summary, one.evidence, one.level, one.episode)


def _rank(one: Measured) -> tuple[bool, float, str]:
    """Open episodes first, then by falling size of the gap."""
    gap = 0.0 if one.summary is None else abs(one.summary.gap.estimate)
    return one.episode is None, -gap, str(one.segment)
