"""Two reports side by side: how many times as long each combination takes, and whether that is more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from live_sr.bench.report import Report
from live_sr.bench.rows import Row, Spread
from live_sr.bench.table import mode_name


@dataclass(frozen=True)
class Ratio:
    """How many times as long the second takes: of the medians, and the least and the most that the rounds allow."""

    of: float
    min: float
    max: float
    rounds: int  # of the side that has fewer

    @property
    def verdict(self) -> str:
        """Outside the spread when no round of one is as fast as any round of the other: with one round nobody knows."""
        if self.rounds < 2:
            return "one round: no spread"
        if self.min > 1:
            return "SLOWER"
        return "FASTER" if self.max < 1 else "within the spread"


def took(row: Row) -> Spread | None:
    """Milliseconds: the median latency of a paced row, the time for a frame of a free-running one."""
    if row.figures is None:
        return None
    if row.pace is not None:
        return row.figures.latency_ms.p50
    fps = row.figures.fps
    return Spread(1000 / fps.median, 1000 / fps.max, 1000 / fps.min) if fps.min > 0 else None


def ratio(one: Row, other: Row) -> Ratio | None:
    """None where either has no figures."""
    a, b = took(one), took(other)
    if a is None or b is None or one.figures is None or other.figures is None or not (a.min > 0 and a.median > 0):
        return None
    rounds = min(one.figures.rounds, other.figures.rounds)
    return Ratio(b.median / a.median, b.min / a.max, b.max / a.min, rounds)


def told(one: Report, other: Report, names: Sequence[str]) -> str:
    lines = [f"A: {names[0]}: {one.title}", f"B: {names[1]}: {other.title}"]
    differing = differences(one, other)
    if differing:
        lines.append(f"not the same: {'; '.join(differing)}")
    lines += ["", "ms: the median latency of what was paced, the time for a frame of what ran freely"]
    lines.append(f"{'combination':44}{'input':>10}{'':3}{'mode':16}{'A ms':>9}{'B ms':>9}{'B / A':>8}{'spread':>14}")
    theirs = {row.key: row for row in other.rows}
    for row in one.rows:
        beside = theirs.get(row.key)
        if beside is not None:
            lines.append(_line(row, beside))
    ours = {row.key for row in one.rows}
    for name, rows, keys in (("A", one.rows, set(theirs)), ("B", other.rows, ours)):
        lines += [
            f"only in {name}: {row.label}, {row.size}, {mode_name(row.pace)}" for row in rows if row.key not in keys
        ]
    return "\n".join(lines)


def differences(one: Report, other: Report) -> list[str]:
    """What of the machines and of the way of measuring makes a comparison doubtful."""
    a, b = one.machine, other.machine
    pairs: list[tuple[str, object, object]] = [
        ("processor", a.processor, b.processor),
        ("cores", a.cores, b.cores),
        ("system", a.system, b.system),
        ("cards", _cards(one), _cards(other)),
        ("source", one.source, other.source),
        ("seconds", one.seconds, other.seconds),
        ("live-sr", a.live_sr, b.live_sr),
    ]
    pairs += [
        (package, a.packages.get(package, "none"), b.packages.get(package, "none"))
        for package in sorted({*a.packages, *b.packages})
    ]
    return [f"{what} {x or 'none'} and {y or 'none'}" for what, x, y in pairs if x != y]


def _cards(report: Report) -> str:
    return ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in report.before)


def _line(one: Row, other: Row) -> str:
    head = f"{one.label:44}{one.size:>10}{'':3}{mode_name(one.pace):16}"
    figures = ratio(one, other)
    a, b = took(one), took(other)
    if figures is None or a is None or b is None:
        return f"{head}{one.reason or other.reason or 'no figures'}"
    spread = f"{figures.min:.2f}–{figures.max:.2f}"
    return f"{head}{a.median:9.2f}{b.median:9.2f}{figures.of:8.2f}{spread:>14}  {figures.verdict}"
