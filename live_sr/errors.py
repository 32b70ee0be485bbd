"""Every failure that live-sr names: a sentence, a remedy, an exit code. The command line prints these and no traceback.

LiveSRError                1  anything below
├── UsageError             2  a flag, a key of config.toml or its value
├── WindowNotFound         3  no window, or the chosen one is gone
├── DisplayLost            4  no screen, or the connection to it broke
├── SourceLost             5  the frames stopped coming; the pipeline tries to reopen
│   └── SourceClosed       5  and will not come back: the window is closed, the video is at its end
├── EngineError            6  an engine cannot be built, or failed while running
├── ModelError             7  a model is missing, broken, or of a kind we cannot run
└── MissingPart            8  an optional package or system library is not there
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LiveSRError(Exception):
    """A failure told to the user as `message`, with what to do about it as `remedy`."""

    exit_code = 1

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy


class UsageError(LiveSRError):
    exit_code = 2


class WindowNotFound(LiveSRError):
    exit_code = 3


class DisplayLost(LiveSRError):
    exit_code = 4


class SourceLost(LiveSRError):
    """No more frames for now: the window is minimised or gone, the screen is locked, the mode changed."""

    exit_code = 5


class SourceClosed(SourceLost):
    """No more frames ever."""


class EngineError(LiveSRError):
    exit_code = 6


class ModelError(LiveSRError):
    exit_code = 7


class MissingPart(LiveSRError):
    exit_code = 8


def reason(error: BaseException) -> str:
    """What went wrong in one line, for a note in the HUD."""
    return error.message if isinstance(error, LiveSRError) else f"{type(error).__name__}: {error}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for a near miss, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
