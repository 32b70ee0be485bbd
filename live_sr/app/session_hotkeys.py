"""Connects the hotkeys with a running session: in the ways that this desktop has, and told to the player."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from live_sr.app.controls import Controls
from live_sr.app.hotkey_merger import HotkeyMerger
from live_sr.desktop.key_names import format_sway_bindings
from live_sr.desktop.open import find_hotkey_ways, open_hotkeys
from live_sr.overlay.event_loop import EventLoop
from live_sr.pipeline.desktop_contracts import GrantedKeys, Hotkeys
from live_sr.system.platform import detect_desktop

PORTAL = "portal"
IN_HUD = ("quit", "overlay", "hud")  # the actions whose keys the HUD lists
INTRODUCED = {"quit": "quits", "overlay": "switches the overlay", "hud": "changes the HUD"}
LET_DESKTOP = "let the desktop start `live-sr ctl ACTION` for a key"

log = logging.getLogger(__name__)


class SessionHotkeys:
    """Belongs to the GUI thread."""

    def __init__(
        self,
        loop: EventLoop,
        controls: Controls,
        keys: Mapping[str, str],
        wanted: str,
        add_note: Callable[[str], None],
    ) -> None:
        """`keys`: {action: "ctrl+alt+m"}. `wanted`: [overlay] hotkeys. `add_note` gets what the player should know."""
        self._loop = loop
        self._keys = {action: key for action, key in keys.items() if key}
        self._add_note = add_note
        self._merger = HotkeyMerger(controls.press, controls.release)
        self._ways: list[Hotkeys] = []
        self._portal: Hotkeys | None = None
        for way in find_hotkey_ways(wanted):
            self._open(way)
        heard = self.get_keys()
        introduced = [f"{heard[action]} {does}" for action, does in INTRODUCED.items() if action in heard]
        if introduced:
            log.info("%s; the HUD lists all keys", ", ".join(introduced))

    def get_keys(self) -> dict[str, str]:
        """The keys that are heard now, by action. Those that the desktop has granted come before X11's."""
        heard: dict[str, str] = {}
        for hotkeys in sorted(self._ways, key=lambda one: one is self._portal):
            heard.update(hotkeys.get_keys())
        return {action: heard[action] for action in self._keys if action in heard}

    def close(self) -> None:
        for way in self._ways:
            way.close()

    def _open(self, way: str) -> None:
        hotkeys, problem = open_hotkeys(way, lambda granted: self._loop.post(partial(self._report_keys, granted)))
        if hotkeys is None:
            self._report_unheard(problem.removeprefix("no hotkeys: ")) if way == PORTAL else self._add_note(problem)
            return
        self._ways.append(hotkeys)
        if way == PORTAL:
            self._portal = hotkeys
        for problem in hotkeys.bind(
            self._keys,
            lambda action: self._loop.post(partial(self._merger.press, way, action)),
            lambda action: self._loop.post(partial(self._merger.release, way, action)),
        ):
            self._add_note(problem)

    def _report_keys(self, granted: GrantedKeys) -> None:
        """The desktop has decided which keys it reports while another program's Wayland window has the focus."""
        if granted.problem or not granted.keys:
            self._report_unheard(granted.problem or "you have given live-sr no keys")
            return
        log.info("hotkeys of the desktop: %s", _list(granted.keys))
        self._add_note(f"the desktop's keys: {_list({a: k for a, k in granted.keys.items() if a in IN_HUD})}")
        without = [action for action in self._keys if action not in granted.keys]
        if without:
            self._add_note(f"the desktop has no key for {', '.join(without)}: its settings can give them one")

    def _report_unheard(self, why: str) -> None:
        """No key is heard while a Wayland window has the focus; what the player can do."""
        self._add_note(f"hotkeys work only while an X11 window has the focus: {why}; {LET_DESKTOP}")
        if detect_desktop() == "sway":
            lines = format_sway_bindings(self._keys, _find_command())
            self._loop.post(lambda: log.info("for sway's configuration:\n%s", "\n".join(lines)))  # after the note


def _list(keys: Mapping[str, str]) -> str:
    return ", ".join(f"{action} = {key}" for action, key in keys.items())


def _find_command() -> str:
    """The shell command that starts this live-sr, whatever the PATH of the desktop is."""
    script = Path(sys.executable).with_name("live-sr")
    if script.is_file() and os.access(script, os.X_OK):
        return shlex.quote(str(script))
    return shlex.join([sys.executable, "-m", "live_sr"])
