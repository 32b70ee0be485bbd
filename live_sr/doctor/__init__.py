"""`live-sr doctor`: what is here, what was chosen and why, what was passed over and how to get it. Changes nothing."""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from live_sr import __version__, assembly, backends, config, screen
from live_sr.backends import Backend, Choice
from live_sr.config import Config
from live_sr.doctor import machine
from live_sr.doctor.finding import Finding, probed
from live_sr.errors import LiveSRError, MissingPart
from live_sr.models import zoo
from live_sr.models.card import ModelCard

ON_WAYLAND = "only games that run on X11 or XWayland can be seen, native Wayland ones cannot"

SESSIONS = {
    "windows": "Windows",
    "x11": "X11",
    "xwayland": f"Wayland with XWayland: {ON_WAYLAND}",
    "wayland": f"Wayland without X: {ON_WAYLAND}",
    "none": "no screen: DISPLAY is not set",
}

ON_WINDOWS = (
    "settled once the overlay is there: wgc takes over from dxgi where the overlay cannot be hidden from desktop "
    "duplication or the window spans two monitors; the HUD then says so"
)

TRAP = (
    "plain `pip install pynput` asks for evdev, which needs a compiler and kernel headers; the hotkeys on X11 do not: "
    "pip install --no-deps pynput && pip install python-xlib six"
)


@dataclass(frozen=True)
class Section:
    """Findings of one kind. With `choice`, they are the rows of a table of back-ends, best first."""

    title: str
    findings: tuple[Finding, ...]
    choice: Choice | None = None


@dataclass(frozen=True)
class Report:
    """All of it. The JSON form has the same fields; `schema` changes when they do."""

    version: str
    sections: tuple[Section, ...]
    schema: int = 1


def main(as_json: bool, config: Path | None) -> int:
    """Prints the report on the settings in `config` (None: the defaults). The exit code, 0 whatever was found."""
    report = collect(config)
    print(json.dumps(asdict(report), indent=2) if as_json else text(report))
    return 0


def collect(path: Path | None) -> Report:
    """Looks at this machine, with the settings in `path`. What cannot be found out becomes a finding that says why."""
    settings, told = _settings(path)
    around = _screen()
    no_screen = next((f for f in around if not f.good), None)
    options = assembly.engine_options(settings)
    capture = _role("capture", backends.CAPTURE, settings.capture.backend, no_screen)
    engines = _role("engine", backends.ENGINES, options.backend)
    desktop = _role("desktop", backends.DESKTOPS, blocked=no_screen)
    hotkeys = _role("hotkeys", backends.HOTKEYS, blocked=no_screen)
    return Report(
        __version__,
        (
            Section("machine", _all(system=machine.system, processor=machine.processor)),
            Section("Python", _all(python=machine.python, packages=machine.packages)),
            Section("graphics", _graphics()),
            Section("screen", (*around, *_all(qt=_qt, fonts=machine.fonts))),
            capture if backends.system() != "win32" else _with(capture, Finding("note", ON_WINDOWS)),
            _with(engines, *_all(precision=lambda: _precision(engines, options))),
            desktop,
            _with(hotkeys, *_hotkey_trap(hotkeys)),
            Section("models", _all(models=_models, used=lambda: _model(settings))),
            Section("settings", (told, *_all(cache=lambda: _cache(options.cache or backends.cache_folder())))),
        ),
    )


def text(report: Report) -> str:
    """The report for people. Before a line, "!": something can be done about it; "-": it is not to be had here."""
    lines = [f"live-sr {report.version}"]
    for section in report.sections:
        lines += ["", section.title]
        lines += [f"  {line}" for line in str(section.choice or "").splitlines()]
        for finding in section.findings:
            first, *rest = finding.says.splitlines() or [""]
            mark = " " if finding.good else "!" if finding.remedy else "-"
            lines.append(f"  {mark} {finding.name:<15} {first}")
            lines += [f"{'':20}{line.strip()}" for line in rest]
            if finding.remedy and finding.remedy not in finding.says:
                lines.append(f"{'':20}-> {finding.remedy}")
    return "\n".join(lines)


def _all(**probes: Callable[[], Sequence[Finding]]) -> tuple[Finding, ...]:
    return tuple(finding for name, probe in probes.items() for finding in probed(name, probe))


def _graphics() -> tuple[Finding, ...]:
    seen = _all(adapters=machine.adapters)
    return (*seen, *_all(NVIDIA=lambda: machine.nvidia([finding.says for finding in seen])))


def _with(section: Section, *more: Finding) -> Section:
    return Section(section.title, (*section.findings, *more), section.choice)


def _role(role: str, table: tuple[Backend, ...], wanted: str = "auto", blocked: Finding | None = None) -> Section:
    """The choice among a table and every row of it. `blocked`: why none of them can be used now, installed or not."""
    try:
        _, choice = backends.choose(role, table, wanted)
    except MissingPart:
        asked = [b for b in table if wanted in ("auto", b.name)]
        choice = Choice(role, "", "nothing that runs here", [(b.name, b.obstacle()) for b in asked])
    return Section(role, tuple(_row(backend, blocked) for backend in table), choice)


def _row(backend: Backend, blocked: Finding | None) -> Finding:
    obstacle = backend.obstacle()
    if obstacle:
        return Finding(backend.name, f"not usable: {obstacle}", False, backend.remedy())
    try:
        backend.load()
    except MissingPart as error:
        return Finding(backend.name, f"not usable: {error.message}", False, error.remedy)
    if blocked:
        return Finding(backend.name, f"here, but not usable now: {blocked.says}", False)
    return Finding(backend.name, "usable")


def _screen() -> Sequence[Finding]:
    """Session and monitors; the finding that is not good, if there is one, says why no screen can be used."""
    session = backends.session()
    seen = session not in ("none", "wayland")
    remedy = "" if seen else "run it in a desktop session with X11 or XWayland; `live-sr demo` and `bench` need none"
    says = SESSIONS[session] + (f", DISPLAY={os.environ['DISPLAY']}" if session == "x11" else "")
    return [Finding("session", says, seen, remedy), *(probed("monitors", _monitors) if seen else ())]


def _monitors() -> list[Finding]:
    with closing(screen.desktop()) as desktop:
        found = desktop.monitors()
    return [Finding(f"monitor {m.name}", f"{m.rect}{', primary' if m.primary else ''}") for m in found]


def _qt() -> list[Finding]:
    screen.check_qt()
    return [Finding("Qt", f"its libraries are here (PyQt6 {importlib.metadata.version('PyQt6')})")]


def _precision(engines: Section, options: assembly.EngineOptions) -> list[Finding]:
    """What "auto" becomes on this processor, told by the engine itself."""
    if not any(f.name == "openvino" and f.good for f in engines.findings):
        return []
    card = next(iter(zoo.cards()), None)
    if card is None:
        return [Finding("precision", "not known: there is no model to ask with", False)]
    asked = assembly.EngineOptions("openvino", options.precision)
    with closing(assembly.make_engine(card.name, card.scale, asked)) as engine:
        became = engine.job.precision
    version = importlib.metadata.version("openvino")
    return [Finding("precision", f'OpenVINO {version}: precision = "{options.precision}" becomes {became}')]


def _hotkey_trap(hotkeys: Section) -> list[Finding]:
    missing = any(f.name == "pynput" and "is not installed" in f.says for f in hotkeys.findings)
    return [Finding("note", TRAP)] if missing and backends.system() == "linux" else []


def _models() -> list[Finding]:
    shipped, folder = zoo.cards(), backends.models_folder()
    own = zoo.own(folder, {card.name for card in shipped})
    found = [f for card in (*shipped, *own.cards) for f in probed(card.label, partial(_card, card))]
    found += [Finding("yours", trouble.message, False, trouble.remedy) for trouble in own.troubles]
    return found or [Finding("models", "none: only the filters can be used", False, "install live-sr again")]


def _card(card: ModelCard) -> list[Finding]:
    zoo.verify(card)
    size = f"{card.parameters} parameters" if card.parameters else "without a count of its parameters"
    scores = [
        f"PSNR-Y {game}: {s.model:.2f} dB (bicubic {s.bicubic:.2f}, Lanczos {s.lanczos:.2f})"
        for game, s in card.psnr_y.items()
    ]
    return [Finding(card.label, "\n".join([f"scale {card.scale}, {size}, {card.architecture}".rstrip(", "), *scores]))]


def _model(settings: Config) -> list[Finding]:
    name, scale = settings.model.name, settings.model.scale
    there = assembly.scales(name)
    has = ", ".join(str(s) for s in there)
    fits = scale == "fit" or scale in there
    return [Finding("in use", f"{name}, scale {scale} of {has}", fits, "" if fits else f"set scale to one of {has}")]


def _settings(path: Path | None) -> tuple[Config, Finding]:
    """The settings, or the defaults where the file is wrong."""
    try:
        settings = config.load(path)
    except LiveSRError as error:
        remedy = f"{error.remedy}; all else here is told with the defaults"
        return Config(), Finding("config.toml", error.message, False, remedy)
    if path is None:
        where = f"{Path.cwd()} and {backends.config_folder()}"
        return settings, Finding("config.toml", f"not found in {where}: the defaults hold")
    return settings, Finding("config.toml", str(path))


def _cache(folder: Path) -> list[Finding]:
    """Whether what the engines compile can be kept; looks at the folder that would hold a missing one."""
    whole = folder.absolute()
    there = next(f for f in (whole, *whole.parents) if f.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return [Finding("cache", str(whole) if there == whole else f"{whole}, made when first needed")]
    remedy = "set [engine] cache to a folder of yours; until then every start compiles again"
    return [Finding("cache", f"{whole} cannot be written", False, remedy)]
