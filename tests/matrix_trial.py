"""One game under one window manager, played through `live-sr run`: what `tools/game_matrix.py` checks."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from matrix_games import DesktopGame
from overlay_process import OverlayProcess, capture_window, grab_screen
from patience import LONG_S, until
from pointer_hand import Hand, find_picture, find_rect
from screens import HD, Screen, end
from Xlib import X
from Xlib.display import Display

from live_sr.desktop.window_picker import find_windows
from live_sr.desktop.x11 import X11Desktop
from live_sr.errors import LiveSRError
from live_sr.pipeline.desktop_contracts import WindowInfo
from live_sr.pipeline.frame import Pixels, Rect, get_size

SETTINGS = 'hud.level = "off"\nmodel.name = "bicubic"\n'
DIFFERENT = 48  # of 255: compression of scaling aside, pixels that differ by more are others
SETTLE_S = 1.0  # for the overlay to show the picture of a game that stands still
PART_ALIKE = 0.93  # of the picture's pixels; a cursor, and edges that scaling softens, differ


class TrialFailed(Exception):
    """What is not as it should be, in a few words."""


class OwnWindow:
    """A window of one colour: a dialog of the game, or another program."""

    def __init__(self, screen: Screen, rect: Rect, colour: int, *, dialog_of: int = 0) -> None:
        self.display = Display(screen.display)
        root = self.display.screen().root
        self.window = root.create_window(
            *rect, 0, X.CopyFromParent, background_pixel=colour, event_mask=X.ButtonPressMask
        )
        self.window.set_wm_name("Dialog" if dialog_of else "Another program")
        self.window.set_wm_normal_hints(flags=1)  # USPosition
        if dialog_of:
            self.window.set_wm_transient_for(self.display.create_resource_object("window", dialog_of))
        self.window.map()
        self.display.sync()
        self.id = int(self.window.id)

    def find_click(self) -> tuple[int, int] | None:
        while self.display.pending_events():
            event = self.display.next_event()
            if event.type == X.ButtonPress:
                return event.event_x, event.event_y
        return None

    def close(self) -> None:
        self.window.destroy()
        self.display.close()


class Trial:
    """Each `check` returns a remark, or raises TrialFailed or TimeoutError."""

    def __init__(self, screen: Screen, game: DesktopGame, folder: Path, limit_s: float = LONG_S) -> None:
        """`limit_s`: how long each thing may take, in seconds of a quiet machine."""
        self._limit_s = limit_s
        self._screen = screen
        self._game = game
        self._folder = folder
        self._desktop = X11Desktop(screen.display)
        self._hand = Hand(screen)
        self._over: OverlayProcess | None = None
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self._start_game()
        (self._folder / "config.toml").write_text(SETTINGS)
        self._over = OverlayProcess(self._screen, self._folder, "--window", self._game.title, "--wait")
        until(lambda: self._over is not None and self._over.rect is not None, "no overlay", self._limit_s)

    def close(self) -> None:
        if self._over is not None:
            self._over.kill()
        self._hand.close()
        self._desktop.close()

    def save_screenshot(self, file: Path) -> None:
        cv2.imwrite(str(file), grab_screen(self._screen)[..., :3])

    # The columns

    def check_picture(self) -> str:
        self._wait_for_picture("the picture differs from the game's")
        return ""

    def check_click(self) -> str:
        if self._game.effect is None:
            return self._check_steering()
        game = self._find_game()
        until(lambda: self._hand.saved > 0, "the pointer is not mapped", self._limit_s)
        for place in ((3, 3), (game.rect.width - 4, game.rect.height - 4), self._game.click):
            until(partial(self._point, game, place), f"the pointer is not at {place}", self._limit_s)
        before = self._capture_part(self._game.effect)
        until(
            lambda: self._press(game) and self._has_changed(before),
            "the click does nothing",
            self._limit_s,
            pause_s=1.0,
        )
        return ""

    def check_dialog(self) -> str:
        game = self._find_game()
        dialog = OwnWindow(
            self._screen, Rect(game.rect.x + 60, game.rect.y + 90, 200, 120), 0x3060C0, dialog_of=game.id
        )
        try:
            until(lambda: self._is_enlarged(dialog), "it is not seen enlarged", self._limit_s)
            self._activate(dialog.id)  # a game that has taken the pointer lets go of it
            until(lambda: self._click_in(dialog, (50, 40)), "a click does not reach it", self._limit_s)
        finally:
            dialog.close()
            self._activate(game.id)
        return ""

    def check_another_program(self) -> str:
        game = self._find_game()
        other = OwnWindow(self._screen, Rect(500, 260, 400, 300), 0xC04080)
        try:
            self._activate(other.id)
            until(lambda: self._is_seen(other), "it is not seen", self._limit_s)
        finally:
            self._activate(game.id)
            other.close()
        self._wait_for_picture("the picture does not come back")
        return ""

    def check_full_screen(self) -> str:
        if not self._game.full_screen:
            raise TrialFailed("the game's own key does nothing here, without live-sr either")
        before = self._find_game().rect
        self._press_key(self._game.full_screen)
        until(lambda: self._find_game().rect != before, "the game does not go there", self._limit_s)
        self._wait_for_picture("the picture is not right there")
        there = self._find_game().rect
        self._press_key(self._game.full_screen)
        until(lambda: self._find_game().rect != there, "the game does not come back", self._limit_s)
        self._wait_for_picture("the picture is not right afterwards")
        after = self._find_game().rect.size
        return "" if after == before.size else f"the game's window is {after} afterwards"

    def check_start_again(self) -> str:
        assert self._process is not None
        end(self._process)
        self._start_game()
        self._wait_for_picture("the picture does not come back")
        return ""

    # How they find out

    def _start_game(self) -> None:
        command = self._game.command(self._folder)
        self._process = self._screen.run(*command)
        game = until(lambda: self._look_for_game(), f"{self._game.title} shows no window", LONG_S)
        self._activate(game.id)
        until(lambda: self._is_drawing(game), f"{self._game.title} draws nothing", LONG_S, pause_s=0.5)

    def _look_for_game(self) -> WindowInfo | None:
        """Its window on the screen, which full screen may have replaced by one without a title."""
        windows = self._desktop.list_windows()
        pid = self._process.pid if self._process is not None else 0
        for window in [w for w in windows if w.pid == pid] + find_windows(windows, self._game.title):
            state = self._desktop.get_window_state(window.id)
            if state is not None and not state.minimised:
                return window
        return None

    def _find_game(self) -> WindowInfo:
        return until(self._look_for_game, "the game's window is gone", self._limit_s)

    def _is_drawing(self, game: WindowInfo) -> bool:
        try:
            return bool(capture_window(self._screen, game.id)[..., :3].std() > 2)
        except (LiveSRError, TimeoutError):
            return False

    @contextmanager
    def _stopped(self) -> Iterator[None]:
        """While the game's process stands still, so that its picture does."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._process.pid, signal.SIGCONT)

    def _wait_for_picture(self, failure: str) -> None:
        """Between two looks, the game goes on for a moment: it may have to draw in a new size."""
        until(self._is_picture_right, failure, self._limit_s, pause_s=0.5)

    def _is_picture_right(self) -> bool:
        with self._stopped(), suppress(TimeoutError, LiveSRError):
            return until(self._is_own_picture_shown, limit_s=SETTLE_S)
        return False

    def _is_own_picture_shown(self) -> bool:
        game = self._look_for_game()
        if game is None:
            return False
        own, whole = capture_window(self._screen, game.id), Rect(0, 0, *HD)
        where = find_picture(get_size(own), whole)
        if self._over is not None and self._over.rect is None:  # the game fills the screen
            where = game.rect.intersect(whole)
            own = _cut(own, Rect(where.x - game.rect.x, where.y - game.rect.y, *where.size))
        return bool(own[..., :3].std() > 2) and self._shows(own, where)

    def _shows(self, own: Pixels, where: Rect) -> bool:
        """Whether the screen shows that picture there, enlarged."""
        shown = _cut(grab_screen(self._screen), where)
        small = cv2.resize(shown, get_size(own), interpolation=cv2.INTER_AREA)
        differs = np.abs(small[..., :3].astype(int) - own[..., :3]).max(2) > DIFFERENT
        return bool(differs.mean() < 1 - PART_ALIKE)

    def _capture_part(self, part: Rect) -> Pixels:
        return _cut(capture_window(self._screen, self._find_game().id), part).copy()

    def _has_changed(self, before: Pixels) -> bool:
        assert self._game.effect is not None
        now = self._capture_part(self._game.effect)
        return bool((np.abs(now.astype(int) - before).max(2) > DIFFERENT).mean() >= self._game.portion)

    def _enlarge(self, game: WindowInfo, place: tuple[float, float]) -> tuple[int, int]:
        """Where the screen shows a place of the game's window."""
        picture = find_picture(game.rect.size, Rect(0, 0, *HD))
        times = picture.width / game.rect.width
        return int(picture.x + (place[0] + 0.5) * times), int(picture.y + (place[1] + 0.5) * times)

    def _point(self, game: WindowInfo, place: tuple[int, int]) -> bool:
        """Puts the pointer on the picture; whether it acts on that place of the game, within a pixel."""
        self._hand.put(*self._enlarge(game, place))
        x, y = self._hand.place
        return abs(x - game.rect.x - place[0]) <= 1 and abs(y - game.rect.y - place[1]) <= 1

    def _press(self, game: WindowInfo) -> bool:
        """Long enough for a game that looks at the button once a tick."""
        self._point(game, self._game.click)
        self._hand.press()
        time.sleep(0.3)
        self._hand.release()
        return True

    def _check_steering(self) -> str:
        """A game that turns its view with the mouse keeps it, and turns."""
        until(lambda: self._hand.saved == 0, "the pointer is not left to it", self._limit_s)
        whole = Rect(0, 0, *self._game.size)
        before = self._capture_part(whole)

        def turns() -> bool:
            self._hand.push(40, 0)
            return bool((np.abs(self._capture_part(whole).astype(int) - before).max(2) > DIFFERENT).mean() > 0.2)

        until(turns, "it does not turn", self._limit_s, pause_s=0.1)
        return "steers by the mouse"

    def _is_enlarged(self, dialog: OwnWindow) -> bool:
        game, real = self._find_game().rect, find_rect(self._screen, dialog.id)
        picture = find_picture(game.size, Rect(0, 0, *HD))
        times = picture.width / game.width
        at = (picture.x + (real.x - game.x) * times, picture.y + (real.y - game.y) * times)
        where = Rect(*(round(n) for n in (*at, real.width * times, real.height * times)))
        with suppress(LiveSRError):  # not on the screen yet
            return where.lies_within(Rect(0, 0, *HD)) and self._shows(capture_window(self._screen, dialog.id), where)
        return False

    def _click_in(self, dialog: OwnWindow, place: tuple[int, int]) -> bool:
        game, real = self._find_game(), find_rect(self._screen, dialog.id)
        if not self._point(game, (real.x - game.rect.x + place[0], real.y - game.rect.y + place[1])):
            return False
        self._hand.click()
        found = until(dialog.find_click, "no click", 2.0)
        return max(abs(found[0] - place[0]), abs(found[1] - place[1])) <= 1

    def _is_seen(self, other: OwnWindow) -> bool:
        with suppress(LiveSRError):
            return self._shows(capture_window(self._screen, other.id), find_rect(self._screen, other.id))
        return False

    def _activate(self, window: int) -> None:
        if self._screen.has_manager:
            command = ["xdotool", "windowactivate", "--sync", str(window)]
        else:
            command = ["xdotool", "windowraise", str(window), "windowfocus", "--sync", str(window)]
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(command, env=self._screen.env, capture_output=True, timeout=10)

    def _press_key(self, key: str) -> None:
        subprocess.run(["xdotool", "key", "--delay", "60", key], env=self._screen.env, check=True)


def _cut(picture: Pixels, part: Rect) -> Pixels:
    return picture[part.y : part.y + part.height, part.x : part.x + part.width]
