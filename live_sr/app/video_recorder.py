"""Begins and ends recordings of what is shown, and offers each picture to them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic

from live_sr.app.file_names import find_free_name
from live_sr.app.recording import SUFFIX, OpenSound, RateLimit, Recording
from live_sr.errors import LiveSRError
from live_sr.pipeline.contracts import Display
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame

CLOSE_S = 10.0  # the longest wait for the last pictures, when the program ends


class VideoRecorder:
    """Starts and ends recordings. `start`, `toggle` and `close` are for the GUI thread, `offer` for the upscale thread.

    `notify` is called on any thread, with what becomes of a recording.
    """

    def __init__(
        self,
        folder: Path,
        notify: Callable[[str], None],
        *,
        rate: float = 0,
        redraw: Callable[[], None] = lambda: None,
        open_sound: OpenSound | None = None,
        fastest: bool = False,
    ) -> None:
        """`folder`: for the recordings that the key starts. `rate`: the most pictures a second; 0: every one.

        `redraw` is called, on another thread, to be offered the picture that is shown, though the game may stand still.
        `open_sound`, too, and opens the sound of the game; None: recordings are silent.
        `fastest`: at the least cost in processor time, in larger files.
        """
        self._folder = folder
        self._notify = notify
        self._rate = rate
        self._redraw = redraw
        self._open_sound = open_sound
        self._fastest = fastest
        self._recording: Recording | None = None
        self._ending: list[Recording] = []  # which the thread of each still writes

    @property
    def is_recording(self) -> bool:
        """Whether pictures are being recorded. A full disk ends a recording too."""
        return self._recording is not None and self._recording.is_running

    @property
    def seconds(self) -> int | None:
        """How long it has been recording; None while it is not."""
        recording = self._recording
        return int(monotonic() - recording.begun_s) if recording is not None and recording.is_running else None

    def start(self, path: Path) -> None:
        """Begins a new file with the next picture. Raises LiveSRError if it cannot be made."""
        limit = RateLimit(self._rate)
        self._recording = Recording(path, self._notify, limit, self._redraw, self._open_sound, fastest=self._fastest)
        self._notify(f"recording to {path}")

    def toggle(self) -> None:
        """Ends the recording, or begins one in the folder. Raises LiveSRError."""
        recording, self._recording = self._recording, None
        if recording is not None and recording.is_running:
            recording.finish()
            self._ending = [*(other for other in self._ending if other.is_writing), recording]
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LiveSRError(
                f"{self._folder} cannot be made: {error.strerror}",
                "name another `folder` under [recording] in config.toml",
            ) from None
        self.start(self._folder / f"{find_free_name(self._folder, datetime.now(), (SUFFIX,))}{SUFFIX}")

    def offer(self, frame: Frame[DisplayPicture]) -> None:
        """Takes what the picture shows, if there is a recording."""
        recording = self._recording
        if recording is not None:
            recording.offer(frame.pixels, frame.stamps.seen)

    def close(self) -> None:
        """Waits for the files of all recordings, also of those that were ended just before."""
        recording, self._recording = self._recording, None
        if recording is not None:
            recording.finish()
            self._ending.append(recording)
        deadline = monotonic() + CLOSE_S
        for ending in self._ending:
            ending.wait(max(0.0, deadline - monotonic()))


class RecordedDisplay:
    """Fulfils `contracts.Display`: shows frames on another display, and offers each to the recorder."""

    def __init__(self, display: Display[DisplayPicture], recorder: VideoRecorder) -> None:
        self._display = display
        self._recorder = recorder

    def show(self, frame: Frame[DisplayPicture]) -> Frame[DisplayPicture] | None:
        if frame.pixels.on_device:  # which only one thread may use: the display's, once it is shown
            self._recorder.offer(frame)
            return self._display.show(frame)
        given_back = self._display.show(frame)
        self._recorder.offer(frame)  # nobody writes into it before the next one is shown
        return given_back
