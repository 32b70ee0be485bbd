"""`live-sr record`: saves frames of a game while it is played, as lossless pictures for training or evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from live_sr import config
from live_sr.app.recorder import WAIT_S, Recorder
from live_sr.app.recording_folder import RecordingFolder
from live_sr.app.run import CaptureTarget, RunOptions, choose_target, select_target_capture
from live_sr.config import Settings
from live_sr.desktop.open import open_desktop
from live_sr.errors import LiveSRError
from live_sr.pipeline.contracts import FrameSource
from live_sr.pipeline.desktop_contracts import Desktop
from live_sr.system.termination import end_as_with_ctrl_c
from live_sr.terminal import Progress, print_result

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecordOptions:
    """What to record. `count`: end after this many saved frames."""

    out: Path
    every_s: float = 0.5
    count: int | None = None


def run(
    run_options: RunOptions,
    options: RecordOptions,
    config_path: Path | None,
    overrides: Mapping[str, Mapping[str, Any]],
) -> int:
    """Returns the exit code; prints what was saved. Raises LiveSRError."""
    asked = config.load(config_path, run_options.names, overrides)  # reports mistakes before asking for a window
    desktop = open_desktop()
    try:
        target = choose_target(run_options, desktop, asked.capture.backend)
        names = (target.window.title, target.window.process) if target.window else (target.title,)
        settings = config.load(config_path, names, overrides)
        open_source = _make_source_opener(target, settings, desktop)
    finally:
        desktop.close()
    with closing(target):
        _record(target.title, open_source, options, run_options.seconds)
    return 0


def _record(title: str, open_source: Callable[[], FrameSource], options: RecordOptions, seconds: float | None) -> None:
    """Saves frames until it is over; prints what was saved. Raises LiveSRError."""
    folder = RecordingFolder(options.out, title)
    recorder = Recorder(open_source, folder, options.every_s, options.count, report=log.info)
    end = "it was interrupted"
    with end_as_with_ctrl_c():
        log.info("recording %s into %s; Ctrl-C ends it", title, options.out)
        recorder.start()
        try:
            end = _wait_until_over(recorder, seconds, options.count)
        except KeyboardInterrupt:
            pass
        except LiveSRError as error:
            end = error.message
            raise
        finally:
            recorder.stop()
            print_result(format_summary(recorder, folder, end))


def format_summary(recorder: Recorder, folder: RecordingFolder, end: str) -> str:
    lost = f", {recorder.dropped} lost because the disk was too slow" if recorder.dropped else ""
    saved = (
        f"live-sr: {folder.saved} frames saved in {folder.path} ({folder.bytes / 1e6:.1f} MB), "
        f"{recorder.still} skipped because nothing had moved{lost}; it ended because {end}"
    )
    path = folder.path
    following = f"next: live-sr pairs folder {path} --out pairs/{path.name} (see docs/train-for-your-game.md)"
    return f"{saved}; {following}" if folder.saved else saved


def _wait_until_over(recorder: Recorder, seconds: float | None, count: int | None) -> str:
    """Returns why the recording ended. Raises its error, if it was one."""
    begun = monotonic()
    progress = Progress("recording", count)
    shown = 0
    try:
        while not recorder.wait(WAIT_S):
            taken = recorder.taken
            progress.step(taken - shown)
            shown = taken
            if seconds is not None and monotonic() - begun >= seconds:
                return "the time given by --seconds is over"
    finally:
        progress.close()
    return recorder.end


def _make_source_opener(target: CaptureTarget, settings: Settings, desktop: Desktop) -> Callable[[], FrameSource]:
    """Selects the capture as `run` does, without an overlay that must be kept out of the picture."""
    capture = select_target_capture(target, settings)
    if target.screen_rect is not None:
        has_window = target.window is not None
        capture.recheck(target.screen_rect, desktop.list_monitors(), excluded=True, has_window=has_window)
    for note in capture.warnings:
        log.warning(note)

    def open_source() -> FrameSource:
        if target.cast is not None:
            return target.cast.open_source()
        if target.region is not None:
            return capture.open_region(target.region)
        assert target.window is not None
        return capture.open_window(target.window)

    return open_source
