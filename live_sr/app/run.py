"""`live-sr run`: choose what to look at, wire the parts, and say how it ended."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from live_sr import backends, config, screen
from live_sr.app.follow import Follower, monitor_of
from live_sr.app.framelog import FrameLog
from live_sr.backends import Choice
from live_sr.config import Config
from live_sr.contracts import Desktop, FrameSource, WindowInfo
from live_sr.errors import DisplayLost, SourceLost, UsageError, WindowNotFound
from live_sr.frame import Rect

if TYPE_CHECKING:
    from live_sr.app.session import Session  # brings Qt, which `screen.loop` looks for first

LOOK_AGAIN_S = 0.5  # between two looks for a window that is waited for

_ending = threading.Lock()


@dataclass(frozen=True)
class Request:
    """What the command line asked for. At most one of the first four is given; none: ask the player."""

    window: str | None = None
    pid: int | None = None
    region: Rect | None = None
    monitor: int | None = None
    wait: bool = False
    log: Path | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Subject:
    """What is looked at: a window known by its names (it may still be awaited), or a rectangle of the desktop."""

    title: str
    window: WindowInfo | None = None
    region: Rect | None = None
    search: Callable[[], WindowInfo | None] = lambda: None

    @property
    def looked_at(self) -> Rect | None:
        """Where on the desktop it is, or was when it was chosen."""
        return self.region or (self.window.rect if self.window else None)


def run(request: Request, config_path: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> int:
    """The exit code; prints how it ended. Raises LiveSRError for what the player must be told."""
    config.load(config_path, (), overrides)  # mistakes first, questions afterwards
    desktop = screen.desktop()
    if backends.session() == "xwayland":
        print("live-sr: on Wayland only games that run on X11 or XWayland can be seen, native Wayland ones cannot")
    try:
        subject = choose(request, desktop)
        names = (subject.window.title, subject.window.process) if subject.window else (subject.title,)
        settings = config.load(config_path, names, overrides)
        log = FrameLog(request.log, subject.title) if request.log else None
        print(play(desktop, settings, subject, wait=request.wait, log=log, seconds=request.seconds))
    finally:
        desktop.close()
    return 0


def choose(request: Request, desktop: Desktop) -> Subject:
    """Raises WindowNotFound, or UsageError for a monitor that is not there."""
    from live_sr.overlay import picker

    if request.region is not None:
        return Subject(f"region {request.region}", region=request.region)
    if request.monitor is not None:
        monitors = desktop.monitors()
        if not 1 <= request.monitor <= len(monitors):
            raise UsageError(f"there is no monitor {request.monitor}", f"there are {len(monitors)}, counted from 1")
        monitor = monitors[request.monitor - 1]
        return Subject(f"monitor {monitor.name}", region=monitor.rect)
    if request.window is None and request.pid is None:
        picked = picker.pick(desktop.windows(), input)
        return Subject(picked.title, picked, search=partial(_search, desktop, picked.title, 0))
    title, pid = request.window or "", request.pid or 0
    search = partial(_search, desktop, title, pid)
    try:
        window: WindowInfo | None = picker.the_window(desktop.windows(), title, pid)
    except WindowNotFound:
        if not request.wait:
            raise
        window = None
        print(f"live-sr: waiting for a window of {title or pid}")
    return Subject(window.title if window else title or f"process {pid}", window, search=search)


def play(
    desktop: Desktop,
    settings: Config,
    subject: Subject,
    *,
    wait: bool = False,
    log: FrameLog | None = None,
    seconds: float | None = None,
) -> str:
    """Runs the session; the sentences that say how it ended and what it measured."""
    capture = screen.capture(settings.capture.backend, whole_window=subject.region is None)
    settings, warning = _apart(settings, capture.choice)
    follower = Follower(desktop, _finder(subject, wait), partial(_standing, desktop, subject))

    def open_source() -> FrameSource:
        if subject.region is not None:
            return capture.open_region(subject.region)
        if follower.window is None:
            raise SourceLost("waiting for the game's window")
        return capture.open_window(follower.window)

    def settle(session: Session) -> None:
        looked_at = subject.looked_at
        if capture.sees_the_overlay and looked_at is not None:
            apart = settings.overlay.mode == "beside"
            excluded = session.hide_from_capture() or apart
            has_window = subject.window is not None
            capture.settle(looked_at, desktop.monitors(), excluded=excluded, has_window=has_window)
        for note in filter(None, [warning, *capture.warnings]):
            session.teller.note(note)

    return perform(desktop, settings, open_source, follower, settle, wait=wait, log=log, seconds=seconds)


def perform(
    desktop: Desktop,
    settings: Config,
    open_source: Callable[[], FrameSource],
    follower: Follower,
    prepare: Callable[[Session], None] = lambda session: None,
    *,
    wait: bool = False,
    log: FrameLog | None = None,
    seconds: float | None = None,
) -> str:
    """A session over any source, to its end; `prepare` is called once its window exists."""
    loop = screen.loop(on_display_lost=_display_lost)
    from live_sr.app.session import Session

    session = Session(loop, desktop, settings, open_source, follower, patient=wait, log=log)
    prepare(session)
    if seconds is not None:
        loop.after(seconds, partial(session.finish, "the time was over"))
    end = session.run()
    report = session.latency.report()
    return (
        f"live-sr: ended, because {end}\n"
        f"  {report.shown} frames shown, {report.dropped} dropped, {report.duplicates} repeats left out; "
        f"capture → handed to the compositor p50 {report.total.p50:.1f} ms, p95 {report.total.p95:.1f} ms"
    )


def _search(desktop: Desktop, title: str, pid: int) -> WindowInfo | None:
    from live_sr.overlay import picker

    try:
        return picker.the_window(desktop.windows(), title, pid)
    except WindowNotFound:
        return None


def _finder(subject: Subject, wait: bool) -> Callable[[], WindowInfo | None]:
    """The chosen window at the first call; afterwards, if it is waited for, another search now and then."""
    first = [subject.window]
    next_look = monotonic()

    def find() -> WindowInfo | None:
        nonlocal next_look
        if first:
            return first.pop()
        if not wait or monotonic() < next_look:
            return None
        next_look = monotonic() + LOOK_AGAIN_S
        return subject.search()

    return find


def _standing(desktop: Desktop, subject: Subject) -> Rect | None:
    """Where the overlay belongs without a window to follow: the monitor of the region."""
    if subject.region is None:
        return None
    return monitor_of(subject.region, desktop.monitors()).rect


def _apart(settings: Config, choice: Choice) -> tuple[Config, str]:
    """mss sees all that is on the screen: covering the game would make it film itself."""
    if choice.chosen != "mss" or settings.overlay.mode != "cover":
        return settings, ""
    beside = settings.overlay.model_copy(update={"mode": "beside"})
    return settings.model_copy(update={"overlay": beside}), (
        "capture through mss would see an overlay that covers the game, so the picture is shown beside it: "
        "keep its window off the captured part"
    )


def _display_lost() -> None:
    """Nothing that touches a window works any more, so the process ends here: with a sentence and our exit code."""
    _ending.acquire()  # for good: Qt and the capture both notice, each on a thread of its own
    error = DisplayLost("the connection to the display was lost", "start live-sr again when the display is back")
    print(f"live-sr: {error.message}\n  {error.remedy}", file=sys.stderr, flush=True)
    os._exit(error.exit_code)
