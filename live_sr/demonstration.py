"""`live-sr demo`: the main job on a bundled recording of a game, with a window where there is a screen, and without."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from live_sr import assembly, config, screen
from live_sr.app.follow import Follower
from live_sr.capture.video import VideoSource
from live_sr.config import Config
from live_sr.contracts import Desktop
from live_sr.counting import CountingDisplay
from live_sr.errors import DisplayLost, MissingPart
from live_sr.frame import Pixels, Rect, size_of
from live_sr.latency import Latency, table
from live_sr.pictures import side_by_side, write_png
from live_sr.pipeline import WAIT_S, Pipeline

CLIP = Path(__file__).parent / "demo" / "freedoom.mp4"
WINDOW_S = 20.0  # how long the demo runs in a window, unless told otherwise
HEADLESS_S = 5.0


def run(
    config_path: Path | None,
    overrides: Mapping[str, Mapping[str, Any]],
    *,
    seconds: float | None,
    output: Path,
    window: bool,
) -> int:
    """The exit code: 0 with and without a screen."""
    flags = config.merged({"overlay": {"mode": "beside"}, "hud": {"level": "detail"}}, overrides)
    settings = config.load(config_path, ("freedoom",), flags)
    if window:
        try:
            desktop = screen.desktop()
            screen.check_qt()
        except (DisplayLost, MissingPart) as error:
            print(f"live-sr: no window, because {error.message}")
        else:
            return _in_a_window(desktop, settings, seconds or WINDOW_S)
    _without(settings, seconds or HEADLESS_S, output)
    return 0


def _in_a_window(desktop: Desktop, settings: Config, seconds: float) -> int:
    from live_sr.app.run import perform

    def standing() -> Rect:
        monitors = desktop.monitors()
        return next((m for m in monitors if m.primary), monitors[0]).rect

    try:
        print(f"live-sr: a recording of Freedoom, upscaled live for {seconds:.0f} s; {settings.hotkeys.quit} ends it")
        follower = Follower(desktop, lambda: None, standing)
        print(perform(desktop, settings, partial(VideoSource, CLIP, loop=True), follower, seconds=seconds))
    finally:
        desktop.close()
    return 0


def _without(settings: Config, seconds: float, output: Path) -> None:
    """The same pipeline with a display that only counts; leaves a picture and prints a table."""
    model, scale = settings.model.name, settings.model.scale
    options = assembly.engine_options(settings)
    engine = assembly.make_engine(model, 2 if scale == "fit" else scale, options)
    latency = Latency()
    taken: list[tuple[Pixels, Pixels]] = []
    source = VideoSource(CLIP, loop=True)
    engine.warm_up(source.size)
    source.close()
    pipeline = Pipeline(partial(VideoSource, CLIP, loop=True), engine, CountingDisplay(latency), latency, reopen=False)
    pipeline.start()
    end = monotonic() + seconds
    try:
        while (monotonic() < end or not taken) and not pipeline.wait(WAIT_S):
            if not taken and monotonic() > end - seconds / 2:
                pipeline.snapshot(lambda before, after: taken.append((before, after)))
    finally:
        pipeline.stop()
        engine.close()
    before, after = taken[-1]
    captions = f"{size_of(before)}, as the game drew it", f"{size_of(after)}, {engine.job}"
    write_png(output, side_by_side((captions[0], before), (captions[1], after)))
    print(f"live-sr: upscaled a recording of Freedoom for {seconds:.0f} s with {engine.job}; before | after: {output}")
    print(table(latency.report()))
