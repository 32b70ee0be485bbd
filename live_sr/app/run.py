"""`live-sr run`: chooses what to capture, runs a session over it, and reports how it ended."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_sr import config
from live_sr.app.frame_log import FrameLog
from live_sr.app.game_search import GameSearch
from live_sr.app.output_monitor import find_output_monitor, make_unknown_monitor
from live_sr.app.overlay_choice import choose_overlay
from live_sr.app.shared_window import share_window
from live_sr.app.stacking import StackingPolicy
from live_sr.app.start_check import check_settings
from live_sr.app.start_gui import start_event_loop
from live_sr.app.window_tracker import FindMonitor, WindowTracker, find_monitor
from live_sr.capture.select import SelectedCapture, select_capture, select_shared
from live_sr.config import Settings
from live_sr.desktop.open import open_desktop
from live_sr.errors import DisplayLost, SourceLost, WindowNotFound
from live_sr.pipeline.contracts import FrameSource
from live_sr.pipeline.desktop_contracts import Desktop, WindowInfo
from live_sr.pipeline.frame import Rect
from live_sr.system import platform
from live_sr.terminal import print_error, print_result

if TYPE_CHECKING:
    from live_sr.app.session import Session  # brings Qt, which `start_event_loop` looks for first
    from live_sr.capture.screen_cast import ScreenCast  # brings jeepney, which only Wayland sessions need

log = logging.getLogger(__name__)

_ending = threading.Lock()


@dataclass(frozen=True)
class RunOptions:
    """The flags. At most one of the first four is given; with none, the player is asked."""

    window: str | None = None
    pid: int | None = None
    region: Rect | None = None
    monitor: int | None = None
    wait: bool = False
    log: Path | None = None
    seconds: float | None = None
    record: Path | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """By which settings for a game are found before its window is."""
        return () if self.window is None else (self.window,)


@dataclass(frozen=True)
class CaptureTarget:
    """What is captured: a window (which may not be open yet), or a rectangle of the desktop.

    `cast`: what the desktop shares; with it, `region` is the monitor that is shared, if it is one.
    """

    title: str
    window: WindowInfo | None = None
    region: Rect | None = None
    search: Callable[[], WindowInfo | None] = lambda: None
    others: tuple[WindowInfo, ...] = ()
    """Further windows that what the player named fits."""
    cast: ScreenCast | None = None

    def close(self) -> None:
        if self.cast is not None:
            self.cast.close()

    @property
    def screen_rect(self) -> Rect | None:
        """Where on the desktop it was when it was chosen."""
        return self.region or (self.window.rect if self.window else None)


def run(options: RunOptions, config_path: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> int:
    """Returns the exit code; prints how the run ended. Raises LiveSRError."""
    asked = config.load(config_path, options.names, overrides)  # reports mistakes before asking for a window
    desktop = open_desktop()
    target = None
    try:
        target = choose_target(options, desktop, asked.capture.backend)
        names = (target.window.title, target.window.process) if target.window else (target.title,)
        settings = config.load(config_path, names, overrides)
        check_settings(settings, desktop)
        frames = FrameLog(options.log, target.title) if options.log else None
        log.info(_describe_start(target, settings))
        start = partial(play, desktop, settings, target, log=frames, record=options.record)
        print_result(start(wait=options.wait, seconds=options.seconds))
    finally:
        if target is not None:
            target.close()
        desktop.close()
    return 0


def choose_target(options: RunOptions, desktop: Desktop, capture: str) -> CaptureTarget:
    """What the flags, or the player's answer, name. `capture`: the back-end of the settings.

    Raises WindowNotFound, UsageError for an unknown monitor, and MissingPart.
    """
    screen = options.region is not None or options.monitor is not None
    if capture == "pipewire" and not screen:
        return _share(options, desktop)
    try:
        return _choose_on_x11(options, desktop)
    except WindowNotFound as error:
        asked = options.window is None and options.pid is None and bool(desktop.list_windows())
        if asked or capture != "auto" or platform.detect_session() != "xwayland":
            raise
        return _share(options, desktop, error.message)


def _share(options: RunOptions, desktop: Desktop, not_found: str = "") -> CaptureTarget:
    """A window that the player chooses in a dialog of the desktop."""
    cast, monitor = share_window(options.window or "", desktop, not_found)
    return CaptureTarget(options.window or "the shared window", region=monitor, cast=cast)


def _choose_on_x11(options: RunOptions, desktop: Desktop) -> CaptureTarget:
    from live_sr.desktop import window_picker

    if options.region is not None:
        return CaptureTarget(f"region {options.region}", region=options.region)
    if options.monitor is not None:
        monitors = desktop.list_monitors()
        if not 1 <= options.monitor <= len(monitors):
            raise make_unknown_monitor(options.monitor, monitors)
        monitor = monitors[options.monitor - 1]
        return CaptureTarget(f"monitor {monitor.name}", region=monitor.rect)
    if options.window is None and options.pid is None:
        if platform.detect_session() == "xwayland":
            log.info("windows of X11 follow; `live-sr run --capture pipewire` shares a native Wayland window")
        picked = window_picker.ask_for_window(desktop.list_windows(), input)
        return CaptureTarget(picked.title, picked, search=partial(_search_window, desktop, picked.title, 0))
    title, pid = options.window or "", options.pid or 0
    search = partial(_search_window, desktop, title, pid)
    others: list[WindowInfo] = []
    try:
        windows = desktop.list_windows()
        window: WindowInfo | None = window_picker.find_window(windows, title, pid)
        others = window_picker.find_windows(windows, title, pid)[1:]
    except WindowNotFound:
        if not options.wait:
            raise
        window = None
        log.info("waiting for a window of %s", title or pid)
    name = window.title if window else title or f"process {pid}"
    return CaptureTarget(name, window, search=search, others=tuple(others))


def _describe_start(target: CaptureTarget, settings: Settings) -> str:
    """What matched, its size, the model and what else matches, as one sentence for the terminal."""
    from live_sr.desktop.window_picker import make_printable

    window, model = target.window, settings.model
    what = f'"{target.title}" ({window.process or "unknown process"}, {window.rect.size})' if window else target.title
    parts = [f"{what}, {model.name} {'to fit' if model.scale == 'fit' else f'x{model.scale}'}"]
    if target.others:
        parts.append("also fitting: " + ", ".join(f'"{other.title}"' for other in target.others[:3]))
    return make_printable("; ".join(filter(None, parts)))


def play(
    desktop: Desktop,
    settings: Settings,
    target: CaptureTarget,
    *,
    wait: bool = False,
    log: FrameLog | None = None,
    seconds: float | None = None,
    record: Path | None = None,
) -> str:
    """Runs a session over the target; returns how it ended and what it measured, as text to print."""
    capture = select_target_capture(target, settings)
    settings, notes = choose_overlay(settings, capture.backend, desktop)
    overlay = settings.overlay
    find_output = partial(find_output_monitor, overlay.monitor)
    stacking = None
    if overlay.mode == "cover" and target.region is None:
        stacking = StackingPolicy(overlay.when_inactive, lambda: capture.captures_popups)
    search = GameSearch(desktop.list_windows, target.window, target.search, wait)
    find_place = partial(_find_overlay_place, desktop, target, find_output)
    find_end = target.cast.find_end if target.cast is not None else lambda: ""
    tracker = WindowTracker(desktop, search.find, find_place, stacking, search.find_successor, find_output, find_end)

    def open_source() -> FrameSource:
        if target.cast is not None:
            return target.cast.open_source()
        if target.region is not None:
            return capture.open_region(target.region)
        if tracker.window is None:
            raise SourceLost("waiting for the game's window")
        return capture.open_window(tracker.window, lambda: tracker.popups)

    def settle(session: Session) -> None:
        looked_at = target.screen_rect
        if capture.backend.sees_overlay and looked_at is not None:
            apart = settings.overlay.mode == "beside"
            hidden = session.hide_from_capture()
            excluded = hidden or apart
            has_window = target.window is not None
            capture.recheck(looked_at, desktop.list_monitors(), excluded=excluded, has_window=has_window)
            if apart and capture.backend.sees_overlay and not hidden:
                session.keep_out_of(looked_at)
        for note in [*notes, *capture.warnings]:
            session.notifications.add_note(note)
        if record is not None:
            session.recorder.start(record)

    wait = wait and target.cast is None  # to share another window, the desktop would have to ask in the game's place
    return run_session(desktop, settings, open_source, tracker, settle, wait=wait, log=log, seconds=seconds)


def select_target_capture(target: CaptureTarget, settings: Settings) -> SelectedCapture:
    """The back-end that captures the target. Raises MissingPart and UsageError."""
    if target.cast is not None:
        return select_shared(is_window=target.region is None)
    return select_capture(settings.capture.backend, whole_window=target.region is None)


def run_session(
    desktop: Desktop,
    settings: Settings,
    open_source: Callable[[], FrameSource],
    tracker: WindowTracker,
    prepare: Callable[[Session], None] = lambda session: None,
    *,
    wait: bool = False,
    log: FrameLog | None = None,
    seconds: float | None = None,
) -> str:
    """Runs a session over any source until it ends; `prepare` is called once its window exists."""
    loop = start_event_loop(on_display_lost=partial(_exit_on_display_loss, log))
    from live_sr.app.session import Session

    session = Session(loop, desktop, settings, open_source, tracker, patient=wait, log=log)
    prepare(session)
    if seconds is not None:
        loop.call_later(seconds, partial(session.finish, "the time given by --seconds is over"))
    end = session.run()
    report = session.latency.report()
    return (
        f"live-sr: it ended because {end}\n"
        f"  {report.shown} frames shown, {report.dropped} dropped, {report.duplicates} repeated frames skipped; "
        f"capture → handed to the compositor p50 {report.total.p50:.1f} ms, p95 {report.total.p95:.1f} ms"
    )


def _search_window(desktop: Desktop, title: str, pid: int) -> WindowInfo | None:
    from live_sr.desktop import window_picker

    try:
        return window_picker.find_window(desktop.list_windows(), title, pid)
    except WindowNotFound:
        return None


def _find_overlay_place(desktop: Desktop, target: CaptureTarget, find_output: FindMonitor) -> Rect | None:
    """Where the overlay goes without a window to follow: on the output monitor, or else that of the region.

    The desktop does not say where a window is that it shares: then the primary monitor is covered.
    """
    if target.region is None and target.cast is None:
        return None
    monitors = desktop.list_monitors()
    return (find_output(monitors) or find_monitor(target.region or Rect(0, 0, 0, 0), monitors)).rect


def _exit_on_display_loss(frame_log: FrameLog | None) -> None:
    """Ends the process: without the display no window can be closed properly."""
    _ending.acquire()  # never released: Qt and the capture both notice the loss; one message is enough
    if frame_log is not None:
        frame_log.close()
    error = DisplayLost("the connection to the display was lost", "start live-sr again when the display is back")
    print_error(error)
    os._exit(error.exit_code)
