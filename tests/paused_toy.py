"""A window with a game that stands still, which draws its scene at whatever size the window has.

Its mode says how it behaves: `ToyGame` in tests/screen/test_pairs_paused.py starts it and writes commands to it. It
answers each with "ok".

    scene NUMBER      shows another scene
    resize W H        changes the size of its window, as in a menu of the game
"""

from __future__ import annotations

import select
import sys
from functools import cache

import numpy as np
from Xlib import X, Xutil
from Xlib.display import Display

MODES = (
    "draws",  # its scene at every size
    "stretches",  # its picture at the first size, each pixel repeated
    "retro",  # the same 128x72 pixels at every size
    "more",  # more of its scene at a larger size
    "moves",  # all the time
    "restless",  # moves while the window is larger than at first
    "jumps",  # to the next scene whenever the window shrinks
    "fixed",  # draws, but its window has the size that its menu says
)
STRIP = 200_000  # bytes; a core request holds 256 KiB


@cache
def draw_scene(width: int, height: int, number: int, cut: tuple[int, int] = (0, 0)) -> np.ndarray:
    """The scene BGRX: discs of random places, sizes and colours over waves. `cut`: the size that shows all of it."""
    random = np.random.default_rng(number)
    x = ((np.arange(width) + 0.5) / (cut[0] or width))[None, :, None]
    y = ((np.arange(height) + 0.5) / (cut[1] or height))[:, None, None]
    waves = np.sin(x * random.uniform(5, 20, 3) + y * random.uniform(5, 20, 3))
    picture = 128 + 60 * waves
    for _ in range(60):
        (left, top), radius = random.uniform(0, 1, 2), random.uniform(0.02, 0.1)
        inside = (x - left) ** 2 + ((y - top) * 0.6) ** 2 < radius**2
        picture = np.where(inside, random.uniform(0, 255, 3), picture)
    return np.dstack([picture, np.zeros((height, width))]).astype(np.uint8)


class Toy:
    def __init__(self, width: int, height: int, title: str, mode: str) -> None:
        self.first = self.size = (width, height)
        self.mode = mode
        self.number = self.turn = 0
        self.display = Display()
        screen = self.display.screen()
        self.depth = screen.root_depth
        self.window = screen.root.create_window(
            40, 60, width, height, 0, self.depth, background_pixel=0, event_mask=X.StructureNotifyMask
        )
        self.window.set_wm_name(title)
        self.gc = self.window.create_gc()
        self.set_hints()
        self.draw()
        self.window.map()
        while self.display.next_event().type != X.MapNotify:
            pass

    def set_hints(self) -> None:
        hints = {"flags": Xutil.USPosition}
        if self.mode == "fixed":
            width, height = self.size
            limits = {"min_width": width, "max_width": width, "min_height": height, "max_height": height}
            hints = {"flags": Xutil.USPosition | Xutil.PMinSize | Xutil.PMaxSize, **limits}
        self.window.set_wm_normal_hints(**hints)

    def draw(self) -> None:
        width, height = self.size
        if self.mode == "stretches":
            times = max(1, width // self.first[0])
            pixels = draw_scene(*self.first, self.number).repeat(times, 0).repeat(times, 1)
        elif self.mode == "retro":
            rows, columns = np.arange(height) * 72 // height, np.arange(width) * 128 // width
            pixels = draw_scene(128, 72, self.number)[rows][:, columns]
        else:
            pixels = draw_scene(width, height, self.number, self.first if self.mode == "more" else (0, 0))
        pixels = np.roll(pixels, 20 * self.turn, axis=1)
        height, width = pixels.shape[:2]
        picture = self.window.create_pixmap(width, height, self.depth)
        rows = max(1, STRIP // (width * 4))
        for top in range(0, height, rows):
            strip = pixels[top : top + rows]
            picture.put_image(self.gc, 0, top, width, len(strip), X.ZPixmap, self.depth, 0, strip.tobytes())
        self.window.change_attributes(background_pixmap=picture)
        self.window.clear_area()
        picture.free()
        self.display.flush()

    def follow(self) -> None:
        """Draws anew if the window has another size."""
        before = self.size
        while self.display.pending_events():
            event = self.display.next_event()
            if event.type == X.ConfigureNotify:
                self.size = (event.width, event.height)
        if self.size != before:
            self.number += self.mode == "jumps" and self.size < before
            self.draw()

    def animate(self) -> None:
        if self.mode == "moves" or (self.mode == "restless" and self.size != self.first):
            self.turn += 1
            self.draw()

    def obey(self, command: str, *numbers: int) -> None:
        if command == "scene":
            self.number = numbers[0]
            self.draw()
        elif command == "resize":
            self.size = (numbers[0], numbers[1])
            self.set_hints()
            self.window.configure(width=numbers[0], height=numbers[1])
            self.draw()
        self.display.sync()
        print("ok", flush=True)


def main() -> None:
    width, height, title, mode = sys.argv[1:]
    toy = Toy(int(width), int(height), title, mode)
    print(toy.window.id, flush=True)
    while True:
        ready = select.select([sys.stdin, toy.display.fileno()], [], [], 0.05)[0]
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            command, *numbers = line.split()
            toy.obey(command, *map(int, numbers))
        toy.follow()
        toy.animate()


if __name__ == "__main__":
    main()
