"""Finds a window by a part of its title or by its process, or asks the user for one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from live_sr.errors import WindowNotFound, did_you_mean
from live_sr.pipeline.desktop_contracts import WindowInfo

_REMEDY = "start the game in a window first; `live-sr run` without --window lists what is open"


def find_windows(windows: Sequence[WindowInfo], title: str = "", pid: int = 0) -> list[WindowInfo]:
    """The windows whose title contains `title`, ignoring case; if there is none, those whose process name contains it.

    Only windows of process `pid`, unless that is 0. Keeps the order.
    """
    of_process = [w for w in windows if pid in (0, w.pid)]
    part = title.casefold()
    titled = [w for w in of_process if part in w.title.casefold()]
    return titled or [w for w in of_process if part in w.process.casefold()]


def find_window(windows: Sequence[WindowInfo], title: str = "", pid: int = 0) -> WindowInfo:
    """The first window that `find_windows` finds: the topmost. Raises WindowNotFound with the most similar name."""
    found = find_windows(windows, title, pid)
    if found:
        return found[0]
    of_process = find_windows(windows, pid=pid)
    if not of_process:
        whose = f" of process {pid}" if pid else ""
        raise WindowNotFound(f"there is no window{whose}", _REMEDY)
    names = [name for w in of_process for name in (w.title, w.process, *_list_word_runs(w.title, len(title.split())))]
    raise WindowNotFound(f'no window has "{title}" in its title.{did_you_mean(title, filter(None, names))}', _REMEDY)


def ask_for_window(windows: Sequence[WindowInfo], ask: Callable[[str], str]) -> WindowInfo:
    """Lists the windows, and asks for a number or a part of a title until the answer identifies one window.

    `ask` shows its argument and returns a line, as `input` does. Raises WindowNotFound when there is no window, or when
    the input ends.
    """
    if not windows:
        raise WindowNotFound("there is no window to choose from", _REMEDY)
    question = "\n".join(_format_line(number, w) for number, w in enumerate(windows, 1)) + "\nWhich window? "
    while True:
        try:
            answer = ask(question).strip()
        except EOFError:
            raise WindowNotFound("no window was chosen", "name one: `live-sr run --window TITLE`") from None
        if answer.isdecimal():
            if 1 <= int(answer) <= len(windows):
                return windows[int(answer) - 1]
            question = f"There is no window {answer}: enter a number from 1 to {len(windows)}. Which window? "
            continue
        found = find_windows(windows, answer) if answer else []
        if len(found) == 1:
            return found[0]
        problem = f'{len(found)} windows have "{answer}" in their name' if found else f'"{answer}" matches no window'
        question = f"{problem}: enter a number from 1 to {len(windows)}. Which window? "


def make_printable(text: str) -> str:
    """A title or name of another program for the terminal, which must not get its control codes."""
    return "".join(c if c.isprintable() else " " for c in text)


def _format_line(number: int, window: WindowInfo) -> str:
    title, process = make_printable(window.title), make_printable(window.process)
    if len(title) > 60:
        title = title[:57] + "..."
    return f"{number:3}  {title or '(no title)':60}  {window.rect.size!s:>9}  {process} ({window.pid})"


def _list_word_runs(title: str, count: int) -> list[str]:
    """All runs of `count` words of a title, as candidates for what a mistyped title meant."""
    words = title.split()
    return [" ".join(words[i : i + count]) for i in range(len(words) - count + 1)] if count else []
