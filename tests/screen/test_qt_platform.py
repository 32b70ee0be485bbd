"""Which of Qt's plug-ins opens the windows, and the sentence where the wanted one cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from screens import Screen

from live_sr.errors import MissingPart
from live_sr.overlay import qt_check

ROOT = Path(__file__).parents[2]


def run(script: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **env}, cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("exported", ["wayland", "offscreen", "minimal", ""])
def test_the_wanted_plug_in_overrules_what_is_exported(exported: str, screen: Screen) -> None:
    script = """
from PyQt6.QtGui import QGuiApplication
from live_sr.app.start_gui import start_event_loop
loop = start_event_loop(print)
print(QGuiApplication.platformName())
"""
    assert run(script, QT_QPA_PLATFORM=exported, WAYLAND_DISPLAY="wayland-0", XDG_SESSION_TYPE="wayland") == "xcb"


def test_another_plug_in_is_refused_with_a_sentence() -> None:
    script = """
from PyQt6.QtWidgets import QApplication
from live_sr.errors import DisplayLost
from live_sr.overlay.event_loop import EventLoop
application = QApplication(["x", "-platform", "offscreen"])
try:
    EventLoop("xcb")
except DisplayLost as error:
    print(error.message)
"""
    assert run(script) == "Qt opened its windows through offscreen, and live-sr needs xcb here"


def test_a_plug_in_that_cannot_be_loaded_is_a_sentence_and_not_an_abort(monkeypatch: pytest.MonkeyPatch) -> None:
    qt_check.check_qt()
    monkeypatch.setattr(qt_check, "find_plugin", lambda name: f"/nowhere/{name}")
    with pytest.raises(MissingPart, match=r"Qt cannot open a window here: /nowhere/libqxcb\.so"):
        qt_check.check_qt()
