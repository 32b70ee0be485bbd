"""A program with a window that tells what the pointer does to it: `PointerToy` in the tests starts it.

It prints a line for each button and movement, with the place in the window: "press 1 10 20". In a dialog or a menu the
lines are those of `dialog-press` and so on. It obeys commands on standard input, and prints "ok" once it is done:

    cursor NAME         arrow, text, none (hides it)
    warp X Y            puts the pointer there
    centre 0|1          from now on puts the pointer back into the middle after each movement, as 3D games do
    grab 0|1            takes the pointer, or gives it back
    dialog X Y W H      opens a window there that is transient for the game's
    menu X Y W H        opens one there that no window manager handles, and takes the pointer with it, as menus do
    close               closes the newest of them
    play FPS            from now on draws pictures without anything red, so many a second
"""

from __future__ import annotations

import random
import select
import sys
import time
from collections.abc import Sequence

from Xlib import X, Xcursorfont
from Xlib.display import Display
from Xlib.xobject.drawable import Window

EVENTS = X.ButtonPressMask | X.ButtonReleaseMask | X.PointerMotionMask
OTHER_COLOUR = 0x3060C0  # of a dialog or a menu
GLYPHS = {"arrow": Xcursorfont.left_ptr, "text": Xcursorfont.xterm}


class Toy:
    def __init__(self, x: int, y: int, width: int, height: int, title: str) -> None:
        self.display = Display()
        self.size = (width, height)
        self.middle = (width // 2, height // 2)
        self.centring = False
        self.frame_s = 0.0  # between two pictures; 0: it draws none
        self.due_s = 0.0
        screen = self.display.screen()
        self.window = screen.root.create_window(
            *(x, y, width, height, 0, screen.root_depth), background_pixel=0x204060, event_mask=EVENTS
        )
        self.window.set_wm_name(title)
        self.window.set_wm_normal_hints(flags=1, min_width=0)  # 1: USPosition
        self.gc = self.window.create_gc()
        self.cursor("arrow")
        self.window.map()
        self.others: list[Window] = []  # dialogs and menus, the newest last
        self.display.sync()

    def dialog(self, *place: str) -> None:
        dialog = self._open(place, override=False)
        dialog.set_wm_transient_for(self.window)
        dialog.set_wm_normal_hints(flags=1)  # USPosition
        dialog.map()

    def menu(self, *place: str) -> None:
        menu = self._open(place, override=True)
        menu.map()
        self.display.sync()
        menu.grab_pointer(True, EVENTS, X.GrabModeAsync, X.GrabModeAsync, X.NONE, X.NONE, X.CurrentTime)

    def close(self) -> None:
        self.others.pop().destroy()

    def _open(self, place: Sequence[str], override: bool) -> Window:
        x, y, width, height = (int(number) for number in place)
        screen = self.display.screen()
        window = screen.root.create_window(
            *(x, y, width, height, 0, screen.root_depth),
            background_pixel=OTHER_COLOUR,
            event_mask=EVENTS,
            override_redirect=override,
        )
        self.others.append(window)
        print("opened", window.id, 0, 0, flush=True)
        return window

    def cursor(self, name: str) -> None:
        if name == "none":
            empty = self.window.create_pixmap(8, 8, 1)
            gc = empty.create_gc(foreground=0)
            empty.fill_rectangle(gc, 0, 0, 8, 8)
            cursor = empty.create_cursor(empty, (0, 0, 0), (0, 0, 0), 0, 0)
        else:
            font, glyph = self.display.open_font("cursor"), GLYPHS[name]
            cursor = font.create_glyph_cursor(font, glyph, glyph + 1, (0xFFFF, 0, 0), (0xFFFF, 0xFFFF, 0xFFFF))
        self.window.change_attributes(cursor=cursor)

    def warp(self, x: str, y: str) -> None:
        self.window.warp_pointer(int(x), int(y))

    def centre(self, on: str) -> None:
        self.centring = on == "1"

    def grab(self, on: str) -> None:
        if on == "1":
            self.window.grab_pointer(True, EVENTS, X.GrabModeAsync, X.GrabModeAsync, X.NONE, X.NONE, X.CurrentTime)
        else:
            self.display.ungrab_pointer(X.CurrentTime)

    def play(self, fps: str) -> None:
        self.frame_s, self.due_s = 1 / int(fps), time.monotonic()

    def draw_if_due(self) -> float | None:
        """Draws a picture, if it is time. Returns how long it is until the next one; None: there is none."""
        if not self.frame_s:
            return None
        if time.monotonic() >= self.due_s:
            self.due_s += self.frame_s
            self.gc.change(foreground=random.getrandbits(15))
            self.window.fill_rectangle(self.gc, 0, 0, *self.size)
            boxes = [(random.randrange(self.size[0]), random.randrange(self.size[1]), 40, 30) for _ in range(50)]
            self.gc.change(foreground=random.getrandbits(15))
            self.window.poly_fill_rectangle(self.gc, boxes)
            self.display.flush()
        return max(0.0, self.due_s - time.monotonic())

    def handle_events(self) -> None:
        while self.display.pending_events():
            event = self.display.next_event()
            if event.type in (X.ButtonPress, X.ButtonRelease):
                kind = "press" if event.type == X.ButtonPress else "release"
                where = "dialog-" if event.window != self.window else ""
                print(where + kind, event.detail, event.event_x, event.event_y, flush=True)
            elif event.type == X.MotionNotify:
                print("motion", 0, event.event_x, event.event_y, flush=True)
                if self.centring and (event.event_x, event.event_y) != self.middle:
                    self.window.warp_pointer(*self.middle)
                    self.display.flush()


def main() -> None:
    *numbers, title = sys.argv[1:]
    toy = Toy(*(int(n) for n in numbers), title)
    print(toy.window.id, flush=True)
    while True:
        ready, _, _ = select.select([sys.stdin, toy.display], [], [], toy.draw_if_due())
        toy.handle_events()
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            command, *arguments = line.split()
            getattr(toy, command)(*arguments)
            toy.display.sync()
            toy.handle_events()
            print("ok", flush=True)


if __name__ == "__main__":
    main()
