"""A native Wayland window that a test controls: a line on standard input is a command, "ok" its answer.

wayland_toy.py TITLE WIDTH HEIGHT       commands: draw SEED | resize WIDTH HEIGHT | play FPS | stop
"""

from __future__ import annotations

import struct
import sys
import time

from PyQt6.QtCore import QSocketNotifier, Qt, QTimer
from PyQt6.QtGui import QImage, QPainter, QPaintEvent
from PyQt6.QtWidgets import QApplication, QWidget
from toy_window import make_noise

CLOCK_PIXELS = 3  # at the left of the first row: the time of painting, 3 bytes a pixel


class Toy(QWidget):
    """Shows noise, and while it plays the time at which it painted, in the picture itself."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(flags=Qt.WindowType.FramelessWindowHint)
        self.setAttribute(Qt.WidgetAttribute.WA_OpaquePaintEvent)
        self.resize(width, height)
        self._seed = 0
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self.update)
        self._picture = QImage()

    def obey(self, command: str, *numbers: int) -> None:
        if command == "draw":
            self._seed = numbers[0]
        elif command == "resize":
            self.resize(*numbers)
        elif command == "play":
            self._timer.start(round(1000 / numbers[0]))
        elif command == "stop":
            self._timer.stop()
        self._picture = QImage()
        self.update()

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802 (Qt's name)
        if self._picture.size() != self.size():
            noise = make_noise(self.width(), self.height(), self._seed)
            self._picture = QImage(noise.tobytes(), self.width(), self.height(), QImage.Format.Format_RGB32).copy()
        if self._timer.isActive():
            bits = self._picture.bits()
            assert bits is not None
            bits.setsize(4 * CLOCK_PIXELS)
            now = struct.pack("<q", time.perf_counter_ns()) + b"\0"
            for pixel in range(CLOCK_PIXELS):
                bits[4 * pixel : 4 * pixel + 3] = now[3 * pixel : 3 * pixel + 3]  # type: ignore[index]
        painter = QPainter(self)
        painter.drawImage(0, 0, self._picture)
        painter.end()


def main() -> None:
    title, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    application = QApplication(["toy", "-platform", "wayland"])
    toy = Toy(width, height)
    toy.setWindowTitle(title)
    toy.show()

    def read_command() -> None:
        words = sys.stdin.readline().split()
        if not words:
            application.quit()
            return
        toy.obey(words[0], *map(int, words[1:]))
        print("ok", flush=True)

    notifier = QSocketNotifier(sys.stdin.fileno(), QSocketNotifier.Type.Read)
    notifier.activated.connect(read_command)
    print("ok", flush=True)
    application.exec()


if __name__ == "__main__":
    main()
