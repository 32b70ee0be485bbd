"""The whole program over real windows: `live-sr run` in a process of its own, on a screen with a window manager."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import cv2
import mss
import numpy as np
import pytest
from overlay_process import (
    OverlayProcess,
    StartOverlay,
    capture_window,
    compute_psnr,
    grab_middle,
    grab_screen,
    is_same_picture,
    upscale_to_screen,
    wait_until_shown,
)
from patience import until
from screens import HD, Game, Screen, ToyWindow

from live_sr.models.zoo import WEIGHTS
from live_sr.pipeline.frame import Size


def test_the_overlay_shows_what_the_engine_makes_of_the_window_beneath_it(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    before = toy.draw(3)
    over = start_overlay("--window", "a game")
    assert over.rect == (0, 0, *HD)
    after = upscale_to_screen(before)
    wait_until_shown(screen, after)
    before = toy.draw(4)
    after = upscale_to_screen(before)
    wait_until_shown(screen, after)
    shown = grab_screen(screen)
    assert not shown[:, 0, :3].any(), "black beside the picture, and not the game's own window or the desktop"


def test_a_real_game_is_covered_by_its_own_upscaled_picture(
    screen: Screen, game: Game, start_overlay: StartOverlay
) -> None:
    over = start_overlay("--window", "chocolate doom")
    assert over.rect == (0, 0, *HD)
    size = Size(640, 400).fit_into(HD)

    def same_moment() -> bool:
        """The game moves: both pictures were taken at one moment if the game looks the same before and after."""
        before, shown, later = (
            capture_window(screen, game.window),
            grab_middle(screen, size),
            capture_window(screen, game.window),
        )
        return np.array_equal(before, later) and compute_psnr(shown, upscale_to_screen(before)) > 35

    until(same_moment, "the screen shows the upscaled game, not the overlay of the overlay and not black")


def test_clicks_and_focus_stay_with_the_game(screen: Screen, game: Game, start_overlay: StartOverlay) -> None:
    def xdotool(*what: str) -> str:
        return subprocess.run(["xdotool", *what], env=screen.env, capture_output=True, text=True, check=True).stdout

    xdotool("windowfocus", "--sync", str(game.window))
    xdotool("mousemove", str(game.info.rect.x + 100), str(game.info.rect.y + 100))
    beneath = xdotool("getmouselocation")  # the window that a click would go to
    over = start_overlay("--window", "chocolate doom")
    assert over.rect == (0, 0, *HD)
    assert xdotool("getmouselocation") == beneath
    assert int(xdotool("getwindowfocus")) == game.window


def test_a_key_switches_the_model_while_the_game_has_the_focus_and_no_frame_is_black(
    screen: Screen, game: Game, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    game.wait_for_demo()
    subprocess.run(["xdotool", "windowfocus", "--sync", str(game.window)], env=screen.env, check=True)
    over = start_overlay("--window", "chocolate doom", "--log", "frames.csv")
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
    try:
        for key, engine in (("s", "fast x4"), ("m", "fast-pixel x4"), ("n", "fast x4"), ("s", "fast x")):
            subprocess.run(["xdotool", "key", f"ctrl+alt+{key}"], env=screen.env, check=True)
            begun = len(log.read_text())
            until(lambda begun=begun, engine=engine: engine in log.read_text()[begun:], f"{engine} at work")  # type: ignore[misc]
    finally:
        stop.set()
        watcher.join()
    subprocess.run(["xdotool", "key", "ctrl+alt+q"], env=screen.env, check=True)
    assert over.wait_for_exit() == 0, over.output
    assert "the quit key was pressed" in over.output
    assert darkest[0] > 8, "a black picture was on the screen"


def test_a_budget_too_small_for_the_chosen_model_is_kept_by_a_cheaper_one(
    screen: Screen, game: Game, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    settings = "[engine]\nbudget_ms = 20.0\n"
    start_overlay("--window", "chocolate doom", "--model", "quality", "--log", "frames.csv", settings=settings)
    log = tmp_path / "frames.csv"

    def engines() -> list[str]:
        return [line.split(",")[1].split()[0] for line in log.read_text().splitlines()[1:] if "," in line]

    until(lambda: {"fast", "turbo", "balanced"} & set(engines()), "a cheaper model is at work", 90)


def test_without_a_setting_a_model_that_is_too_slow_for_the_processor_is_replaced_and_the_player_is_told(
    screen: Screen, game: Game, start_overlay: StartOverlay
) -> None:
    over = start_overlay("--window", "chocolate doom", "--model", "quality", settings="hud.level = 'line'\n")
    until(lambda: " instead of quality (to keep the chosen model" in over.output, "the terminal says so", 90)
    assert over.process.poll() is None


def test_the_picture_follows_a_window_that_is_moved_and_resized(screen: Screen, start_overlay: StartOverlay) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    start_overlay("--window", "a game", "--model", "nearest")
    for seed, size in enumerate((Size(320, 200), Size(1, 1), Size(487, 273), Size(1, 99), Size(240, 136)), 10):
        toy.move(seed * 3, seed * 2)
        toy.resize(size)
        after = upscale_to_screen(toy.draw(seed), "nearest")
        wait_until_shown(screen, after)


def test_a_minimised_game_hides_the_overlay_and_a_restored_one_brings_it_back(
    screen: Screen, start_overlay: StartOverlay
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest")
    toy.minimise()
    until(lambda: over.rect is None, "the overlay hides")
    until(lambda: over.badge == "WAITING: the game is minimised", "the screen says why")
    toy.map()
    until(lambda: over.rect is not None, "the overlay is back")
    until(lambda: over.badge == "", "there is nothing to explain")
    after = upscale_to_screen(toy.draw(2), "nearest")
    wait_until_shown(screen, after)
    assert over.process.poll() is None


@pytest.mark.parametrize("how", ["close", "kill"])
def test_the_program_ends_with_its_game(how: str, screen: Screen, game: Game, start_overlay: StartOverlay) -> None:
    over = start_overlay("--window", "chocolate doom")
    if how == "kill":
        os.killpg(game.pid, signal.SIGKILL)
    else:
        game.close()
    assert over.wait_for_exit() == 0
    assert "the game's window was closed" in over.output
    assert "Traceback" not in over.output


def test_it_waits_for_a_window_and_for_it_to_come_back(screen: Screen, start_overlay: StartOverlay) -> None:
    over = start_overlay("--window", "late game", "--wait", "--model", "nearest", visible=False)
    until(lambda: "waiting" in over.output, "it says that it waits")
    for seed in (1, 2):
        toy = ToyWindow(screen, Size(240, 136), title="A late game")
        after = upscale_to_screen(toy.draw(seed), "nearest")
        wait_until_shown(screen, after)
        toy.destroy()
        until(lambda: over.rect is None, "the overlay hides without its window")
    over.process.send_signal(signal.SIGTERM)
    assert over.wait_for_exit() == 0
    assert "Traceback" not in over.output


def test_a_lost_display_ends_it_with_a_sentence(tmp_path: Path) -> None:
    with Screen(HD) as own:
        toy = ToyWindow(own, Size(240, 136), title="A game")
        toy.draw(1)
        over = OverlayProcess(own, tmp_path, "--window", "a game", "--model", "nearest")
        until(lambda: over.rect, "the overlay is shown")
        own.server.kill()
        assert over.wait_for_exit() == 4
    assert over.output.splitlines()[-2:] == [
        "live-sr: the connection to the display was lost",
        "  start live-sr again when the display is back",
    ]
    assert "Traceback" not in over.output


def test_a_truncated_model_is_refused_with_a_sentence(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    whole = WEIGHTS / "fast-x2.onnx"
    (tmp_path / "short-x2.onnx").write_bytes(whole.read_bytes()[:50_000])
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    over = start_overlay("--window", "a game", "--model", "short-x2.onnx", visible=False)
    assert over.wait_for_exit() == 7
    assert "short-x2.onnx" in over.output
    assert "Traceback" not in over.output


def test_an_unknown_window_gets_a_sentence_with_what_was_meant(screen: Screen, start_overlay: StartOverlay) -> None:
    ToyWindow(screen, Size(240, 136), title="Chocolate Factory")
    over = start_overlay("--window", "choclate", visible=False)
    assert over.wait_for_exit() == 3
    assert 'Did you mean "Chocolate"' in over.output


def test_the_pictures_of_a_screenshot_are_the_frame_before_and_after(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    before = toy.draw(5)
    start_overlay("--window", "a game")
    after = upscale_to_screen(before)
    wait_until_shown(screen, after)
    subprocess.run(["xdotool", "key", "ctrl+alt+p"], env=screen.env, check=True)
    files = until(
        lambda: found if len(found := sorted((tmp_path / "screenshots").glob("*.png"))) == 2 else None, "two files"
    )
    written = [cv2.imread(str(file)) for file in files]
    np.testing.assert_array_equal(written[1], before[..., :3])
    assert is_same_picture(written[0], after)
