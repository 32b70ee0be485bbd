"""Reads the X server's keyboard through libxkbcommon, which Qt's X11 windows need too."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_int32, c_uint8, c_uint16, c_uint32, c_void_p
from functools import cache
from typing import Any

from live_sr.desktop.keyboard import Key
from live_sr.errors import MissingPart

CType = Any  # ctypes has no public name for "a C type"

# name: (result, arguments), as in xcb.h, xkbcommon.h and xkbcommon-x11.h
SIGNATURES: dict[str, dict[str, tuple[CType, tuple[CType, ...]]]] = {
    "libxcb.so.1": {
        "xcb_connect": (c_void_p, (c_char_p, POINTER(c_int))),
        "xcb_connection_has_error": (c_int, (c_void_p,)),
        "xcb_disconnect": (None, (c_void_p,)),
    },
    "libxkbcommon.so.0": {
        "xkb_context_new": (c_void_p, (c_int,)),
        "xkb_context_unref": (None, (c_void_p,)),
        "xkb_keymap_unref": (None, (c_void_p,)),
        "xkb_keymap_min_keycode": (c_uint32, (c_void_p,)),
        "xkb_keymap_max_keycode": (c_uint32, (c_void_p,)),
        "xkb_keymap_key_get_name": (c_char_p, (c_void_p, c_uint32)),
        "xkb_keymap_num_layouts_for_key": (c_uint32, (c_void_p, c_uint32)),
        "xkb_keymap_num_levels_for_key": (c_uint32, (c_void_p, c_uint32, c_uint32)),
        "xkb_keymap_key_get_syms_by_level": (
            c_int,
            (c_void_p, c_uint32, c_uint32, c_uint32, POINTER(POINTER(c_uint32))),
        ),
        "xkb_keysym_to_utf32": (c_uint32, (c_uint32,)),
    },
    "libxkbcommon-x11.so.0": {
        "xkb_x11_setup_xkb_extension": (
            c_int,
            (
                *(c_void_p, c_uint16, c_uint16, c_int),
                *(POINTER(c_uint16), POINTER(c_uint16), POINTER(c_uint8), POINTER(c_uint8)),
            ),
        ),
        "xkb_x11_get_core_keyboard_device_id": (c_int32, (c_void_p,)),
        "xkb_x11_keymap_new_from_device": (c_void_p, (c_void_p, c_void_p, c_int32, c_int)),
    },
}

# Keysyms (keysymdef.h) of the words in config.toml that are not characters
NAMED = {
    **{0xFFBE + n: f"f{n + 1}" for n in range(24)},
    0x20: "space", 0xFF09: "tab", 0xFF0D: "enter", 0xFF1B: "esc", 0xFF08: "backspace", 0xFF63: "insert",
    0xFFFF: "delete", 0xFF50: "home", 0xFF57: "end", 0xFF55: "page_up", 0xFF56: "page_down", 0xFF52: "up",
    0xFF54: "down", 0xFF51: "left", 0xFF53: "right", 0xFF13: "pause", 0xFF61: "print_screen",
    0xFF14: "scroll_lock", 0xFFE1: "shift", 0xFFE2: "shift", 0xFFE3: "ctrl", 0xFFE4: "ctrl", 0xFFE9: "alt",
    0xFFEA: "alt", 0xFFE7: "alt", 0xFFE8: "alt", 0xFFEB: "super", 0xFFEC: "super",  # Meta is on the Alt keys
}  # fmt: skip
KEYPAD = range(0xFF80, 0xFFBE)
UNREADABLE = "live-sr cannot read the keyboard's layout"


def read_keyboard(display: str | None = None) -> list[Key]:
    """The keys of the X server's keyboard, in all their layouts; `display` as DISPLAY, which is used for None.

    Raises MissingPart without the libraries, ConnectionError without a server, OSError if the server does not describe
    its keyboard.
    """
    keymap = _load("libxkbcommon.so.0")
    with _open_keymap(display) as opened:
        codes = range(keymap.xkb_keymap_min_keycode(opened), keymap.xkb_keymap_max_keycode(opened) + 1)
        keys = [_read_key(keymap, opened, code) for code in codes]
    return [key for key in keys if key.layouts]


@cache
def _load(name: str) -> ctypes.CDLL:
    try:
        loaded = ctypes.CDLL(name)
    except OSError as error:
        raise MissingPart(f"{UNREADABLE}: {error}", "install libxkbcommon-x11-0") from None
    for call, (result, arguments) in SIGNATURES[name].items():
        function = getattr(loaded, call)
        function.restype, function.argtypes = result, arguments
    return loaded


@contextmanager
def _open_keymap(display: str | None) -> Iterator[c_void_p]:
    """The keymap of the core keyboard, over a connection that lasts only as long as it is read."""
    xcb, common, x11 = _load("libxcb.so.1"), _load("libxkbcommon.so.0"), _load("libxkbcommon-x11.so.0")
    connection = xcb.xcb_connect(display.encode() if display else None, None)
    context = common.xkb_context_new(0)
    keymap = None
    try:
        versions = (byref(c_uint16()), byref(c_uint16()), byref(c_uint8()), byref(c_uint8()))
        if xcb.xcb_connection_has_error(connection):
            raise ConnectionError("the X server does not answer")
        if not x11.xkb_x11_setup_xkb_extension(connection, 1, 0, 0, *versions):
            raise OSError(f"{UNREADABLE}: the X server has no XKB extension")
        device = x11.xkb_x11_get_core_keyboard_device_id(connection)
        keymap = x11.xkb_x11_keymap_new_from_device(context, connection, device, 0)
        if not keymap:
            raise OSError(f"{UNREADABLE}: the X server does not describe it")
        yield keymap
    finally:
        common.xkb_keymap_unref(keymap)
        common.xkb_context_unref(context)
        xcb.xcb_disconnect(connection)


def _read_key(common: ctypes.CDLL, keymap: c_void_p, code: int) -> Key:
    place = common.xkb_keymap_key_get_name(keymap, code) or b""
    layouts = tuple(
        tuple(
            _read_level(common, keymap, code, layout, level)
            for level in range(common.xkb_keymap_num_levels_for_key(keymap, code, layout))
        )
        for layout in range(common.xkb_keymap_num_layouts_for_key(keymap, code))
    )
    return Key(code, place.decode("ascii", "replace"), layouts)


def _read_level(common: ctypes.CDLL, keymap: c_void_p, code: int, layout: int, level: int) -> str:
    symbols = POINTER(c_uint32)()
    count = common.xkb_keymap_key_get_syms_by_level(keymap, code, layout, level, byref(symbols))
    return name_keysym(symbols[0], common.xkb_keysym_to_utf32) if count == 1 else ""


def name_keysym(keysym: int, get_character: Any) -> str:
    """The word of config.toml for a keysym; empty if there is none. `get_character`: xkb_keysym_to_utf32."""
    if keysym in NAMED:
        return NAMED[keysym]
    character = 0 if keysym in KEYPAD else get_character(keysym)
    return chr(character).lower() if character > 0x20 else ""
