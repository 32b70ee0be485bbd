"""Asks the desktop's portal to share a window, which on Wayland is the only way to see one.

The player chooses the window in a dialog of the desktop. The portal gives no title and no place of it, but a token with
which the same window is shared again without the dialog.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from live_sr.capture.libpipewire import load_library
from live_sr.capture.pipewire import PipeWireSource
from live_sr.errors import LiveSRError, MissingPart, SourceClosed, SourceLost, WindowNotFound
from live_sr.pipeline.frame import Rect
from live_sr.system import atomic_file, paths
from live_sr.system.platform import detect_session
from live_sr.system.portal import PROPERTIES, Portal, PortalEnded, PortalLost, PortalRefused, PortalUnavailable

SCREEN_CAST, SESSION = "org.freedesktop.portal.ScreenCast", "org.freedesktop.portal.Session"
MONITOR, WINDOW = 1, 2  # source types
CURSOR_HIDDEN = 1
PERSIST_UNTIL_REVOKED = 2
HAS_CURSOR_MODES, HAS_TOKENS = 2, 4  # versions of the interface
BROKEN_S = 3.0  # how long a stream may be gone before the window counts as closed

CLOSED = "the game's window was closed, or the desktop ended its sharing"

log = logging.getLogger(__name__)


def unavailable_reason() -> str:
    """Why no window can be shared here, or an empty string. Starts the portal if the session has not yet."""
    if detect_session() not in ("xwayland", "wayland"):
        return "it is for Wayland sessions; here, x11 captures windows without a dialog"
    try:
        load_library()
        with closing(Portal()) as portal:
            portal.read_version(SCREEN_CAST)
    except LiveSRError as error:
        return f"{error.message} ({error.remedy})" if error.remedy else error.message
    return ""


@dataclass(frozen=True)
class SharedStream:
    """What the portal shares. `rect`: of a whole monitor, in the desktop's units, where the portal says it.

    `is_window`: off if it is a monitor, or if the portal does not say what it is.
    """

    node: int
    is_window: bool
    rect: Rect | None = None


class ScreenCast:
    """One window that the player shares with live-sr, for as long as this object is open. For any thread."""

    def __init__(self, portal: Portal, session: str, stream: SharedStream) -> None:
        """Takes over the portal's connection. Use `share_window`."""
        self.stream = stream
        self._portal = portal
        self._session = session
        self._lock = threading.Lock()
        # guarded by _lock:
        self._source: PipeWireSource | None = None
        self._opened = False  # whether a source has ever been wanted
        self._broken_since: float | None = None
        self._end = ""

    def open_source(self) -> PipeWireSource:
        """Opens a source of the window, on the thread that will use it. Raises SourceLost, or SourceClosed at its end.

        May be called again after the source was lost.
        """
        with self._lock:
            if self._source is not None and self._source.was_linked:
                self._broken_since = None
            self._end = self._end or self._look_for_end()
            self._source, self._opened = None, True
            if self._end:
                raise SourceClosed(self._end, "start live-sr again")
            try:
                (descriptor,) = self._portal.call(SCREEN_CAST, "OpenPipeWireRemote", "oa{sv}", self._session, {})
            except LiveSRError as error:
                raise SourceLost(error.message, error.remedy) from None
            self._source = PipeWireSource(self.stream.node, descriptor.to_raw_fd())
            return self._source

    def find_end(self) -> str:
        """Why there will be no more pictures, as a clause; empty while there may be. Call it again and again."""
        if not self._lock.acquire(blocking=False):  # the source is being opened
            return ""
        try:
            self._end = self._end or self._look_for_end()
            return self._end
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the sharing, which the desktop shows to the player."""
        with self._lock:
            self._end = self._end or "live-sr has ended"
            with suppress(LiveSRError):
                self._portal.call(SESSION, "Close", "", path=self._session)
            self._portal.close()

    def _look_for_end(self) -> str:
        try:
            while signal := self._portal.receive(0.0):
                if (signal.interface, signal.member, signal.path) == (SESSION, "Closed", self._session):
                    return CLOSED
        except PortalLost as error:
            log.debug("%s", error.message)  # the stream may go on without it
        source = self._source
        if not self._opened or (source is not None and not source.broken):
            if source is not None and source.was_linked:
                self._broken_since = None
            return ""
        self._broken_since = self._broken_since or monotonic()
        return CLOSED if monotonic() - self._broken_since > BROKEN_S else ""


def share_window(game: str) -> ScreenCast:
    """Asks the player, in a dialog of the desktop, for a window, unless they have shared it before.

    `game`: under which name the player's choice is remembered. Raises WindowNotFound if the player says no, and
    MissingPart if the desktop cannot share windows.
    """
    tokens = _TokenFile(paths.get_state_folder())
    portal = Portal(descriptors=True)
    try:
        session, granted = _ask(portal, tokens.read(game))
        tokens.write(game, str(granted["restore_token"][1]) if "restore_token" in granted else "")
        return ScreenCast(portal, session, parse_streams(granted))
    except PortalEnded:  # KDE's answer too where KWin draws without a graphics card
        portal.close()
        raise WindowNotFound(
            "no window was shared: the desktop closed its dialog, or cannot share what was chosen there",
            "start live-sr again; KDE Plasma without a graphics card cannot share windows",
        ) from None
    except PortalRefused:
        portal.close()
        raise WindowNotFound(
            "no window was shared: the desktop's dialog was cancelled",
            "start live-sr again, and choose the game's window in that dialog",
        ) from None
    except (PortalUnavailable, PortalLost) as error:
        portal.close()
        raise MissingPart(f"the desktop cannot share a window: {error.message}", error.remedy) from None
    except BaseException:
        portal.close()
        raise


def parse_streams(granted: dict[str, tuple[str, Any]]) -> SharedStream:
    """The first stream of the portal's answer. Raises WindowNotFound if there is none."""
    streams = granted["streams"][1] if "streams" in granted else []
    if not streams:
        raise WindowNotFound("the desktop has shared no window", "start live-sr again, and choose the game's window")
    node, properties = streams[0]
    kind = properties.get("source_type", ("u", 0))[1]
    position, size = properties.get("position"), properties.get("size")
    rect = Rect(*position[1], *size[1]) if position is not None and size is not None else None
    return SharedStream(node, kind == WINDOW, None if kind == WINDOW else rect)


def _ask(portal: Portal, token: str) -> tuple[str, dict[str, tuple[str, Any]]]:
    """The session, and what was granted."""
    version = portal.read_version(SCREEN_CAST)
    (kinds,) = portal.call(PROPERTIES, "Get", "ss", SCREEN_CAST, "AvailableSourceTypes")
    handle = {"session_handle_token": ("s", f"live_sr_{secrets.token_hex(6)}")}
    session = str(portal.request(SCREEN_CAST, "CreateSession", "", options=handle)["session_handle"][1])
    # some desktops can only share monitors
    options: dict[str, tuple[str, object]] = {
        "types": ("u", WINDOW if kinds[1] & WINDOW else MONITOR),
        "multiple": ("b", False),
    }
    if version >= HAS_CURSOR_MODES:
        options["cursor_mode"] = ("u", CURSOR_HIDDEN)
    if version >= HAS_TOKENS:
        options["persist_mode"] = ("u", PERSIST_UNTIL_REVOKED)
        if token:
            options["restore_token"] = ("s", token)
    portal.request(SCREEN_CAST, "SelectSources", "o", session, options=options)
    return session, portal.request(SCREEN_CAST, "Start", "os", session, "", options={})


class _TokenFile:
    """The tokens of the windows that were shared, by the game's name. Each token is good for one more time."""

    def __init__(self, folder: Path | None) -> None:
        self._path = None if folder is None else folder / "shared-windows.json"

    def read(self, game: str) -> str:
        return self._read_all().get(game.casefold(), "")

    def write(self, game: str, token: str) -> None:
        """`token`: empty if there is none any longer. A file that cannot be written costs a dialog next time."""
        tokens = {name: kept for name, kept in self._read_all().items() if name != game.casefold()}
        if token:
            tokens[game.casefold()] = token
        if self._path is None:
            return
        try:
            atomic_file.write(self._path, json.dumps(tokens, indent=1).encode())
        except LiveSRError as error:
            log.warning("the desktop will ask for the window again next time: %s", error.message)

    def _read_all(self) -> dict[str, str]:
        try:
            raw = json.loads(self._path.read_text("utf-8")) if self._path is not None else {}
        except (OSError, ValueError):
            return {}
        return {k: v for k, v in raw.items() if isinstance(v, str)} if isinstance(raw, dict) else {}
