"""What stays behind after much switching and resizing: nothing. 200 of each, a restless player's evening."""

from __future__ import annotations

import subprocess
from itertools import count

import numpy as np
from leaks import check_nothing_stays
from overlay_process import StartOverlay, upscale_to_screen, wait_until_shown
from picture_changes import change, make_scene
from screens import Screen, ToyWindow

from live_sr.app.controls import step_model, step_scale
from live_sr.engines import region_factory
from live_sr.engines.filters.engine import FilterEngine, make_resizer
from live_sr.engines.live.build_request import Selection
from live_sr.engines.live.hot_swap import EngineSupply, HotSwapEngine
from live_sr.engines.live.presenter import Presenter
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import list_models, resolve
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Size

TIMES = 200
SIZES = [Size(160 + 8 * (n % 17), 90 + 8 * (n % 11)) for n in range(TIMES)]


def round_trip() -> list[str]:
    """At least 200 keys that go through the models and scales and end where they began, whatever models there are."""
    start = now = Selection(resolve("nearest"), 2)
    models, keys = list_models(), list[str]()
    while len(keys) < TIMES or now != start:
        keys.append("ctrl+alt+s" if len(keys) % 3 else "ctrl+alt+m")
        now = step_model(now, models, 1) if len(keys) % 3 == 1 else step_scale(now)
    return keys


def test_200_switches_and_200_resizes_leave_no_thread_no_handle_and_no_memory_behind(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    toy = ToyWindow(screen, SIZES[0], title="A game")
    toy.draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest", "--scale", "2")

    def switch() -> None:
        for key in round_trip():
            subprocess.run(["xdotool", "key", key], env=screen.env, check=True)

    def resize(times: int) -> None:
        for turn in range(times):
            toy.resize(SIZES[turn])
            toy.draw(turn)

    seeds = count(1001)

    def play() -> None:
        switch()
        resize(TIMES)
        toy.resize(SIZES[0])  # until it shows the last picture, with the model it began with
        wait_until_shown(screen, upscale_to_screen(toy.draw(next(seeds)), "nearest"))

    check_nothing_stays(play, pid=over.process.pid)
    assert over.process.poll() is None, over.output


def test_changed_regions_of_many_sizes_and_models_leave_nothing_behind() -> None:
    """As the program does it: an engine works while the one with windows for the new size is built.

    With large networks: what draws whole pictures of this size in a millisecond is left alone.
    """
    options = EngineOptions(backend="openvino", changed_regions=True)
    supply = EngineSupply(
        make_plain=lambda scale: FilterEngine("bicubic", scale),
        make=lambda model, scale, watch: region_factory.make_engine(model, scale, options, watch),
        make_quick=region_factory.find_quick_maker(options),
    )
    random = np.random.default_rng(1)
    partly = 0

    def play(sizes: list[Size]) -> None:
        nonlocal partly
        engine = HotSwapEngine(supply, Selection(resolve("balanced"), 2))
        presenter = Presenter(engine, make_resizer("auto"), make_resizer("nearest"))
        shown: list[DisplayPicture] = []
        for number, size in enumerate(sizes):
            engine.select(Selection(resolve(("balanced", "quality")[number % 2]), 2))
            presenter.warm_up(size)
            picture = make_scene(random, size)
            for _ in range(40):
                change(random, picture)
                frame = Frame(picture.copy())
                done = presenter.upscale(frame, shown.pop(0) if len(shown) == 3 else None)
                assert done is not None
                shown.append(done.pixels)
                partly += frame.stamps.drawn < 1
        presenter.close()

    sizes = [Size(176, 120), Size(160, 128), Size(176, 112), Size(160, 120)]

    check_nothing_stays(lambda: play(sizes))
    assert partly > 40
