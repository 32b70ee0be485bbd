"""What the HUD says, as rows of coloured text. No Qt here: `hud` paints it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple

from live_sr.frame import Size
from live_sr.latency import STAGES, Percentiles, Report
from live_sr.nvml import Gpu

Level = Literal["off", "line", "detail"]
LEVELS: tuple[Level, ...] = ("off", "line", "detail")

MEASURES = "capture → handed to the compositor; excludes scan-out"
NOTES = 3  # so many of the newest notes are listed
GUIDES_MS = (1000 / 60, 1000 / 30)
FULL = 97  # per cent of a card's load: a game that takes all of it is in our way
SLACK = 1.2  # no two frames are exactly 16.7 ms apart: 50 fps still passes for 60
COLUMNS = 56  # of a panel that has all the room it wants


class Tone(Enum):
    """What a piece of text means, and its colour."""

    PLAIN = "#e8ebf0"
    DIM = "#aab3c0"
    GOOD = "#7ee08a"
    FAIR = "#f5d067"
    POOR = "#ff8578"
    NEWS = "#8cc8ff"


class Span(NamedTuple):
    text: str
    tone: Tone = Tone.PLAIN


Row = tuple[Span, ...]


@dataclass(frozen=True)
class HudState:
    """All that the HUD can say. `source`, `notes` and `message` are whole phrases; empty ones are left out.

    scale: how many times larger, or "fit". source: only what is out of the ordinary, such as "reopening: the window is
    minimised". notes: every fallback taken, oldest first. message: what a key press just did, such as "model: fast ×2".
    build: how far a long build is. budget: what the governor put in the wish's place. gpu: the NVIDIA card, if there is
    one; runtime: what the engine runs in there, with its version; advice: what keeps that card slow.
    """

    report: Report
    model: str
    scale: int | str
    engine: str
    precision: str = ""
    input: Size | None = None
    output: Size | None = None
    source: str = ""
    notes: tuple[str, ...] = ()
    message: str = ""
    build: str = ""
    budget: str = ""
    gpu: Gpu | None = None
    runtime: str = ""
    advice: str = ""


def tone_of(frame_ms: float) -> Tone:
    """Green at 60 frames a second, yellow at 30, red below."""
    if frame_ms <= GUIDES_MS[0] * SLACK:
        return Tone.GOOD
    return Tone.FAIR if frame_ms <= GUIDES_MS[1] * SLACK else Tone.POOR


def tone_of_rate(fps: float) -> Tone:
    return tone_of(1000 / fps) if fps > 0 else Tone.DIM


def lines(state: HudState, level: Level, columns: int = COLUMNS) -> list[str]:
    """The text of the HUD, line by line, wrapped to so many characters."""
    above, below = rows(state, level, columns)
    return ["".join(span.text for span in row) for row in above + below]


def rows(state: HudState, level: Level, columns: int = COLUMNS) -> tuple[list[Row], list[Row]]:
    """The text above and below the graph. The graph itself is there at level "detail" only."""
    if level == "off":
        return [], []
    if level == "line":
        return flowed(_line(state), columns) + _news(state, columns, notes=False), []
    above = [*flowed(_heading(state), columns), *flowed(_card(state), columns), ()]
    above += [*flowed(_rates(state.report), columns), *flowed(_counts(state.report), columns), ()]
    above += _table(state.report)
    below = [(Span(part, Tone.DIM),) for part in textwrap.wrap(MEASURES, columns)]
    return above, below + _news(state, columns, notes=True)


def flowed(groups: list[Row], columns: int) -> list[Row]:
    """Groups side by side, as many to a row as there are columns for; a group is not broken."""
    out: list[Row] = []
    used = 0
    for group in groups:
        width = sum(len(span.text) for span in group)
        if out and used + 3 + width <= columns:
            out[-1] = (*out[-1], Span("   "), *group)
            used += 3 + width
        else:
            out.append(group)
            used = width
    return out


def _what(state: HudState) -> Row:
    scale = f"×{state.scale}" if isinstance(state.scale, int) else state.scale
    return (Span(f"{state.model} {scale}"), Span(f" · {' '.join((state.engine, state.precision)).strip()}", Tone.DIM))


def _sizes(state: HudState) -> Row:
    if state.input is None or state.output is None:
        return ()
    small, large = (str(size).replace("x", "×") for size in (state.input, state.output))
    return (Span(f"{small} → {large}", Tone.DIM),)


def _line(state: HudState) -> list[Row]:
    report, total = state.report, state.report.total
    groups: list[Row] = [
        (Span(f"{_rate(report.shown_fps)} fps", tone_of_rate(report.shown_fps)),),
        (Span("1 % low ", Tone.DIM), Span(_rate(report.low_fps), tone_of_rate(report.low_fps))),
        (Span(f"{total.p50:5.1f} ms", _tone_of_total(report)), Span(f" p99 {total.p99:5.1f}", Tone.DIM)),
        _what(state),
        _sizes(state),
    ]
    return [group for group in groups if group]


def _heading(state: HudState) -> list[Row]:
    return [group for group in (_what(state), _sizes(state)) if group]


def _card(state: HudState) -> list[Row]:
    gpu = state.gpu
    if gpu is None:
        return []
    load = Span(f"load {gpu.load:3} %", Tone.FAIR if gpu.load >= FULL else Tone.DIM) if gpu.load is not None else None
    said = (
        gpu.clocks,
        f"VRAM {gpu.memory}" if gpu.memory else "",
        f"{gpu.celsius} °C" if gpu.celsius is not None else "",
        gpu.power,
        f"P{gpu.state}" if gpu.state is not None else "",
        state.runtime,
        f"driver {gpu.driver}" if gpu.driver else "",
    )
    spans = [Span(gpu.name.removeprefix("NVIDIA ")), load, *(Span(words, Tone.DIM) for words in said)]
    return [(span,) for span in spans if span is not None and span.text]


def _rate(fps: float) -> str:
    """Five characters."""
    return f"{fps:5.1f}" if fps < 999.95 else f"{fps:5.0f}"


def _count(number: int) -> str:
    """At most four characters."""
    if number < 10_000:
        return str(number)
    return f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"


def _tone_of_total(report: Report) -> Tone:
    return tone_of(report.total.p50) if report.total.max else Tone.DIM


def _figure(name: str, value: str, tone: Tone = Tone.PLAIN) -> Row:
    return (Span(f"{name:<10}", Tone.DIM), Span(f"{value:>5}", tone))


def _rates(report: Report) -> list[Row]:
    return [
        _figure("captured", _rate(report.captured_fps)),
        _figure("upscaled", _rate(report.upscaled_fps)),
        _figure("shown", f"{_rate(report.shown_fps)} fps", tone_of_rate(report.shown_fps)),
    ]


def _counts(report: Report) -> list[Row]:
    return [
        _figure("1 % low", _rate(report.low_fps), tone_of_rate(report.low_fps)),
        _figure("dropped", _count(report.dropped)),
        _figure("duplicates", _count(report.duplicates)),
    ]


def _table(report: Report) -> list[Row]:
    """42 columns: fits a small window, lines up with the figures above it in a large one."""

    def row(name: str, p: Percentiles) -> str:
        return f"{name:<10}{p.p50:8.1f}{p.p95:8.1f}{p.p99:8.1f}{p.max:8.1f}"

    head = f"{'ms':<10}{'p50':>8}{'p95':>8}{'p99':>8}{'worst':>8}"
    stages: list[Row] = [(Span(row(name, report.stages[name])),) for name in STAGES if name in report.stages]
    return [(Span(head, Tone.DIM),), *stages, (Span(row("total", report.total), _tone_of_total(report)),)]


def _news(state: HudState, columns: int, notes: bool) -> list[Row]:
    said: list[tuple[str, Tone]] = []
    if state.source:
        said.append((f"source: {state.source}", Tone.POOR))
    if state.build:
        said.append((state.build, Tone.NEWS))
    if notes:
        said += [(words, Tone.FAIR) for words in (state.budget, state.advice) if words]
        said += [(f"note: {note}", Tone.FAIR) for note in state.notes[-NOTES:]]
        if len(state.notes) > NOTES:
            said.append((f"notes older than these: {len(state.notes) - NOTES}", Tone.DIM))
    if state.message:
        said.append((state.message, Tone.NEWS))
    return [(Span(part, tone),) for text, tone in said for part in textwrap.wrap(text, columns, subsequent_indent="  ")]
