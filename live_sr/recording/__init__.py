"""`live-sr record`: frames of a game while it is played, as lossless pictures for training or evaluation."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from live_sr import config, screen
from live_sr.app.run import Request, Subject, choose
from live_sr.config import Config
from live_sr.contracts import Desktop, FrameSource
from live_sr.errors import LiveSRError
from live_sr.recording.album import Album
from live_sr.recording.recorder import WAIT_S, Recorder


@dataclass(frozen=True)
class Order:
    """What to record. `count`: end after so many saved frames."""

    out: Path
    every_s: float = 0.5
    count: int | None = None


def run(request: Request, order: Order, config_path: Path | None, overrides: Mapping[str, Mapping[str, Any]]) -> int:
    """The exit code; prints what was saved. Raises LiveSRError for what the player must be told."""
    config.load(config_path, (), overrides)  # mistakes first, questions afterwards
    desktop = screen.desktop()
    try:
        subject = choose(request, desktop)
        names = (subject.window.title, subject.window.process) if subject.window else (subject.title,)
        settings = config.load(config_path, names, overrides)
        open_source = _opener(subject, settings, desktop)
    finally:
        desktop.close()
    album = Album(order.out, subject.title)
    recorder = Recorder(open_source, album, order.every_s, order.count, tell=lambda note: print(f"live-sr: {note}"))
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it ends as with Ctrl-C
    print(f"live-sr: recording {subject.title} into {order.out}; Ctrl-C ends it")
    recorder.start()
    end = "it was interrupted"
    try:
        end = _until_over(recorder, request.seconds)
    except KeyboardInterrupt:
        pass
    except LiveSRError as error:
        end = error.message
        raise
    finally:
        recorder.stop()
        signal.signal(signal.SIGTERM, before)
        print(summary(recorder, album, end))
    return 0


def summary(recorder: Recorder, album: Album, end: str) -> str:
    lost = f", {recorder.dropped} lost because the disk was too slow" if recorder.dropped else ""
    saved = (
        f"live-sr: {album.saved} frames saved in {album.folder} ({album.bytes / 1e6:.1f} MB), {recorder.still} skipped "
        f"because nothing had moved{lost}; ended, because {end}"
    )
    following = f"next: python tools/make_pairs.py folder {album.folder} (see docs/train-for-your-game.md)"
    return f"{saved}; {following}" if album.saved else saved


def _until_over(recorder: Recorder, seconds: float | None) -> str:
    """Why it is over. Raises what ended it, unless the window was closed."""
    begun = monotonic()
    while not recorder.wait(WAIT_S):
        if sys.stderr.isatty():
            print(f"\r{recorder.taken} frames ", end="", file=sys.stderr, flush=True)
        if seconds is not None and monotonic() - begun >= seconds:
            return "the time was over"
    return recorder.end


def _opener(subject: Subject, settings: Config, desktop: Desktop) -> Callable[[], FrameSource]:
    """As in `run`, but that there is no overlay to be kept out of the picture."""
    capture = screen.capture(settings.capture.backend, whole_window=subject.region is None)
    if subject.looked_at is not None:
        has_window = subject.window is not None
        capture.settle(subject.looked_at, desktop.monitors(), excluded=True, has_window=has_window)
    for note in capture.warnings:
        print(f"live-sr: {note}")

    def opened() -> FrameSource:
        if subject.region is not None:
            return capture.open_region(subject.region)
        assert subject.window is not None
        return capture.open_window(subject.window)

    return opened
