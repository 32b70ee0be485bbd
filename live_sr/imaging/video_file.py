"""Opening video files with PyAV, the same way with each of its versions, and finding the video in them.

Names and titles in a file may be in any encoding. PyAV 19 reads every one as UTF-8 and keeps other bytes as surrogates
(`surrogateescape`), so that they can be written again unchanged. PyAV 18 does so when it is asked to, and otherwise
refuses such a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

STILL = Disposition.attached_pic | Disposition.timed_thumbnails
TERMINAL = "tty"  # FFmpeg's format that draws any text as a terminal would

# PyAV 19 has no such argument
_TAGS: dict[str, Any] = {"metadata_errors": "surrogateescape"} if int(av.__version__.split(".")[0]) < 19 else {}


def open_input(path: Path, container_options: dict[str, str] | None = None) -> InputContainer:
    """The file, opened for reading. Raises FFmpegError or OSError."""
    container: InputContainer = av.open(str(path), "r", container_options=container_options, **_TAGS)
    return container


def open_output(
    target: Path | BinaryIO, form: str | None = None, container_options: dict[str, str] | None = None
) -> OutputContainer:
    """A new file of the format `form` (None: by its suffix); nothing is written before `start_encoding`.

    Raises FFmpegError, OSError, or ValueError for a format that FFmpeg does not know.
    """
    file = str(target) if isinstance(target, Path) else target
    container: OutputContainer = av.open(file, "w", format=form, container_options=container_options, **_TAGS)
    return container


def find_main_video(container: InputContainer) -> VideoStream | None:
    """The video that players show: no cover and no thumbnail, and the one marked as default where there are several.

    None for a file without one, and for text.
    """
    if container.format.name == TERMINAL:
        return None
    moving = [stream for stream in container.streams.video if not stream.disposition & STILL]
    marked = [stream for stream in moving if stream.disposition & Disposition.default]
    return next(iter(marked or moving), None)


def printable(text: str) -> str:
    """A name or title with a question mark in place of each byte that is not UTF-8."""
    return text.encode("utf-8", "replace").decode()
