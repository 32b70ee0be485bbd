"""A program with a window that obeys commands: `screens.ToyWindow` starts it and writes commands to it.

The picture is the window's background, so that the server repaints it after the window was hidden. The program answers
each command with "ok" once it is done, or with an error.
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
from Xlib.xobject.drawable import Window


def make_noise(width: int, height: int, seed: int) -> np.ndarray:
    """Noise, BGRA. The fourth byte is noise too, so that a test sees whether a capture sets it to 255."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)


class Toy:
    def __init__(
        self, x: int, y: int, width: int, height: int, depth: int, border: int, override: int, title: str
    ) -> None:
        self.display = Display()
        self.size = (width, height)
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
        # static gravity: a position means the picture's, not that of the window manager's frame around it
        self.window.set_wm_normal_hints(
            flags=Xutil.USPosition | Xutil.PPosition | Xutil.PWinGravity, win_gravity=X.StaticGravity
        )
        self.others: list[Window] = []  # dialogs and menus, the newest last
        self.map()

    def show_full_screen(self, colour: int) -> None:
        """Hides the window and opens one of one colour over the whole screen, as SDL 1.2 does."""
        size = self.root.get_geometry()
        self.open_menu(0, 0, size.width, size.height, colour)
        self.window.unmap()

    def set_shadow(self, left: int, right: int, top: int, bottom: int) -> None:
        atom = self.display.get_atom("_GTK_FRAME_EXTENTS")
        self.window.change_property(atom, Xatom.CARDINAL, 32, [left, right, top, bottom])

    def recreate(self) -> None:
        """Closes the window and opens another one."""
        self.window.destroy()
        g = self.size
        self.window = self.root.create_window(60, 60, *g, 0, self.root.get_geometry().depth, background_pixel=0)
        self.gc = self.window.create_gc()
        self.map()

    def open_dialog(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        """Opens a window of one colour that is transient for the first one."""
        dialog = self._open(x, y, width, height, colour, override=False)
        dialog.set_wm_transient_for(self.window)
        dialog.set_wm_normal_hints(flags=Xutil.USPosition | Xutil.PPosition)
        dialog.map()
        self._wait_until(lambda: self._is_viewable(dialog))

    def open_menu(self, x: int, y: int, width: int, height: int, colour: int) -> None:
        """Opens a window of one colour that no window manager handles."""
        menu = self._open(x, y, width, height, colour, override=True)
        menu.map()
        self._wait_until(lambda: self._is_viewable(menu))

    def _open(self, x: int, y: int, width: int, height: int, colour: int, override: bool) -> Window:
        window = self.root.create_window(
            *(x, y, width, height, 0, self.root.get_geometry().depth),
            background_pixel=0xFF000000 | colour,  # opaque, in a frame that has an alpha channel
            override_redirect=override,
        )
        self.others.append(window)
        return window

    def paint_other(self, colour: int) -> None:
        """Gives the newest dialog or menu another colour."""
        self.others[-1].change_attributes(background_pixel=0xFF000000 | colour)
        self.others[-1].clear_area()

    def close_other(self) -> None:
        """Closes the newest dialog or menu."""
        self.others.pop().destroy()

    def draw(self, seed: int) -> None:
        size = self.window.get_geometry()
        pixels = make_noise(size.width, size.height, seed)
        picture = self.window.create_pixmap(size.width, size.height, self.depth)
        rows = max(1, 200_000 // (size.width * 4))  # a core request holds 256 KiB
        for top in range(0, size.height, rows):
            strip = pixels[top : top + rows]
            picture.put_image(self.gc, 0, top, size.width, len(strip), X.ZPixmap, self.depth, 0, strip.tobytes())
        self.window.change_attributes(background_pixmap=picture)
        self.window.clear_area()
        picture.free()

    def play_halves(self, count: int) -> None:
        """Draws pictures of one colour each, 30 a second: the upper half, a round trip to the server, the lower one."""
        size = self.window.get_geometry()
        for number in range(count):
            self.gc.change(foreground=0xFF000000 | (number * 40503 + 77) & 0xFFFFFF)
            for top in (0, size.height // 2):
                self.window.fill_rectangle(self.gc, 0, top, size.width, size.height // 2)
                self.display.sync()
            time.sleep(1 / 30)

    def resize(self, width: int, height: int) -> None:
        self.window.configure(width=width, height=height)
        self._wait_until(lambda: self._query_size() == (width, height))

    def move(self, x: int, y: int) -> None:
        """Moves it so that its picture (not the window manager's frame) is at x, y."""
        self.window.configure(x=x, y=y)
        self._wait_until(lambda: self._query_corner() == (x, y))

    def minimise(self) -> None:
        kind = self.display.get_atom("WM_CHANGE_STATE")
        message = ClientMessage(window=self.window, client_type=kind, data=(32, [Xutil.IconicState, 0, 0, 0, 0]))
        self.root.send_event(message, X.SubstructureRedirectMask | X.SubstructureNotifyMask)
        self._wait_until(lambda: not self._is_viewable(self.window))

    def unmap(self) -> None:
        self.window.unmap()
        self._wait_until(lambda: not self._is_viewable(self.window))

    def map(self) -> None:
        self.window.map()
        self._wait_until(lambda: self._is_viewable(self.window))

    def raise_to_top(self) -> None:
        self.window.configure(stack_mode=X.Above)

    def destroy(self) -> None:
        self.window.destroy()

    def _is_viewable(self, window: Window) -> bool:
        return bool(window.get_attributes().map_state == X.IsViewable)

    def _query_size(self) -> tuple[int, int]:
        size = self.window.get_geometry()
        return size.width, size.height

    def _query_corner(self) -> tuple[int, int]:
        corner = self.root.translate_coords(self.window, 0, 0)
        return corner.x, corner.y

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        """Waits without a limit: the test that sent the command has one."""
        while not condition():
            time.sleep(0.01)
            while self.display.pending_events():
                self.display.next_event()


def main() -> None:
    *numbers, title = sys.argv[1:]
    x, y, width, height, depth, border, override = map(int, numbers)
    toy = Toy(x, y, width, height, depth, border, override, title)
    print(toy.window.id, flush=True)
    for line in sys.stdin:
        command, *arguments = line.split()
        try:
            getattr(toy, command)(*(int(a) for a in arguments))
            toy.display.sync()
            print("ok", flush=True)
        except error.XError as trouble:
            print(f"{command}: {trouble}", flush=True)


if __name__ == "__main__":
    main()
