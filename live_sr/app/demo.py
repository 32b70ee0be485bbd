"""`live-sr demo`: upscales a bundled recording of a game, in a window if there is a screen."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from live_sr import config
from live_sr.app.output_monitor import find_output_monitor
from live_sr.app.start_check import check_settings
from live_sr.app.window_tracker import WindowTracker
from live_sr.capture.video import VideoSource
from live_sr.config import Settings
from live_sr.desktop.open import open_desktop
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import DisplayLost, MissingPart
from live_sr.imaging.png import place_side_by_side, write_png
from live_sr.models.resolve import resolve
from live_sr.overlay.qt_check import check_qt
from live_sr.pipeline.desktop_contracts import Desktop
from live_sr.pipeline.frame import Pixels, Rect, get_size
from live_sr.pipeline.latency import Latency, describe_rates, format_stage_rows
from live_sr.pipeline.null_display import NullDisplay
from live_sr.pipeline.pipeline import WAIT_S, Pipeline
from live_sr.terminal import format_table, print_result

log = logging.getLogger(__name__)

CLIP = Path(__file__).parent / "demo_clip" / "freedoom.mp4"
WINDOW_S = 20.0  # default length of the demo in a window
HEADLESS_S = 5.0


def run(
    config_path: Path | None,
    overrides: Mapping[str, Mapping[str, Any]],
    *,
    seconds: float | None,
    output: Path,
    window: bool,
) -> int:
    """Returns the exit code, which is 0 with and without a screen."""
    flags = config.merge({"overlay": {"mode": "beside"}, "hud": {"level": "detail"}}, overrides)
    settings = config.load(config_path, ("freedoom",), flags)
    if window:
        try:
            desktop = open_desktop()
            check_qt()
        except (DisplayLost, MissingPart) as error:
            log.warning("no window, because %s", error.message)
        else:
            return _run_in_window(desktop, settings, seconds or WINDOW_S)
    _run_without_window(settings, seconds or HEADLESS_S, output)
    return 0


def _run_in_window(desktop: Desktop, settings: Settings, seconds: float) -> int:
    from live_sr.app.run import run_session

    def find_place() -> Rect:
        monitors = desktop.list_monitors()
        wanted = find_output_monitor(settings.overlay.monitor, monitors)
        return (wanted or next((m for m in monitors if m.primary), monitors[0])).rect

    try:
        check_settings(settings, desktop)
        log.info("a recording of Freedoom, upscaled live for %.0f s; %s ends it", seconds, settings.hotkeys.quit)
        tracker = WindowTracker(desktop, lambda: None, find_place)
        print_result(run_session(desktop, settings, partial(VideoSource, CLIP, loop=True), tracker, seconds=seconds))
    finally:
        desktop.close()
    return 0


def _run_without_window(settings: Settings, seconds: float, output: Path) -> None:
    """The same pipeline with a display that only counts; writes a picture and prints a table of latencies."""
    options = EngineOptions.from_settings(settings)
    model = resolve(settings.model.name, cache=options.cache)
    scale = model.default_scale if settings.model.scale == "fit" else settings.model.scale
    engine = factory.make_engine(model, scale, options)
    latency = Latency()
    taken: list[tuple[Pixels, Pixels]] = []
    source = VideoSource(CLIP, loop=True)
    engine.warm_up(source.size)
    source.close()
    pipeline = Pipeline(partial(VideoSource, CLIP, loop=True), engine, NullDisplay(latency), latency, reopen=False)
    pipeline.start()
    end = monotonic() + seconds
    try:
        while (monotonic() < end or not taken) and not pipeline.wait(WAIT_S):
            if not taken and monotonic() > end - seconds / 2:
                pipeline.request_snapshot(lambda before, after: taken.append((before, after)))
    finally:
        pipeline.stop()
        engine.close()
    before, after = taken[-1]
    captions = f"{get_size(before)}, as the game drew it", f"{get_size(after)}, {engine.info}"
    write_png(output, place_side_by_side((captions[0], before), (captions[1], after)))
    report = latency.report()
    first = f"live-sr: upscaled a recording of Freedoom for {seconds:.0f} s with {engine.info}"
    lines = [
        describe_rates(report),
        *format_table(format_stage_rows(report), "<>"),
        f"before and after, side by side: {output}",
    ]
    print_result("\n  ".join([first, *lines]))
