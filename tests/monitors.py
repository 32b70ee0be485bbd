"""Makes two monitors of one screen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from screens import Screen
from Xlib.display import Display
from Xlib.ext import randr
from Xlib.protocol import rq

from live_sr.pipeline.frame import Rect


class SetMonitor(rq.Request):  # type: ignore[misc]
    """RRSetMonitor without outputs, which python-xlib cannot pack."""

    _request = rq.Struct(
        *(rq.Card8("opcode"), rq.Opcode(43), rq.RequestLength(), rq.Window("window"), rq.Card32("name")),
        *(rq.Bool("primary"), rq.Bool("automatic"), rq.Card16("outputs")),
        *(rq.Int16("x"), rq.Int16("y"), rq.Card16("width"), rq.Card16("height")),
        *(rq.Card32("width_mm"), rq.Card32("height_mm")),
    )


@contextmanager
def split_in_two(screen: Screen) -> Iterator[tuple[Rect, Rect]]:
    """The screen as two monitors of half its width: their rectangles, the left one first, which is the primary one."""
    display = Display(screen.display)
    root, half = display.screen().root, screen.size.width // 2
    halves = Rect(0, 0, half, screen.size.height), Rect(half, 0, half, screen.size.height)
    names = [display.get_atom(f"half {number}") for number in range(2)]
    for number, (name, rect) in enumerate(zip(names, halves, strict=True)):
        SetMonitor(
            display=display.display,
            opcode=display.display.get_extension_major(randr.extname),
            window=root,
            name=name,
            primary=number == 0,
            automatic=False,
            outputs=0,
            x=rect.x,
            y=rect.y,
            width=rect.width,
            height=rect.height,
            width_mm=300,
            height_mm=300,
        )
    display.sync()
    yield halves
    for name in names:
        root.xrandr_delete_monitor(name)
    display.sync()
    display.close()
