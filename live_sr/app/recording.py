"""One recording: a video file of what is shown, made without ever delaying the picture."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, Queue
from time import monotonic, perf_counter_ns
from typing import TYPE_CHECKING

from live_sr.app.sound_recorder import SoundRecorder
from live_sr.app.sound_timeline import SoundTimeline
from live_sr.errors import LiveSRError, UsageError, reason
from live_sr.pipeline.contracts import SoundSource
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Size

if TYPE_CHECKING:  # these load FFmpeg, which few runs need
    from live_sr.imaging.video_frame_pool import FramePool, PooledFrame
    from live_sr.imaging.video_writer import VideoWriter

SUFFIX = ".mkv"
WAITING = 8  # pictures that wait to be encoded; 25 MB of 1920x1080
WAIT_S = 0.1
STILL_MS = 200  # a picture that stood at least so long at the end is written again there, so that it is seen so long
SOUND_OPENS_S = 5.0  # the longest wait for the sound system, before the first picture
SILENT_AFTER_NS = 2_000_000_000  # when nothing has been heard for so long, silence is written

OpenSound = Callable[[], SoundSource]

log = logging.getLogger(__name__)


class RateLimit:
    """Chooses the pictures of a recording, so that there are at most `rate` a second on average. 0: every one."""

    def __init__(self, rate: float) -> None:
        self._period_ns = round(1e9 / rate) if rate else 0
        self._due_ns = 0

    def accept(self, time_ns: int) -> bool:
        """Whether to record the picture of that time. One that comes up to a quarter of a period early is taken."""
        if time_ns < self._due_ns - self._period_ns // 4:
            return False
        late = time_ns - self._due_ns
        self._due_ns = (self._due_ns if late < self._period_ns else time_ns) + self._period_ns
        return True


class Recording:
    """One file. Its thread encodes and writes; pictures that it cannot take in time are left out."""

    def __init__(
        self,
        path: Path,
        notify: Callable[[str], None],
        limit: RateLimit,
        redraw: Callable[[], None],
        open_sound: OpenSound | None = None,
        *,
        fastest: bool = False,
    ) -> None:
        """`redraw` is called on the recording's thread, to be offered the picture that is shown now. `fastest`: at the
        least cost in processor time, in a larger file.

        Raises UsageError if there is such a file, LiveSRError if it cannot be made.
        """
        if path.suffix.lower() != SUFFIX:
            raise UsageError(f"{path} does not end in .mkv", "record to a Matroska file, which survives a crash")
        try:
            path.open("xb").close()
        except FileExistsError:
            raise UsageError(f"{path} is there already", "record to another file, or remove it") from None
        except OSError as error:
            raise LiveSRError(f"{path} cannot be written: {error.strerror}", "record to another folder") from None
        self.begun_s = monotonic()
        self._path = path
        self._notify = notify
        self._redraw = redraw
        self._open_sound = open_sound
        self._fastest = fastest
        # the upscale thread's:
        self._limit = limit
        self._left_out = 0
        self._owes_picture = False  # the newest one was not taken; the recording's thread asks for it again
        # set by the recording's thread, before the first picture:
        self._pool: FramePool | None = None
        self._pictures: Queue[tuple[PooledFrame, int]] = Queue(WAITING)  # with their times in ns
        self._end_ns = 0  # when it was ended; 0: not yet
        # the recording's thread's:
        self._sound: SoundRecorder | None = None  # None: the file is silent
        self._timeline = SoundTimeline()
        self._thread = threading.Thread(target=self._run, name="live-sr recording", daemon=True)
        self._thread.start()

    @property
    def is_writing(self) -> bool:
        return self._thread.is_alive()

    @property
    def is_running(self) -> bool:
        return self._thread.is_alive() and not self._end_ns

    def offer(self, picture: DisplayPicture, time_ns: int) -> None:
        """Converts the picture, or counts it as left out. Never waits and never raises."""
        pool = self._pool
        if pool is None or not self.is_running:
            return
        if not self._limit.accept(time_ns):
            self._owes_picture = True
            return
        self._owes_picture = self._pictures.full()
        if self._owes_picture:
            self._left_out += 1
            return
        try:
            self._pictures.put_nowait((pool.convert(picture.to_host()), time_ns))
        except Exception as error:  # no memory, or a graphics card that is gone, which the engine reports
            log.debug("a picture is left out of %s: %s", self._path, reason(error))
            self._left_out += 1

    def finish(self) -> None:
        """Ends the file after the pictures that wait."""
        self._end_ns = perf_counter_ns()

    def wait(self, seconds: float) -> None:
        self._thread.join(seconds)

    # The recording's thread

    def _run(self) -> None:
        written = 0
        try:
            written = self._record()
        except Exception as error:  # a full disk, or whatever else the encoder finds
            with suppress(OSError):
                if not self._path.stat().st_size:  # a name that the next recording may have
                    self._path.unlink()
            why = (error.strerror if isinstance(error, OSError) else "") or reason(error)
            self._report(f"the recording {self._path} ended: {why}")
            return
        finally:
            if self._sound is not None:
                self._sound.close()
        if not written:
            with suppress(OSError):
                self._path.unlink()
            self._report("nothing was recorded: no picture was shown meanwhile")
            return
        left_out = f", {self._left_out} left out" if self._left_out else ""
        self._report(f"recorded {written} pictures to {self._path}{left_out}")

    def _report(self, sentence: str) -> None:
        log.info(sentence)
        self._notify(sentence)

    def _record(self) -> int:
        """Makes the whole file; returns the number of its pictures."""
        from live_sr.imaging.video_frame_pool import FramePool
        from live_sr.imaging.video_writer import VideoWriter

        if self._open_sound is not None:
            sound = SoundRecorder(self._open_sound, self._report)
            self._sound = sound if sound.is_available(SOUND_OPENS_S) else None
        self._pool = FramePool(WAITING + 2)
        self._redraw()
        first = self._take()
        if first is None:
            return 0
        picture, begun_ns = first
        size = Size(picture.width, picture.height)
        file = VideoWriter(self._path, size, sound=self._sound is not None, fastest=self._fastest)
        try:
            return self._write(file, picture, begun_ns, self._pool)
        finally:
            file.close()

    def _write(self, file: VideoWriter, picture: PooledFrame, begun_ns: int, pool: FramePool) -> int:
        """Writes all pictures from the first one on, and the sound; returns the number of pictures."""
        time_ms, written = 0, 0
        while True:
            file.add(picture, time_ms)
            written += 1
            after = self._take(lambda: self._write_sound(file, begun_ns))
            if after is None:
                break
            pool.give_back(picture)
            picture, time_ns = after
            time_ms = (time_ns - begun_ns) // 1_000_000
        end_ms = (self._end_ns - begun_ns) // 1_000_000
        if end_ms - time_ms > STILL_MS:
            file.add(picture, end_ms)
        if self._sound is not None:
            self._sound.close()
            self._write_sound(file, begun_ns)
        return written

    def _write_sound(self, file: VideoWriter, begun_ns: int) -> None:
        """Writes what was heard, and silence where the sound system is gone."""
        if self._sound is not None:
            for block in self._sound.take():
                file.add_sound(self._timeline.place(block.samples, block.time_ns - begun_ns))
            file.add_sound(self._timeline.fill(perf_counter_ns() - begun_ns - SILENT_AFTER_NS))

    def _take(self, meanwhile: Callable[[], None] = lambda: None) -> tuple[PooledFrame, int] | None:
        """The next picture; None at the end. Calls `meanwhile` at least ten times a second."""
        while True:
            meanwhile()
            try:
                return self._pictures.get(timeout=WAIT_S)
            except Empty:
                if self._end_ns:
                    return None
                if self._owes_picture:  # and the game stands still
                    self._owes_picture = False
                    self._redraw()
