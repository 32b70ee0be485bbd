"""A whole report: where, how, and the rows; as JSON and back, and as CSV."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from live_sr.bench.rows import NAMES, Cost, Figures, Floor, Row, Spread, Tail
from live_sr.errors import LiveSRError, UsageError
from live_sr.hardware import Machine
from live_sr.latency import STAGES
from live_sr.nvml import Gpu

SCHEMA = 2
DIGITS = 4  # of what is written, behind the point


@dataclass(frozen=True)
class Report:
    """`source` is pattern or video; before and after: the NVIDIA cards at the begin and at the end of the runs."""

    machine: Machine
    source: str
    seconds: float
    warm_up_s: float
    rounds: int
    before: tuple[Gpu, ...]
    after: tuple[Gpu, ...]
    interrupted: bool
    rows: tuple[Row, ...]

    @property
    def system(self) -> str:
        """Name and version alone: what follows them may be what somebody called a kernel that he built."""
        found = re.match(r"([A-Za-z]+)-(\d+(?:\.\d+)?)", self.machine.system)
        return f"{found[1]} {found[2]}" if found else self.machine.system.partition("-")[0]

    @property
    def title(self) -> str:
        """The machine in one line."""
        m = self.machine
        cards = "".join(f"; {gpu.name}, driver {gpu.driver}" for gpu in self.before)
        return f"{m.processor}, {m.cores} cores, load {m.load:.1f}{cards}; {self.system}, {m.date}"


def as_json(report: Report) -> str:
    """Each row is one line."""
    told = _rounded(asdict(report))
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in told.pop("rows"))
    head = json.dumps({"schema": SCHEMA, **told}, indent=1)
    return f'{head[:-2]},\n "rows": [\n{rows}\n]}}\n'


def read(path: Path) -> Report:
    """Raises UsageError when the file is not there or is no report of this version."""
    remedy = "give files that `live-sr bench --json` of this version wrote"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "correct the path") from None
    except ValueError:
        raise UsageError(f"{path} is not JSON", remedy) from None
    schema = told.get("schema") if isinstance(told, dict) else None
    if schema != SCHEMA:
        raise UsageError(
            f"{path} is no benchmark of schema {SCHEMA}" + (f", but of {schema}" if schema else ""), remedy
        )
    try:
        return _report(told)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{path} is not a whole benchmark: {type(error).__name__} {error}", remedy) from None


def as_csv(report: Report) -> str:
    """A line for each row, in the columns of `columns`; what is not known is left empty."""
    file = io.StringIO()
    stages = list(dict.fromkeys(s for row in report.rows if row.figures for s in row.figures.device_ms))
    writer = csv.writer(file, lineterminator="\n")
    header, *_ = [columns(row, stages) for row in report.rows] or [columns(None, stages)]
    writer.writerow(header)
    for row in report.rows:
        writer.writerow(_rounded(list(columns(row, stages).values())))
    return file.getvalue()


def columns(row: Row | None, device_stages: list[str]) -> dict[str, object]:
    figures, floor = (row.figures, row.floor) if row else (None, None)
    told: dict[str, object] = {
        f.name: getattr(row, f.name, None) for f in fields(Row) if f.name not in ("cost", "figures", "floor", "reason")
    }
    cost = row.cost if row else None
    told |= {"macs": cost.macs if cost else None, "bytes": cost.bytes if cost else None}
    for name in ("rounds", "seconds", "frames", "dropped"):
        told[name] = getattr(figures, name, None)
    told |= _spread("fps", figures.fps if figures else None)
    for name in NAMES:
        told |= _spread(f"{name}_ms", getattr(figures.latency_ms, name) if figures else None)
    for stage in STAGES:
        told[f"{stage}_p50_ms"] = figures.stages_ms[stage].p50.median if figures else None
    for stage in device_stages:
        there = figures.device_ms.get(stage) if figures else None
        told[f"card_{stage.replace(' ', '_')}_p50_ms"] = there.p50.median if there else None
    told |= {"floor_ms": floor.ms if floor and floor.ms else None, "times_floor": row.times_floor if row else None}
    return {**told, "reason": row.reason if row else None}


def write(path: Path, text: str) -> None:
    """Whole or not at all. Raises LiveSRError."""
    if path.is_dir():
        raise LiveSRError(f"{path} cannot be written: it is a folder", "choose another file")
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another file") from None


def _spread(name: str, spread: Spread | None) -> dict[str, object]:
    values = (spread.median, spread.min, spread.max) if spread else (None, None, None)
    return dict(zip((name, f"{name}_min", f"{name}_max"), values, strict=True))


def _rounded(told: Any) -> Any:
    """The same, with every fraction to so many digits. Json's own types in and out."""
    if isinstance(told, float):
        return round(told, DIGITS)
    if isinstance(told, dict):
        return {key: _rounded(value) for key, value in told.items()}
    if isinstance(told, list | tuple):
        return [_rounded(value) for value in told]
    return told


def _report(told: Mapping[str, Any]) -> Report:
    return Report(
        machine=Machine(**told["machine"]),
        source=told["source"],
        seconds=told["seconds"],
        warm_up_s=told["warm_up_s"],
        rounds=told["rounds"],
        before=tuple(_gpu(one) for one in told["before"]),
        after=tuple(_gpu(one) for one in told["after"]),
        interrupted=told["interrupted"],
        rows=tuple(_row(row) for row in told["rows"]),
    )


def _gpu(told: Mapping[str, Any]) -> Gpu:
    return Gpu(**{**told, "held_back": tuple(told["held_back"])})


def _row(told: Mapping[str, Any]) -> Row:
    parts = {"cost": Cost, "floor": Floor}
    made = {name: kind(**told[name]) if told[name] else None for name, kind in parts.items()}
    return Row(**{**told, **made, "figures": _figures(told["figures"]) if told["figures"] else None})


def _figures(told: Mapping[str, Any]) -> Figures:
    stages = {name: {s: _tail(tail) for s, tail in told[name].items()} for name in ("stages_ms", "device_ms")}
    return Figures(
        **{
            **told,
            **stages,
            "fps": Spread(**told["fps"]),
            "latency_ms": _tail(told["latency_ms"]),
            "curve_ms": tuple(told["curve_ms"]),
        }
    )


def _tail(told: Mapping[str, Any]) -> Tail:
    return Tail(**{name: Spread(**spread) for name, spread in told.items()})
