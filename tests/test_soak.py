"""What stays behind after much switching and resizing: nothing. 200 of each, a restless player's evening."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import psutil
from screens import Screen, ToyWindow, until
from test_live import ROOM, Overlay, overlay, shows

from live_sr import assembly
from live_sr.frame import Size

__all__ = ["overlay"]  # a fixture, found by its name

TIMES, WARM = 200, 40
SIZES = [Size(160 + 8 * (n % 17), 90 + 8 * (n % 11)) for n in range(TIMES)]
MEGABYTE = 1 << 20


class Belongings:
    """What a process holds now."""

    def __init__(self, pid: int) -> None:
        process = psutil.Process(pid)
        self.memory = process.memory_info().rss
        self.threads = process.num_threads()
        self.handles = process.num_fds()


def test_200_switches_and_200_resizes_leave_no_thread_no_handle_and_no_memory_behind(
    screen: Screen, overlay: Callable[..., Overlay]
) -> None:
    toy = ToyWindow(screen, SIZES[0], title="A game")
    toy.draw(1)
    over = overlay("--window", "a game")

    def switch(times: int) -> None:
        for turn in range(times):
            key = "ctrl+alt+s" if turn % 3 else "ctrl+alt+m"
            subprocess.run(["xdotool", "key", key], env=screen.env, check=True)

    def resize(times: int) -> None:
        for turn in range(times):
            toy.resize(SIZES[turn])
            toy.draw(turn)

    def settled(seed: int) -> Belongings:
        """Once it shows the last picture, with whatever model it is at: the same one at each call."""
        toy.resize(SIZES[0])
        after = assembly.resizer("nearest")(toy.draw(seed), SIZES[0].fitted(ROOM), None)
        subprocess.run(
            ["xdotool", "keydown", "ctrl+alt+c"], env=screen.env, check=True
        )  # hold: the unprocessed picture
        shows(screen, after)
        subprocess.run(["xdotool", "keyup", "ctrl+alt+c"], env=screen.env, check=True)
        return Belongings(over.process.pid)

    switch(WARM)
    resize(TIMES)
    before = settled(1001)
    switch(TIMES)
    resize(TIMES)
    after = settled(1002)
    assert over.process.poll() is None, over.words
    until(lambda: psutil.Process(over.process.pid).num_threads() <= before.threads, "no thread is left")
    assert after.handles <= before.handles
    assert after.memory - before.memory < 20 * MEGABYTE
