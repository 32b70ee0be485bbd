"""The GUI thread: its event loop, its timers, and a way in for other threads."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from functools import partial

from PyQt6.QtCore import (
    QMessageLogContext,
    QObject,
    QSocketNotifier,
    Qt,
    QTimer,
    QtMsgType,
    pyqtSignal,
    qInstallMessageHandler,
)
from PyQt6.QtWidgets import QApplication

from live_sr.errors import DisplayLost

log = logging.getLogger(__name__)

Callback = Callable[[], None]


class EventLoop(QObject):
    """Create it on the main thread, before any window. An exception in a callback ends `run`, which raises it."""

    _posted = pyqtSignal(object)

    def __init__(self, platform: str = "") -> None:
        """`platform`: the plug-in by which Qt opens windows; empty: Qt's own choice.

        On X11 it must be named, because Qt takes its Wayland plug-in wherever WAYLAND_DISPLAY is set, and there no
        window can be put over another program's. Raises DisplayLost if Qt took another one.
        """
        super().__init__()
        existing = QApplication.instance()
        arguments = ["live-sr", *(("-platform", platform) if platform else ())]  # they overrule QT_QPA_PLATFORM
        self._qt = existing if isinstance(existing, QApplication) else QApplication(arguments)
        taken = QApplication.platformName()
        if platform and taken != platform:
            raise DisplayLost(
                f"Qt opened its windows through {taken}, and live-sr needs {platform} here",
                "unset QT_QPA_PLATFORM, or install PyQt6 from PyPI",
            )
        self._qt.setQuitOnLastWindowClosed(False)  # a hidden overlay is not the end
        self._posted.connect(self._call, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]  # PyQt6 stubs
        self.on_hangup: Callback = lambda: None
        """Called when the terminal that started the program is closed, which does not end it."""
        self._timers: list[QTimer] = []
        self._error: BaseException | None = None

    def post(self, callback: Callback) -> None:
        """Calls it on the GUI thread, soon. May be called on any thread."""
        self._posted.emit(callback)

    def call_every(self, seconds: float, callback: Callback) -> None:
        timer = QTimer(self)
        timer.setTimerType(Qt.TimerType.CoarseTimer)
        timer.timeout.connect(lambda: self._call(callback))
        timer.start(round(seconds * 1000))
        self._timers.append(timer)

    def call_later(self, seconds: float, callback: Callback) -> None:
        QTimer.singleShot(round(seconds * 1000), lambda: self._call(callback))

    def call_when_readable(self, file: int, callback: Callback, pause_s: float = 0.0) -> Callback:
        """Calls it whenever there is something to read from a file descriptor. Returns what ends that.

        `pause_s`: it is not called again for so long.
        """
        notifier = QSocketNotifier(file, QSocketNotifier.Type.Read, self)  # type: ignore[call-overload]  # PyQt6 stubs
        pause = QTimer(notifier)
        pause.setTimerType(Qt.TimerType.PreciseTimer)
        pause.setSingleShot(True)
        pause.timeout.connect(lambda: notifier.setEnabled(True))

        def activate(*_: object) -> None:
            if pause_s:
                notifier.setEnabled(False)
                pause.start(round(pause_s * 1000))
            self._call(callback)

        notifier.activated.connect(activate)

        def stop() -> None:
            notifier.setEnabled(False)
            notifier.deleteLater()

        return stop

    def run(self) -> None:
        """Runs until `quit`, or until SIGINT or SIGTERM."""
        handlers = {signal.SIGINT: self.quit, signal.SIGTERM: self.quit}
        hangup = getattr(signal, "SIGHUP", None)  # Windows has none
        if hangup is not None and signal.getsignal(hangup) != signal.SIG_IGN:  # as nohup sets it
            handlers[hangup] = lambda: self._call(self.on_hangup)
        # a handler runs when a timer runs Python next
        before = {s: signal.signal(s, partial(_call_handler, handler)) for s, handler in handlers.items()}
        try:
            if self._error is None:
                self._qt.exec()
        finally:
            for timer in self._timers:
                timer.stop()
            for s, earlier in before.items():
                signal.signal(s, earlier)
        if self._error is not None:
            raise self._error

    def quit(self) -> None:
        self._qt.exit()  # quit() would close the windows first, as if the user had

    def _call(self, callback: Callback) -> None:
        try:
            callback()
        except BaseException as error:  # an exception that leaves a Qt slot would abort the process
            self._error = self._error or error
            self.quit()


def _call_handler(handler: Callback, _signal: int, _frame: object) -> None:
    handler()


def guard_connection(on_lost: Callable[[], None]) -> None:
    """Calls `on_lost` on the GUI thread when the connection to the X server broke; other messages of Qt go on.

    Qt (seen with 6.11 by killing the server) logs "The X11 connection broke (error 1). Did the X11 server die?" and
    then leaves the event loop, or the process in older versions, with code 1; there is no signal to connect to.
    `on_lost` should print its sentence and end the process with os._exit: nothing that touches a window works any more.
    Messages go to the handler installed before this one, or to stderr.
    """

    def handler(kind: QtMsgType, context: QMessageLogContext, message: str | None) -> None:
        if message and message.startswith("The X11 connection broke"):
            on_lost()
        elif previous is not None:
            previous(kind, context, message)
        else:
            log.warning(message)

    previous = qInstallMessageHandler(handler)
