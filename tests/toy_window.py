"""A window that does as it is told, in a process of its own: `screens.ToyWindow` starts this and writes commands to it.

Its picture is its background, so that the server itself paints it again after it was hidden. Each command is answered
by "ok" once it has been carried out, or by what went wrong.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

import numpy as np
from Xlib import X, Xatom, Xutil, error
from Xlib.display import Display
from Xlib.protocol.event import ClientMessage

WAIT_S = 20.0  # for the window manager of a busy machine


def pattern(width: int, height: int, seed: int) -> np.ndarray:
    """Noise, BGRA. Its fourth byte is noise too: what captures it has to write 255 there."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)


class Toy:
    def __init__(
        self, x: int, y: int, width: int, height: int, depth: int, border: int, override: int, title: str
    ) -> None:
        self.display = Display()
        screen = self.display.screen()
        self.root, self.depth = screen.root, depth
        visual = next(
            v.visual_id for d in screen.allowed_depths if d.depth == depth for v in d.visuals if v.visual_class == 4
        )  # 4: TrueColor
        self.window = self.root.create_window(
            *(x, y, width, height, border, depth, X.InputOutput, visual),
            colormap=self.root.create_colormap(visual, X.AllocNone),
            border_pixel=0xFF0000,
            background_pixel=0xFF204060,
            override_redirect=override,
        )
        self.gc = self.window.create_gc()
        if title:
            self.window.change_text_property(
                self.display.get_atom("_NET_WM_NAME"), self.display.get_atom("UTF8_STRING"), title
            )
        self.window.change_property(self.display.get_atom("_NET_WM_PID"), Xatom.CARDINAL, 32, [os.getpid()])
        # static: a position is that of the picture, not of the frame that the window manager draws around it
        self.window.set_wm_normal_hints(
            flags=Xutil.USPosition | Xutil.PPosition | Xutil.PWinGravity, win_gravity=X.StaticGravity
        )
        self.map()

    def draw(self, seed: int) -> None:
        size = self.window.get_geometry()
        pixels = pattern(size.width, size.height, seed)
        picture = self.window.create_pixmap(size.width, size.height, self.depth)
        rows = max(1, 200_000 // (size.width * 4))  # a core request holds 256 KiB
        for top in range(0, size.height, rows):
            strip = pixels[top : top + rows]
            picture.put_image(self.gc, 0, top, size.width, len(strip), X.ZPixmap, self.depth, 0, strip.tobytes())
        self.window.change_attributes(background_pixmap=picture)
        self.window.clear_area()
        picture.free()

    def resize(self, width: int, height: int) -> None:
        self.window.configure(width=width, height=height)
        self._until(lambda: self._size() == (width, height))

    def move(self, x: int, y: int) -> None:
        """To where its picture (not the window manager's frame) is at x, y."""
        self.window.configure(x=x, y=y)
        self._until(lambda: self._corner() == (x, y))

    def minimise(self) -> None:
        kind = self.display.get_atom("WM_CHANGE_STATE")
        message = ClientMessage(window=self.window, client_type=kind, data=(32, [Xutil.IconicState, 0, 0, 0, 0]))
        self.root.send_event(message, X.SubstructureRedirectMask | X.SubstructureNotifyMask)
        self._until(lambda: not self._viewable())

    def unmap(self) -> None:
        self.window.unmap()
        self._until(lambda: not self._viewable())

    def map(self) -> None:
        self.window.map()
        self._until(self._viewable)

    def above(self) -> None:
        self.window.configure(stack_mode=X.Above)

    def destroy(self) -> None:
        self.window.destroy()

    def _viewable(self) -> bool:
        return bool(self.window.get_attributes().map_state == X.IsViewable)

    def _size(self) -> tuple[int, int]:
        size = self.window.get_geometry()
        return size.width, size.height

    def _corner(self) -> tuple[int, int]:
        corner = self.root.translate_coords(self.window, 0, 0)
        return corner.x, corner.y

    def _until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not true():
            if time.monotonic() > end:
                raise TimeoutError(f"after {WAIT_S} s it is {self._size()} at {self._corner()}")
            time.sleep(0.01)
            while self.display.pending_events():
                self.display.next_event()


def main() -> None:
    *numbers, title = sys.argv[1:]
    toy = Toy(*(int(n) for n in numbers), title)
    print(toy.window.id, flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            getattr(toy, command)(*(int(a) for a in arguments))
            toy.display.sync()
            print("ok", flush=True)
        except (TimeoutError, error.XError) as trouble:
            print(f"{command}: {trouble}", flush=True)


if __name__ == "__main__":
    main()
