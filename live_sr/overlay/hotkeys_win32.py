"""Windows' own global hotkeys (RegisterHotKey), heard in Qt's event loop: no hook through which all typing passes.

Written against Microsoft's and Qt's documentation and never run as a whole (docs/never-run-here.md).
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import wintypes

from PyQt6.QtCore import QAbstractNativeEventFilter, QByteArray, QCoreApplication, QTimer
from PyQt6.sip import voidptr

from live_sr import win32
from live_sr.config import key_parts
from live_sr.errors import DisplayLost

WM_HOTKEY = 0x0312
MOD_NOREPEAT = 0x4000  # one message a press, however long it is held
MODIFIER_BITS = {"alt": 0x1, "ctrl": 0x2, "shift": 0x4, "super": 0x8}
SHIFT_STATES = ((0x1, "shift"), (0x2, "ctrl"), (0x4, "alt"))  # VkKeyScanW's bits for what a character needs held
RELEASE_POLL_MS = 15
NOTHING = voidptr(0)  # the message's result, which WM_HOTKEY has none of

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
    """Hears WM_HOTKEY among the messages that Qt takes from Windows, and tells the key's number."""

    def __init__(self, pressed: Callable[[int], None]) -> None:
        super().__init__()
        self._pressed = pressed

    def nativeEventFilter(  # noqa: N802 (Qt's name)
        self, event_type: QByteArray | bytes | bytearray | memoryview[int], message: voidptr | None
    ) -> tuple[bool, voidptr]:
        if event_type != b"windows_generic_MSG" or message is None:
            return False, NOTHING
        received = wintypes.MSG.from_address(int(message))
        if received.message != WM_HOTKEY:
            return False, NOTHING
        self._pressed(int(received.wParam))
        return True, NOTHING


class RegisteredHotkeys:
    """Hotkeys of the thread that makes this, which must be Qt's GUI thread; the callbacks come on it.

    They are messages to the thread, so they wait while Windows itself runs the loop: as long as a window of ours is
    dragged by its title bar. Raises DisplayLost without a QApplication.
    """

    def __init__(self) -> None:
        self._user32 = win32.library("user32")
        application = QCoreApplication.instance()
        if application is None:
            raise DisplayLost("hotkeys need Qt's event loop, and there is none", "make them after QApplication")
        self._application = application
        self._filter = HotkeyFilter(self._pressed)
        application.installNativeEventFilter(self._filter)
        self._bound: dict[int, tuple[str, int]] = {}  # number: action and virtual key
        self._held: dict[str, int] = {}  # action: virtual key
        self._on_press: Callable[[str], None] = lambda action: None
        self._on_release: Callable[[str], None] = lambda action: None
        # WM_HOTKEY tells of presses only; while a key is down, it is asked whether it still is.
        self._poll = QTimer()
        self._poll.setInterval(RELEASE_POLL_MS)
        self._poll.timeout.connect(self._look_for_releases)

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        self._unbind()
        self._on_press, self._on_release = on_press, on_release
        sentences = []
        for number, (action, key) in enumerate((item for item in keys.items() if item[1]), 1):
            try:
                modifiers, virtual_key = register_arguments(key, self._key_of)
            except ValueError as error:
                sentences.append(f"{action}: {error}")
                continue
            if self._user32.RegisterHotKey(None, number, modifiers | MOD_NOREPEAT, virtual_key):
                self._bound[number] = (action, virtual_key)
            else:
                sentences.append(f"{action}: {key} is taken by another program, by Windows, or by another action")
        return sentences

    def close(self) -> None:
        self._unbind()
        self._application.removeNativeEventFilter(self._filter)

    def _unbind(self) -> None:
        self._poll.stop()
        self._held.clear()
        for number in self._bound:
            self._user32.UnregisterHotKey(None, number)
        self._bound.clear()

    def _key_of(self, character: str) -> int:
        return -1 if ord(character) > 0xFFFF else int(self._user32.VkKeyScanW(character))

    def _pressed(self, number: int) -> None:
        if number not in self._bound:
            return
        action, virtual_key = self._bound[number]
        self._held[action] = virtual_key
        self._poll.start()
        self._on_press(action)

    def _look_for_releases(self) -> None:
        down = 0x8000  # of GetAsyncKeyState's sixteen bits
        released = [a for a, key in self._held.items() if not self._user32.GetAsyncKeyState(key) & down]
        for action in released:
            del self._held[action]
        if not self._held:
            self._poll.stop()
        for action in released:
            self._on_release(action)


def register_arguments(key: str, key_of: Callable[[str], int]) -> tuple[int, int]:
    """RegisterHotKey's modifiers and virtual key for "ctrl+alt+m". Raises ValueError with a sentence.

    key_of: VkKeyScanW, which knows the keyboard's layout: the virtual key in the low byte, in the high byte what must
    be held to type the character; -1 when no key types it.
    """
    modifiers, name = key_parts(key)
    if name in VIRTUAL_KEYS:
        virtual_key = VIRTUAL_KEYS[name]
    else:
        scanned = key_of(name)
        if scanned == -1:
            raise ValueError(f'no key of this keyboard\'s layout types "{name}"')
        virtual_key = scanned & 0xFF
        modifiers |= {word for bit, word in SHIFT_STATES if scanned >> 8 & bit}
    return sum(MODIFIER_BITS[word] for word in modifiers), virtual_key
