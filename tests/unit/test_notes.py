"""The notes that stay on the HUD, about what the program had to fall back to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from live_sr.app.notifications import Notifications
from live_sr.overlay.hud_text import HudState
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.frame import Size
from live_sr.pipeline.latency import Latency


class Screen:
    """Loop, HUD and window at once: it runs what is posted, and keeps what the HUD would show."""

    problem = ""
    state: HudState

    def post(self, act: Callable[[], None]) -> None:
        act()

    def set_hud(self, hud: object) -> None:
        """Nothing is drawn."""

    def refresh(self) -> None:
        """Nothing is drawn."""

    def get_room(self) -> Size:
        return Size(640, 480)

    def find_picture(self) -> None:
        return None

    def update(self, state: HudState, *where: object) -> None:
        self.state = state


def test_a_note_that_comes_again_is_the_newest_on_the_hud_and_once_in_the_terminal(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A card that is lost twice: the second time, too, the HUD ends with where pictures go."""
    screen: Any = Screen()
    notifications = Notifications(screen, screen, screen, Latency(), 1.0)
    presenter: Any = SimpleNamespace(info=EngineInfo("fast", 2, "webgpu"), sizes=None)
    lost, back = "pictures go through main memory: it was lost", "pictures stay on the graphics card again"
    with caplog.at_level(logging.WARNING):
        for note in ("no sound", lost, back, lost):
            notifications.add_note(note)
    notifications.refresh(presenter)
    assert screen.state.notes == ("no sound", back, lost)
    assert [record.message for record in caplog.records] == ["no sound", lost, back]
