"""Qt for the tests of windows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PyQt6 import sip
from PyQt6.QtCore import qInstallMessageHandler
from PyQt6.QtWidgets import QApplication
from screens import Screen


@pytest.fixture
def qt(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> Iterator[QApplication]:
    """A QApplication on the screen; what Qt complains about fails the test."""
    monkeypatch.setenv("QT_QPA_PLATFORM", "xcb")
    assert QApplication.instance() is None, "an earlier test left its Qt application behind"
    complaints: list[str | None] = []
    before = qInstallMessageHandler(lambda kind, context, message: complaints.append(message))
    app = QApplication(["live-sr"])
    yield app
    for widget in app.topLevelWidgets():
        sip.delete(widget)
    for window in app.topLevelWindows():  # asked for now: a widget's window went with it
        sip.delete(window)
    sip.delete(app)
    qInstallMessageHandler(before)
    assert complaints == []
