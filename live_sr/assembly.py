"""From names and settings to parts: the one place where the tables of backends meet the leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from live_sr import backends
from live_sr.backends import Backend, Choice
from live_sr.contracts import Desktop, Engine, FrameSource, Hotkeys, Resize, WindowInfo
from live_sr.errors import DisplayLost, LiveSRError, UsageError
from live_sr.frame import Rect

FILTERS = ("nearest", "bilinear", "bicubic", "lanczos", "fsr")
FILTER_SCALES = (2, 3, 4)


@dataclass(frozen=True)
class Target:
    """What to look at: a window, or a rectangle of the desktop."""

    window: WindowInfo | None = None
    region: Rect | None = None


@dataclass(frozen=True)
class EngineOptions:
    """How engines are chosen and built; `cache` is the folder for what they compile."""

    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    cache: Path | None = None


def models() -> list[str]:
    """Names in the order in which the hotkey goes through them: networks first, then filters."""
    from live_sr.models import zoo

    return [*zoo.names(), *FILTERS]


def scales(model: str) -> tuple[int, ...]:
    """The scales a model has, ascending. Raises ModelError for an unknown one."""
    if model in FILTERS:
        return FILTER_SCALES
    from live_sr.models import zoo

    return zoo.scales(model)


def engine_choice(options: EngineOptions) -> tuple[Backend, Choice]:
    """What runs networks here; a choice of "filters" means that none can."""
    return backends.choose("engine", backends.ENGINES, options.backend)


def make_engine(model: str, scale: int, options: EngineOptions) -> Engine:
    """An engine for a network or filter, not yet warmed up. Raises ModelError, EngineError or MissingPart."""
    if model in FILTERS:
        return plain_engine(model, scale)
    from live_sr.models import zoo

    card = zoo.find(model, scale)
    backend, choice = engine_choice(options)
    if backend.name == "filters":
        raise UsageError(f"{model} is a network, and no engine for networks is in use\n{choice}", f"one of {FILTERS}")
    engine = backend.load()(card, precision=options.precision, threads=options.threads, cache=options.cache)
    return cast(Engine, engine)


def plain_engine(name: str, scale: int) -> Engine:
    """A filter: ready at once."""
    return cast(Engine, _filters().load()(name, scale))


def resizer(name: str) -> Resize:
    """A function that resizes pictures with a filter of that name, or "auto" for the best of them in each direction."""
    from live_sr.engine import filters

    return filters.resizer(name)


def _filters() -> Backend:
    return next(b for b in backends.ENGINES if b.name == "filters")


def desktop() -> Desktop:
    """Raises DisplayLost with a remedy where there is no screen that can be worked with."""
    session = backends.session()
    if session == "wayland":
        raise DisplayLost(
            "this is Wayland without X: live-sr sees games that run on X11 or XWayland, not native Wayland ones",
            "start XWayland (DISPLAY must be set), or log in to an X11 session",
        )
    if session == "none":
        raise DisplayLost(
            "there is no screen: DISPLAY is not set", "run it in a desktop session, or use `live-sr demo`"
        )
    backend, _ = backends.choose("desktop", backends.DESKTOPS)
    return cast(Desktop, backend.load()())


def hotkeys() -> tuple[Hotkeys | None, str]:
    """What binds keys here, or None and the reason."""
    try:
        backend, _ = backends.choose("hotkeys", backends.HOTKEYS)
        return cast(Hotkeys, backend.load()()), ""
    except LiveSRError as error:
        return None, f"no hotkeys: {error.message} ({error.remedy})"


def source_factory(target: Target, wanted: str) -> tuple[Callable[[], FrameSource], Choice]:
    """A function that opens the best capture of the target, to be called on the thread that will use it."""
    backend, choice = _capture_choice(target, wanted)
    source = backend.load()
    if target.window is None:
        region = target.region
        return (lambda: source(region=region) if backend.name == "dxgi" else source(region)), choice
    if backend.name == "mss":
        rect = target.window.rect
        choice.passed_over.append(("following the window", "mss sees a fixed part of the screen"))
        return (lambda: source(rect)), choice
    window = target.window.id
    return (lambda: source(window)), choice


def _capture_choice(target: Target, wanted: str) -> tuple[Backend, Choice]:
    if target.window is not None or wanted != "auto":
        return backends.choose("capture", backends.CAPTURE, wanted)
    whole_screen = tuple(b for b in backends.CAPTURE if b.name in ("dxgi", "mss"))  # the others see one window only
    return backends.choose("capture", whole_screen)
