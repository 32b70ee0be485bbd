"""Opens the desktop, the hotkeys and the pointer of this operating system."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from live_sr import backends
from live_sr.errors import DisplayLost, LiveSRError
from live_sr.pipeline.desktop_contracts import Desktop, GrantedKeys, Hotkeys, Pointer
from live_sr.system.platform import detect_session


def open_desktop() -> Desktop:
    """Opens the desktop. Raises DisplayLost where there is no screen that live-sr can use."""
    session = detect_session()
    if session == "wayland":
        raise DisplayLost(
            "this is Wayland without X: live-sr's own window needs XWayland",
            "start XWayland (DISPLAY must be set), or log in to an X11 session",
        )
    if session == "none":
        raise DisplayLost(
            "there is no screen: DISPLAY is not set", "run it in a desktop session, or use `live-sr demo`"
        )
    backend, _ = backends.choose("desktop", backends.DESKTOPS)
    return cast(Desktop, backend.load()())


def find_hotkey_ways(wanted: str) -> list[str]:
    """The names of the ways to hear hotkeys that are to be used together.

    On Wayland X11's way hears them while an X11 window has the focus, and the desktop's portal at other times.
    """
    both = wanted == "auto" and detect_session() in ("xwayland", "wayland")
    return [wanted, "portal"] if both else [wanted]


def open_hotkeys(
    wanted: str = "auto", report: Callable[[GrantedKeys], None] = lambda granted: None
) -> tuple[Hotkeys | None, str]:
    """Opens what hears hotkeys: the best way on this system, or that of the name `wanted` in `backends.HOTKEYS`.

    None and a sentence where that is not possible. `report` is called, on any thread, where the desktop decides later
    which keys it grants.
    """
    try:
        backend, _ = backends.choose("hotkeys", backends.HOTKEYS, wanted)
        made = backend.load()
        return cast(Hotkeys, made(report) if backend.granted_later else made()), ""
    except LiveSRError as error:
        named = next((one for one in backends.HOTKEYS if one.name == wanted), None)
        why = named.unavailable_reason() if named is not None else ""
        return None, f"no hotkeys: {why or f'{error.message} ({error.remedy})'}"


def open_pointer() -> tuple[Pointer | None, str]:
    """Opens what maps the pointer on this system; None and a sentence where that is not possible."""
    if detect_session() == "xwayland":
        return None, "the pointer acts where it really is: on Wayland no program may move it"
    try:
        backend, _ = backends.choose("pointer", backends.POINTERS)
        return cast(Pointer, backend.load()()), ""
    except LiveSRError as error:
        return None, f"the pointer acts where it really is: {error.message} ({error.remedy})"
