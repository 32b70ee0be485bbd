"""`live-sr doctor`: what is here, what was chosen and why, what was passed over and how to get it."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from live_sr import __version__, assembly, backends, hardware
from live_sr import config as settings
from live_sr.backends import Backend, Choice
from live_sr.config import Config
from live_sr.errors import LiveSRError, MissingPart, reason

QT_S = 20.0  # for a fresh process to start Qt and ask OpenGL for its name, on a busy machine
PACKAGES = ("numpy", "openvino", "opencv-python-headless", "PyQt6", "av", "mss", "pynput", "python-xlib")
PACKAGES_WINDOWS = ("dxcam", "windows-capture")

TABLES = (
    ("capture", backends.CAPTURE),
    ("engine", backends.ENGINES),
    ("desktop", backends.DESKTOPS),
    ("hotkeys", backends.HOTKEYS),
)

# Asked in a process of its own: without its libraries, or without a screen, Qt ends the process that asks.
ASK_QT = """
from live_sr.overlay.loop import Loop
loop = Loop()
from live_sr.overlay.gl_window import renderer_name
from live_sr.overlay.hud import Hud
print(renderer_name())
print(Hud().problem)
"""

SESSIONS = {
    "windows": "the Windows desktop",
    "x11": "X11",
    "xwayland": "Wayland with XWayland: games that run on X11 or XWayland work, native Wayland games do not",
    "wayland": "Wayland without X",
    "none": "no screen: bench works, and demo without its window",
}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `ok` off: something does not work, or not fully; `remedy` says what to do."""

    name: str
    text: str
    ok: bool = True
    remedy: str = ""


@dataclass(frozen=True)
class Role:
    """A table of backends as it stands here: the choice with its reasons, and what else could be chosen."""

    choice: Choice
    also: list[str] = field(default_factory=list)
    broken: str = ""  # why the chosen one does not load after all

    def __str__(self) -> str:
        lines = [str(self.choice)]
        if self.broken:
            lines.append(f"  ! {self.broken}")
        return "\n".join(lines + [f"  also {name}" for name in self.also])


@dataclass(frozen=True)
class Report:
    findings: list[Finding]
    roles: list[Role]

    def __str__(self) -> str:
        width = max(len(f.name) for f in self.findings)
        lines = []
        for f in self.findings:
            text = f.text.replace("\n", "\n" + " " * (width + 4))
            lines.append(f"{' ' if f.ok else '!'} {f.name:{width}}  {text}")
            if f.remedy:
                lines.append(" " * (width + 4) + f"-> {f.remedy}")
        return "\n".join([*lines, "", *map(str, self.roles)])


def main(*, as_json: bool, config: Path | None) -> int:
    """Prints what was found. Always 0: to find something amiss is no failure of the doctor's."""
    report = collect(config)
    if as_json:
        print(json.dumps({"schema": 1, **dataclasses.asdict(report)}, indent=1))
    else:
        print(report)
    return 0


def collect(config: Path | None = None) -> Report:
    """Looks at everything; `config` is the settings file in use. A probe that fails becomes a finding."""
    windows = backends.system() == "win32"
    probes: list[tuple[str, Callable[[], str]]] = [
        ("live-sr", lambda: f"{__version__} on Python {platform.python_version()}"),
        ("system", lambda: platform.platform(terse=True)),
        ("session", _session),
        ("processor", lambda: f"{hardware.processor_name()}, {os.cpu_count()} cores"),
        ("features", _features),
        ("adapters", _adapters),
        ("monitors", _monitors),
        ("packages", lambda: _packages(PACKAGES + PACKAGES_WINDOWS * windows)),
        ("precisions", _precisions),
        ("models", _models),
        ("settings", lambda: _settings(config)),
        ("compiled", lambda: _cache_folder(config)),
    ]
    findings = [_probed(name, probe) for name, probe in probes]
    return Report([*findings, *_qt()], [_role(name, table) for name, table in TABLES])


def _probed(name: str, probe: Callable[[], str]) -> Finding:
    try:
        return Finding(name, probe())
    except LiveSRError as error:
        return Finding(name, error.message, ok=False, remedy=error.remedy)
    except Exception as error:  # whatever is broken here is what the doctor is asked to tell, with all the rest
        return Finding(name, f"could not be found out: {reason(error)}", ok=False)


def _session() -> str:
    kind = backends.session()
    if kind in ("wayland", "none"):
        assembly.desktop()  # raises, with what to do about it
    return SESSIONS[kind]


def _features() -> str:
    found = hardware.processor_features()
    return ", ".join(found) or "not told by this system; OpenVINO finds them out by itself"


def _adapters() -> str:
    found = hardware.windows_adapters() if backends.system() == "win32" else hardware.linux_adapters()
    return "\n".join([*found, *(f"NVIDIA's driver: {line}" for line in hardware.nvidia_adapters())]) or "none is seen"


def _monitors() -> str:
    desktop = assembly.desktop()
    try:
        found = desktop.monitors()
    finally:
        desktop.close()
    return "\n".join(f"{m.name} {m.rect}{' (primary)' if m.primary else ''}" for m in found) or "none is connected"


def _packages(names: tuple[str, ...]) -> str:
    """Versions, not loaded: that a package is installed does not mean that it works."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} is not installed")
    return ", ".join(found)


def _precisions() -> str:
    """What networks can compute in on this processor, by the runtime's own account."""
    obstacle = next(b for b in backends.ENGINES if b.name == "openvino").obstacle()
    if obstacle:
        raise MissingPart(obstacle, "without it only filters run")
    from live_sr.engine.openvino import PRECISIONS, core

    has = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return ", ".join(name for name, (_, capability) in PRECISIONS.items() if capability in has)


def _models() -> str:
    from live_sr.models import zoo

    cards = zoo.cards()
    for card in cards:
        zoo.verify(card)
    return ", ".join(card.label for card in cards) or "none is shipped: only filters run"


def _settings(path: Path | None) -> str:
    """Raises UsageError that tells every mistake in the file."""
    settings.load(path)
    if path is None:
        return f"defaults: there is no config.toml here or in {backends.config_folder()}"
    return str(path.resolve())


def _cache_folder(path: Path | None) -> str:
    """Where compiled networks are kept, for the folder this is called in."""
    try:
        folder = Path(settings.load(path).engine.cache)
    except LiveSRError:
        folder = Path(Config().engine.cache)  # the mistakes are told elsewhere
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
        raise LiveSRError(
            f"{folder} cannot be written: networks are compiled anew at each start",
            "set engine.cache in config.toml to a folder that can",
        )
    return f"kept in {folder.absolute()}"


def _qt() -> list[Finding]:
    """Whether windows open, who draws in them, and whether the HUD can be read."""
    if backends.session() in ("wayland", "none"):
        return [Finding("windows", "not tried: there is no screen", ok=False)]
    tried = _probed("windows", _asked_qt)
    if not tried.ok:
        return [tried]
    renderer, _, problem = tried.text.partition("\n")
    drawn = f"Qt opens; OpenGL draws with {renderer}" if renderer else "Qt opens; no OpenGL, so the processor paints"
    return [Finding("windows", drawn), Finding("HUD", problem or "can be read", ok=not problem)]


def _asked_qt() -> str:
    assembly.check_qt()
    try:
        done = subprocess.run(
            [sys.executable, "-c", ASK_QT], capture_output=True, text=True, timeout=QT_S, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        raise LiveSRError(f"Qt did not open within {QT_S:g} s", "see whether the screen answers at all") from None
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise LiveSRError(
            f"Qt does not open here: {said[0] if said else f'exit code {done.returncode}'}",
            "`python3 tools/start.py demo` installs what is missing, or see the README for the list",
        )
    return done.stdout.rstrip("\n")


def _role(name: str, table: tuple[Backend, ...]) -> Role:
    try:
        chosen, choice = backends.choose(name, table)
    except MissingPart:
        return Role(Choice(name, "", "nothing that runs here", [(b.name, b.obstacle()) for b in table]))
    also = []
    for backend in table[table.index(chosen) + 1 :]:
        obstacle = backend.obstacle()
        if obstacle:
            choice.passed_over.append((backend.name, obstacle))
        else:
            also.append(backend.name)
    return Role(choice, also, _broken(chosen))


def _broken(chosen: Backend) -> str:
    """Why it does not load, though everything it needs is installed; or an empty string."""
    found = _probed(chosen.name, lambda: str(chosen.load()))
    return "" if found.ok else f"{found.text} ({found.remedy})" if found.remedy else found.text
