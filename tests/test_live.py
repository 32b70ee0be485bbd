"""The whole program over real windows: `live-sr run` in a process of its own, on a screen with a window manager."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import mss
import numpy as np
import pytest
from screens import Game, Screen, ToyWindow, until
from Xlib.display import Display

from live_sr import assembly
from live_sr.capture.x11 import X11Source
from live_sr.engine.filters import resize
from live_sr.frame import Frame, Pixels, Size, size_of
from live_sr.models.zoo import WEIGHTS

ROOM = Size(1280, 720)


class Overlay:
    """A running `live-sr run`."""

    def __init__(self, screen: Screen, folder: Path, *arguments: str) -> None:
        self.screen = screen
        self.said = folder / "said"
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "live_sr.cli", "run", *arguments],
                env={**screen.env, "PYTHONPATH": str(Path(__file__).parent.parent)},
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def rect(self) -> tuple[int, int, int, int] | None:
        """Where its window is, if it is to be seen."""
        done = subprocess.run(
            ["xdotool", "search", "--onlyvisible", "--pid", str(self.process.pid)],
            env=self.screen.env, capture_output=True, text=True,
        )  # fmt: skip
        for window in done.stdout.split():
            display = Display(self.screen.display)
            try:
                g = display.create_resource_object("window", int(window)).get_geometry()
            finally:
                display.close()
            if g.width > 1:
                return (g.x, g.y, g.width, g.height)
        return None

    def end(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(30)

    @property
    def words(self) -> str:
        return self.said.read_text()


@pytest.fixture
def overlay(screen: Screen, tmp_path: Path) -> Iterator[Callable[..., Overlay]]:
    """Starts the program with its arguments and a settings file."""
    made: list[Overlay] = []

    def start(*arguments: str, settings: str = "", visible: bool = True) -> Overlay:
        (tmp_path / "config.toml").write_text(settings or 'hud.level = "off"\n')
        made.append(Overlay(screen, tmp_path, *arguments))
        if visible:
            until(lambda: made[-1].rect or made[-1].process.poll() is not None, "the overlay is shown")
            assert made[-1].process.poll() is None, made[-1].words
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.wait()


def seen(screen: Screen) -> Pixels:
    """What is on the screen."""
    with mss.MSS(display=screen.display) as grabber:
        return np.array(grabber.grab(grabber.monitors[0]), np.uint8)


def picture(screen: Screen, size: Size) -> Pixels:
    """The middle of the screen, where a picture of that size is shown."""
    left, top = (ROOM.width - size.width) // 2, (ROOM.height - size.height) // 2
    return seen(screen)[top : top + size.height, left : left + size.width]


def captured(screen: Screen, window: int) -> Pixels:
    """The game's own picture, by a capture of our own."""
    source = X11Source(window, display=screen.display)
    try:
        return until(lambda: source.next_frame(0.1), "a frame of the game").pixels.copy()
    finally:
        source.close()


def expected(before: Pixels, model: str = "fast", scale: int = 2) -> Pixels:
    """What the engine, in this process, makes of a frame, fitted to the screen."""
    engine = assembly.make_engine(model, scale, assembly.EngineOptions())
    engine.warm_up(size_of(before))
    done = engine.upscale(Frame(before))
    assert done is not None
    fitted = resize(done.pixels, size_of(before).fitted(ROOM)).copy()
    engine.close()
    return fitted


def psnr(a: Pixels, b: Pixels) -> float:
    return float(cv2.PSNR(np.ascontiguousarray(a[..., :3]), np.ascontiguousarray(b[..., :3])))


def shows(screen: Screen, after: Pixels) -> None:
    """Waits until the screen shows that picture: 60 dB is a rounding error here and there."""
    until(lambda: psnr(picture(screen, size_of(after)), after) > 60, f"the picture of {size_of(after)}")


def test_the_overlay_shows_what_the_engine_makes_of_the_window_beneath_it(
    screen: Screen, overlay: Callable[..., Overlay]
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    before = toy.draw(3)
    over = overlay("--window", "a game")
    assert over.rect == (0, 0, *ROOM)
    after = expected(before)
    shows(screen, after)
    before = toy.draw(4)
    after = expected(before)
    shows(screen, after)
    shown = seen(screen)
    assert not shown[:, 0, :3].any(), "black beside the picture, and not the game's own window or the desktop"


def test_a_real_game_is_covered_by_its_own_upscaled_picture(
    screen: Screen, game: Game, overlay: Callable[..., Overlay]
) -> None:
    over = overlay("--window", "chocolate doom")
    assert over.rect == (0, 0, *ROOM)
    size = Size(640, 400).fitted(ROOM)

    def same_moment() -> bool:
        """The game moves: both pictures were taken at one moment if the game looks the same before and after."""
        before, shown, later = captured(screen, game.window), picture(screen, size), captured(screen, game.window)
        return np.array_equal(before, later) and psnr(shown, expected(before)) > 35

    until(same_moment, "the screen shows the upscaled game, not the overlay of the overlay and not black")


def test_clicks_and_focus_stay_with_the_game(screen: Screen, game: Game, overlay: Callable[..., Overlay]) -> None:
    def asked(*what: str) -> str:
        return subprocess.run(["xdotool", *what], env=screen.env, capture_output=True, text=True, check=True).stdout

    asked("windowfocus", "--sync", str(game.window))
    asked("mousemove", str(game.info.rect.x + 100), str(game.info.rect.y + 100))
    beneath = asked("getmouselocation")  # the window that a click would go to
    over = overlay("--window", "chocolate doom")
    assert over.rect == (0, 0, *ROOM)
    assert asked("getmouselocation") == beneath
    assert int(asked("getwindowfocus")) == game.window


def test_a_key_switches_the_model_while_the_game_has_the_focus_and_no_frame_is_black(
    screen: Screen, game: Game, overlay: Callable[..., Overlay], tmp_path: Path
) -> None:
    game.plays()
    subprocess.run(["xdotool", "windowfocus", "--sync", str(game.window)], env=screen.env, check=True)
    over = overlay("--window", "chocolate doom", "--log", "frames.csv")
    until(lambda: "fast x2" in (tmp_path / "frames.csv").read_text(), "the network is at work")
    stop, darkest = threading.Event(), [255.0]

    def watch() -> None:
        with mss.MSS(display=screen.display) as grabber:
            while not stop.is_set():
                middle = np.asarray(grabber.grab((200, 100, 1080, 620)))[::8, ::8, :3]
                darkest[0] = min(darkest[0], float(middle.mean()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    log = tmp_path / "frames.csv"
    for key, engine in (("s", "fast x4"), ("m", "fast-pixel x4"), ("n", "fast x4"), ("s", "fast x")):
        subprocess.run(["xdotool", "key", f"ctrl+alt+{key}"], env=screen.env, check=True)
        begun = len(log.read_text())
        until(lambda begun=begun, engine=engine: engine in log.read_text()[begun:], f"{engine} at work")  # type: ignore[misc]
    stop.set()
    watcher.join()
    subprocess.run(["xdotool", "key", "ctrl+alt+q"], env=screen.env, check=True)
    assert over.end() == 0, over.words
    assert "the quit key was pressed" in over.words
    assert darkest[0] > 8, "a black picture was on the screen"


def test_a_budget_too_small_for_the_wished_model_is_kept_by_a_cheaper_one(
    screen: Screen, game: Game, overlay: Callable[..., Overlay], tmp_path: Path
) -> None:
    settings = "[engine]\nbudget_ms = 20.0\n"
    overlay("--window", "chocolate doom", "--model", "quality", "--log", "frames.csv", settings=settings)
    log = tmp_path / "frames.csv"

    def engines() -> list[str]:
        return [line.split(",")[1].split()[0] for line in log.read_text().splitlines()[1:] if "," in line]

    until(lambda: {"fast", "turbo", "balanced"} & set(engines()), "a cheaper model is at work", timeout_s=90)


def test_the_picture_follows_a_window_that_is_moved_and_resized(
    screen: Screen, overlay: Callable[..., Overlay]
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    overlay("--window", "a game", "--model", "nearest")
    for seed, size in enumerate((Size(320, 200), Size(1, 1), Size(487, 273), Size(1, 99), Size(240, 136)), 10):
        toy.move(seed * 3, seed * 2)
        toy.resize(size)
        after = expected(toy.draw(seed), "nearest")
        shows(screen, after)


def test_a_minimised_game_hides_the_overlay_and_a_restored_one_brings_it_back(
    screen: Screen, overlay: Callable[..., Overlay]
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    over = overlay("--window", "a game", "--model", "nearest")
    toy.minimise()
    until(lambda: over.rect is None, "the overlay hides")
    toy.map()
    until(lambda: over.rect is not None, "the overlay is back")
    after = expected(toy.draw(2), "nearest")
    shows(screen, after)
    assert over.process.poll() is None


@pytest.mark.parametrize("how", ["close", "kill"])
def test_the_program_ends_with_its_game(how: str, screen: Screen, game: Game, overlay: Callable[..., Overlay]) -> None:
    over = overlay("--window", "chocolate doom")
    if how == "kill":
        os.killpg(game.pid, signal.SIGKILL)
    else:
        game.close()
    assert over.end() == 0
    assert "the game's window was closed" in over.words
    assert "Traceback" not in over.words


def test_it_waits_for_a_window_and_for_it_to_come_back(screen: Screen, overlay: Callable[..., Overlay]) -> None:
    over = overlay("--window", "late game", "--wait", "--model", "nearest", visible=False)
    until(lambda: "waiting" in over.words, "it says that it waits")
    for seed in (1, 2):
        toy = ToyWindow(screen, Size(240, 136), title="A late game")
        after = expected(toy.draw(seed), "nearest")
        shows(screen, after)
        toy.destroy()
        until(lambda: over.rect is None, "the overlay hides without its window")
    over.process.send_signal(signal.SIGTERM)
    assert over.end() == 0
    assert "Traceback" not in over.words


def test_a_lost_display_ends_it_with_a_sentence(tmp_path: Path) -> None:
    with Screen(ROOM) as own:
        toy = ToyWindow(own, Size(240, 136), title="A game")
        toy.draw(1)
        over = Overlay(own, tmp_path, "--window", "a game", "--model", "nearest")
        until(lambda: over.rect, "the overlay is shown")
        own.server.kill()
        assert over.end() == 4
    assert over.words.splitlines()[-2:] == [
        "live-sr: the connection to the display was lost",
        "  start live-sr again when the display is back",
    ]
    assert "Traceback" not in over.words


def test_a_truncated_model_is_refused_with_a_sentence(
    screen: Screen, overlay: Callable[..., Overlay], tmp_path: Path
) -> None:
    whole = WEIGHTS / "fast-x2.onnx"
    (tmp_path / "short-x2.onnx").write_bytes(whole.read_bytes()[:50_000])
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    over = overlay("--window", "a game", "--model", "short-x2.onnx", visible=False)
    assert over.end() == 7
    assert "short-x2.onnx" in over.words
    assert "Traceback" not in over.words


def test_an_unknown_window_gets_a_sentence_with_what_was_meant(screen: Screen, overlay: Callable[..., Overlay]) -> None:
    ToyWindow(screen, Size(240, 136), title="Chocolate Factory")
    over = overlay("--window", "choclate", visible=False)
    assert over.end() == 3
    assert 'Did you mean "Chocolate"' in over.words


def test_the_pictures_of_a_screenshot_are_the_frame_before_and_after(
    screen: Screen, overlay: Callable[..., Overlay], tmp_path: Path
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    before = toy.draw(5)
    overlay("--window", "a game")
    after = expected(before)
    shows(screen, after)
    subprocess.run(["xdotool", "key", "ctrl+alt+p"], env=screen.env, check=True)
    files = until(
        lambda: found if len(found := sorted((tmp_path / "screenshots").glob("*.png"))) == 2 else None, "two files"
    )
    written = [cv2.imread(str(file)) for file in files]
    np.testing.assert_array_equal(written[1], before[..., :3])
    assert psnr(written[0], after) > 60
