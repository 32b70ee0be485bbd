"""Global hotkeys on Wayland, through the desktop's portal: they are heard whatever window has the focus.

GNOME 48, KDE Plasma and Hyprland have such a portal. The desktop decides which keys the player gets, and may ask them.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Mapping
from typing import Any

from live_sr.desktop.chords import parse_chords
from live_sr.desktop.desktop_entry import APP_ID, install_desktop_entry
from live_sr.desktop.key_names import format_trigger
from live_sr.errors import LiveSRError, reason
from live_sr.pipeline.desktop_contracts import GrantedKeys
from live_sr.system.portal import SESSION, Portal, PortalLost, PortalRefused, PortalUnavailable

SHORTCUTS = "org.freedesktop.portal.GlobalShortcuts"
ATTEMPTS = 5  # to get the hotkeys back from a portal that has ended, each time
AGAIN_S = 2.0  # between two of them
END_S = 2.0  # the longest wait for the listener's end

log = logging.getLogger(__name__)

Shortcuts = list[tuple[str, dict[str, tuple[str, Any]]]]  # of the portal: a(sa{sv})


class PortalHotkeys:
    """Implements `contracts.Hotkeys`. Callbacks run on the listener's thread, also `report`."""

    def __init__(self, report: Callable[[GrantedKeys], None] = lambda granted: None) -> None:
        """`report`: called when the desktop has decided, which may be after the player was asked, and on a change."""
        self._report = report
        self._granted = GrantedKeys()
        self._listener: PortalListener | None = None

    def bind(
        self, keys: dict[str, str], on_press: Callable[[str], None], on_release: Callable[[str], None]
    ) -> list[str]:
        """Replaces all bindings. Returns a sentence for each invalid key; `report` gets the others' fate."""
        self.close()
        chords, problems = parse_chords(keys)
        wanted = {action: keys[action] for action in chords}
        self._listener = PortalListener(wanted, on_press, on_release, self._remember)
        self._listener.start()
        return problems

    def get_keys(self) -> Mapping[str, str]:
        return self._granted.keys

    def close(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    def _remember(self, granted: GrantedKeys) -> None:
        self._granted = granted
        self._report(granted)


class PortalListener(threading.Thread):
    """Asks the portal for the keys and hears them, over a connection of its own."""

    def __init__(
        self,
        keys: Mapping[str, str],
        on_press: Callable[[str], None],
        on_release: Callable[[str], None],
        report: Callable[[GrantedKeys], None],
    ) -> None:
        super().__init__(name="live-sr portal hotkeys", daemon=True)
        self._keys = dict(keys)
        self._handlers = {"Activated": on_press, "Deactivated": on_release}
        self._report = report
        self._closing = threading.Event()

    def run(self) -> None:
        try:
            install_desktop_entry()
        except LiveSRError as error:
            log.debug("the portal cannot know live-sr's name: %s", error.message)
        try:
            self._hear()
        except LiveSRError as error:
            self._notify(GrantedKeys(problem=error.message))
        except Exception as error:  # an answer that no portal should give; the HUD must not list keys that are dead
            log.debug("the portal's answer", exc_info=True)
            self._notify(GrantedKeys(problem=f"the desktop's portal gives an odd answer: {reason(error)}"))

    def close(self) -> None:
        """Ends the thread. No callback begins from now on."""
        self._closing.set()
        self.join(END_S)

    def _hear(self) -> None:
        """Hears the keys, of a portal that was started again too. Raises LiveSRError once there is none to hear."""
        failures, bound = 0, False
        while failures < ATTEMPTS:
            try:
                with Portal(APP_ID, self._closing.is_set) as portal:
                    session = self._bind(portal)
                    failures, bound = 0, True
                    self._listen(portal, session)
            except (PortalLost, PortalUnavailable) as error:
                if not bound and not failures and isinstance(error, PortalUnavailable):
                    raise
                log.debug("the hotkeys of the portal: %s", error.message)  # it may be starting again
                failures += 1
                if self._closing.wait(AGAIN_S):
                    return
        raise PortalLost("the desktop's portal has ended, and does not come back")

    def _bind(self, portal: Portal) -> str:
        """Asks for the keys, which the player may have to allow. Returns the portal's session."""
        try:
            portal.read_version(SHORTCUTS)
        except PortalUnavailable as error:
            log.debug("%s", error.message)
            raise PortalUnavailable("this desktop gives no program hotkeys over its portal") from None
        token = ("s", f"live_sr_{secrets.token_hex(6)}")
        session = portal.request(SHORTCUTS, "CreateSession", "", options={"session_handle_token": token})
        handle = str(session["session_handle"][1])
        wanted: Shortcuts = [
            (action, {"description": ("s", _describe(action)), "preferred_trigger": ("s", format_trigger(key))})
            for action, key in self._keys.items()
        ]
        granted = portal.request(SHORTCUTS, "BindShortcuts", "oa(sa{sv})s", handle, wanted, "", options={})
        self._report_keys(granted["shortcuts"][1] if "shortcuts" in granted else [])
        return handle

    def _listen(self, portal: Portal, session: str) -> None:
        while True:
            signal = portal.receive()
            if signal is None or session not in (signal.path, *signal.body[:1]):
                continue
            if signal.interface == SESSION and signal.member == "Closed":
                raise PortalRefused("the desktop has taken the hotkeys back")
            if signal.interface != SHORTCUTS:  # the portal's own back-end tells the same, with the same path
                continue
            if signal.member == "ShortcutsChanged":
                self._report_keys(signal.body[1])
            elif signal.member in self._handlers:
                self._carry_out(self._handlers[signal.member], str(signal.body[1]))

    def _carry_out(self, handler: Callable[[str], None], action: str) -> None:
        if self._closing.is_set():
            return
        try:
            handler(action)
        except Exception:  # it would end the listener and so disable every hotkey
            log.exception("the action %s failed", action)

    def _report_keys(self, shortcuts: Shortcuts) -> None:
        keys = {str(action): str(values.get("trigger_description", ("s", ""))[1]) for action, values in shortcuts}
        self._notify(GrantedKeys({action: words for action, words in keys.items() if action in self._keys and words}))

    def _notify(self, granted: GrantedKeys) -> None:
        if not self._closing.is_set():
            self._report(granted)


def _describe(action: str) -> str:
    """What the desktop shows the player."""
    return f"live-sr: {action.replace('_', ' ')}"
