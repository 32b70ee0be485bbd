"""The GUI thread: its event loop, its timers, and a way in for other threads."""

from __future__ import annotations

import signal
from collections.abc import Callable

from PyQt6.QtCore import QObject, Qt, QTimer, pyqtSignal
from PyQt6.QtWidgets import QApplication

Work = Callable[[], None]


class Loop(QObject):
    """Made on the main thread, before any window. An error in posted or timed work ends `run`, which raises it."""

    _posted = pyqtSignal(object)

    def __init__(self) -> None:
        super().__init__()
        existing = QApplication.instance()
        self._qt = existing if isinstance(existing, QApplication) else QApplication(["live-sr"])
        self._qt.setQuitOnLastWindowClosed(False)  # a hidden overlay is not the end
        self._posted.connect(self._do, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]  # PyQt6 stubs
        self._timers: list[QTimer] = []
        self._error: BaseException | None = None

    def post(self, work: Work) -> None:
        """Have it done on the GUI thread, soon; from any thread."""
        self._posted.emit(work)

    def every(self, seconds: float, work: Work) -> None:
        timer = QTimer(self)
        timer.setTimerType(Qt.TimerType.CoarseTimer)
        timer.timeout.connect(lambda: self._do(work))
        timer.start(round(seconds * 1000))
        self._timers.append(timer)

    def after(self, seconds: float, work: Work) -> None:
        QTimer.singleShot(round(seconds * 1000), lambda: self._do(work))

    def run(self) -> None:
        """Until `quit`, or a signal that asks the process to end."""
        ending = (signal.SIGINT, signal.SIGTERM)
        before = [signal.signal(s, lambda *_: self.quit()) for s in ending]  # heard when a timer runs Python next
        try:
            if self._error is None:
                self._qt.exec()
        finally:
            for timer in self._timers:
                timer.stop()
            for s, handler in zip(ending, before, strict=True):
                signal.signal(s, handler)
        if self._error is not None:
            raise self._error

    def quit(self) -> None:
        self._qt.exit()  # quit() would close the windows first, as if their user had

    def _do(self, work: Work) -> None:
        try:
            work()
        except BaseException as error:  # an exception that leaves a slot would abort the process
            self._error = self._error or error
            self.quit()
