"""No key, no disk and no terminal ends a session: `live-sr run` in a process of its own."""

from __future__ import annotations

import os
import pty
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

from overlay_process import StartOverlay, upscale_to_screen, wait_until_shown
from patience import until
from screens import Game, Screen, ToyWindow

from live_sr.config import HotkeySettings
from live_sr.models.resolve import list_models
from live_sr.pipeline.frame import Size

SMALL_GAME = Size(480, 272)  # fits ×3 into 1280x720, so that "fit" takes ×3 where a model has it
STORM_KEYS = 60


def press(screen: Screen, *keys: str, delay_ms: int = 12) -> None:
    subprocess.run(["xdotool", "key", "--delay", str(delay_ms), *keys], env=screen.env, check=True)


def count_rows(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_every_model_follows_a_filter_that_fits_by_a_scale_which_networks_lack(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = ToyWindow(screen, SMALL_GAME, title="A game")
    toy.draw(1)
    log = tmp_path / "frames.csv"
    over = start_overlay("--window", "a game", "--model", "fsr", "--scale", "fit", "--log", "frames.csv")
    until(lambda: "fsr x3" in log.read_text(), "the filter works at ×3")
    for model in list_models():
        press(screen, "ctrl+alt+m")
        begun = len(log.read_text())
        until(lambda begun=begun: len(log.read_text()) > begun, f"a picture after {model.name}")  # type: ignore[misc]
        toy.draw(2)
    press(screen, "ctrl+alt+q")
    assert over.wait_for_exit() == 0, over.output


def test_a_storm_of_all_keys_leaves_a_picture_that_moves(
    screen: Screen, game: Game, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    over = start_overlay("--window", "chocolate doom", "--model", "turbo", "--log", "frames.csv")
    keys = [key for action, key in HotkeySettings().model_dump().items() if action != "quit"]
    names = {",": "comma", ".": "period"}
    pressed = [re.sub(r"[,.]$", lambda found: names[found[0]], key) for key in keys]
    storm = random.Random(11).choices(pressed, k=STORM_KEYS)
    for _ in range(2):  # an even number of each switch
        press(screen, *storm, delay_ms=90)
    assert over.process.poll() is None, over.output
    before = count_rows(tmp_path / "frames.csv")
    until(lambda: count_rows(tmp_path / "frames.csv") > before + 10, "it goes on")
    press(screen, "ctrl+alt+q")
    assert over.wait_for_exit() == 0, over.output
    ours = [line for line in over.output.splitlines() if "live-sr: " in line]  # libraries also print
    assert ours and not any("failed" in line for line in ours), over.output


def test_screenshots_within_one_second_are_all_kept(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    start_overlay("--window", "a game", "--model", "nearest")
    folder = tmp_path / "screenshots"
    for seed in range(4):
        wait_until_shown(screen, upscale_to_screen(toy.draw(seed), "nearest"))
        press(screen, "ctrl+alt+p")
        until(lambda seed=seed: len(list(folder.glob("*.png"))) == 2 * seed + 2, "a pair more")  # type: ignore[misc]
    pictures = {file.read_bytes() for file in folder.glob("*.png")}
    assert len(pictures) == 8


def test_a_folder_that_takes_no_screenshot_costs_no_picture(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    (tmp_path / "screenshots").write_text("a file where the folder should be")
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    over = start_overlay("--window", "a game", "--model", "nearest")
    toy.draw(1)
    press(screen, "ctrl+alt+p", "ctrl+alt+p")
    wait_until_shown(screen, upscale_to_screen(toy.draw(2), "nearest"))
    assert over.process.poll() is None, over.output


def test_a_full_disk_under_the_log_is_told_and_the_picture_stays(screen: Screen, start_overlay: StartOverlay) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest", "--log", "/dev/full")
    wait_until_shown(screen, upscale_to_screen(toy.draw(2), "nearest"))
    until(lambda: "/dev/full cannot be written any more (No space left on device)" in over.output, "it is told")
    wait_until_shown(screen, upscale_to_screen(toy.draw(3), "nearest"))


def run_in_terminal(screen: Screen, folder: Path, *arguments: str) -> tuple[int, int]:
    """Starts `live-sr run` as the program of a new terminal; returns its process and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        env = {**screen.env, "PYTHONPATH": str(Path(__file__).parents[2])}
        os.execve(sys.executable, [sys.executable, "-m", "live_sr", "run", *arguments], env)
    return pid, terminal


def test_a_terminal_that_is_closed_leaves_the_picture_and_every_row(screen: Screen, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('hud.level = "off"\noverlay.pointer = "view"\n')
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    log = tmp_path / "frames.csv"
    pid, terminal = run_in_terminal(screen, tmp_path, "--window", "a game", "--model", "nearest", "--log", "frames.csv")
    ended = False

    def has_ended() -> bool:
        nonlocal ended
        ended = ended or os.waitpid(pid, os.WNOHANG) != (0, 0)
        return ended

    try:
        wait_until_shown(screen, upscale_to_screen(toy.draw(2), "nearest"))
        until(lambda: count_rows(log) >= 2, "a row")
        os.close(terminal)
        for seed in range(3, 8):
            rows = count_rows(log)
            wait_until_shown(screen, upscale_to_screen(toy.draw(seed), "nearest"))
            until(lambda rows=rows: count_rows(log) > rows, "a row for it")  # type: ignore[misc]
            assert not has_ended()
        press(screen, "ctrl+alt+q")
        until(has_ended, "the quit key ends it")
    finally:
        if not has_ended():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
