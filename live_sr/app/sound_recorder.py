"""Hears the sound of the game on a thread of its own, while a recording runs."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from live_sr.errors import reason
from live_sr.pipeline.contracts import SoundSource
from live_sr.pipeline.sound import SoundBlock

READ_S = 0.1
REOPEN_S = 1.0
CLOSE_S = 1.0  # the longest wait for a sound system that hangs
MOST = 500  # pieces that are kept, ten seconds or more; the oldest go first

log = logging.getLogger(__name__)


class SoundRecorder:
    """From the beginning until `close`. A sound system that ends is looked for again each second."""

    def __init__(self, open_source: Callable[[], SoundSource], notify: Callable[[str], None]) -> None:
        """`open_source` is called on the thread. `notify`, too: why there is no sound, as a sentence."""
        self._open_source = open_source
        self._notify = notify
        self._blocks: deque[SoundBlock] = deque(maxlen=MOST)
        self._known = threading.Event()  # whether there is sound
        self._available = False
        self._loss_reported = False  # that the sound system ended
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-sr sound", daemon=True)
        self._thread.start()

    def is_available(self, timeout_s: float) -> bool:
        """Whether there is a sound system. Waits for the answer; one that comes later is "no"."""
        if not self._known.wait(timeout_s):
            self._stop.set()
            self._notify("the recording has no sound: the sound system does not answer")
        return self._available and not self._stop.is_set()

    def take(self) -> list[SoundBlock]:
        """What was heard since the last call."""
        return [self._blocks.popleft() for _ in range(len(self._blocks))]

    def close(self) -> None:
        self._stop.set()
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                source = self._open_source()
            except Exception as error:
                log.debug("no sound: %s", reason(error))
                if not self._known.is_set():
                    self._notify(f"the recording has no sound: {reason(error)}")
                    self._known.set()
                    return
            else:
                self._available = True
                self._known.set()
                self._read(source)
            self._stop.wait(REOPEN_S)

    def _read(self, source: SoundSource) -> None:
        """Until the stop, or until the sound system ends."""
        try:
            while not self._stop.is_set():
                block = source.read(READ_S)
                if block is not None:
                    self._blocks.append(block)
        except Exception as error:  # what a sound system does must not end the recording
            if not self._loss_reported:
                self._notify(f"the recording goes on without sound: {reason(error)}")
            self._loss_reported = True
        finally:
            source.close()
