"""On KWin, the compositor of KDE Plasma: the overlay is seen, clicks pass through it, and keys are heard."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kwin_screen import KwinScreen, find_obstacle
from overlay_process import OverlayProcess, is_same_picture, upscale_to_screen
from patience import until
from screens import ToyWindow, forget_extensions

from live_sr.pipeline.frame import Pixels, Size, get_size

SMALL = Size(240, 136)

pytestmark = pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle())


@pytest.fixture(scope="module")
def shared_kwin() -> Iterator[KwinScreen]:
    with KwinScreen() as screen:
        yield screen


@pytest.fixture
def kwin(shared_kwin: KwinScreen, monkeypatch: pytest.MonkeyPatch) -> Iterator[KwinScreen]:
    forget_extensions(monkeypatch)
    for name in ("DISPLAY", "XAUTHORITY"):
        monkeypatch.setenv(name, shared_kwin.env[name])
    yield shared_kwin
    shared_kwin.clear()


FULL_SCREEN = """
import sys
from PyQt6.QtWidgets import QApplication, QWidget
class Window(QWidget):
    def mousePressEvent(self, event):
        print(round(event.position().x()), round(event.position().y()), flush=True)
application = QApplication(["toy", "-platform", sys.argv[1]])
window = Window()
window.setWindowTitle("Another program")
window.setStyleSheet("background: #306090")
window.showFullScreen()
print("shown", flush=True)
application.exec()
"""


class OtherProgram:
    """A window over the whole screen that tells where it is clicked. `platform`: "wayland" or "xcb"."""

    def __init__(self, screen: KwinScreen, platform: str) -> None:
        pipe = screen.talk(sys.executable, "-c", FULL_SCREEN, platform).stdout
        assert pipe is not None
        self._pipe = pipe
        assert pipe.readline() == "shown\n"
        until(lambda: (screen.grab()[360, 640, :3] == (0x90, 0x60, 0x30)).all(), "the other program is seen")

    def find_click(self) -> tuple[int, int] | None:
        """Where the next click landed; None if there is none within a second."""
        if not select.select([self._pipe], [], [], 1.0)[0]:
            return None
        x, y = map(int, self._pipe.readline().split())
        return x, y


class Overlay:
    """`live-sr run` over a toy window, and what it should show."""

    def __init__(self, screen: KwinScreen, folder: Path, present: str) -> None:
        self._screen = screen
        (folder / "config.toml").write_text(f'overlay.present = "{present}"\nhud.level = "off"\n')
        self._toy = ToyWindow(screen, SMALL, title="A game")
        self._expected = upscale_to_screen(self._toy.draw(1), "nearest")
        self.process = OverlayProcess(screen, folder, "--window", "a game", "--model", "nearest")

    def draw(self, seed: int) -> None:
        self._expected = upscale_to_screen(self._toy.draw(seed), "nearest")

    def activate_game(self) -> None:
        """As a task bar does."""
        subprocess.run(["xdotool", "windowactivate", str(self._toy.id)], env=self._screen.env, check=True)

    def wait_until_seen(self) -> None:
        until(lambda: self._is_seen() or self.process.process.poll() is not None, "the picture is seen", 20.0, 0.1)
        assert self.process.process.poll() is None, self.process.output

    def wait_until_gone(self) -> None:
        until(lambda: not self._is_seen(), "the picture is off the screen", 20.0, 0.1)

    def _is_seen(self) -> bool:
        return is_same_picture(cut_middle(self._screen.grab(), get_size(self._expected)), self._expected)


def cut_middle(picture: Pixels, size: Size) -> Pixels:
    whole = get_size(picture)
    left, top = (whole.width - size.width) // 2, (whole.height - size.height) // 2
    return picture[top : top + size.height, left : left + size.width]


@pytest.mark.parametrize(("present", "below"), [("raster", "xcb"), ("raster", "wayland"), ("layer", "wayland")])
def test_the_overlay_is_seen_follows_game_and_keys_and_lets_clicks_through(
    present: str, below: str, kwin: KwinScreen, tmp_path: Path
) -> None:
    other = OtherProgram(kwin, below)
    overlay = Overlay(kwin, tmp_path, present)
    try:
        overlay.activate_game()
        overlay.wait_until_seen()
        overlay.draw(2)
        overlay.wait_until_seen()
        kwin.hand("key", "ctrl+alt+o")
        overlay.wait_until_gone()
        overlay.draw(3)
        kwin.hand("key", "ctrl+alt+o")
        overlay.wait_until_seen()

        def click() -> tuple[int, int] | None:
            """Again and again: on a busy machine a click can come before the compositor knows what lets it through."""
            kwin.click(700, 400)
            return other.find_click()

        assert until(click, "a click reaches the window below") == (700, 400)
        overlay.wait_until_gone()
        overlay.activate_game()
        overlay.wait_until_seen()
    except (TimeoutError, AssertionError) as failure:
        raise AssertionError(f"{failure}\n{overlay.process.output}") from failure
    finally:
        overlay.process.kill()
