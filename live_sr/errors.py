"""The errors of live-sr: each has a sentence, a remedy and an exit code, which the command line prints.

LiveSRError                1  anything else
├── UsageError             2  a wrong flag, or a wrong key or value in config.toml
├── WindowNotFound         3  there is no such window, or it was closed
├── DisplayLost            4  there is no screen, or the connection to it was lost
├── SourceLost             5  no more frames for now; the pipeline tries to reopen the source
│   └── SourceClosed       5  no more frames ever: the window was closed, the video ended
├── EngineError            6  an engine cannot be built, or failed while running
├── ModelError             7  a model is missing, damaged, or of a kind that cannot run
│   └── UnknownModel       7  no model has that name, or there is no such file
└── MissingPart            8  an optional package or a system library is missing
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LiveSRError(Exception):
    """A failure. message: a sentence for the user; remedy: what the user can do about it, or an empty string."""

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
    """No more frames for now: the window is minimised, the screen is locked, or the screen's mode changed."""

    exit_code = 5


class SourceClosed(SourceLost):
    """No more frames ever."""


class EngineError(LiveSRError):
    exit_code = 6


class ModelError(LiveSRError):
    exit_code = 7


class UnknownModel(ModelError):
    """No model has that name, or there is no such file."""


class MissingPart(LiveSRError):
    exit_code = 8


def reason(error: BaseException) -> str:
    """The error in one line, as for a note in the HUD."""
    return error.message if isinstance(error, LiveSRError) else f"{type(error).__name__}: {error}"


def explain(error: BaseException) -> str:
    """The error in one line, with its remedy, as for a note that stays."""
    remedy = error.remedy if isinstance(error, LiveSRError) else ""
    return f"{reason(error)} ({remedy})" if remedy else reason(error)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """' Did you mean "x"?' for a word that is almost one of the known ones, else an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""
