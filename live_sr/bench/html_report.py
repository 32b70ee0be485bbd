"""The report as one HTML file that needs no network: plots, tables, machine. It fits phones and dark mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from html import escape

from live_sr.bench import plots
from live_sr.bench.report import BenchReport
from live_sr.bench.results import BenchRow, Spread
from live_sr.bench.table import describe_mode
from live_sr.nvidia.nvml import GpuState

STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2126; --soft: #5b6670; --line: #d9dee3; --band: #f4f6f8; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14181c; --ink: #e4e8ec; --soft: #9aa5b0; --line: #38414a; --band: #1b2127; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, li { max-width: 46rem; }
.soft { color: var(--soft); }
.plots { columns: 2 460px; column-gap: 1.5rem; }
figure { margin: 0 0 1.5rem; max-width: 620px; break-inside: avoid; }
svg { display: block; height: auto; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: right; white-space: nowrap; }
th { font-weight: 600; border-bottom: 1px solid var(--line); }
tbody tr:nth-child(even) { background: var(--band); }
td.name, th.name { text-align: left; position: sticky; left: 0; background: var(--paper); }
tbody tr:nth-child(even) td.name { background: var(--band); }
td small { color: var(--soft); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
"""


def render_html(report: BenchReport) -> str:
    measured = [row for row in report.rows if row.figures is not None]
    parts = [
        f"<h1>live-sr bench, {escape(report.machine.date)}</h1>",
        f'<p class="soft">{escape(report.title)}</p>',
        _describe_method(report),
        f'<div class="plots">{"".join(f"<figure>{svg}</figure>" for svg in _draw_plots(measured))}</div>',
    ]
    for mode in dict.fromkeys(row.pace for row in measured):
        rows = [row for row in measured if row.pace == mode]
        parts += [f"<h2>{escape(describe_mode(mode)).capitalize()}</h2>", _render_table(rows)]
    parts += [_render_missing(report.rows), _render_machine(report)]
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head += f"<title>live-sr bench, {escape(report.machine.date)}</title><style>{STYLE}</style>"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{"".join(parts)}\n</body></html>\n'


def _draw_plots(rows: Sequence[BenchRow]) -> list[str]:
    free = [row for row in rows if row.pace is None]
    made = []
    if any(row.cost and row.cost.macs for row in free):
        made.append(plots.plot_throughput(free, "Throughput against cost, free-running"))
    for pace in dict.fromkeys(row.pace for row in rows if row.pace is not None):
        paced = [row for row in rows if row.pace == pace]
        made.append(plots.plot_stages(paced, f"Latency by stage, {describe_mode(pace)}"))
        on_card = [row for row in paced if row.figures and row.figures.device_ms]
        if on_card:
            made.append(plots.plot_stages(on_card, f"On the GPU, {describe_mode(pace)}", on_gpu=True))
        for some in plots.split_rows(paced):
            what = f"Percentiles, {some[0].size} {describe_mode(pace)}"
            made.append(plots.plot_percentiles(some, what, 1000 / pace))
    return made


def _describe_method(report: BenchReport) -> str:
    rounds = (
        "1 round"
        if report.rounds == 1
        else f"{report.rounds} rounds, interleaved, each starting with another combination"
    )
    told = (
        f"{report.seconds:g} s for each run after {report.warm_up_s:g} s of warm-up, {rounds}; a {report.source} as "
        "source, and a display that only counts. Latency runs from the moment when the source has a picture to its "
        "display, by the host's clock. Figures are medians over the rounds, with their minimum and maximum."
    )
    if any(row.times_floor for row in report.rows):
        told += (
            " The floor is the longer of two times, for copying both pictures and for the network's multiply-adds, at "
            "the rates measured on this machine; × floor is the time of the stage upscale divided by it."
        )
    if report.interrupted:
        told = f"This run was interrupted; these are the figures until then. {told}"
    return f"<p>{escape(told)}</p>"


def _render_table(rows: Sequence[BenchRow]) -> str:
    stages = list(dict.fromkeys(stage for row in rows if row.figures for stage in row.figures.device_ms))
    floors = any(row.times_floor for row in rows)
    names = ["fps", "p50 ms", "p95", "p99", "worst", "upscale", "rest", "dropped", *stages]
    names += ["floor ms", "× floor"] if floors else []
    head = '<th class="name">model, engine, input</th>' + "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{_render_cells(row, stages, floors)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _render_cells(row: BenchRow, stages: list[str], floors: bool) -> str:
    f = row.figures
    assert f is not None
    rest = sum(tail.p50.median for stage, tail in f.stages_ms.items() if stage != "upscale")
    how = f"{row.engine} {row.precision}".rstrip() + f", {row.size}"
    told = f'<td class="name">{escape(row.model)} ×{row.scale}<br><small>{escape(how)}</small></td>'
    several = f.rounds > 1
    cells = [_format_spread(f.fps, 1, several), _format_spread(f.latency_ms.p50, 2, several)]
    cells += [_format_spread(tail, 2, False) for tail in (f.latency_ms.p95, f.latency_ms.p99, f.latency_ms.max)]
    cells += [_format_spread(f.stages_ms["upscale"].p50, 2, False), f"{rest:.2f}", str(f.dropped)]
    cells += [_format_spread(f.device_ms[s].p50, 3, False) if s in f.device_ms else "" for s in stages]
    if floors:
        known = row.floor is not None and row.times_floor is not None
        cells += [f"{row.floor.ms:.2f}", f"{row.times_floor:.1f}"] if known and row.floor else ["", ""]
    return told + "".join(f"<td>{cell}</td>" for cell in cells)


def _format_spread(spread: Spread, digits: int, several: bool) -> str:
    around = f" <small>{spread.min:.{digits}f}–{spread.max:.{digits}f}</small>" if several else ""
    return f"{spread.median:.{digits}f}{around}"


def _render_missing(rows: Sequence[BenchRow]) -> str:
    lines = dict.fromkeys(f"{row.label} at {row.size}: {row.reason}" for row in rows if row.reason)
    if not lines:
        return ""
    return f"<h2>Not measured, or not to the end</h2><ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _render_machine(report: BenchReport) -> str:
    m = report.machine
    facts = [("processor", m.processor), ("cores", str(m.cores)), ("load at the start", f"{m.load:.2f}")]
    facts += [("system", report.system), ("Python", m.python), ("live-sr", m.live_sr), *m.packages.items()]
    for when, cards in (("before", report.before), ("after", report.after)):
        facts += [(f"{gpu.name}, {when}", _describe_gpu(gpu)) for gpu in cards]
    told = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts)
    return f"<h2>Machine</h2><dl>{told}</dl>"


def _describe_gpu(gpu: GpuState) -> str:
    """The values that the driver reported."""
    known = {f.name: getattr(gpu, f.name) for f in fields(gpu) if f.name not in ("name", "held_back")}
    told = [f"{name.replace('_', ' ')} {value:g}" for name, value in known.items() if isinstance(value, int | float)]
    texts = [f"{name} {value}" for name, value in known.items() if value and isinstance(value, str)]
    held = [f"held back: {', '.join(gpu.held_back)}"] if gpu.held_back else []
    return "; ".join([*texts, *told, *held])
