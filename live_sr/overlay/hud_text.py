"""The text of the HUD, as rows of coloured spans. No Qt here: `hud` paints them."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from live_sr.nvidia.nvml import GpuState
from live_sr.overlay.text_rows import Span, TextRow, Tone, flow, join_groups, measure_row, wrap_texts
from live_sr.pipeline.frame import Size
from live_sr.pipeline.latency import STAGES, LatencyReport, Percentiles

Level = Literal["off", "line", "detail"]
LEVELS: tuple[Level, ...] = ("off", "line", "detail")

MEASURES = "capture → handed to the compositor; excludes scan-out"
NOTES = 3  # how many of the newest notes are listed
GUIDES_MS = (1000 / 60, 1000 / 30)
FULL_LOAD = 97  # per cent of a GPU's load: a game that uses all of it slows the upscaling
SLACK = 1.2  # frames are never exactly 16.7 ms apart: 50 fps still counts as 60
COLUMNS = 56  # characters in a row, if there is room
NARROWEST = 12  # columns; every figure fits
NARROWEST_DETAIL = 26  # columns; the table has two figures
TABLE_NAME, TABLE_FIGURE = 10, 8  # columns of the table of stages


INTRODUCED = ("hud", "overlay", "quit")  # the actions whose keys a new player needs first
ACTIONS = {"hud": "HUD", "next_model": "model", "previous_model": "model back", "next_scale": "scale"}
LEFT_OUT = ((4, 0), (3, 1), (2, 1), (1, 0), (3, 0), (2, 0))  # of the figures in a row: which, and how many spans stay


@dataclass(frozen=True)
class HudState:
    """Everything that the HUD can show. `source`, `notes` and `message` are whole phrases; empty ones are left out.

    scale: how many times larger, or "fit". status: why the picture stands still: "PAUSED". source: only trouble, such
    as "reopening: the window is minimised". notes: every fallback taken, oldest first. message: what a key press just
    did, such as "model: fast ×2". build: how far a long build is. budget: what the latency governor uses instead of
    the selection. gpu: the NVIDIA GPU, if there is one. runtime: the name and version of what the engine runs in on
    that GPU. advice: what keeps that GPU slow. recording_s: for how long a video is being recorded, in seconds. keys:
    actions with the keys in force, such as ("quit", "ctrl+alt+q"). introduce: list some of the keys in the line, too.
    """

    report: LatencyReport
    model: str
    scale: int | str
    engine: str
    precision: str = ""
    input: Size | None = None
    output: Size | None = None
    status: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    message: str = ""
    build: str = ""
    budget: str = ""
    gpu: GpuState | None = None
    runtime: str = ""
    advice: str = ""
    recording_s: int | None = None
    keys: tuple[tuple[str, str], ...] = ()
    introduce: bool = False


def choose_tone(frame_ms: float) -> Tone:
    """GOOD at 60 frames a second, FAIR at 30, POOR below."""
    if frame_ms <= GUIDES_MS[0] * SLACK:
        return Tone.GOOD
    return Tone.FAIR if frame_ms <= GUIDES_MS[1] * SLACK else Tone.POOR


def choose_rate_tone(fps: float) -> Tone:
    return choose_tone(1000 / fps) if fps > 0 else Tone.DIM


def format_lines(state: HudState, level: Level, columns: int = COLUMNS, *, stacked: bool = False) -> list[str]:
    """The text of the HUD, line by line, wrapped to `columns` characters."""
    above, below = format_rows(state, level, columns, stacked=stacked)
    return ["".join(span.text for span in row) for row in above + below]


def format_rows(
    state: HudState, level: Level, columns: int = COLUMNS, *, stacked: bool = False
) -> tuple[list[TextRow], list[TextRow]]:
    """The text above and below the graph, which only the level "detail" has.

    The figures of the level "line" are one row, without the less important ones where it is too short. stacked: they
    are as many rows as they need, as in a narrow bar beside the picture. The level "off" says only why the picture
    stands still.
    """
    if level == "off":
        return wrap_status(state.status, columns), []
    if level == "line":
        groups = _format_line(state)
        figures = flow(groups, columns) if stacked else [_shorten(groups, columns)]
        keys = [(action, key) for action, key in state.keys if state.introduce and action in INTRODUCED]
        return figures + _format_news(state, columns, detail=False) + _format_keys(keys, columns), []
    above = [*flow(_format_heading(state), columns), *flow(_format_gpu(state), columns), ()]
    above += [*flow(_format_rates(state.report), columns), *flow(_format_counts(state.report), columns), ()]
    above += _format_table(state.report, columns)
    below = [(Span(part, Tone.DIM),) for part in textwrap.wrap(MEASURES, columns)]
    listed = _format_keys(state.keys, columns)
    news = _format_news(state, columns, detail=True)
    return above, [*below, *([(), *listed] if listed else []), *([(), *news] if listed and news else news)]


def wrap_status(status: str, columns: int) -> list[TextRow]:
    """Why the picture stands still, or why there is none."""
    return wrap_texts([(status, Tone.FAIR)], columns)


def _format_engine(state: HudState) -> TextRow:
    scale = f"×{state.scale}" if isinstance(state.scale, int) else state.scale
    return (Span(f"{state.model} {scale}"), Span(f" · {' '.join((state.engine, state.precision)).strip()}", Tone.DIM))


def _format_sizes(state: HudState) -> TextRow:
    if state.input is None or state.output is None:
        return ()
    small, large = (str(size).replace("x", "×") for size in (state.input, state.output))
    return (Span(f"{small} → {large}", Tone.DIM),)


def _format_line(state: HudState) -> list[TextRow]:
    report, total = state.report, state.report.total
    groups: list[TextRow] = [
        (Span(f"{_format_rate(report.shown_fps)} fps", choose_rate_tone(report.shown_fps)),),
        (Span(f"1 % low {_format_rate(report.low_fps)}", choose_rate_tone(report.low_fps)),),
        (Span(f"{total.p50:5.1f} ms", _choose_total_tone(report)), Span(f" p99 {total.p99:5.1f}", Tone.DIM)),
        _format_engine(state),
        _format_sizes(state),
    ]
    return groups


def _shorten(groups: list[TextRow], columns: int) -> TextRow:
    """One row of what fits into it; the less important figures are left out."""
    kept = list(groups)
    for number, spans in LEFT_OUT:
        if measure_row(join_groups(kept)) > columns:
            kept[number] = kept[number][:spans]
    return join_groups(kept)


def _format_heading(state: HudState) -> list[TextRow]:
    return [group for group in (_format_engine(state), _format_sizes(state)) if group]


def _format_gpu(state: HudState) -> list[TextRow]:
    gpu = state.gpu
    if gpu is None:
        return []
    load = (
        Span(f"load {gpu.load:3} %", Tone.FAIR if gpu.load >= FULL_LOAD else Tone.DIM) if gpu.load is not None else None
    )
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


def _format_rate(fps: float) -> str:
    """Five characters."""
    return f"{fps:5.1f}" if fps < 999.95 else f"{fps:5.0f}"


def _format_count(number: int) -> str:
    """At most four characters."""
    if number < 10_000:
        return str(number)
    return f"{number // 1000}k" if number < 1_000_000 else f"{number // 1_000_000}M"


def _choose_total_tone(report: LatencyReport) -> Tone:
    return choose_tone(report.total.p50) if report.total.max else Tone.DIM


def _format_figure(name: str, value: str, tone: Tone = Tone.PLAIN) -> TextRow:
    return (Span(f"{name:<10}", Tone.DIM), Span(f"{value:>5}", tone))


def _format_rates(report: LatencyReport) -> list[TextRow]:
    return [
        _format_figure("captured", _format_rate(report.captured_fps)),
        _format_figure("upscaled", _format_rate(report.upscaled_fps)),
        _format_figure("shown", f"{_format_rate(report.shown_fps)} fps", choose_rate_tone(report.shown_fps)),
    ]


def _format_counts(report: LatencyReport) -> list[TextRow]:
    return [
        _format_figure("1 % low", _format_rate(report.low_fps), choose_rate_tone(report.low_fps)),
        _format_figure("dropped", _format_count(report.dropped)),
        _format_figure("duplicates", _format_count(report.duplicates)),
        *([_format_figure("redrawn", f"{report.drawn:.0%}")] if report.drawn < 1 else []),
    ]


def _format_table(report: LatencyReport, columns: int) -> list[TextRow]:
    """At most 42 columns wide, and lines up with the figures above it. Narrow ones lack the last figures."""
    count = max(1, (columns - TABLE_NAME) // TABLE_FIGURE)

    def row(name: str, p: Percentiles) -> str:
        figures = (p.p50, p.p95, p.p99, p.max)[:count]
        return f"{name:<{TABLE_NAME}}" + "".join(f"{ms:{TABLE_FIGURE}.1f}" for ms in figures)

    head = f"{'ms':<{TABLE_NAME}}" + "".join(f"{h:>{TABLE_FIGURE}}" for h in ("p50", "p95", "p99", "worst")[:count])
    stages: list[TextRow] = [(Span(row(name, report.stages[name])),) for name in STAGES if name in report.stages]
    return [(Span(head, Tone.DIM),), *stages, (Span(row("total", report.total), _choose_total_tone(report)),)]


def _format_keys(keys: Sequence[tuple[str, str]], columns: int) -> list[TextRow]:
    """What the keys do, under the modifiers that they share."""
    by_modifiers: dict[str, list[TextRow]] = {}
    for action, key in keys:
        modifiers, _, last = key.rpartition("+")
        meaning = (Span(last), Span(f" {ACTIONS.get(action) or action.replace('_', ' ')}", Tone.DIM))
        by_modifiers.setdefault(modifiers, []).append(meaning)
    out: list[TextRow] = []
    for modifiers, meanings in by_modifiers.items():
        heading: list[TextRow] = [(Span(f"{modifiers} +", Tone.DIM),)] if modifiers else []
        out += flow([*heading, *meanings], columns)
    return out


def _format_news(state: HudState, columns: int, detail: bool) -> list[TextRow]:
    said: list[tuple[str, Tone]] = []
    if state.recording_s is not None:
        said.append(("● REC {}:{:02}".format(*divmod(state.recording_s, 60)), Tone.POOR))
    if state.status:
        said.append((state.status, Tone.FAIR))
    if state.source:
        said.append((f"source: {state.source}", Tone.POOR))
    if state.build:
        said.append((state.build, Tone.NEWS))
    if state.budget:
        said.append((state.budget, Tone.FAIR))
    if detail:
        if state.advice:
            said.append((state.advice, Tone.FAIR))
        said += [(f"note: {note}", Tone.FAIR) for note in state.notes[-NOTES:]]
        if len(state.notes) > NOTES:
            said.append((f"notes older than these: {len(state.notes) - NOTES}", Tone.DIM))
    if state.message:
        said.append((state.message, Tone.NEWS))
    return wrap_texts(said, columns)
