"""What stays behind after much switching and resizing: nothing. 200 of each, a restless player's evening."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import psutil
from screens import Screen, ToyWindow, until
from test_live import Overlay, expected, overlay, shows

from live_sr import assembly
from live_sr.app.controls import next_scale, other_model
from live_sr.engine.orders import Wish
from live_sr.frame import Size

__all__ = ["overlay"]  # a fixture, found by its name

TIMES = 200
SIZES = [Size(160 + 8 * (n % 17), 90 + 8 * (n % 11)) for n in range(TIMES)]
MEGABYTE = 1 << 20


class Belongings:
    """What a process holds now."""

    def __init__(self, pid: int) -> None:
        process = psutil.Process(pid)
        self.memory = process.memory_info().rss
        self.threads = process.num_threads()
        self.handles = process.num_fds()


def round_trip() -> list[str]:
    """At least 200 keys that go through the models and scales and end where they began, whatever models there are."""
    start = now = Wish("nearest", 2)
    keys: list[str] = []
    while len(keys) < TIMES or now != start:
        keys.append("ctrl+alt+s" if len(keys) % 3 else "ctrl+alt+m")
        if len(keys) % 3 == 1:
            now = other_model(now, assembly.models(), 1, assembly.scales)
        else:
            now = next_scale(now, assembly.scales(now.model))
    return keys


def test_200_switches_and_200_resizes_leave_no_thread_no_handle_and_no_memory_behind(
    screen: Screen, overlay: Callable[..., Overlay]
) -> None:
    toy = ToyWindow(screen, SIZES[0], title="A game")
    toy.draw(1)
    over = overlay("--window", "a game", "--model", "nearest", "--scale", "2")

    def switch() -> None:
        for key in round_trip():
            subprocess.run(["xdotool", "key", key], env=screen.env, check=True)

    def resize(times: int) -> None:
        for turn in range(times):
            toy.resize(SIZES[turn])
            toy.draw(turn)

    def settled(seed: int) -> Belongings:
        """Once it shows the last picture, with the model it began with."""
        toy.resize(SIZES[0])
        shows(screen, expected(toy.draw(seed), "nearest"))
        return Belongings(over.process.pid)

    switch()
    resize(TIMES)
    before = settled(1001)
    switch()
    resize(TIMES)
    after = settled(1002)
    assert over.process.poll() is None, over.words
    until(lambda: psutil.Process(over.process.pid).num_threads() <= before.threads, "no thread is left")
    assert after.handles <= before.handles
    assert after.memory - before.memory < 20 * MEGABYTE
