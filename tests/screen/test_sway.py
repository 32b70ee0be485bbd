"""On sway, a Wayland desktop of wlroots: the overlay is seen, clicks pass through it, and keys are heard."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_portal import FakePortal, PrivateBus
from overlay_process import OverlayProcess, compute_psnr, is_same_picture, upscale_to_screen
from patience import until
from screens import HD, ToyWindow, forget_extensions
from sway_screen import OUTPUT, ClickedWindow, SwayScreen, VirtualInput, find_obstacle

from live_sr.config import HotkeySettings
from live_sr.pipeline.frame import Pixels, Size, get_size

ROOT = Path(__file__).parents[2]
SMALL = Size(240, 136)
LAYER = 'overlay.present = "layer"\nhud.level = "off"\n'
XCB = 'overlay.present = "raster"\nhud.level = "off"\n'

pytestmark = pytest.mark.skipif(bool(find_obstacle()), reason=find_obstacle())


@pytest.fixture(scope="module")
def shared_sway() -> Iterator[SwayScreen]:
    with SwayScreen() as screen:
        yield screen


@pytest.fixture
def sway(shared_sway: SwayScreen, monkeypatch: pytest.MonkeyPatch) -> Iterator[SwayScreen]:
    forget_extensions(monkeypatch)
    yield shared_sway
    shared_sway.clear()
    shared_sway.ask("reload")  # as in its configuration


@pytest.fixture
def hands(sway: SwayScreen) -> Iterator[VirtualInput]:
    hands = VirtualInput(sway)
    yield hands
    hands.close()


class Overlay:
    """`live-sr run` over a toy window, and what it should show."""

    def __init__(self, sway: SwayScreen, folder: Path, settings: str, seen: bool) -> None:
        self._sway = sway
        (folder / "config.toml").write_text(settings)
        self.toy = ToyWindow(sway, SMALL, title="A game")
        self.expected = upscale_to_screen(self.toy.draw(1), "nearest")
        self.process = OverlayProcess(sway, folder, "--window", "a game", "--model", "nearest", "--log", "frames.csv")
        try:
            if seen:
                self.wait_until_seen()
        except TimeoutError:
            self.process.kill()
            raise AssertionError(self.process.output) from None

    def draw(self, seed: int, room: Size = HD) -> None:
        """The game draws, and a screen of that size should show it."""
        self.expected = upscale_to_screen(self.toy.draw(seed), "nearest", room=room)

    def wait_until_seen(self) -> None:
        until(lambda: self._is_seen() or self.process.process.poll() is not None, "the picture is seen", 20.0, 0.1)
        assert self.process.process.poll() is None, self.process.output

    def wait_until_gone(self) -> None:
        until(lambda: not self._is_seen(), "the picture is off the screen", 20.0, 0.1)

    def _is_seen(self) -> bool:
        picture = cut_middle(self._sway.grab(), get_size(self.expected))
        return is_same_picture(picture, self.expected)


def ctl(sway: SwayScreen, action: str) -> None:
    env = {**sway.env, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-m", "live_sr", "ctl", action], env=env, check=True, timeout=60)


def cut_middle(picture: Pixels, size: Size) -> Pixels:
    whole = get_size(picture)
    left, top = (whole.width - size.width) // 2, (whole.height - size.height) // 2
    return picture[top : top + size.height, left : left + size.width]


OpenOverlay = Callable[..., Overlay]


@pytest.fixture
def open_overlay(sway: SwayScreen, tmp_path: Path) -> Iterator[OpenOverlay]:
    opened: list[Overlay] = []

    def start(settings: str, seen: bool = True) -> Overlay:
        opened.append(Overlay(sway, tmp_path, settings, seen))
        return opened[-1]

    yield start
    for overlay in opened:
        overlay.process.kill()


@pytest.mark.parametrize(("settings", "below"), [(XCB, "xcb"), (LAYER, "wayland")], ids=["window", "layer"])
def test_the_overlay_is_seen_follows_game_and_keys_and_lets_clicks_through(
    settings: str, below: str, sway: SwayScreen, hands: VirtualInput, open_overlay: OpenOverlay
) -> None:
    menu = ClickedWindow(sway, below)
    overlay = open_overlay(settings)
    overlay.draw(2)
    overlay.wait_until_seen()

    def click() -> tuple[int, int] | None:
        """Again and again: on a busy machine a click can come before the compositor knows what lets it through."""
        hands.click(menu.corner[0] + 30, menu.corner[1] + 40)
        return menu.find_click()

    assert until(click, "a click reaches the window below") == (30, 40)
    hands.move_away()
    sway.ask('[title="A menu"] focus')  # as Alt+Tab does elsewhere
    overlay.wait_until_gone()
    sway.ask('[title="A game"] focus')
    overlay.wait_until_seen()
    hands.press("ctrl", "alt", "o")
    overlay.wait_until_gone()
    overlay.draw(3)
    hands.press("ctrl", "alt", "o")
    overlay.wait_until_seen()


def test_the_layer_has_every_pixel_of_a_scaled_screen_and_follows_a_change_of_its_size(
    sway: SwayScreen, open_overlay: OpenOverlay
) -> None:
    overlay = open_overlay(LAYER)
    sway.ask("output", OUTPUT, "scale", "2")
    overlay.draw(2)
    overlay.wait_until_seen()
    sway.ask("output", OUTPUT, "resolution", "800x600", "scale", "1")
    overlay.draw(3, Size(800, 600))
    overlay.wait_until_seen()


def test_the_hud_is_seen_on_the_layer(sway: SwayScreen, open_overlay: OpenOverlay) -> None:
    open_overlay(LAYER)
    before = sway.grab()[:200, :400]
    ctl(sway, "hud")  # off, line
    until(lambda: compute_psnr(sway.grab()[:200, :400], before) < 30, "the HUD is seen", 20.0, 0.1)


def test_a_scaled_screen_is_told_once(sway: SwayScreen, open_overlay: OpenOverlay) -> None:
    sway.ask("output", OUTPUT, "scale", "2")
    overlay = open_overlay(XCB, seen=False)
    sentence = "the game and the overlay are drawn with 640x360 pixels and enlarged to 1280x720"
    until(lambda: sentence in overlay.process.output, "the sentence", 20.0)
    assert overlay.process.output.count(sentence) == 1


def test_a_portal_gives_keys_and_says_which(sway: SwayScreen, open_overlay: OpenOverlay) -> None:
    with PrivateBus(Path(sway.env["XDG_RUNTIME_DIR"])) as bus, FakePortal(bus.address) as portal:
        overlay = open_overlay(XCB)
        until(lambda: "hotkeys of the desktop:" in overlay.process.output, "the portal's keys", 20.0)
        assert "quit = ctrl+alt+q" in overlay.process.output
        assert "hotkeys work only" not in overlay.process.output
        assert portal.wanted.keys() == HotkeySettings.model_fields.keys()
        portal.press("quit")
        assert overlay.process.wait_for_exit() == 0


def test_the_lines_for_sways_configuration_work_as_they_are_printed(
    sway: SwayScreen, hands: VirtualInput, open_overlay: OpenOverlay
) -> None:
    ClickedWindow(sway, "wayland")
    overlay = open_overlay(XCB)
    until(lambda: "ctl quit\n" in overlay.process.output, "the lines", 20.0)
    lines = [line for line in overlay.process.output.splitlines() if line.startswith("bindsym")]
    assert len(lines) == len(HotkeySettings.model_fields) + 1, "one for each action, and for the release of one"
    for line in lines:
        assert sway.ask(line) == [{"success": True}]
    sway.ask('[title="A menu"] focus')
    hands.press("ctrl", "alt", "o")
    overlay.wait_until_gone()
