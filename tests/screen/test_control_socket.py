"""`live-sr ctl ACTION` does in a running `live-sr run` what a hotkey does."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from overlay_process import OverlayProcess, StartOverlay, upscale_to_screen, wait_until_shown
from patience import until
from screens import Screen, ToyWindow

from live_sr.pipeline.frame import Size

ROOT = Path(__file__).parents[2]


def ctl(screen: Screen, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "live_sr", "ctl", *arguments]
    return subprocess.run(
        command, env={**screen.env, "PYTHONPATH": str(ROOT)}, cwd=screen.env["HOME"], capture_output=True, text=True
    )


def get_socket(screen: Screen, over: OverlayProcess) -> Path:
    return Path(screen.env["XDG_RUNTIME_DIR"], "live-sr", f"{over.process.pid}.control")


def test_actions_are_carried_out_while_another_window_has_the_focus(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    before = toy.draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest", "--log", "frames.csv")
    wait_until_shown(screen, upscale_to_screen(before, "nearest"))
    assert ctl(screen, "next_scale").returncode == 0
    wait_until_shown(screen, upscale_to_screen(before, "nearest", 3))
    assert ctl(screen, "overlay").returncode == 0
    until(lambda: over.rect is None, "the overlay is off")
    assert ctl(screen, "overlay", "--pid", str(over.process.pid)).returncode == 0
    until(lambda: over.rect is not None, "the overlay is on")
    done = ctl(screen, "quit")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert over.wait_for_exit() == 0
    assert "the quit key was pressed" in over.output
    assert not get_socket(screen, over).exists()


def test_what_cannot_be_done_is_a_sentence(screen: Screen, start_overlay: StartOverlay) -> None:
    done = ctl(screen, "pause")
    assert (done.returncode, done.stderr) == (1, "live-sr: no live-sr is running\n  start `live-sr run` first\n")
    ToyWindow(screen, Size(240, 136), title="A game").draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest")
    done = ctl(screen, "next_modle")
    assert done.returncode == 2
    assert 'there is no action next_modle. Did you mean "next_model"?' in done.stderr
    done = ctl(screen, "pause", "--pid", "1")
    assert (done.returncode, "with the process number 1 is running" in done.stderr) == (1, True)
    over.kill()
    assert get_socket(screen, over).exists()
    assert ctl(screen, "pause").returncode == 1
    assert not get_socket(screen, over).exists(), "what a killed live-sr left is removed"


@pytest.mark.parametrize("request_", [b"", b"\xff\x00" * 100, b"press", b"press quit now", b"quit", b"press  \n"])
def test_nonsense_and_silence_disturb_nothing(request_: bytes, screen: Screen, start_overlay: StartOverlay) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    over = start_overlay("--window", "a game", "--model", "nearest")
    path = get_socket(screen, over)
    assert path.parent.stat().st_mode & 0o077 == 0, "only this user can reach it"
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as asking:
        silent.connect(str(path))
        asking.connect(str(path))
        asking.sendall(request_)
        asking.shutdown(socket.SHUT_WR)
        asking.settimeout(30)
        assert b"there is no action" in asking.recv(500)
        wait_until_shown(screen, upscale_to_screen(toy.draw(2), "nearest"))
        assert ctl(screen, "quit").returncode == 0
        assert over.wait_for_exit() == 0, over.output
