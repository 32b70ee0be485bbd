"""On a Wayland desktop, weston without a screen, over a window of its Xwayland."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from overlay_process import OverlayProcess
from patience import until
from screens import HD, Screen, ToyWindow, find_program, forget_extensions

from live_sr.pipeline.frame import Size


class WaylandScreen(Screen):
    """A Wayland compositor whose Xwayland is the display, with the variables that every program there gets."""

    def __init__(self) -> None:
        super().__init__(HD, manager="")

    def start_server(self, server: str) -> str:
        """Starts the compositor in the place of `server`; returns the display of its Xwayland."""
        find_program("Xwayland", "xwayland")
        log = self.log.with_name("weston.log")
        self.env |= {"XDG_SESSION_TYPE": "wayland", "WAYLAND_DISPLAY": "wayland-of-tests"}
        self.run(
            *(find_program("weston", "weston"), "--backend=headless-backend.so", "--xwayland", f"--log={log}"),
            *("--socket=wayland-of-tests", f"--width={HD.width}", f"--height={HD.height}", "--idle-time=0"),
            WAYLAND_DISPLAY="",
        )
        told = until(
            lambda: re.search(r"xserver listening on display (:\d+)", log.read_text() if log.exists() else ""),
            "weston has started",
        )
        return told[1]


@pytest.fixture
def wayland(monkeypatch: pytest.MonkeyPatch) -> Iterator[WaylandScreen]:
    forget_extensions(monkeypatch)
    with WaylandScreen() as screen:
        yield screen


@pytest.mark.parametrize("exported", ["", "wayland", "offscreen"])
def test_the_overlay_covers_a_game_on_xwayland(exported: str, wayland: WaylandScreen, tmp_path: Path) -> None:
    if exported:
        wayland.env["QT_QPA_PLATFORM"] = exported
    toy = ToyWindow(wayland, Size(240, 136), title="A game")
    toy.draw(1)
    over = OverlayProcess(wayland, tmp_path, "--window", "a game", "--model", "nearest", "--log", "frames.csv")
    try:
        until(lambda: over.rect or over.process.poll() is not None, "the overlay is shown")
        assert over.rect == (0, 0, *HD), over.output
        frames = tmp_path / "frames.csv"
        for seed in range(2, 5):
            rows = frames.read_bytes().count(b"\n")
            toy.draw(seed)
            until(lambda rows=rows: frames.read_bytes().count(b"\n") > rows, "the new picture is shown")  # type: ignore[misc]
    finally:
        over.kill()
    assert "Traceback" not in over.output
