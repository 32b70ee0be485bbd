"""`live-sr doctor`: what is installed, what is chosen and why, and how to get the rest. It changes nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from live_sr import __version__, backends, config
from live_sr.backends import Backend, Choice
from live_sr.config import Settings
from live_sr.desktop.open import open_desktop
from live_sr.engines import engine_choice, factory
from live_sr.engines.options import EngineOptions
from live_sr.engines.tensorrt import rtx_build
from live_sr.errors import LiveSRError, MissingPart
from live_sr.manage import doctor_machine
from live_sr.manage.finding import DoctorFinding, run_probe
from live_sr.models import zoo
from live_sr.models.card import ModelCard
from live_sr.models.resolve import resolve
from live_sr.overlay.qt_check import check_qt
from live_sr.pipeline.canvas import NativeWindow
from live_sr.system import paths
from live_sr.system.platform import detect_session, get_platform
from live_sr.system.xcb import Connection
from live_sr.terminal import format_table, print_result

ON_WAYLAND = "games on X11 or XWayland are captured by themselves, native Wayland windows by pipewire"

SESSIONS = {
    "windows": "Windows",
    "x11": "X11",
    "xwayland": f"Wayland with XWayland: {ON_WAYLAND}",
    "wayland": "Wayland without X: live-sr's own window needs XWayland",
    "none": "no screen: DISPLAY is not set",
}

ON_WINDOWS = (
    "decided once the overlay exists: wgc replaces dxgi if the overlay cannot be hidden from desktop duplication, or "
    "if the window spans two monitors; the HUD then says so"
)


@dataclass(frozen=True)
class DoctorSection:
    """Findings of one kind. With `choice`, they are the backends of a table, best first."""

    title: str
    findings: tuple[DoctorFinding, ...]
    choice: Choice | None = None


@dataclass(frozen=True)
class DoctorReport:
    """The whole report. The JSON has the same fields; `schema` changes when they do."""

    version: str
    sections: tuple[DoctorSection, ...]
    schema: int = 1


def run(as_json: bool, config: Path | None) -> int:
    """Prints the report on the settings in `config` (None: the defaults). Returns 0, whatever was found."""
    report = collect_report(config)
    print_result(json.dumps(asdict(report), indent=2) if as_json else format_report(report))
    return 0


def collect_report(path: Path | None) -> DoctorReport:
    """Probes this machine with the settings in `path`. A probe that fails becomes a finding that says why."""
    settings, settings_finding = _load_settings(path)
    around = _probe_screen()
    no_screen = next((f for f in around if not f.good), None)
    options = EngineOptions.from_settings(settings)
    capture = _probe_backends("capture", backends.CAPTURE, settings.capture.backend, no_screen)
    engines = _probe_backends("engine", backends.ENGINES, options.backend, adapter=options.adapter)
    desktop = _probe_backends("desktop", backends.DESKTOPS, blocked=no_screen)
    hotkeys = _probe_backends("hotkeys", backends.HOTKEYS, settings.overlay.hotkeys, no_screen)
    pointer = _probe_backends("pointer", backends.POINTERS, blocked=no_screen)
    return DoctorReport(
        __version__,
        (
            DoctorSection(
                "machine", _run_probes(system=doctor_machine.probe_system, processor=doctor_machine.probe_processor)
            ),
            DoctorSection(
                "Python", _run_probes(python=doctor_machine.probe_python, packages=doctor_machine.probe_packages)
            ),
            DoctorSection("graphics", _probe_graphics()),
            DoctorSection(
                "screen",
                (
                    *around,
                    *_run_probes(
                        qt=_probe_qt, fonts=doctor_machine.probe_fonts, window=lambda: _probe_window(settings, options)
                    ),
                ),
            ),
            capture if get_platform() != "win32" else _append(capture, DoctorFinding("note", ON_WINDOWS)),
            _append(
                engines,
                *_run_probes(
                    precision=lambda: _probe_precision(engines, options),
                    trial=lambda: _probe_trial(settings, options),
                    compiler=_probe_compiler,
                    adapters=lambda: _probe_adapters(options.adapter),
                ),
            ),
            desktop,
            hotkeys,
            pointer,
            DoctorSection(
                "models", _run_probes(models=_probe_models, used=lambda: _probe_chosen_model(settings, options.cache))
            ),
            DoctorSection("settings", (settings_finding, *_run_probes(cache=lambda: _probe_cache(options.cache)))),
        ),
    )


def format_report(report: DoctorReport) -> str:
    """The report as text. Marks: "!" a problem with a remedy, "-" not available on this machine."""
    rows = [[row for finding in section.findings for row in _make_rows(finding)] for section in report.sections]
    table = iter(format_table([row for part in rows for row in part], gap=1))  # one table, so that all sections align
    lines = [f"live-sr {report.version}"]
    for section, part in zip(report.sections, rows, strict=True):
        lines += ["", section.title]
        if section.choice is not None:  # the rows below have the reasons against the others
            lines.append(f"  {section.choice.summary}")
        lines += [f"  {next(table)}" for _ in part]
    return "\n".join(lines)


def _make_rows(finding: DoctorFinding) -> list[tuple[str, str, str]]:
    """The cells of each line of a finding: mark, name, text."""
    mark = "" if finding.good else "!" if finding.remedy else "-"
    words = [line.strip() for line in finding.says.splitlines() or [""]]
    if finding.remedy and finding.remedy not in finding.says:
        words.append(f"-> {finding.remedy}")
    return [(mark, finding.name, words[0]), *(("", "", line) for line in words[1:])]


def _run_probes(**probes: Callable[[], Sequence[DoctorFinding]]) -> tuple[DoctorFinding, ...]:
    return tuple(finding for name, probe in probes.items() for finding in run_probe(name, probe))


def _probe_graphics() -> tuple[DoctorFinding, ...]:
    seen = _run_probes(adapters=doctor_machine.probe_adapters)
    return (*seen, *_run_probes(NVIDIA=lambda: doctor_machine.probe_nvidia([finding.says for finding in seen])))


def _append(section: DoctorSection, *more: DoctorFinding) -> DoctorSection:
    return DoctorSection(section.title, (*section.findings, *more), section.choice)


def _probe_backends(
    role: str,
    table: tuple[Backend, ...],
    wanted: str = "auto",
    blocked: DoctorFinding | None = None,
    adapter: str = backends.AUTO,
) -> DoctorSection:
    """The chosen backend and the state of each. blocked: a finding that keeps all of them from working now."""
    try:
        _, choice = backends.choose(role, table, wanted, adapter)
    except MissingPart:
        candidates = [b for b in table if wanted in ("auto", b.name)]
        choice = Choice(
            role, "", "nothing that runs here", [(b.name, b.unavailable_reason(adapter)) for b in candidates]
        )
    return DoctorSection(role, tuple(_probe_backend(backend, blocked, adapter) for backend in table), choice)


def _probe_backend(backend: Backend, blocked: DoctorFinding | None, adapter: str) -> DoctorFinding:
    reason = backend.unavailable_reason(adapter)
    if reason:
        return DoctorFinding(backend.name, f"not usable: {reason}", False, backend.find_remedy())
    try:
        backend.load()
    except MissingPart as error:
        return DoctorFinding(backend.name, f"not usable: {error.message}", False, error.remedy)
    if blocked:
        return DoctorFinding(backend.name, f"installed, but not usable now: {blocked.says}", False)
    return DoctorFinding(backend.name, "usable")


def _probe_screen() -> Sequence[DoctorFinding]:
    """Session and monitors. A finding that is not good says why no screen can be used."""
    session = detect_session()
    seen = session not in ("none", "wayland")
    remedy = "" if seen else "run it in a desktop session with X11 or XWayland; `live-sr demo` and `bench` need none"
    says = SESSIONS[session] + (f", DISPLAY={os.environ['DISPLAY']}" if session == "x11" else "")
    return [DoctorFinding("session", says, seen, remedy), *(run_probe("monitors", _probe_monitors) if seen else ())]


def _probe_monitors() -> list[DoctorFinding]:
    with closing(open_desktop()) as desktop:
        found = desktop.list_monitors()
    return [DoctorFinding(f"monitor {m.name}", f"{m.rect}{', primary' if m.primary else ''}") for m in found]


def _probe_qt() -> list[DoctorFinding]:
    check_qt()
    return [DoctorFinding("Qt", f"its libraries are installed (PyQt6 {importlib.metadata.version('PyQt6')})")]


def _probe_window(settings: Settings, options: EngineOptions) -> list[DoctorFinding]:
    """Whether the graphics card that upscales can draw the window, on X11. Elsewhere only the HUD can say it."""
    present = settings.overlay.present
    if present not in ("auto", "gpu") or detect_session() not in ("x11", "xwayland"):
        return []
    open_canvas = factory.find_canvas_opener(options, software=present == "gpu")
    if open_canvas is None:
        return []
    with closing(Connection()) as connection:
        try:
            open_canvas(NativeWindow(connection.root, connection.address), False).close()
        except LiveSRError as error:
            return [DoctorFinding("window", f"pictures go through main memory: {error.message}")]
    return [DoctorFinding("window", "the graphics card that upscales draws it")]


def _probe_precision(engines: DoctorSection, options: EngineOptions) -> list[DoctorFinding]:
    """The precision that "auto" means on this processor, as the engine reports it."""
    processor = backends.find_cpu_runtime()
    if not any(f.name == processor.name and f.good for f in engines.findings):
        return []
    card = max(zoo.list_cards(), key=lambda card: bool(card.int8_ranges), default=None)  # int8 needs ranges
    if card is None:
        return [DoctorFinding("precision", "unknown: there is no model to try it with", False)]
    with closing(processor.load()(card, precision=options.precision)) as engine:
        became = engine.info.precision
    version = importlib.metadata.version("openvino")
    return [DoctorFinding("precision", f'OpenVINO {version}: precision = "{options.precision}" becomes {became}')]


def _probe_trial(settings: Settings, options: EngineOptions) -> list[DoctorFinding]:
    """What trials decided for the model in use: the engine, and the graph of the engine on the processor."""
    model = resolve(settings.model.name, cache=options.cache)
    scale = model.default_scale if settings.model.scale == "fit" else settings.model.scale
    told = {
        "trial": engine_choice.describe_trial(model, scale, options),
        "graph": engine_choice.describe_graph(model, scale, options),
    }
    return [DoctorFinding(what, says) for what, says in told.items() if says]


def _probe_compiler() -> list[DoctorFinding]:
    """Whether engines for other people's GPUs can be compiled here, which needs no GPU."""
    if not all(backends.is_installed(module) for module in rtx_build.MODULES):
        return []
    version = importlib.metadata.version("tensorrt-rtx-cu13-bindings")
    return [
        DoctorFinding(
            "compiler", f"TensorRT-RTX {version} compiles for other GPUs: live-sr engines build --for sm75 -o FOLDER"
        )
    ]


def _probe_adapters(wanted: str) -> list[DoctorFinding]:
    """The graphics cards and software adapters that webgpu can use, and which of them it would use, and why."""
    if not backends.is_installed("wgpu"):
        return []
    from live_sr.engines.webgpu import adapters

    found = [DoctorFinding("adapter", adapters.describe(adapter)) for adapter in adapters.list_adapters()]
    with suppress(MissingPart):  # the engine's own line says that there is none
        found.append(DoctorFinding("chosen adapter", adapters.explain_choice(wanted)))
    return found


def _probe_models() -> list[DoctorFinding]:
    shipped = zoo.list_cards()
    own = zoo.read_user_folder(paths.get_models_folder(), {card.name for card in shipped})
    found = [f for card in (*shipped, *own.cards) for f in run_probe(card.label, partial(_probe_model, card))]
    found += [DoctorFinding("yours", trouble.message, False, trouble.remedy) for trouble in own.problems]
    return found or [DoctorFinding("models", "none: only the filters can be used", False, "install live-sr again")]


def _probe_model(card: ModelCard) -> list[DoctorFinding]:
    zoo.verify(card)
    size = f"{card.parameters} parameters" if card.parameters else "without a count of its parameters"
    scores = [
        f"PSNR-Y {game}: {s.model:.2f} dB (bicubic {s.bicubic:.2f}, Lanczos {s.lanczos:.2f})"
        for game, s in card.psnr_y.items()
    ]
    return [
        DoctorFinding(card.label, "\n".join([f"scale {card.scale}, {size}, {card.architecture}".rstrip(", "), *scores]))
    ]


def _probe_chosen_model(settings: Settings, cache: Path | None) -> list[DoctorFinding]:
    name, scale = settings.model.name, settings.model.scale
    there = resolve(name, cache=cache).scales
    has = ", ".join(str(s) for s in there)
    fits = scale == "fit" or scale in there
    return [
        DoctorFinding("in use", f"{name}, scale {scale} of {has}", fits, "" if fits else f"set scale to one of {has}")
    ]


def _load_settings(path: Path | None) -> tuple[Settings, DoctorFinding]:
    """The settings, or the defaults if the file has mistakes."""
    try:
        settings = config.load(path)
    except LiveSRError as error:
        remedy = f"{error.remedy}; the rest of this report uses the defaults"
        return Settings(), DoctorFinding("config.toml", error.message, False, remedy)
    if path is None:
        where = " and ".join(str(folder) for folder in (Path.cwd(), paths.get_config_folder()) if folder is not None)
        return settings, DoctorFinding("config.toml", f"not found in {where}: the defaults apply")
    return settings, DoctorFinding("config.toml", str(path))


def _probe_cache(folder: Path | None) -> list[DoctorFinding]:
    """Whether compiled engines can be kept. For a missing folder, looks at the one that it would be made in."""
    remedy = "set [engine] cache to a folder that you can write; until then, every start compiles again"
    if folder is None:
        return [DoctorFinding("cache", paths.NO_HOME, False, remedy)]
    whole = folder.absolute()
    there = next(f for f in (whole, *whole.parents) if f.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return [
            DoctorFinding(
                "cache", str(whole) if there == whole else f"{whole} (does not exist yet; it is made when it is needed)"
            )
        ]
    return [DoctorFinding("cache", f"{whole} cannot be written", False, remedy)]
