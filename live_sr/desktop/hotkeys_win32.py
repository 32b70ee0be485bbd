"""Global hotkeys through Windows' RegisterHotKey and Qt's event loop, without a hook that sees all typing.

Written against Microsoft's and Qt's documentation and never run as a whole (docs/never-run-here.md).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from ctypes import wintypes

from PyQt6.QtCore import QAbstractNativeEventFilter, QByteArray, QCoreApplication, QTimer
from PyQt6.sip import voidptr

from live_sr.config import parse_key
from live_sr.errors import DisplayLost
from live_sr.system import win32

WM_HOTKEY = 0x0312
MOD_NOREPEAT = 0x4000  # one message per press, even if the key is held
MODIFIER_BITS = {"alt": 0x1, "ctrl": 0x2, "shift": 0x4, "super": 0x8}
ALTGR = frozenset({"ctrl", "alt"})  # what Windows makes of AltGr
SHIFT_STATES = ((0x1, "shift"), (0x2, "ctrl"), (0x4, "alt"))  # VkKeyScanW's bits for a character's modifiers
VK_SHIFT, VK_CONTROL, VK_MENU = 0x10, 0x11, 0x12
VK_RCONTROL, VK_LMENU, VK_RMENU = 0xA3, 0xA4, 0xA5
DOWN = 0x8000  # the bit of GetAsyncKeyState's result
KEYS = 256  # in ToUnicodeEx's table of the keyboard's state
KEEP_STATE = 0x4  # ToUnicodeEx: leave a dead key that waits for its letter alone
RELEASE_POLL_MS = 15
NO_RESULT = voidptr(0)  # WM_HOTKEY has no result

# Virtual-key codes, from winuser.h
VIRTUAL_KEYS = {
    **{f"f{n}": 0x6F + n for n in range(1, 25)},
    "backspace": 0x08,
    "tab": 0x09,
    "enter": 0x0D,
    "pause": 0x13,
    "esc": 0x1B,
    "space": 0x20,
    "page_up": 0x21,
    "page_down": 0x22,
    "end": 0x23,
    "home": 0x24,
    "left": 0x25,
    "up": 0x26,
    "right": 0x27,
    "down": 0x28,
    "print_screen": 0x2C,
    "insert": 0x2D,
    "delete": 0x2E,
    "scroll_lock": 0x91,
}


class HotkeyFilter(QAbstractNativeEventFilter):
    """Picks WM_HOTKEY out of the Windows messages that Qt receives, and passes the hotkey's number on."""

    def __init__(self, on_hotkey: Callable[[int], None]) -> None:
        super().__init__()
        self._on_hotkey = on_hotkey

    def nativeEventFilter(  # noqa: N802 (Qt's name)
        self, event_type: QByteArray | bytes | bytearray | memoryview[int], message: voidptr | None
    ) -> tuple[bool, voidptr]:
        if event_type != b"windows_generic_MSG" or message is None:
            return False, NO_RESULT
        received = wintypes.MSG.from_address(int(message))
        if received.message != WM_HOTKEY:
            return False, NO_RESULT
        self._on_hotkey(int(received.wParam))
        return True, NO_RESULT


class RegisteredHotkeys:
    """Implements `contracts.Hotkeys`. Create it on Qt's GUI thread, on which the callbacks then run.

    Hotkeys arrive as messages to this thread. So they are delayed while Windows runs its own message loop, as it does
    while the user drags one of our windows by the title bar. Raises DisplayLost without a QApplication.
    """

    def __init__(self) -> None:
        self._user32 = win32.load_library("user32")
        application = QCoreApplication.instance()
        if application is None:
            raise DisplayLost("hotkeys need Qt's event loop, and there is none", "create the QApplication first")
        self._application = application
        self._filter = HotkeyFilter(self._handle_hotkey)
        application.installNativeEventFilter(self._filter)
        self._bound: dict[int, tuple[str, int, bool]] = {}  # number: action, virtual key, whether AltGr looks the same
        self._held: dict[str, int] = {}  # action: virtual key
        self._keys: dict[str, str] = {}
        self._on_press: Callable[[str], None] = lambda action: None
        self._on_release: Callable[[str], None] = lambda action: None
        # WM_HOTKEY reports presses only, so a pressed key is polled until it is released.
        self._release_timer = QTimer()
        self._release_timer.setInterval(RELEASE_POLL_MS)
        self._release_timer.timeout.connect(self._check_releases)

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Replaces all bindings. Returns a sentence for each key that cannot be bound, or that types a character."""
        self._unbind()
        self._keys = {}
        self._on_press, self._on_release = on_press, on_release
        sentences = []
        for number, (action, key) in enumerate((item for item in keys.items() if item[1]), 1):
            try:
                modifiers, virtual_key = make_register_arguments(key, self._scan_character)
            except ValueError as error:
                sentences.append(f"{action}: {error}")
                continue
            if not self._user32.RegisterHotKey(None, number, modifiers | MOD_NOREPEAT, virtual_key):
                sentences.append(f"{action}: {key} is in use by another program, by Windows or by another action")
                continue
            resembles_altgr = parse_key(key)[0] >= ALTGR
            self._bound[number] = (action, virtual_key, resembles_altgr)
            self._keys = {**self._keys, action: key}
            typed = self._find_typed(virtual_key, modifiers) if resembles_altgr else ""
            if typed:
                sentences.append(f'{action}: {key} is AltGr for "{typed}", which cannot be typed now: choose another')
        return sentences

    def get_keys(self) -> Mapping[str, str]:
        return self._keys

    def close(self) -> None:
        self._unbind()
        self._application.removeNativeEventFilter(self._filter)

    def _unbind(self) -> None:
        self._release_timer.stop()
        self._held.clear()
        for number in self._bound:
            self._user32.UnregisterHotKey(None, number)
        self._bound.clear()

    def _scan_character(self, character: str) -> int:
        return -1 if ord(character) > 0xFFFF else int(self._user32.VkKeyScanW(character))

    def _find_typed(self, virtual_key: int, modifiers: int) -> str:
        """The character that a key types with AltGr (and Shift, if that is among the modifiers); empty if none."""
        state = (ctypes.c_ubyte * KEYS)()
        for key in (VK_CONTROL, VK_MENU, *((VK_SHIFT,) if modifiers & MODIFIER_BITS["shift"] else ())):
            state[key] = 0x80
        typed = ctypes.create_unicode_buffer(8)
        layout = self._user32.GetKeyboardLayout(0)
        scan_code = self._user32.MapVirtualKeyW(virtual_key, 0)
        count = self._user32.ToUnicodeEx(virtual_key, scan_code, state, typed, len(typed), KEEP_STATE, layout)
        first = typed.value[:1]
        return first if count and first.isprintable() else ""  # a negative count is a dead key

    def _is_altgr(self) -> bool:
        """Whether the Alt that is held is AltGr, for which Windows reports a Ctrl too. Any right Alt counts as it."""
        return self._is_down(VK_RMENU) and not self._is_down(VK_LMENU) and not self._is_down(VK_RCONTROL)

    def _is_down(self, virtual_key: int) -> bool:
        return bool(self._user32.GetAsyncKeyState(virtual_key) & DOWN)

    def _handle_hotkey(self, number: int) -> None:
        if number not in self._bound:
            return
        action, virtual_key, resembles_altgr = self._bound[number]
        if resembles_altgr and self._is_altgr():
            return
        self._held[action] = virtual_key
        self._release_timer.start()
        self._on_press(action)

    def _check_releases(self) -> None:
        released = [a for a, key in self._held.items() if not self._is_down(key)]
        for action in released:
            del self._held[action]
        if not self._held:
            self._release_timer.stop()
        for action in released:
            self._on_release(action)


def make_register_arguments(key: str, scan_character: Callable[[str], int]) -> tuple[int, int]:
    """RegisterHotKey's modifiers and virtual key for "ctrl+alt+m". Raises ValueError with a sentence.

    Letters and digits have virtual keys of their own, which Windows puts where the layout has them; layouts without
    Latin letters and AZERTY's digits, which need Shift, too. scan_character: VkKeyScanW, which knows the layout's other
    characters. It returns the virtual key in the low byte and the modifiers that type the character in the high byte,
    or -1 when no key types it.
    """
    modifiers, name = parse_key(key)
    if name in VIRTUAL_KEYS:
        virtual_key = VIRTUAL_KEYS[name]
    elif name.isascii() and name.isalnum():
        virtual_key = ord(name.upper())
    else:
        scanned = scan_character(name)
        if scanned == -1:
            raise ValueError(f'no key of this keyboard layout types "{name}"')
        virtual_key = scanned & 0xFF
        modifiers |= {word for bit, word in SHIFT_STATES if scanned >> 8 & bit}
    return sum(MODIFIER_BITS[word] for word in modifiers), virtual_key
